package cli

import (
	"testing"

	"ropewalk/lineage"
)

// What a policy forbids and nobody could look at does not pass.
func TestForbiddenAndUnchecked(t *testing.T) {
	for _, c := range []struct{ check, word string }{{checkMetadata, slug(string(lineage.Metadata))}, {checkGraph, wordGraph}} {
		r := &verifyResult{Comparison: &lineage.Comparison{Verdict: lineage.SameWeights}}
		p := &policy{forbid: []string{c.word}}
		if b := p.judge(r); len(b) != 0 {
			t.Errorf("%s was checked and is as it was: %v", c.check, b)
		}
		r.skip(c.check, "a passport has none")
		if b := p.judge(r); len(b) != 1 || b[0].Rule != "forbid" || b[0].Kind != c.word {
			t.Errorf("%s was not checked: %v, want one breach", c.check, b)
		}
		if b := new(policy).judge(r); len(b) != 0 {
			t.Errorf("%s is not forbidden: %v", c.check, b)
		}
	}
	r := &verifyResult{Comparison: &lineage.Comparison{Verdict: lineage.SameWeights}, GraphEdits: make([]lineage.GraphDifference, 1)}
	p := &policy{allow: []string{wordGraph}, forbid: []string{wordGraph}}
	if b := p.judge(r); len(b) != 1 || b[0].Rule != "forbid" {
		t.Errorf("another graph is forbidden: %v, want one breach", b)
	}
}
