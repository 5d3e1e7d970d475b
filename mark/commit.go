package mark

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ropewalk/tensor"
)

// CommitmentSchema is the name and version of the JSON form.
const CommitmentSchema = "ropewalk/mark-commitment/1"

// ErrCommitment reports a commitment that is damaged, or that a key, a reference or
// parameters do not agree with.
var ErrCommitment = errors.New("mark: this is not what was committed")

// A Commitment binds an owner to a key, to the parameters of a mark and to the network
// that was marked, and shows nothing of the secret. Published, or time-stamped, before
// the marked network is, it proves that the key was not made up afterwards.
type Commitment struct {
	Schema     string      `json:"schema"`
	Owner      string      `json:"owner"`
	Key        string      `json:"key" about:"public name of the key"`
	KeyDigest  string      `json:"key_digest" about:"SHA-256 that binds to the secret and hides it"`
	Verifier   []byte      `json:"verifier" about:"Ed25519 public key of this key's evidence"`
	Created    string      `json:"created" about:"when it was made, as its maker says; a time stamp proves it"`
	Parameters *Parameters `json:"parameters"`
	Payload    string      `json:"payload,omitempty" about:"digest of the payload under a key of the secret, in hex"`
	Tensors    []Committed `json:"tensors"`
	// Digest is SHA-256 over the JSON of all that is above, in hex: what to time-stamp.
	Digest string `json:"digest" about:"SHA-256 of all else: what to time-stamp"`
}

// Committed is what a commitment says of one tensor that carries the mark.
type Committed struct {
	Name      string       `json:"name"`
	DType     tensor.DType `json:"dtype"`
	Shape     tensor.Shape `json:"shape"`
	Reference string       `json:"reference" about:"SHA-256 of the unmarked values"`
	Marked    string       `json:"marked" about:"SHA-256 of the marked values"`
	LayerKey  string       `json:"layer_key" about:"SHA-256 that binds to the key of this layer and hides it"`
}

// Commit makes the commitment to a mark: reference is the network before, and marked
// the one after.
func Commit(k *Key, p *Parameters, reference, marked *tensor.Set, now time.Time) (*Commitment, error) {
	digest := k.Commitment()
	c := &Commitment{
		Schema: CommitmentSchema, Owner: k.Owner, Key: k.ID(), KeyDigest: hex.EncodeToString(digest[:]), Verifier: k.Verifier(),
		Created: now.UTC().Format(time.RFC3339), Parameters: p, Tensors: make([]Committed, len(p.Tensors)),
	}
	if b := knownPayload(k, p); b != nil {
		c.Payload = hex.EncodeToString(payloadDigest(k, b))
	}
	list, err := lookup(reference, p)
	if err != nil {
		return nil, err
	}
	err = inParallel(len(list), func(i int) error {
		t := list[i]
		l, err := k.Layer(p.Scheme, t.Name)
		if err != nil {
			return err
		}
		key := l.Commitment()
		d := &c.Tensors[i]
		*d = Committed{Name: t.Name, DType: t.DType, Shape: t.Shape, LayerKey: hex.EncodeToString(key[:])}
		if d.Reference, err = digestTensor(t); err != nil {
			return err
		}
		m := marked.Lookup(t.Name)
		if m == nil {
			return fmt.Errorf("%w: the marked network has no tensor %q", ErrNetwork, t.Name)
		}
		d.Marked, err = digestTensor(m)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.Digest = c.sum()
	return c, nil
}

func payloadDigest(s Secrets, payload []byte) []byte {
	b, _ := s.Tag(append([]byte("commitment\x00"), payload...))
	return b
}

func digestTensor(t *tensor.Tensor) (string, error) {
	h := sha256.New()
	if _, err := t.WriteTo(h); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sum is the digest of all but itself.
func (c *Commitment) sum() string {
	all := *c
	all.Digest = ""
	b, err := json.Marshal(&all)
	if err != nil {
		panic("internal error: " + err.Error()) // strings, numbers and lists always marshal
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// MaxCommitment bounds the JSON of a commitment, in bytes.
const MaxCommitment = 64 << 20

// ParseCommitment reads a commitment. The error wraps [ErrCommitment].
func ParseCommitment(text []byte) (*Commitment, error) {
	bad := func(format string, args ...any) (*Commitment, error) {
		return nil, fmt.Errorf("%w: %w", ErrCommitment, fmt.Errorf(format, args...))
	}
	if len(text) > MaxCommitment {
		return bad("it has %d bytes, at most %d are read", len(text), MaxCommitment)
	}
	c := &Commitment{}
	if err := json.Unmarshal(text, c); err != nil {
		return bad("no JSON of a commitment: %w", err)
	}
	switch {
	case c.Schema != CommitmentSchema:
		return bad("its schema is %q, want %q", c.Schema, CommitmentSchema)
	case c.Digest != c.sum():
		return bad("its digest is not that of its contents: it was changed")
	case c.Parameters == nil || len(c.Parameters.Tensors) != len(c.Tensors) || len(c.Tensors) == 0:
		return bad("it does not say of each marked tensor what it was")
	case len(c.Verifier) != ed25519.PublicKeySize:
		return bad("its verifier has %d bytes, want %d", len(c.Verifier), ed25519.PublicKeySize)
	}
	for i, t := range c.Tensors {
		if t.Name != c.Parameters.Tensors[i] {
			return bad("tensor %d is %q, and the parameters say %q", i, t.Name, c.Parameters.Tensors[i])
		}
	}
	if _, err := Find(c.Parameters.Scheme); err != nil {
		return bad("%w", err)
	}
	return c, nil
}

// CheckSecrets says whether a key is that of the commitment.
func (c *Commitment) CheckSecrets(s Secrets) error {
	switch k := s.(type) {
	case *Key:
		if d := k.Commitment(); hex.EncodeToString(d[:]) != c.KeyDigest {
			return fmt.Errorf("%w: the key is %s, and %s was committed", ErrCommitment, k.ID(), c.Key)
		}
	case LayerKey:
		for _, t := range c.Tensors {
			if t.Name == k.Tensor {
				if d := k.Commitment(); hex.EncodeToString(d[:]) == t.LayerKey && k.Scheme == c.Parameters.Scheme {
					return nil
				}
			}
		}
		return fmt.Errorf("%w: %s is none of its layers", ErrCommitment, k)
	default:
		return fmt.Errorf("%w: an unknown kind of key", ErrCommitment)
	}
	return nil
}

// CheckReference says whether a network is the unmarked one that was committed.
func (c *Commitment) CheckReference(set *tensor.Set) error { return c.check(digestsOf(set), false) }

// CheckMarked says whether a network is the marked one that was committed.
func (c *Commitment) CheckMarked(set *tensor.Set) error { return c.check(digestsOf(set), true) }

// CheckReferenceDigests is CheckReference where the network is not there, but SHA-256 of
// its tensors, in hex: digest returns "" for one that it does not have.
func (c *Commitment) CheckReferenceDigests(digest func(name string) (string, error)) error {
	return c.check(digest, false)
}

func digestsOf(set *tensor.Set) func(name string) (string, error) {
	return func(name string) (string, error) {
		t := set.Lookup(name)
		if t == nil {
			return "", nil
		}
		return digestTensor(t)
	}
}

func (c *Commitment) check(digests func(name string) (string, error), marked bool) error {
	return inParallel(len(c.Tensors), func(i int) error {
		want := &c.Tensors[i]
		got, err := digests(want.Name)
		if err != nil {
			return err
		}
		digest, other := want.Reference, want.Marked
		if marked {
			digest, other = other, digest
		}
		switch {
		case got == "":
			return fmt.Errorf("%w: there is no tensor %q", ErrCommitment, want.Name)
		case got == digest:
			return nil
		case got == other && !marked:
			return fmt.Errorf("%w: %s of the reference is that of the marked copy; aligned to marked weights, any network seems to carry the mark", ErrCommitment, want.Name)
		}
		return fmt.Errorf("%w: %s of the reference has other values", ErrCommitment, want.Name)
	})
}
