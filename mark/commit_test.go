package mark

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestCommitment(t *testing.T) {
	set := network(t, 1)
	k := newKey(t, 1, 1, 2, 3)
	e := embed(t, "payload", set, k, nil)
	c, err := Commit(k, e.Parameters, set, e.Set, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseCommitment(text)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := k.Layer("payload", "fc1.weight")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newKey(t, 2).Layer("payload", "fc1.weight")
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"key": got.CheckSecrets(k), "layer": got.CheckSecrets(layer), "reference": got.CheckReference(set), "marked": got.CheckMarked(e.Set),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, err := range map[string]error{
		"was committed":      got.CheckSecrets(newKey(t, 2)),
		"none of its layers": got.CheckSecrets(stranger),
		"marked copy":        got.CheckReference(e.Set),
		"other values":       got.CheckReference(network(t, 2)),
		"other values ":      got.CheckMarked(set),
		"no tensor":          got.CheckReference(setOf(t)),
	} {
		if !errors.Is(err, ErrCommitment) || !strings.Contains(fmt.Sprint(err), strings.TrimSpace(want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// A layer key reads its layer alone.
	got.Parameters.payload = nil
	r := extract(t, e.Set, set, layer, got.Parameters)
	if len(r.Layers) != 1 || r.Layers[0].Tensor != "fc1.weight" || r.Z < 60 {
		t.Errorf("one layer reads %+v", r)
	}
	// What is changed in it is seen.
	for _, change := range []string{`"owner":"Alice"`, `"epsilon":0.0`, `"bits":24`, `"scheme":"payload"`, `"created":"2001`} {
		bad := strings.Replace(string(text), change, strings.NewReplacer("Alice", "Mallo", "0.0", "0.1", "24", "32", "payload", "keyed", "2001", "2000").Replace(change), 1)
		if bad == string(text) {
			t.Fatalf("%q is not in %s", change, text)
		}
		if _, err := ParseCommitment([]byte(bad)); !errors.Is(err, ErrCommitment) {
			t.Errorf("%s changed: %v", change, err)
		}
	}
	for n := range len(text) {
		if _, err := ParseCommitment(text[:n]); !errors.Is(err, ErrCommitment) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestEvidence(t *testing.T) {
	set := network(t, 1)
	k := newKey(t, 1)
	e := embed(t, "keyed", set, k, nil)
	r := extract(t, e.Set, set, k, e.Parameters)
	v := Judge(r, &Circumstances{Committed: true})
	text, err := Sign(k, &Statement{
		Subject:   []Subject{{Name: "suspect", Digest: map[string]string{"sha256": "00"}}},
		Predicate: Evidence{Parameters: e.Parameters, Reading: r, Verdict: v, Assumption: "coins"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Verify(text, k.Verifier())
	if err != nil {
		t.Fatal(err)
	}
	if s.Type != StatementType || s.Predicate.Key != k.ID() || s.Predicate.Reading.Z != r.Z || !s.Predicate.Verdict.Present {
		t.Errorf("%+v", s)
	}
	if _, err := Verify(text, nil); err != nil {
		t.Errorf("by its own word: %v", err)
	}
	if _, err := Verify(text, newKey(t, 2).Verifier()); !errors.Is(err, ErrEvidence) {
		t.Errorf("by another: %v", err)
	}
	var env map[string]any
	if err := json.Unmarshal(text, &env); err != nil {
		t.Fatal(err)
	}
	body, err := base64.StdEncoding.DecodeString(env["payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	env["payload"] = base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(body), "coins", "dices", 1)))
	bad, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(bad, k.Verifier()); !errors.Is(err, ErrEvidence) {
		t.Errorf("changed: %v", err)
	}
	for n := range len(text) {
		if _, err := Verify(text[:n], nil); !errors.Is(err, ErrEvidence) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzParseCommitment(f *testing.F) {
	w, err := floats(network(f, 1).Lookup("fc1.weight"))
	if err != nil {
		f.Fatal(err)
	}
	set := setOf(f, tensorOf("w", w[:512], 32, 16))
	k := newKey(f, 1)
	e := embed(f, "keyed", set, k, nil)
	c, err := Commit(k, e.Parameters, set, e.Set, time.Unix(1e9, 0))
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	signed, err := Sign(k, &Statement{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := Verify(text, nil); err == nil && s.PredicateType != PredicateType {
			t.Errorf("a statement of type %q", s.PredicateType)
		}
		// Whoever makes a commitment can make its digest, too.
		var c Commitment
		if json.Unmarshal(text, &c) == nil {
			c.Digest = c.sum()
			if again, err := json.Marshal(&c); err == nil {
				text = again
			}
		}
		got, err := ParseCommitment(text)
		if err != nil {
			return
		}
		_ = got.CheckReference(set)
		s, err := Find(got.Parameters.Scheme)
		if err != nil {
			t.Fatal(err)
		}
		if got.Parameters.Bits > 16 {
			t.Skip("long to decode")
		}
		if _, err := s.Extract(e.Set, set, k, got.Parameters); err != nil && !errors.Is(err, ErrOptions) && !errors.Is(err, ErrNetwork) && !errors.Is(err, ErrKey) {
			t.Errorf("%v", err)
		}
	})
}
