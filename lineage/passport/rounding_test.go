package passport

import (
	"math"
	"testing"

	"ropewalk/lineage"
)

// Other bits are not the same weights, however small the difference.
func TestOneBitIsNotTheSame(t *testing.T) {
	n := fashion(t)
	p, err := Make(t.Context(), n, nil)
	if err != nil {
		t.Fatal(err)
	}
	sus := n
	sus.Set = one(n.Set, "conv2.weight", 77, func(x float32) float32 { return math.Float32frombits(math.Float32bits(x) ^ 1) })
	c, err := Compare(t.Context(), p, sus, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Verdict != lineage.Rescaled || len(c.Changes) != 1 || c.Changes[0].Kind != lineage.Rescale || c.Function.Same == "yes" {
		t.Errorf("%s, %+v, function %s", c.Verdict, c.Changes, c.Function.Same)
	}
}
