package lineage

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// perceptron is a network of linear layers with weights drawn from r, as they are before any training.
func perceptron(r *rand.Rand, widths ...int) *tensor.Set {
	var list []*tensor.Tensor
	add := func(name string, sigma float64, shape ...int64) {
		n := 1
		for _, d := range shape {
			n *= int(d)
		}
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(sigma * r.NormFloat64())
		}
		list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	for k := range len(widths) - 1 {
		in, out := widths[k], widths[k+1]
		add(fmt.Sprintf("l%d.weight", k), math.Sqrt(2/float64(in)), int64(out), int64(in))
		add(fmt.Sprintf("l%d.bias", k), 0.05, int64(out))
	}
	return must(tensor.NewSet(list...))
}

// perceptronSpec is what can move in a network of linear layers; neurons of convolutions may have several numbers
// in the layer behind them.
func perceptronSpec(set *tensor.Set) *symmetry.Spec {
	var b strings.Builder
	for k := range set.Len()/2 - 1 {
		n := set.Lookup(fmt.Sprintf("l%d.weight", k)).Shape[0]
		run := ""
		if x := set.Lookup(fmt.Sprintf("l%d.weight", k+1)).Shape[1] / n; x > 1 {
			run = fmt.Sprintf(":x%d", x)
		}
		fmt.Fprintf(&b, "group g%d: %d × permutation × scale a —\n    in l%d.weight[0]*a, param l%d.bias[0]*a, out l%d.weight[1%s]/a\n", k, n, k, k, k+1, run)
	}
	return must(symmetry.Parse(b.String()))
}

// weightsOf returns the numbers of a tensor.
func weightsOf(set *tensor.Set, name string) []float32 {
	t := set.Lookup(name)
	return t.DType.AppendFloat32s(nil, must(t.Bytes()))
}

// withWeights returns set with other numbers in a tensor.
func withWeights(set *tensor.Set, name string, x []float32) *tensor.Set {
	t := *set.Lookup(name)
	t.Data = tensor.Bytes(t.DType.AppendFloats(nil, x))
	return must(tensor.Overlay(set, &t))
}

// transplant returns own with the weights and bias of a share of the neurons of each layer but
// the last taken from owner, with noise of so many standard deviations.
func transplant(r *rand.Rand, own, owner *tensor.Set, share, noise float64) *tensor.Set {
	for k := range own.Len()/2 - 1 {
		for _, name := range []string{fmt.Sprintf("l%d.weight", k), fmt.Sprintf("l%d.bias", k)} {
			x, y := weightsOf(own, name), weightsOf(owner, name)
			n := int(own.Lookup(name).Shape[0])
			d := len(x) / n
			sigma := 0.0
			for _, v := range y {
				sigma += float64(v) * float64(v)
			}
			sigma = math.Sqrt(sigma / float64(len(y)))
			pick := rand.New(rand.NewPCG(uint64(k), 5)).Perm(n)[:int(math.Round(share*float64(n)))]
			for _, i := range pick {
				for c := range d {
					x[i*d+c] = y[i*d+c] + float32(noise*sigma*r.NormFloat64())
				}
			}
			own = withWeights(own, name, x)
		}
	}
	return own
}

func fixed(t *testing.T, ref, sus *tensor.Set, seed uint64) *FixedPoints {
	t.Helper()
	spec := must(align.FromSymmetry(perceptronSpec(ref)))
	f, err := fixedPoints(context.Background(), ref, sus, spec, must(spec.Resize(sus)), seed, 1)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Strangers have p-values that are uniform: by the test of Kolmogorov and Smirnov, of
// groups of several sizes, with and without ties, which must not favour the order of files.
func TestFixedPointsAreUniformForStrangers(t *testing.T) {
	for _, kind := range []string{"gaussian", "signs", "pruned"} {
		const pairs = 200
		p := make([]float64, pairs)
		found := 0
		for seed := range uint64(pairs) {
			r := rand.New(rand.NewPCG(seed, 11))
			widths := []int{8, 6 + r.IntN(8), 5 + r.IntN(20), 4}
			nets := [2]*tensor.Set{perceptron(r, widths...), perceptron(r, widths...)}
			for s := range nets {
				for k := range nets[s].Len() / 2 {
					name := fmt.Sprintf("l%d.weight", k)
					x := weightsOf(nets[s], name)
					for i, v := range x {
						switch {
						case kind == "signs": // many rows are equal, and more cosines
							x[i] = float32(math.Copysign(1, float64(v)))
						case kind == "pruned" && math.Abs(float64(v)) < 0.9:
							x[i] = 0
						}
					}
					nets[s] = withWeights(nets[s], name, x)
				}
			}
			f := fixed(t, nets[0], nets[1], seed)
			found += f.Fixed
			p[seed] = f.randomized
		}
		slices.Sort(p)
		d := 0.0
		for i, x := range p {
			d = max(d, x-float64(i)/pairs, float64(i+1)/pairs-x)
		}
		t.Logf("%s: distance %.4f, %d fixed points in %d groups", kind, d, found, 2*pairs)
		if limit := 1.95 / math.Sqrt(pairs); d > limit { // 1 of 1000 by chance
			t.Errorf("%s: p-values of %d pairs of strangers are %.4f off a uniform distribution, want at most %.4f", kind, pairs, d, limit)
		}
	}
}

// Where a twentieth of the neurons is the owner's, nobody can doubt it.
func TestFixedPointsHavePower(t *testing.T) {
	for _, widths := range [][]int{{784, 300, 100, 10}, {784, 256, 10}, {784, 256, 256, 10}} {
		r := rand.New(rand.NewPCG(3, uint64(len(widths))))
		owner, own := perceptron(r, widths...), perceptron(r, widths...)
		for _, noise := range []float64{0, 1} {
			f := fixed(t, owner, transplant(r, own, owner, 0.05, noise), 7)
			t.Logf("%v, noise %g: %d of %d in place, log10 p %.1f", widths, noise, f.Fixed, f.Neurons, f.Log10P)
			if f.Log10P > -9 {
				t.Errorf("%v with 5 %% of the owner's neurons, noise %g: log10 p = %.1f, want less than -9", widths, noise, f.Log10P)
			}
		}
		if f := fixed(t, owner, own, 7); f.Log10P < -4 {
			t.Errorf("%v of a stranger: log10 p = %.1f", widths, f.Log10P)
		}
	}
}

// Groups that lost neurons have no own places, and what is in their order says nothing of others.
func TestFixedPointsOfOtherSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	ref, sus := perceptron(r, 20, 12, 9, 5), perceptron(r, 20, 11, 9, 5)
	f := fixed(t, ref, sus, 1)
	if !f.Applies || len(f.Groups) != 1 || f.Groups[0].Name != "g1" || !strings.Contains(f.Why, "g0 (12 and 11)") {
		t.Errorf("one of two groups has another size: %+v", f)
	}
	sus = perceptron(r, 20, 11, 8, 5)
	if f := fixed(t, ref, sus, 1); f.Applies || f.Why == "" || f.Log10P != 0 {
		t.Errorf("both groups have other sizes: %+v", f)
	}
}
