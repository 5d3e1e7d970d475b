package entropy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/quant"
	"ropewalk/tensor"
)

// network returns layers, weights and gradients of a small network; the last
// tensor has too few weights for levels.
func network(seed uint64) (layers []Layer, w, g [][]float32) {
	rng := rand.New(rand.NewPCG(seed, 0))
	layers = []Layer{
		{Name: "conv.weight", Shape: tensor.Shape{5, 3, 3, 3}, Scan: OutputChannels},
		{Name: "fc.weight", Shape: tensor.Shape{11, 13}},
		{Name: "fc.bias", Shape: tensor.Shape{11}},
	}
	for _, l := range layers {
		n, _ := l.Shape.Elems()
		a, b := make([]float32, n), make([]float32, n)
		for i := range a {
			a[i], b[i] = float32(rng.NormFloat64()*0.3), float32(rng.NormFloat64())
		}
		w, g = append(w, a), append(g, b)
	}
	return layers, w, g
}

func cloned(w [][]float32) [][]float32 {
	var out [][]float32
	for _, x := range w {
		out = append(out, slices.Clone(x))
	}
	return out
}

// Ten steps of the method agree with a slow transcription of sections 1.2 to 1.5
// and 1.8 of the notes, refresh by refresh.
func TestPaperOracle(t *testing.T) {
	for _, o := range []PaperOptions{
		{Every: 3},
		{Order: 1, Every: 1, LambdaH: 0.2, LambdaE: 0.3},
		{Order: 2, Every: 2, Levels: 3, LambdaE: -1},
		{Order: 4, Levels: 6, Blind: true},
		{Choose: ChooseUniform, Every: 2, Relative: true},
		{Choose: ChooseWith(quant.Options{Method: quant.Lloyd}), Every: 2},
		{Choose: ChooseWith(quant.Options{Method: quant.Codebook, Codebook: []float32{-2, -0.1, 0, 0.25}}), Every: 2},
	} {
		layers, w, _ := network(1)
		p, err := NewPaper(layers, w, &o)
		if err != nil {
			t.Fatal(err)
		}
		if p.Levels(2) != nil {
			t.Error("11 weights were quantized")
		}
		n, lambdaH, lambdaE := max(o.Order, 1), o.LambdaH, max(o.LambdaE, 0)
		if o.Order == 0 {
			n = 3
		}
		if lambdaH == 0 {
			lambdaH = 1
		}
		if o.LambdaE == 0 {
			lambdaE = 0.1
		}
		every := o.Every
		if every == 0 {
			every = 10
		}
		// The slow one, in float64.
		x := make([][]float64, 2)
		var lo, hi [2]float64
		for i := range x {
			for _, v := range w[i] {
				x[i] = append(x[i], float64(v))
			}
			c := p.Levels(i)
			t0, tn := min(slices.Min(x[i]), c[0])-0.01, max(slices.Max(x[i]), c[len(c)-1])+0.01
			lo[i] = t0 + ((c[0]+c[1])/2-t0)/2.01
			hi[i] = tn - (tn-(c[len(c)-2]+c[len(c)-1])/2)/2.01
		}
		var gh, ge [][]float64
		for step := range 10 {
			_, _, g := network(uint64(100 + step))
			p.Prepare(w)
			p.Update(w, g)
			if step%every == 0 {
				slow := &oracle{n: n, layers: layers[:2]}
				ge = nil
				for i := range x {
					c := p.Levels(i)
					least, largest := slices.Min(x[i]), slices.Max(x[i])
					k := slices.Clone(c)
					k = slices.Insert(k, 0, min(least, c[0])-0.01-(c[1]-c[0]))
					k = append(k, max(largest, c[len(c)-1])+0.01+(c[len(c)-1]-c[len(c)-2]))
					slow.centers = append(slow.centers, k)
					pull := make([]float64, len(x[i]))
					for j, v := range x[i] {
						best := 0
						for m := range c {
							if math.Abs(c[m]-v) < math.Abs(c[best]-v) {
								best = m
							}
						}
						pull[j] = v - c[best]
						if o.Relative {
							a, b := k[0], k[len(k)-1]
							if best > 0 {
								a = (c[best-1] + c[best]) / 2
							}
							if best < len(c)-1 {
								b = (c[best] + c[best+1]) / 2
							}
							pull[j] /= (b - a) * (b - a)
						}
					}
					ge = append(ge, pull)
				}
				gh = slow.gradient(x)
			}
			for i := range x {
				most := 0.0
				for _, v := range g[i] {
					most = max(most, math.Abs(float64(v)))
				}
				for j := range x[i] {
					s := 1 - math.Abs(float64(g[i][j]))/most
					if o.Blind {
						s = 1
					}
					x[i][j] -= s * lambdaH * gh[i][j]
					x[i][j] -= s * lambdaE * ge[i][j]
					x[i][j] = min(max(x[i][j], lo[i]), hi[i])
					if d := math.Abs(x[i][j] - float64(w[i][j])); d > 2e-4 {
						t.Fatalf("%+v, step %d: weight %d of %s is %v, want %v", o, step, j, layers[i].Name, w[i][j], x[i][j])
					}
				}
			}
		}
	}
}

// As a penalty it adds to the gradient what an update subtracts.
func TestPaperAddGrad(t *testing.T) {
	layers, w, g := network(2)
	o := &PaperOptions{Order: 2, LambdaE: 0.05}
	a, err := NewPaper(layers, w, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewPaper(layers, w, o)
	if err != nil {
		t.Fatal(err)
	}
	added := cloned(g)
	v := a.AddGrad(w, added)
	if p := b.Prepare(w); p != v || !(v > 0) {
		t.Errorf("values %v and %v", v, p)
	}
	moved := cloned(w)
	b.Update(moved, g)
	clamps := 0
	for i := range w {
		for j := range w[i] {
			x := w[i][j] - (added[i][j] - g[i][j])
			if d := math.Abs(float64(x - moved[i][j])); d > 1e-6 {
				clamps++
				if own := a.state.Tensors[i]; moved[i][j] != float32(own.Low) && moved[i][j] != float32(own.Top) {
					t.Errorf("weight %d of %s: %v by gradient, %v by update", j, layers[i].Name, x, moved[i][j])
				}
			}
		}
	}
	if clamps > 20 {
		t.Errorf("%d weights were clamped", clamps)
	}
	// A tensor without gradient is left alone.
	still := cloned(w)
	zero := cloned(g)
	clear(zero[1])
	b.Update(still, zero)
	for j, x := range still[1] {
		own := a.state.Tensors[1]
		if want := min(max(w[1][j], float32(own.Low)), float32(own.Top)); x != want {
			t.Fatalf("weight %d without gradient went from %v to %v", j, w[1][j], x)
		}
	}
	if n := testing.AllocsPerRun(20, func() { b.Prepare(w); b.Update(still, g) }); n > 0 {
		t.Errorf("%v allocations in each step", n)
	}
}

// Left to itself, the penalty lowers the entropy; and its pull brings weights to
// levels, where proxy and entropy are the same.
func TestPaperDescends(t *testing.T) {
	layers, w, g := network(3)
	p, err := NewPaper(layers, w, &PaperOptions{Order: 2, LambdaH: 0.3, LambdaE: 0.05, Every: 1})
	if err != nil {
		t.Fatal(err)
	}
	before := p.Report(w)
	for range 200 {
		p.Prepare(w)
		p.Update(w, g)
	}
	after := p.Report(w)
	p.o.LambdaH = 0
	for range 200 {
		p.Prepare(w)
		p.Update(w, g)
	}
	settled := p.Report(w)
	if after.Hard.Bits > 0.7*before.Hard.Bits || after.Soft.Bits > 0.7*before.Soft.Bits {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if d := math.Abs(settled.Soft.Bits - settled.Hard.Bits); d > 0.02*settled.Hard.Bits || settled.RMSE > 0.02 {
		t.Errorf("pulled to the levels: %+v", settled)
	}
}

// A run that is resumed goes on to the same bits, also between refreshes.
func TestPaperState(t *testing.T) {
	layers, w, g := network(4)
	a, err := NewPaper(layers, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := cloned(w)
	for i := range other {
		for j := range other[i] {
			other[i][j] *= 2
		}
	}
	step := func(p *Paper, w [][]float32) { p.Prepare(w); p.Update(w, g) }
	for range 13 {
		step(a, w)
	}
	s, err := a.State()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewPaper(layers, other, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SetState(s); err != nil {
		t.Fatal(err)
	}
	resumed := cloned(w)
	for range 20 {
		step(a, w)
		step(b, resumed)
	}
	for i := range w {
		if !slices.Equal(w[i], resumed[i]) {
			t.Errorf("%s differs after the resumption", layers[i].Name)
		}
	}
	if err := b.SetState([]byte("no state")); err == nil {
		t.Error("text was taken for a state")
	}
	c, err := NewPaper(layers[:2], w[:2], nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetState(s); err == nil {
		t.Error("a state of other tensors was taken")
	}
}

// What cannot be regularised says so; what is odd is.
func TestPaperOdd(t *testing.T) {
	layers, w, g := network(5)
	for _, o := range []PaperOptions{{Order: 99}, {Levels: -1}, {Every: -1}, {LambdaH: math.NaN()}, {Choose: ChooseWith(quant.Options{PerChannel: true})}} {
		if _, err := NewPaper(layers, w, &o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := NewPaper(layers, w[:2], nil); err == nil {
		t.Error("a missing tensor was taken")
	}
	bad := cloned(w)
	bad[0][7] = float32(math.NaN())
	if _, err := NewPaper(layers, bad, nil); err == nil {
		t.Error("NaN was taken")
	}
	// Weights that left the numbers later make the value NaN, not a panic.
	p, err := NewPaper(layers, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := p.Prepare(bad); !math.IsNaN(v) {
		t.Errorf("the value with a NaN is %v", v)
	}
	// Constant tensors, for which the paper's program fails.
	for _, x := range []float32{0, 1} {
		flat := cloned(w)
		for i := range flat[0] {
			flat[0][i] = x
		}
		p, err := NewPaper(layers, flat, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.Prepare(flat)
		p.Update(flat, g)
		for i, y := range flat[0] {
			if math.Abs(float64(y-x)) > 0.02 {
				t.Fatalf("constant %v: weight %d became %v", x, i, y)
			}
		}
	}
}

// The same weights for any number of threads.
func TestPaperThreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	layers := []Layer{{Name: "a", Shape: tensor.Shape{150, 201}}, {Name: "b", Shape: tensor.Shape{100, 150}, Scan: OutputChannels}}
	start := [][]float32{scaled(rng, layers[0].Shape, 0.1, 0.2), scaled(rng, layers[1].Shape, 0.1, 0.2)}
	g := [][]float32{scaled(rng, layers[0].Shape, 1, 0.2), scaled(rng, layers[1].Shape, 1, 0.2)}
	var want [][]float32
	for _, threads := range []int{1, 2, 5} {
		w := cloned(start)
		p, err := NewPaper(layers, w, &PaperOptions{Every: 2, Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			p.Prepare(w)
			p.Update(w, g)
		}
		if want == nil {
			want = w
		}
		for i := range w {
			if !slices.Equal(w[i], want[i]) {
				t.Errorf("%d threads: %s differs", threads, layers[i].Name)
			}
		}
	}
}

// BenchmarkPaper is what the regulariser costs on LeNet-300-100: a refresh, and
// what every step pays.
func BenchmarkPaper(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 9))
	layers := []Layer{{Name: "fc1", Shape: tensor.Shape{300, 784}}, {Name: "fc2", Shape: tensor.Shape{100, 300}}, {Name: "fc3", Shape: tensor.Shape{10, 100}}}
	var w, g [][]float32
	for _, l := range layers {
		w = append(w, scaled(rng, l.Shape, 0.05, 0.2))
		g = append(g, scaled(rng, l.Shape, 1e-3, 0.5))
	}
	p, err := NewPaper(layers, w, &PaperOptions{Order: 4, LambdaH: 1e-9, LambdaE: -1, Threads: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("refresh", func(b *testing.B) {
		for b.Loop() {
			p.refresh(w)
		}
	})
	b.Run("update", func(b *testing.B) {
		for b.Loop() {
			p.Update(w, g)
		}
	})
}
