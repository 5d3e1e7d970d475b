package mark

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// The types of a statement; docs/EVIDENCE.md says what its fields are.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "urn:ropewalk:mark-evidence:v1"
	payloadType   = "application/vnd.in-toto+json"
)

// ErrEvidence reports evidence that is damaged, or not signed by the key that it names.
var ErrEvidence = errors.New("mark: invalid evidence")

// A Statement says of a network that a mark was read in it, and how: an in-toto
// statement, version 1, with a predicate of ours.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Evidence  `json:"predicate"`
}

// A Subject is a file.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Evidence is the predicate.
type Evidence struct {
	// Verifier is the Ed25519 public key that the statement is signed with, and
	// Commitment the digest of the commitment that names it, in hex.
	Verifier   []byte      `json:"verifier"`
	Owner      string      `json:"owner"`
	Key        string      `json:"key"`
	KeyDigest  string      `json:"keyDigest"`
	Commitment string      `json:"commitment,omitempty"`
	Parameters *Parameters `json:"parameters"`
	// Reference are the files that the suspect was compared with, and aligned to.
	Reference []Subject `json:"reference,omitempty"`
	Alignment string    `json:"alignment"` // how it was aligned, in words
	Reading   *Reading  `json:"reading"`
	Verdict   *Verdict  `json:"verdict"`
	// Assumption is what the probability rests on, in words.
	Assumption string `json:"assumption"`
	Version    string `json:"version"` // of the program
	Command    string `json:"command"` // that repeats it, without secrets
	Time       string `json:"time"`    // RFC 3339
}

// An envelope is DSSE, version 1: https://github.com/secure-systems-lab/dsse.
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"`
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// preauthentication is what is signed.
func preauthentication(kind string, body []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(body), body)
}

// Sign returns evidence as a DSSE envelope, signed by the key of the mark.
func Sign(k *Key, s *Statement) ([]byte, error) {
	own := *s
	own.Type, own.PredicateType = StatementType, PredicateType
	own.Predicate.Verifier, own.Predicate.Owner, own.Predicate.Key = k.Verifier(), k.Owner, k.ID()
	digest := k.Commitment()
	own.Predicate.KeyDigest = hex.EncodeToString(digest[:])
	body, err := json.Marshal(&own)
	if err != nil {
		return nil, err
	}
	code := base64.StdEncoding
	return json.Marshal(&envelope{
		PayloadType: payloadType, Payload: code.EncodeToString(body),
		Signatures: []signature{{verifierID(k.Verifier()), code.EncodeToString(ed25519.Sign(k.signer(), preauthentication(payloadType, body)))}},
	})
}

func verifierID(v ed25519.PublicKey) string {
	h := sha256.Sum256(v)
	return hex.EncodeToString(h[:8])
}

// maxEvidence bounds evidence, in bytes.
const maxEvidence = 64 << 20

// Verify reads evidence and checks its signature, against the public key that a
// commitment names; nil is the one that the evidence itself names, which says only that
// it is as its maker made it. The error wraps [ErrEvidence].
func Verify(text []byte, by ed25519.PublicKey) (*Statement, error) {
	bad := func(format string, args ...any) (*Statement, error) {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, fmt.Errorf(format, args...))
	}
	if len(text) > maxEvidence {
		return bad("it has %d bytes, at most %d are read", len(text), maxEvidence)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return bad("no JSON of an envelope: %w", err)
	}
	if e.PayloadType != payloadType || len(e.Signatures) != 1 {
		return bad("its payload is %q with %d signatures, want %q with one", e.PayloadType, len(e.Signatures), payloadType)
	}
	body, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		return bad("its payload is not in base64")
	}
	sig, err := base64.StdEncoding.DecodeString(e.Signatures[0].Sig)
	if err != nil {
		return bad("its signature is not in base64")
	}
	s := &Statement{}
	if err := json.Unmarshal(body, s); err != nil {
		return bad("no JSON of a statement: %w", err)
	}
	if s.Type != StatementType || s.PredicateType != PredicateType {
		return bad("it is a %q of type %q, want %q of type %q", s.PredicateType, s.Type, PredicateType, StatementType)
	}
	if by == nil {
		by = s.Predicate.Verifier
	}
	if len(by) != ed25519.PublicKeySize {
		return bad("its verifier has %d bytes, want %d", len(by), ed25519.PublicKeySize)
	}
	if !ed25519.Verify(by, preauthentication(e.PayloadType, body), sig) {
		return bad("the signature is not one of %s", verifierID(by))
	}
	return s, nil
}
