package mark

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// ErrKey reports text that is no key, or a key that is not the one that is needed.
var ErrKey = errors.New("mark: invalid key")

// secretSize is the size of a secret in bytes. 256 bits leave nothing to guess.
const secretSize = 32

// A Key is an owner's secret, and who the owner is. It is immutable and safe for
// concurrent use. Printing it shows its public name only.
//
// All that is random in a mark follows from the secret through HKDF (RFC 5869), so
// nothing but the 32 bytes has to be kept:
//
//	secret ──► layer key, one for each scheme and tensor ──► signs, places, matrices
//	       ──► key of the tags of payloads
//	       ──► key that signs evidence (Ed25519)
//
// A layer key says nothing of the others, so a dispute needs to disclose only one.
type Key struct {
	Identity

	secret [secretSize]byte
}

// An Identity is the public part of a key.
type Identity struct {
	// Owner is free text, one line of at most 200 bytes.
	Owner string
	// Created is when the key was made, to the second.
	Created time.Time
	// Payload is what the schemes with bits write, if nothing else is asked for: at
	// most 32 bytes; nil is none.
	Payload []byte
}

// NewKey draws a key from random, such as crypto/rand.Reader.
func NewKey(random io.Reader, who Identity) (*Key, error) {
	who.Created = who.Created.UTC().Truncate(time.Second)
	if err := who.check(); err != nil {
		return nil, err
	}
	k := &Key{Identity: who}
	if _, err := io.ReadFull(random, k.secret[:]); err != nil {
		return nil, fmt.Errorf("drawing a secret: %w", err)
	}
	return k, nil
}

// maxOwner and MaxPayload bound what a key says of its owner, in bytes.
const (
	maxOwner   = 200
	MaxPayload = 32
)

func (i *Identity) check() error {
	if len(i.Owner) > maxOwner {
		return fmt.Errorf("%w: the owner has %d bytes, at most %d fit", ErrKey, len(i.Owner), maxOwner)
	}
	for _, r := range i.Owner {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%w: the owner is not one line of plain text", ErrKey)
		}
	}
	if len(i.Payload) > MaxPayload {
		return fmt.Errorf("%w: the payload has %d bits, at most %d fit", ErrKey, 8*len(i.Payload), 8*MaxPayload)
	}
	return nil
}

// derive returns 32 bytes for one purpose.
func derive(secret []byte, purpose ...string) [secretSize]byte {
	info := []byte("ropewalk mark 1")
	for _, p := range purpose {
		info = fmt.Appendf(info, "\x00%d\x00%s", len(p), p) // no two lists of words give the same text
	}
	b, err := hkdf.Key(sha256.New, secret, nil, string(info), secretSize)
	if err != nil {
		panic("internal error: " + err.Error()) // only for lengths that SHA-256 cannot give
	}
	return [secretSize]byte(b)
}

// digestOf returns SHA-256 of a purpose and a secret: a commitment, which hides a
// secret of 256 bits and binds to it.
func digestOf(purpose string, secret []byte) [sha256.Size]byte {
	h := sha256.New()
	_, _ = io.WriteString(h, purpose) // a hash takes all
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(secret)
	return [sha256.Size]byte(h.Sum(nil))
}

// Commitment returns the hash that binds to the secret and hides it.
func (k Key) Commitment() [sha256.Size]byte {
	return digestOf("ropewalk mark key 1", k.secret[:])
}

// ID is the public name of the key: the first 8 bytes of its commitment, in hex.
func (k Key) ID() string {
	c := k.Commitment()
	return hex.EncodeToString(c[:8])
}

// String returns the public name.
func (k Key) String() string { return "mark key " + k.ID() }

// GoString returns the public name.
func (k Key) GoString() string { return k.String() }

// Format prints the public name for every verb, so that no secret gets into a log.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue returns the public name.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText returns the public name: the text of a key is that of [Key.Marshal], which
// one has to ask for.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Layer implements [Secrets].
func (k *Key) Layer(scheme, tensor string) (LayerKey, error) {
	return LayerKey{Of: k.ID(), Owner: k.Owner, Scheme: scheme, Tensor: tensor, secret: derive(k.secret[:], "layer", scheme, tensor)}, nil
}

// Tag implements [Secrets].
func (k *Key) Tag(message []byte) ([]byte, bool) {
	key := derive(k.secret[:], "tag")
	h := hmac.New(sha256.New, key[:])
	_, _ = h.Write(message) // a hash takes all
	return h.Sum(nil), true
}

// signer returns the key that signs evidence.
func (k *Key) signer() ed25519.PrivateKey {
	seed := derive(k.secret[:], "sign")
	return ed25519.NewKeyFromSeed(seed[:])
}

// Verifier returns the public key that evidence of this key is signed with.
func (k *Key) Verifier() ed25519.PublicKey { return k.signer().Public().(ed25519.PublicKey) }

// Secrets are what a scheme asks of a key: a [Key] knows all, a [LayerKey] one layer.
type Secrets interface {
	// ID is the public name of the key.
	ID() string
	// Layer returns the key of one scheme and tensor. The error wraps [ErrKey] if it
	// is not known.
	Layer(scheme, tensor string) (LayerKey, error)
	// Tag returns 32 bytes that only who has the key can make for a message; false
	// if the key for that is not there.
	Tag(message []byte) ([]byte, bool)
}

// A LayerKey is the secret of one scheme in one tensor: all that has to be shown of a
// key in a dispute. Printing it shows its public name only.
type LayerKey struct {
	Of     string // the public name of the key that it is from
	Owner  string
	Scheme string
	Tensor string

	secret [secretSize]byte
}

// ID implements [Secrets].
func (l LayerKey) ID() string { return l.Of }

// Commitment returns the hash that binds to the secret and hides it.
func (l LayerKey) Commitment() [sha256.Size]byte {
	return digestOf("ropewalk mark layer key 1", l.secret[:])
}

// String returns the public name.
func (l LayerKey) String() string {
	return fmt.Sprintf("mark key %s, scheme %s, tensor %s", l.Of, l.Scheme, l.Tensor)
}

// Format prints the public name for every verb.
func (l LayerKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// LogValue returns the public name.
func (l LayerKey) LogValue() slog.Value { return slog.StringValue(l.String()) }

// MarshalText returns the public name.
func (l LayerKey) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Layer implements [Secrets].
func (l LayerKey) Layer(scheme, tensor string) (LayerKey, error) {
	if scheme != l.Scheme || tensor != l.Tensor {
		return LayerKey{}, fmt.Errorf("%w: it is that of scheme %s in tensor %s alone, not of %s in %s", ErrKey, l.Scheme, l.Tensor, scheme, tensor)
	}
	return l, nil
}

// Tag implements [Secrets]: a layer key makes none.
func (l LayerKey) Tag([]byte) ([]byte, bool) { return nil, false }
