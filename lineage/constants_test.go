package lineage

import (
	"testing"

	"ropewalk/graph/nets"
	"ropewalk/tensor"
)

// What one file has as a tensor, and the other as a constant of an operator, was not added; with
// another value it was.
func TestConstantsOfOperatorsAreNotAdded(t *testing.T) {
	g, err := nets.Build("lenet5", nil)
	if err != nil {
		t.Fatal(err)
	}
	scalar := func(v float32) *tensor.Tensor {
		return &tensor.Tensor{Name: "Clip.max", DType: tensor.F32, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, []float32{v}))}
	}
	with := func(set *tensor.Set, x *tensor.Tensor) *tensor.Set {
		list := []*tensor.Tensor{x}
		for _, t := range set.All() {
			list = append(list, t)
		}
		return must(tensor.NewSet(list...))
	}
	plain := g.Weights
	own := *g
	own.Weights = with(plain, scalar(6))
	for _, tt := range []struct {
		value float32
		want  Verdict
	}{{6, SameWeights}, {5, Modified}} {
		ref := Network{Set: plain, Graph: &own}
		sus := Network{Set: with(plain, scalar(tt.value))}
		for _, pair := range [][2]Network{{ref, sus}, {sus, ref}} {
			c, err := Compare(t.Context(), pair[0], pair[1], nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.Verdict != tt.want {
				t.Errorf("with %v where the constant is 6: %s, %s; want %s", tt.value, c.Verdict, c.Summary(), tt.want)
			}
		}
	}
}
