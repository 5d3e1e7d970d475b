package passport

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// Errors of [Passport.Check].
var (
	// ErrUnsigned reports a passport without a signature where one is demanded.
	ErrUnsigned = errors.New("passport: it is not signed")
	// ErrSignature reports a signature that is not that of the key beside it.
	ErrSignature = errors.New("passport: its signature is wrong: it was changed after it was signed")
	// ErrSigner reports a passport that another key has signed.
	ErrSigner = errors.New("passport: another key has signed it")
	// ErrKey reports a key that cannot be used.
	ErrKey = errors.New("passport: unusable key")
)

// An Algorithm is a way to sign.
type Algorithm uint8

// The algorithms.
const (
	Ed25519 Algorithm = 1 // RFC 8032
	P256    Algorithm = 2 // ECDSA on P-256 with SHA-256, deterministic (RFC 6979), ASN.1
)

// String returns the name of the algorithm.
func (a Algorithm) String() string {
	switch a {
	case Ed25519:
		return "Ed25519"
	case P256:
		return "ECDSA P-256"
	}
	return fmt.Sprintf("Algorithm(%d)", uint8(a))
}

// A Signature says who vouches for a passport.
type Signature struct {
	Algorithm Algorithm
	Key       []byte // the public key, as PKIX DER
	Value     []byte
}

// KeyID returns the SHA-256 of a public key in PKIX DER, in hex.
func (s *Signature) KeyID() string { return keyID(s.Key) }

func keyID(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Trust is what a reader demands. Nil demands nothing.
type Trust struct {
	Signed bool             // a signature, whoever's
	Signer crypto.PublicKey // one by this key
}

// context begins what is signed, so that a signature is of no use elsewhere.
const context1 = "ropewalk passport 1\x00"

// message is what is signed.
func (p *Passport) message(a Algorithm) []byte {
	d := p.Digest()
	return append(append([]byte(context1), uint8(a)), d[:]...)
}

// Sign signs all that the passport says, in the place of whoever did before. Keys are
// [ed25519.PrivateKey] and [*ecdsa.PrivateKey] on P-256; errors wrap [ErrKey].
func (p *Passport) Sign(key crypto.Signer) error {
	if p.body == nil {
		return errors.New("passport: neither made nor read, so there is nothing to sign")
	}
	algorithm, der, err := publicKey(key.Public())
	if err != nil {
		return err
	}
	m := p.message(algorithm)
	s := &Signature{Algorithm: algorithm, Key: der}
	if algorithm == Ed25519 {
		s.Value, err = key.Sign(nil, m, crypto.Hash(0))
	} else {
		sum := sha256.Sum256(m)
		s.Value, err = key.Sign(nil, sum[:], crypto.SHA256)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	p.Signature = s
	return nil
}

// publicKey returns the algorithm and the DER of a key.
func publicKey(key crypto.PublicKey) (Algorithm, []byte, error) {
	var a Algorithm
	switch k := key.(type) {
	case ed25519.PublicKey:
		a = Ed25519
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return 0, nil, fmt.Errorf("%w: a key on the curve %s, want P-256, or an Ed25519 key", ErrKey, k.Curve.Params().Name)
		}
		a = P256
	default:
		return 0, nil, fmt.Errorf("%w: a %T, want an Ed25519 key or an ECDSA key on P-256", ErrKey, key)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return a, der, nil
}

// Check says whether the signature, if there is one, is right, and what trust demands.
// Errors are [ErrUnsigned], [ErrSignature] and [ErrSigner].
func (p *Passport) Check(trust *Trust) error {
	if trust == nil {
		trust = &Trust{}
	}
	s := p.Signature
	if s == nil {
		if trust.Signed || trust.Signer != nil {
			return ErrUnsigned
		}
		return nil
	}
	if err := p.verify(s); err != nil {
		return err
	}
	if trust.Signer != nil {
		_, der, err := publicKey(trust.Signer)
		if err != nil {
			return err
		}
		if !bytes.Equal(der, s.Key) {
			return fmt.Errorf("%w: that with the SHA-256 %s, and not %s", ErrSigner, s.KeyID(), keyID(der))
		}
	}
	return nil
}

func (p *Passport) verify(s *Signature) error {
	key, err := x509.ParsePKIXPublicKey(s.Key)
	if err != nil {
		return fmt.Errorf("%w: its key cannot be read: %w", ErrSignature, err)
	}
	m := p.message(s.Algorithm)
	algorithm, der, err := publicKey(key)
	ok := false
	if err == nil && algorithm == s.Algorithm && bytes.Equal(der, s.Key) {
		switch k := key.(type) {
		case ed25519.PublicKey:
			ok = ed25519.Verify(k, m, s.Value)
		case *ecdsa.PublicKey:
			sum := sha256.Sum256(m)
			ok = ecdsa.VerifyASN1(k, sum[:], s.Value)
		}
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// appendSignature appends what follows the sections: the digest, and the signature.
func (p *Passport) appendSignature(b []byte) []byte {
	d := p.Digest()
	w := &writer{b: append(b, d[:]...)}
	s := p.Signature
	if s == nil {
		s = &Signature{}
	}
	w.b = append(w.b, uint8(s.Algorithm))
	w.u16(uint16(len(s.Key)))
	w.b = append(w.b, s.Key...)
	w.u16(uint16(len(s.Value)))
	return append(w.b, s.Value...)
}

func (p *Passport) parseSignature(r *reader) error {
	at := r.at
	digest := r.bytes(32)
	if r.err != nil {
		return r.err
	}
	if d := p.Digest(); !bytes.Equal(d[:], digest) {
		return r.bad(at, "it is damaged: its digest is not that of its contents")
	}
	at = r.at
	algorithm := r.bytes(1)
	key := r.bytes(int(r.u16()))
	value := r.bytes(int(r.u16()))
	if r.err != nil {
		return r.err
	}
	s := &Signature{Algorithm: Algorithm(algorithm[0]), Key: bytes.Clone(key), Value: bytes.Clone(value)}
	switch {
	case s.Algorithm == 0 && len(key)+len(value) > 0:
		return r.bad(at, "a signature of %d bytes by no algorithm", len(value))
	case s.Algorithm > P256:
		return r.bad(at, "an unknown algorithm %d has signed it", s.Algorithm)
	case s.Algorithm != 0:
		p.Signature = s
	}
	return nil
}

// maxPEM bounds a file of keys.
const maxPEM = 1 << 16

// ParsePrivateKey reads a key to sign with: PEM of PKCS #8, as openssl genpkey makes it,
// or of SEC 1. Errors wrap [ErrKey].
func ParsePrivateKey(text []byte) (crypto.Signer, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%w: a file of %d bytes, at most %d are read", ErrKey, len(text), maxPEM)
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%w: there is no PEM of a private key", ErrKey)
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, fmt.Errorf("%w: it is encrypted; openssl pkey decrypts it", ErrKey)
		default: // parameters of a curve come first
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("%w: a %T cannot sign", ErrKey, key)
		}
		if _, _, err := publicKey(signer.Public()); err != nil {
			return nil, err
		}
		return signer, nil
	}
}

// ParsePublicKey reads the key of a signer: PEM of a public key, as openssl pkey -pubout
// makes it, or of the private one. Errors wrap [ErrKey].
func ParsePublicKey(text []byte) (crypto.PublicKey, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%w: a file of %d bytes, at most %d are read", ErrKey, len(text), maxPEM)
	}
	if block, _ := pem.Decode(text); block != nil && block.Type == "PUBLIC KEY" {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		if _, _, err := publicKey(key); err != nil {
			return nil, err
		}
		return key, nil
	}
	key, err := ParsePrivateKey(text)
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}
