package entropy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/tensor"
)

// chooseSteps takes levels that numbers of 32 bits can be on, fewer for a tensor that
// is called so.
func chooseSteps(l Layer, _ []float32, n int, _ []float64) ([]float64, error) {
	if l.Name == "fewer" {
		n = max(n-1, 1)
	}
	levels := make([]float64, n)
	for i := range levels {
		levels[i] = 0.125 * (float64(i) - float64(n-1)/2)
	}
	return levels, nil
}

// What is found in one go is what Proxy and the pull towards levels say, for all
// orders, sizes that blocks do not divide, weights on centers, beyond the outer levels,
// and levels that differ between tensors.
func TestFused(t *testing.T) {
	for order := 1; order <= 4; order++ {
		for _, levels := range []int{1, 2, 3, 4, 7} {
			for _, choose := range []Chooser{nil, chooseSteps} {
				checkFused(t, PaperOptions{Order: order, Levels: levels, LambdaH: 0.7, LambdaE: 0.2, Choose: choose, Threads: 3})
			}
		}
	}
}

func checkFused(t *testing.T, o PaperOptions) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(o.Order), uint64(o.Levels)))
	layers := []Layer{{Name: "a", Shape: tensor.Shape{151, 207}}, {Name: "fewer", Shape: tensor.Shape{99}}, {Name: "c", Shape: tensor.Shape{53, 101}}}
	var w [][]float32
	for i, l := range layers {
		x := scaled(rng, l.Shape, 0.1*float64(i+1), 0.2)
		for j := range x {
			if j%97 == 5 { // on a center of chooseSteps
				x[j] = 0.125 * (float32(j%o.Levels) - float32(o.Levels-1)/2)
			}
		}
		w = append(w, x)
	}
	p, err := NewPaper(layers, w, &o)
	if err != nil {
		t.Fatal(err)
	}
	if p.fuse(); p.fused == nil {
		t.Fatalf("%+v is left to Proxy", o)
	}
	value := p.Prepare(w)
	got := cloned(p.pull)
	p.fused, p.state.Step = nil, 0
	want := p.Prepare(w)
	if math.Abs(value-want) > 1e-5*want {
		t.Errorf("order %d, %d levels: value %v, want %v", o.Order, o.Levels, value, want)
	}
	for i := range p.pull {
		largest := float64(max(slices.Max(p.pull[i]), -slices.Min(p.pull[i])))
		for j, x := range p.pull[i] {
			if math.Abs(float64(got[i][j]-x)) > 2e-5*largest {
				t.Fatalf("order %d, %d levels: %s: weight %d, %v, is pulled by %v, want %v (at most %v)", o.Order, o.Levels, layers[i].Name, j, w[i][j], got[i][j], x, largest)
			}
		}
	}
}

// Others are left to Proxy.
func TestFusedRefuses(t *testing.T) {
	layers, w, _ := network(1)
	check := func(o PaperOptions, want bool) {
		t.Helper()
		p, err := NewPaper(layers, w, &o)
		if err != nil {
			t.Fatal(err)
		}
		if p.fuse(); (p.fused != nil) != want {
			t.Errorf("%+v, scans %v: done in one go %v, want %v", o, layers[0].Scan, !want, want)
		}
	}
	check(PaperOptions{}, false) // a scan of output channels
	layers[0].Scan = RowMajor
	check(PaperOptions{}, true)
	for _, o := range []PaperOptions{{Order: 5}, {Order: 2, ClosedForm: true}, {Relative: true}, {Order: 4, Levels: 11}, {Order: 2, Levels: 15}} {
		check(o, false)
	}
}
