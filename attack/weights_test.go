package attack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/tensor"
)

// Noise has the deviation that is asked for, of each tensor, and leaves biases alone.
func TestNoise(t *testing.T) {
	n := small(1)
	for _, omega := range []float64{0.5, 2, 10} {
		r := apply(t, fmt.Sprintf("noise=%g", omega), n, &Options{Seed: 3})
		for _, x := range n.Set.All() {
			was, is := floats(t, n.Set, x.Name), floats(t, r.Set, x.Name)
			diff := make([]float64, len(was))
			for i := range was {
				diff[i] = float64(is[i]) - float64(was[i])
			}
			want := omega * deviation(was)
			if len(x.Shape) < 2 {
				want = 0
			}
			// The deviation of n numbers is known to 1/√(2n).
			if got := deviation(diff); math.Abs(got-want) > 5*want/math.Sqrt(2*float64(len(was))) {
				t.Errorf("Ω %g: %s changed by %g, want %g", omega, x.Name, got, want)
			}
		}
		if r.Reports[0].Tensors != 5 {
			t.Errorf("%d tensors, want 5", r.Reports[0].Tensors)
		}
	}
}

// The share that is asked for becomes zero, and nothing that stays is smaller than
// what went.
func TestPrune(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float32Range(-2, 2), 1, 200).Draw(t, "x")
		n := int64(rapid.IntRange(0, len(x)).Draw(t, "n"))
		was := slices.Clone(x)
		pruneSmallest(x, n, bits32)
		gone, largest, least := int64(0), float32(0), float32(math.Inf(1))
		for i, v := range x {
			m := float32(math.Abs(float64(was[i])))
			switch {
			case v != was[i]:
				gone++
				largest = max(largest, m)
				if v != 0 {
					t.Fatalf("%g became %g", was[i], v)
				}
			case v != 0:
				least = min(least, m)
			}
		}
		zeros := int64(0)
		for _, v := range was {
			if v == 0 {
				zeros++
			}
		}
		if largest > least || gone+zeros < n || gone > n {
			t.Fatalf("%d gone up to %g, %d were zero, want %d; %g stays", gone, largest, zeros, n, least)
		}
		y := make([]float64, len(was))
		for i, v := range was {
			y[i] = float64(v)
		}
		pruneSmallest(y, n, bits64)
		for i := range y {
			if y[i] != float64(x[i]) {
				t.Fatalf("in float64 %d is %g, in float32 %g", i, y[i], x[i])
			}
		}
	})
}

func TestPruneNetwork(t *testing.T) {
	n := small(2)
	for _, share := range []float64{0.1, 0.5, 0.95, 1} {
		for _, how := range []string{"", ":global"} {
			r := apply(t, fmt.Sprintf("prune=%g%s", share, how), n, nil)
			zeros, all := 0, 0
			for _, x := range n.Set.All() {
				if len(x.Shape) < 2 {
					continue
				}
				own := 0
				for _, v := range floats(t, r.Set, x.Name) {
					if v == 0 {
						own++
					}
				}
				if want := int(math.RoundToEven(share * float64(x.Elems()))); how == "" && own != want {
					t.Errorf("%s: %d of %s are zero, want %d", r.Reports[0].Step, own, x.Name, want)
				}
				zeros, all = zeros+own, all+int(x.Elems())
			}
			if want := share * float64(all); math.Abs(float64(zeros)-want) > 3 {
				t.Errorf("%s: %d are zero, want %g", r.Reports[0].Step, zeros, want)
			}
		}
	}
}

// There are at most 2^B values, of each channel for channel, and none is off by more
// than half a step.
func TestQuantize(t *testing.T) {
	n := small(3)
	for _, how := range []string{"", ":channel", ":lloyd-max", ":gaussian"} {
		for _, bits := range []int{1, 2, 4, 8, 12, 16} {
			if bits > 12 && (how == ":lloyd-max" || how == ":gaussian") {
				continue
			}
			r := apply(t, fmt.Sprintf("quantize=%d%s", bits, how), n, nil)
			for _, x := range n.Set.All() {
				if len(x.Shape) < 2 {
					continue
				}
				was, is := floats(t, n.Set, x.Name), floats(t, r.Set, x.Name)
				row := len(was)
				if how == ":channel" {
					row /= int(x.Shape[0])
				}
				for k := 0; k < len(was); k += row {
					a, b := was[k:k+row], is[k:k+row]
					values := map[float32]bool{}
					step := float64(slices.Max(a)-slices.Min(a)) / float64(int(1)<<bits-1)
					for i := range b {
						values[b[i]] = true
						if d := math.Abs(float64(a[i]) - float64(b[i])); (how == "" || how == ":channel") && d > step*0.5001+1e-6 {
							t.Fatalf("%s: %s: %g became %g, with a step of %g", r.Reports[0].Step, x.Name, a[i], b[i], step)
						}
					}
					if len(values) > 1<<bits {
						t.Errorf("%s: %s has %d values", r.Reports[0].Step, x.Name, len(values))
					}
				}
			}
		}
	}
}

// The values are those of the paper's formula.
func TestQuantizeFormula(t *testing.T) {
	n := small(8)
	for _, bits := range []int{2, 4, 8} {
		r := apply(t, fmt.Sprintf("quantize=%d", bits), n, nil)
		was, is := floats(t, n.Set, "e.weight"), floats(t, r.Set, "e.weight")
		low, high := float64(slices.Min(was)), float64(slices.Max(was))
		scale := (math.Pow(2, float64(bits)) - 1) / (high - low)
		for i, w := range was {
			want := low + math.RoundToEven((float64(w)-low)*scale)/scale
			if math.Abs(float64(is[i])-want) > 1e-6*(high-low) {
				t.Fatalf("%d bits: %g became %g, want %g", bits, w, is[i], want)
			}
		}
	}
}

// Equal seeds give equal bytes, in one run of steps or read in another order, and
// other seeds others.
func TestSeeded(t *testing.T) {
	n := small(4)
	for _, text := range []string{"permute", "scale=0.5", "noise=1", "permute+scale+noise=0.1+prune=0.3+quantize=5"} {
		a, b, c := apply(t, text, n, &Options{Seed: 7}), apply(t, text, n, &Options{Seed: 7}), apply(t, text, n, &Options{Seed: 8})
		same, other := true, true
		for i := range n.Set.Len() {
			k := n.Set.Len() - 1 - i // b from its end
			x, y, z := must(a.Set.At(k).Bytes()), must(b.Set.At(k).Bytes()), must(c.Set.At(k).Bytes())
			same = same && bytes.Equal(x, y)
			other = other && bytes.Equal(x, z)
		}
		if !same || other {
			t.Errorf("%s: equal seeds equal: %v, other seeds equal: %v", text, same, other)
		}
	}
}

// A network that is not finite is named, and so is what becomes too large.
func TestNotFinite(t *testing.T) {
	n := small(5)
	x := floats(t, n.Set, "b.weight")
	x[17] = float32(math.NaN())
	bad := &tensor.Tensor{Name: "b.weight", DType: tensor.F32, Shape: n.Set.Lookup("b.weight").Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))}
	n.Set = must(tensor.Overlay(n.Set, bad))
	for _, text := range []string{"noise=1", "prune=0.5", "prune=0.5:global", "quantize=4", "quantize=4:lloyd-max", "scale"} {
		r, err := must(Parse(text)).Apply(context.Background(), n, &Options{Unproved: true})
		if err == nil {
			_, err = r.Set.Lookup("b.weight").Bytes()
		}
		var f *FiniteError
		if !errors.As(err, &f) || f.Tensor != "b.weight" || f.Index != 17 {
			t.Errorf("%s: %v", text, err)
		}
	}
	r := apply(t, "cast=f16+noise=1e6", small(5), nil)
	if _, err := r.Set.Lookup("b.weight").Bytes(); !errors.As(err, new(*tensor.RangeError)) {
		t.Errorf("noise in F16: %v", err)
	}
}

// A cast changes types, and with round only values.
func TestCast(t *testing.T) {
	n := small(6)
	a, b := apply(t, "cast=bf16", n, nil), apply(t, "cast=bf16:round", n, nil)
	for _, x := range n.Set.All() {
		y, z := a.Set.Lookup(x.Name), b.Set.Lookup(x.Name)
		if y.DType != tensor.BF16 || z.DType != tensor.F32 || !slices.Equal(floats(t, a.Set, x.Name), floats(t, b.Set, x.Name)) {
			t.Errorf("%s became %s and %s", x.Name, y.DType, z.DType)
		}
	}
}
