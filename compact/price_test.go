package compact

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/internal/kernel"
)

// The gradient is the slope of the bits.
func TestPriceGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 4).Draw(t, "levels on a side")
		rows, cols := rapid.IntRange(1, 4).Draw(t, "rows"), 9*rapid.IntRange(1, 3).Draw(t, "channels")
		p := newPrice(rows, cols, side, [2]int{3, 3})
		symbols := rapid.SliceOfN(rapid.Uint16Range(0, uint16(2*side)), rows*cols, rows*cols).Draw(t, "symbols")
		p.refresh(symbols)
		const step, lambda, h = 0.25, 0.5, 1.0 / 1024
		w := make([]float32, rows*cols)
		for j := range w {
			// Away from kinks, in units of a step.
			w[j] = step * float32(rapid.SampledFrom([]float64{-4.6, -2.4, -1.3, -0.7, -0.2, 0.3, 0.6, 1.5, 3.4}).Draw(t, "w"))
			if math.Abs(float64(w[j])) > step*float64(side) {
				w[j] /= 8 // beyond the levels the pull is no slope
			}
		}
		g := make([]float32, len(w))
		p.addGrad(&kernel.Strip{}, g, w, 0, step, lambda)
		for j := range w {
			at := func(d float32) float64 {
				x := append([]float32(nil), w...)
				x[j] += d
				return lambda * p.cost(x, step)
			}
			want := (at(h) - at(-h)) / (2 * h)
			if diff := math.Abs(want - float64(g[j])); diff > 0.02*(1+math.Abs(want)) {
				t.Fatalf("weight %d, %v: gradient %v, slope %v", j, w[j], g[j], want)
			}
		}
	})
}

// Weights cost less where there are many, and beside columns that have many.
func TestPriceDensity(t *testing.T) {
	const rows, side = 40, 8
	p := newPrice(rows, side*side, 1, [2]int{side, side})
	symbols := make([]uint16, rows*side*side)
	for i := range symbols {
		symbols[i] = 1
	}
	busy := 3*side + 3
	for i := range rows / 2 {
		symbols[i*side*side+busy] = 2
	}
	symbols[20*side*side+63] = 0
	p.refresh(symbols)
	row := p.bits[:side*side]
	near, far := row[busy+1], row[0]
	if !(row[busy] < near && near < far) {
		t.Errorf("%v bits in a busy column, %v beside it, %v far away", row[busy], near, far)
	}
	if last := p.bits[(rows-1)*side*side:][busy]; !(row[busy] < last) {
		t.Errorf("%v bits in a busy row, %v in an empty one", row[busy], last)
	}
	for _, b := range p.bits {
		if !(b >= leastPrice && b < 20) {
			t.Fatalf("a price of %v bits", b)
		}
	}
}

// A vector has one density: a weight that is not zero says little of its own column.
func TestPriceOfVector(t *testing.T) {
	p := newPrice(1, 6, 2, [2]int{})
	p.refresh([]uint16{2, 2, 3, 0, 2, 2})
	for j, b := range p.bits {
		if b != p.bits[0] || !(b > 1) {
			t.Errorf("element %d costs %v bits, the first %v", j, b, p.bits[0])
		}
	}
}

func TestLogOfOneLess(t *testing.T) {
	for d := 0.0; d < 0.99; d += 1. / 512 {
		if got, want := log2of1less(d), math.Log2(1-d); math.Abs(got-want) > 1e-6 {
			t.Errorf("log2(1-%v) is %v, want %v", d, got, want)
		}
	}
}
