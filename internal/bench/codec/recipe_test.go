package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func gaussian(name string, shape ...int64) matrix {
	rng := rand.New(rand.NewPCG(1, 2))
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	return matrix{name, shape, w}
}

// The distortion of a Gaussian is that of the tables of Max, "Quantizing for
// minimum distortion" (1960): 0.1175 with 4 levels, 0.009497 with 16. That of a
// small uniform step is a twelfth of its square.
func TestDistortion(t *testing.T) {
	m := gaussian("w", 100, 1000)
	for name, want := range map[string]float64{
		"LM4": 0.1175, "LM16": 0.009497,
		"U0.5": 0.25 / 12, "U0.25": 0.0625 / 12,
	} {
		i := slices.IndexFunc(quantizers, func(q quantizer) bool { return q.name == name })
		c := quantizers[i].apply([]matrix{m})[0]
		if got := c.noise / float64(len(m.values)); math.Abs(got-want) > 0.03*want { // the noise of the sample
			t.Errorf("%s: distortion %.5f, want %.5f", name, got, want)
		}
	}
}

// The tenth that stays is a tenth of the network, not of each matrix.
func TestPruned(t *testing.T) {
	wide, few := gaussian("wide", 100, 100), gaussian("few", 8, 8)
	for i := range wide.values {
		wide.values[i] *= 1000 // measured in deviations, that is nothing
	}
	kept, weights := 0, 0
	for _, c := range pruned([]matrix{wide, few}) {
		if len(c.levels) > 16 {
			t.Errorf("%s: %d levels", c.name, len(c.levels))
		}
		for _, sym := range c.syms {
			if c.levels[sym] != 0 {
				kept++
			}
		}
		weights += len(c.syms)
	}
	if kept != weights/10 {
		t.Errorf("%d of %d weights are left, want a tenth", kept, weights)
	}
}

// No quantizer of the suite minds odd matrices, or changes what has a few values
// on its grid.
func TestOddMatrices(t *testing.T) {
	for _, w := range [][]float32{{}, {0, 0}, {3}, {-2, -2, -2}, {127, -127, 1, 5}} {
		for _, q := range quantizers {
			c := q.apply([]matrix{{"w", []int64{1, int64(len(w))}, w}})[0]
			for i, sym := range c.syms {
				if x := c.levels[sym]; math.IsNaN(float64(x)) || math.Abs(float64(x)) > 160 {
					t.Errorf("%s: %v became %v", q.name, w[i], x)
				}
			}
		}
		c := index(matrix{"w", nil, w}, int8Grid(w))
		if c.noise != 0 {
			t.Errorf("int8 changed %v", w)
		}
	}
}

func TestIndex(t *testing.T) {
	m := matrix{"w", []int64{2, 2}, []float32{1, -1, 2, 1}}
	got := index(m, []float32{1, -1, 1, 1})
	want := coded{"w", m.shape, []float32{-1, 1}, []uint16{1, 0, 1, 1}, 7, 1}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(coded{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEntropy(t *testing.T) {
	// One matrix is a coin, the other constant; pooled, the symbols take turns
	// only in the first.
	s := &stream{tensors: []coded{
		{syms: []uint16{0, 1, 0, 1, 0, 1, 0, 1}},
		{syms: []uint16{5, 5, 5, 5}},
	}}
	if got := orderZero(s); got != 8 {
		t.Errorf("order 0: %v bits, want 8", got)
	}
	if got := conditional(s, 0); math.Abs(got-12*math.Log2(3)) > 1e-9 {
		t.Errorf("pooled: %v bits, want 12 log 3", got)
	}
	// After a 1 comes a 0 three times, and a 5 once.
	want := 3*math.Log2(4.0/3) + math.Log2(4)
	if got := conditional(s, 1); math.Abs(got-want) > 1e-9 {
		t.Errorf("order 1: %v bits, want %v", got, want)
	}
}

// Blocks hold every symbol once, in order, and start anew where the last is full.
func TestBlocks(t *testing.T) {
	s := &stream{}
	next := uint16(0)
	for _, shape := range [][]int64{{10, 10}, {600, 1000}, {20, 4, 3, 3}, {400, 500}, {300, 300}} {
		c := coded{name: "w", shape: shape, levels: []float32{-1, 0.5}}
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		for range n {
			c.syms = append(c.syms, next)
			next++
		}
		s.tensors = append(s.tensors, c)
	}
	for alone, want := range map[bool][]int{
		false: {100, blockWeights, blockWeights, 600_000 - 2*blockWeights, 720 + 200_000, 90_000},
		true:  {100, blockWeights, blockWeights, 600_000 - 2*blockWeights, 720, 200_000, 90_000},
	} {
		var sizes []int
		next = 0
		for _, b := range s.blocks(alone) {
			sizes = append(sizes, len(b.syms))
			total := 0
			for _, seg := range b.segs {
				total += seg.Len
			}
			if total != len(b.syms) {
				t.Errorf("segments of %d symbols in a block of %d", total, len(b.syms))
			}
			for _, sym := range b.syms {
				if sym != next {
					t.Fatalf("symbol %d where %d should be", sym, next)
				}
				next++
			}
		}
		if diff := cmp.Diff(want, sizes); diff != "" {
			t.Errorf("alone %v (-want +got):\n%s", alone, diff)
		}
	}
}

func TestFixedPoint(t *testing.T) {
	for _, levels := range [][]float32{
		{0}, {-1, 1}, {-3e38, 0, 3e38}, {1e-45, 2e-45}, {-1, 0, 1e-30, 2e-30, 1},
	} {
		fixed := fixedPoint(levels)
		for i, x := range fixed {
			if x >= 1<<21 || x <= -1<<21 || i > 0 && x <= fixed[i-1] {
				t.Errorf("%v became %v", levels, fixed)
			}
		}
	}
}
