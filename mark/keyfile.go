package mark

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/scrypt"
)

// The first lines of the files.
const (
	keyHead   = "ropewalk mark key 1"
	layerHead = "ropewalk mark layer key 1"
)

// MaxKeyFile is more than the largest key file has, in bytes.
const MaxKeyFile = 1 << 16

// ErrPassphrase reports a key that is sealed, and a passphrase that is missing or does
// not open it.
var ErrPassphrase = errors.New("mark: the key is sealed with another passphrase, or damaged")

// ErrSealed reports a key that needs a passphrase, where none was given.
var ErrSealed = errors.New("mark: the key is sealed with a passphrase")

// SealOptions say how a passphrase seals a key.
type SealOptions struct {
	// Random is where salt and nonce come from, such as crypto/rand.Reader.
	Random io.Reader
	// LogN is the binary logarithm of scrypt's work, 10 to 20. It takes 2^LogN KiB
	// of memory, and 0 is 17: 128 MiB and about half a second.
	LogN int
}

// The bounds of scrypt's work: a file must not make us take more than 1 GiB.
const (
	minLogN     = 10
	maxLogN     = 20
	defaultLogN = 17
)

// Marshal returns the key as the text of a file, secret included:
//
//	ropewalk mark key 1
//	id: 16 hex digits
//	owner: text
//	created: RFC 3339
//	payload: hex                       (if there is one)
//	secret: base64
//
// With a passphrase, the last line is
//
//	sealed: scrypt LOGN SALT NONCE CIPHERTEXT
//
// the secret under AES-256-GCM with a key by scrypt (r = 8, p = 1), which also
// authenticates the lines before. An empty passphrase is none; o may be nil then.
func (k *Key) Marshal(passphrase []byte, o *SealOptions) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nid: %s\nowner: %s\ncreated: %s\n", keyHead, k.ID(), k.Owner, k.Created.Format(time.RFC3339))
	if k.Payload != nil {
		fmt.Fprintf(&b, "payload: %x\n", k.Payload)
	}
	return seal(&b, k.secret[:], passphrase, o)
}

// Marshal returns the layer key as the text of a file, secret included; see
// [Key.Marshal].
func (l LayerKey) Marshal(passphrase []byte, o *SealOptions) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nid: %s\nowner: %s\nscheme: %s\ntensor: %s\n", layerHead, l.Of, l.Owner, l.Scheme, strconv.QuoteToASCII(l.Tensor))
	return seal(&b, l.secret[:], passphrase, o)
}

func seal(b *bytes.Buffer, secret, passphrase []byte, o *SealOptions) ([]byte, error) {
	code := base64.RawStdEncoding
	if len(passphrase) == 0 {
		fmt.Fprintf(b, "secret: %s\n", code.EncodeToString(secret))
		return b.Bytes(), nil
	}
	logN := o.LogN
	if logN == 0 {
		logN = defaultLogN
	}
	salt := make([]byte, 16)
	if _, err := io.ReadFull(o.Random, salt); err != nil {
		return nil, fmt.Errorf("drawing a salt: %w", err)
	}
	box, err := sealer(passphrase, salt, logN)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, box.NonceSize())
	if _, err := io.ReadFull(o.Random, nonce); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	sealed := box.Seal(nil, nonce, secret, b.Bytes())
	fmt.Fprintf(b, "sealed: scrypt %d %s %s %s\n", logN, code.EncodeToString(salt), code.EncodeToString(nonce), code.EncodeToString(sealed))
	return b.Bytes(), nil
}

func sealer(passphrase, salt []byte, logN int) (cipher.AEAD, error) {
	if logN < minLogN || logN > maxLogN {
		return nil, fmt.Errorf("%w: scrypt's work is 2^%d, want 2^%d to 2^%d", ErrKey, logN, minLogN, maxLogN)
	}
	key, err := scrypt.Key(passphrase, salt, 1<<logN, 8, 1, secretSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// IsSealed reports whether the text of a key file needs a passphrase.
func IsSealed(text []byte) bool {
	return bytes.Contains(text, []byte("\nsealed: "))
}

// Sniff reports whether a text is that of a key file, of either kind.
func Sniff(text []byte) bool {
	return bytes.HasPrefix(text, []byte(keyHead+"\n")) || bytes.HasPrefix(text, []byte(layerHead+"\n"))
}

// ParseKey reads a key file; ParseSecrets, one of either kind. Passphrase is looked at
// if the key is sealed. The errors are [ErrKey] with the line, [ErrSealed] and
// [ErrPassphrase].
func ParseKey(text, passphrase []byte) (*Key, error) {
	s, err := ParseSecrets(text, passphrase)
	if err != nil {
		return nil, err
	}
	k, ok := s.(*Key)
	if !ok {
		return nil, fmt.Errorf("%w: this is a layer key, which reads a mark in one tensor, and does nothing else", ErrKey)
	}
	return k, nil
}

// ParseSecrets reads a key file of either kind: a *[Key] or a [LayerKey].
func ParseSecrets(text, passphrase []byte) (Secrets, error) {
	f, err := readFields(text)
	if err != nil {
		return nil, err
	}
	secret, err := f.open(passphrase)
	if err != nil {
		return nil, err
	}
	if f.layer {
		name, err := strconv.Unquote(f.values["tensor"])
		if err != nil {
			return nil, fmt.Errorf("%w: the tensor is no quoted text", ErrKey)
		}
		if _, err := Find(f.values["scheme"]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		if b, err := hex.DecodeString(f.values["id"]); err != nil || len(b) != 8 {
			return nil, fmt.Errorf("%w: the id is not 16 hex digits", ErrKey)
		}
		return LayerKey{Of: f.values["id"], Owner: f.values["owner"], Scheme: f.values["scheme"], Tensor: name, secret: secret}, nil
	}
	k := &Key{Identity: Identity{Owner: f.values["owner"]}, secret: secret}
	if k.Created, err = time.Parse(time.RFC3339, f.values["created"]); err != nil {
		return nil, fmt.Errorf("%w: created is no time of RFC 3339", ErrKey)
	}
	if p, ok := f.values["payload"]; ok {
		if k.Payload, err = hex.DecodeString(p); err != nil {
			return nil, fmt.Errorf("%w: the payload is not in hex", ErrKey)
		}
	}
	if err := k.check(); err != nil {
		return nil, err
	}
	if k.ID() != f.values["id"] {
		return nil, fmt.Errorf("%w: the secret is not that of id %s: the file is damaged", ErrKey, f.values["id"])
	}
	return k, nil
}

// fields are the lines of a key file.
type fields struct {
	layer  bool
	values map[string]string
	head   []byte // the lines before the secret
}

func readFields(text []byte) (*fields, error) {
	if len(text) > MaxKeyFile {
		return nil, fmt.Errorf("%w: it has %d bytes, and a key file at most %d", ErrKey, len(text), MaxKeyFile)
	}
	f := &fields{values: map[string]string{}}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) // from editors of Windows
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	allowed := "id owner created payload secret sealed"
	switch lines[0] {
	case keyHead:
	case layerHead:
		f.layer = true
		allowed = "id owner scheme tensor secret sealed"
	default:
		return nil, fmt.Errorf("%w: the first line is not %q", ErrKey, keyHead)
	}
	at := len(lines[0]) + 1
	for i, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ": ")
		switch {
		case !ok || !strings.Contains(" "+allowed+" ", " "+name+" "):
			return nil, fmt.Errorf("%w: line %d is not one of %s, a colon, a space and a value", ErrKey, i+2, strings.ReplaceAll(allowed, " ", ", "))
		case f.head != nil:
			return nil, fmt.Errorf("%w: line %d stands behind the secret, which is the last one", ErrKey, i+2)
		}
		if _, twice := f.values[name]; twice {
			return nil, fmt.Errorf("%w: line %d says %s again", ErrKey, i+2, name)
		}
		f.values[name] = value
		if name == "secret" || name == "sealed" {
			f.head = text[:at]
		}
		at += len(line) + 1
	}
	if f.head == nil {
		return nil, fmt.Errorf("%w: there is no line with the secret", ErrKey)
	}
	return f, nil
}

// open returns the secret.
func (f *fields) open(passphrase []byte) (secret [secretSize]byte, err error) {
	code := base64.RawStdEncoding.Strict()
	text, sealed := f.values["sealed"]
	if !sealed {
		b, err := code.DecodeString(f.values["secret"])
		if err != nil || len(b) != secretSize {
			return secret, fmt.Errorf("%w: the secret is not %d bytes in base64", ErrKey, secretSize)
		}
		return [secretSize]byte(b), nil
	}
	if len(passphrase) == 0 {
		return secret, ErrSealed
	}
	words := strings.Split(text, " ")
	if len(words) != 5 || words[0] != "scrypt" {
		return secret, fmt.Errorf("%w: sealed is not scrypt, work, salt, nonce and ciphertext", ErrKey)
	}
	logN, err := strconv.Atoi(words[1])
	if err != nil {
		return secret, fmt.Errorf("%w: scrypt's work is no number", ErrKey)
	}
	var parts [3][]byte
	for i, n := range []int{16, 12, secretSize + 16} {
		if parts[i], err = code.DecodeString(words[2+i]); err != nil || len(parts[i]) != n {
			return secret, fmt.Errorf("%w: part %d of sealed is not %d bytes in base64", ErrKey, i+3, n)
		}
	}
	box, err := sealer(passphrase, parts[0], logN)
	if err != nil {
		return secret, err
	}
	b, err := box.Open(nil, parts[1], parts[2], f.head)
	if err != nil {
		return secret, ErrPassphrase
	}
	return [secretSize]byte(b), nil
}
