package graph

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/tensor"
)

// drawHostile is a value of any type and any small shape, with numbers that are bad as
// indices and shapes.
func drawHostile(t *rapid.T) *Value {
	d := rapid.SampledFrom([]tensor.DType{tensor.F32, tensor.F32, tensor.F32, tensor.I64, tensor.I64, tensor.U8, tensor.I8, tensor.I32, tensor.U64, tensor.Bool, Text}).Draw(t, "type")
	shape := tensor.Shape(rapid.SliceOfN(rapid.Int64Range(0, 3), 0, 4).Draw(t, "shape"))
	v := newValue(Type{d, shape})
	numbers := rapid.SampledFrom([]int64{0, 1, 2, 3, -1, -2, 7, 1 << 20, 1 << 40, math.MinInt64, math.MaxInt64})
	for i := range v.Float {
		v.Float[i] = rapid.SampledFrom([]float64{0, 1, 2, 0.5, -1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 1e-300}).Draw(t, "float")
	}
	for i := range v.Int {
		v.Int[i] = d.Wrap(numbers.Draw(t, "int"))
		if d == tensor.Bool {
			v.Int[i] &= 1
		}
	}
	for i := range v.Text {
		v.Text[i] = rapid.SampledFrom([]string{"", "a", "1", "x,y"}).Draw(t, "text")
	}
	return v
}

// drawAttribute is a value like one that is good, of the same type or another.
func drawAttribute(t *rapid.T, like any) any {
	ints := rapid.SampledFrom([]int64{0, 1, 2, -1, 3, 7, 1 << 24, 1 << 40, math.MinInt64, math.MaxInt64})
	if rapid.IntRange(0, 19).Draw(t, "of another type") == 0 {
		return rapid.SampledFrom([]any{int64(1), 1.5, "x", []int64{1}, []float64{}, []string{"a"}}).Draw(t, "attribute")
	}
	switch like := like.(type) {
	case int64:
		return ints.Draw(t, "int")
	case float64:
		return rapid.SampledFrom([]float64{0, 1, -1, 0.5, math.NaN(), math.Inf(1), 1e300}).Draw(t, "float")
	case []int64:
		if rapid.Bool().Draw(t, "as long") {
			out := make([]int64, len(like))
			for i := range out {
				out[i] = ints.Draw(t, "int")
			}
			return out
		}
		return rapid.SliceOfN(ints, 0, 4).Draw(t, "ints")
	case []float64:
		return rapid.SliceOfN(rapid.Float64(), 0, 3).Draw(t, "floats")
	}
	return like
}

// Whatever is done to a case that is good, an operator gives a result of the types that
// it inferred, or an error, soon and in little memory.
func TestHostileOperands(t *testing.T) {
	cases := opCases()
	outputs := map[string]int{}
	for _, c := range cases {
		op, _, _ := strings.Cut(c.name, " ")
		outputs[op] = max(outputs[op], len(c.want))
	}
	rapid.Check(t, func(t *rapid.T) {
		for k := range 20 { // a whole check for each of them would take long
			c := cases[rapid.IntRange(0, len(cases)-1).Draw(t, fmt.Sprint("case", k))]
			n := c.node()
			n.Outputs = nil
			for i := range rapid.IntRange(1, outputs[n.Op]).Draw(t, "outputs") {
				n.Outputs = append(n.Outputs, fmt.Sprint("out", i))
			}
			n.Attributes = maps.Clone(n.Attributes)
			for _, name := range slices.Sorted(maps.Keys(n.Attributes)) {
				if rapid.IntRange(0, 2).Draw(t, "change "+name) == 0 {
					n.Attributes[name] = drawAttribute(t, n.Attributes[name])
				}
			}
			in := slices.Clone(c.in)
			for i := range in {
				switch rapid.IntRange(0, 3).Draw(t, fmt.Sprint("input", i)) {
				case 0:
					in[i] = drawHostile(t)
				case 1:
					if rapid.IntRange(0, 4).Draw(t, "leave out") == 0 {
						in[i] = nil
					}
				}
			}
			// Neither panics; and where types are inferred without values, these
			// are those that come out.
			blind := operandsOf(in)
			for _, o := range blind {
				if o != nil {
					o.Value = nil
				}
			}
			small := func() *context {
				ctx := testContext()
				ctx.budget.elems, ctx.budget.steps = 1<<16, 1<<20
				return ctx
			}
			known, knowErr := small().know(n, blind, 1<<10)
			got, err := small().apply(n, in)
			if err != nil || knowErr != nil {
				continue
			}
			for i, o := range known {
				if i < len(got) && got[i] != nil && !o.Type.equal(got[i].typ()) {
					t.Fatalf("%s: output %d is inferred to be %v, and is %v", n.Op, i, o.Type, got[i].typ())
				}
			}
		}
	})
}
