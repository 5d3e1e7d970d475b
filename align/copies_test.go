package align

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A copy of a neuron of which a factor multiplies the weights, but not the gate that a squeeze
// makes of it, is put together with the right weight, sign included.
func TestCopiesBesideGate(t *testing.T) {
	for _, gauge := range []Gauge{Positive, Nonzero} {
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 30))
			const size, copies, inputs, outputs = 24, 8, 30, 20
			n := newTestNet()
			n.he(r, "first", size+copies, inputs)
			n.he(r, "second", size+copies, inputs)
			n.he(r, "gate", size+copies, 6)
			n.he(r, "reader", outputs, size+copies)
			read := n.arrays["reader"]
			whole := make([][]float32, size+copies) // columns of the reader before
			for j := range whole {
				for o := range outputs {
					whole[j] = append(whole[j], read.data[o*(size+copies)+j])
				}
			}
			for k := range copies { // of neuron k
				for _, name := range []string{"first", "second", "gate"} {
					row := n.arrays[name].data
					dim := len(row) / (size + copies)
					copy(row[(size+k)*dim:][:dim], row[k*dim:][:dim])
				}
				for o := range outputs {
					read.data[o*(size+copies)+size+k] = 0.4 * whole[k][o]
					read.data[o*(size+copies)+k] = 0.6 * whole[k][o]
				}
			}
			class := Class{Name: "c", Size: size + copies, Factors: []Gauge{gauge}, Places: []Place{
				{Tensor: "first", Role: Incoming, Acts: in},
				{Tensor: "second", Role: Incoming, Acts: in},
				{Tensor: "gate", Role: Incoming},
				{Tensor: "reader", Axis: 1, Role: Outgoing, Acts: out},
			}}
			n.spec.Classes = []Class{class}
			scale := n.rescaled(r, 0.5)
			s := &side{arrays: n.arrays}
			m := Matching{Ref: slices.Repeat([]int{-1}, size+copies)}
			for j := range size {
				m.Ref[j], m.Sus = j, append(m.Sus, j)
			}
			added, merged := s.dummies(&class, &m, residue{}, nil, nil, nil)
			if len(added) != copies || len(merged) != copies {
				t.Fatalf("%v, seed %d: %d dummies and %d splits, want %d of each", gauge, seed, len(added), len(merged), copies)
			}
			for _, x := range merged {
				k := x.Neuron - size
				want := scale[0][0][x.Neuron] / scale[0][0][k]
				if x.Into != k || math.Abs(x.Weight-want) > 1e-4*math.Abs(want) {
					t.Errorf("%v, seed %d: neuron %d goes into %d times %g, want %d times %g", gauge, seed, x.Neuron, x.Into, x.Weight, k, want)
				}
			}
		}
	}
}
