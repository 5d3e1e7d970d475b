package entropy

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/tensor"
)

// scaled returns a matrix of Gaussian weights whose rows and columns have scales.
func scaled(rng *rand.Rand, shape tensor.Shape, sigma, spread float64) []float32 {
	g := newGrid(shape)
	row, col := make([]float64, g.rows), make([]float64, g.cols)
	for i := range row {
		row[i] = math.Exp(spread * rng.NormFloat64())
	}
	for i := range col {
		col[i] = math.Exp(spread * rng.NormFloat64())
	}
	n, _ := shape.Elems()
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(rng.NormFloat64() * sigma * row[i/(g.cols*g.taps)] * col[i/g.taps%g.cols])
	}
	return w
}

var rateCases = []RateOptions{
	{Model: PerTensor}, {Model: RowColumn}, {Model: RowColumn, Beyond: 0.3}, {Model: Blocks}, {Model: Blocks, Order: 1}, {Model: Blocks, Order: 4}, {Model: Blocks, Order: 3, Sliding: true},
}

// The derivatives by latents and by levels are those of central differences. In
// float32 a difference has to be large, so that the curvature remains.
func TestRateDifferences(t *testing.T) {
	for _, o := range rateCases {
		o.Every = 1 << 30 // classes are constants
		beyond := o.Beyond
		o.Beyond = 0
		rng := rand.New(rand.NewPCG(7, 7))
		layers := []Layer{{Name: "a", Shape: tensor.Shape{12, 7, 3, 3}}, {Name: "none", Shape: tensor.Shape{3}}, {Name: "b", Shape: tensor.Shape{40, 11}}}
		w := [][]float32{scaled(rng, layers[0].Shape, 0.5, 0.5), {1, 2, 3}, scaled(rng, layers[2].Shape, 0.7, 0.4)}
		la, err := NewLevels([]float64{-1, -0.4, 0, 0.5, 0.8})
		if err != nil {
			t.Fatal(err)
		}
		lb, err := Symmetric(0.75, 1)
		if err != nil {
			t.Fatal(err)
		}
		levels := []*Levels{la, nil, lb}
		r, err := NewRate(layers, levels, &o)
		if err != nil {
			t.Fatal(err)
		}
		r.SetLambda(0.5)
		zero := func() [][]float32 {
			return [][]float32{make([]float32, len(w[0])), make([]float32, 3), make([]float32, len(w[2]))}
		}
		g := zero()
		value := r.AddGrad(w, g)
		if !(value > 0) || math.Abs(value-0.5*r.Bits()) > 1e-9 {
			t.Fatalf("%+v: value %v, bits %v", o, value, r.Bits())
		}
		if g[1][0] != 0 || r.BitsOf(1) != 0 {
			t.Errorf("%+v: a tensor without levels has bits", o)
		}
		byLevel := [][]float64{slices.Clone(la.Gradient), nil, slices.Clone(lb.Gradient)}
		sink := zero()
		eval := func() float64 { return r.AddGrad(w, sink) }
		for range 60 {
			i := rng.IntN(2) * 2
			j := rng.IntN(len(w[i]))
			const eps = 1.0 / 1024
			was := w[i][j]
			if cs := r.tensors[i].centers; cs.find(float64(was-2*eps)) != cs.find(float64(was+2*eps)) {
				continue
			}
			w[i][j] = was + eps
			a := eval()
			w[i][j] = was - eps
			b := eval()
			w[i][j] = was
			if d := (a - b) / (2 * eps); math.Abs(d-float64(g[i][j])) > 2e-3*max(math.Abs(d), 1) {
				t.Errorf("%+v: derivative %v of weight %d at %v, differences %v", o, g[i][j], j, was, d)
			}
		}
		for i, l := range levels {
			if l == nil {
				continue
			}
			for k := range l.values {
				if k == l.zero {
					if l.Gradient[k] != 0 {
						t.Errorf("%+v: zero has a derivative of %v", o, l.Gradient[k])
					}
					continue
				}
				const eps = 1e-7
				was := l.values[k]
				l.values[k] = was + eps
				a := eval()
				l.values[k] = was - eps
				b := eval()
				l.values[k] = was
				if d := (a - b) / (2 * eps); math.Abs(d-byLevel[i][k]) > 1e-4*max(math.Abs(d), 1) {
					t.Errorf("%+v: derivative %v by level %v, differences %v", o, byLevel[i][k], was, d)
				}
			}
		}
		if beyond > 0 {
			o.Beyond = beyond
			q, err := NewRate(layers, levels, &o)
			if err != nil {
				t.Fatal(err)
			}
			far := zero()
			q.AddGrad(w, far)
			pulled := 0
			for j, x := range w[2] {
				switch out := math.Abs(float64(x)) > 0.75; {
				case out && far[2][j]*x > 0:
					pulled++
				case !out && math.Abs(float64(far[2][j]-2*g[2][j])) > 1e-4*math.Abs(float64(far[2][j])):
					t.Errorf("weight %d inside has %v, without the pull %v", j, far[2][j], 2*g[2][j])
				}
			}
			if pulled == 0 {
				t.Error("nothing beyond the levels is pulled back")
			}
		}
	}
}

// On levels the rate is the entropy of the symbols; that of classes is not above
// that of the tensor.
func TestRateIsEntropyOnLevels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := tensor.Shape(rapid.SliceOfN(rapid.Int64Range(1, 6), 1, 4).Draw(t, "shape"))
		n, _ := shape.Elems()
		k := rapid.IntRange(1, 5).Draw(t, "levels")
		var values []float64
		for i := range k {
			values = append(values, float64(i-k/2)*0.5)
		}
		l, err := NewLevels(values)
		if err != nil {
			t.Fatal(err)
		}
		s := rapid.SliceOfN(rapid.Uint16Range(0, uint16(k-1)), int(n), int(n)).Draw(t, "symbols")
		w := make([]float32, n)
		for i, x := range s {
			w[i] = float32(values[x])
		}
		layers := []Layer{{Name: "w", Shape: shape}}
		bits := map[Model]float64{}
		for _, o := range []RateOptions{{Model: PerTensor}, {Model: RowColumn}, {Model: Blocks, Order: 2}} {
			r, err := NewRate(layers, []*Levels{l}, &o)
			if err != nil {
				t.Fatal(err)
			}
			g := make([]float32, n)
			r.AddGrad([][]float32{w}, [][]float32{g})
			bits[o.Model] = r.Bits()
			for i, x := range g {
				if x-x != 0 {
					t.Fatalf("%v: derivative %v at %v", o.Model, x, w[i])
				}
			}
		}
		e := Measure(1, s)
		if want := e.Bits * float64(n); math.Abs(bits[PerTensor]-want) > 1e-9*max(want, 1) {
			t.Fatalf("rate %v, entropy %v", bits[PerTensor], want)
		}
		if bits[RowColumn] > bits[PerTensor]+1e-9 {
			t.Fatalf("row-column %v, tensor %v bits", bits[RowColumn], bits[PerTensor])
		}
		if want := Measure(2, s).PerWeight() * float64(n); math.Abs(bits[Blocks]-want) > 1e-9*max(want, 1) {
			t.Fatalf("blocks %v, entropy %v", bits[Blocks], want)
		}
	})
}

// The same bits for any number of threads, and no memory after the first calls.
func TestRateThreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	layers := []Layer{{Name: "a", Shape: tensor.Shape{150, 200}}, {Name: "b", Shape: tensor.Shape{20, 20, 5, 5}}}
	w := [][]float32{scaled(rng, layers[0].Shape, 0.5, 0.5), scaled(rng, layers[1].Shape, 0.5, 0.5)}
	for _, o := range rateCases {
		var want [][]float32
		var byLevel []float64
		for _, threads := range []int{1, 3} {
			o.Threads = threads
			var levels []*Levels
			for range layers {
				l, err := Symmetric(0.6, 2)
				if err != nil {
					t.Fatal(err)
				}
				levels = append(levels, l)
			}
			r, err := NewRate(layers, levels, &o)
			if err != nil {
				t.Fatal(err)
			}
			g := [][]float32{make([]float32, len(w[0])), make([]float32, len(w[1]))}
			r.AddGrad(w, g)
			if want == nil {
				want, byLevel = cloned(g), slices.Clone(levels[0].Gradient)
			} else if !slices.Equal(want[0], g[0]) || !slices.Equal(want[1], g[1]) || !slices.Equal(byLevel, levels[0].Gradient) {
				t.Errorf("%+v: another gradient than with one thread", o)
			}
			if n := testing.AllocsPerRun(4, func() { r.AddGrad(w, g) }); n > 0 {
				t.Errorf("%+v: %v allocations", o, n)
			}
		}
	}
}

// Each context has its own pmf, and a row its place.
func TestContexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := tensor.Shape(rapid.SliceOfN(rapid.Int64Range(1, 5), 1, 4).Draw(t, "shape"))
		n, _ := shape.Elems()
		m := rapid.SliceOfN(rapid.Float64Range(0, 10), int(n), int(n)).Draw(t, "magnitudes")
		g := newGrid(shape)
		g.classify(int(n), func(i int) float64 { return m[i] })
		start := rapid.IntRange(0, int(n)-1).Draw(t, "start")
		w := g.walk(start)
		for i := start; i < int(n); i++ {
			want := min(max(g.row[i/(g.cols*g.taps)]+g.col[i/g.taps%g.cols], -scaleReach), scaleReach) + scaleReach
			if got := w.next(); got != want {
				t.Fatalf("context %d of weight %d, want %d", got, i, want)
			}
		}
	})
	g := newGrid(tensor.Shape{3, 2, 1})
	m := []float64{1, 1, 0, 0, 8, 8}
	g.classify(6, func(i int) float64 { return m[i] })
	if want := []int{-3, -8, 3}; !slices.Equal(g.row, want) || g.col[0] != 0 || g.col[1] != 0 {
		t.Errorf("classes %v and %v, want %v and zeros", g.row, g.col, want)
	}
}

func TestRateRefuses(t *testing.T) {
	l, err := Symmetric(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	layers := []Layer{{Name: "w", Shape: tensor.Shape{4}}}
	for _, o := range []RateOptions{{Model: "magic"}, {Every: -1}, {Beyond: -1}, {Beyond: math.NaN()}, {Model: Blocks, Order: 99}} {
		if _, err := NewRate(layers, []*Levels{l}, &o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := NewRate(layers, nil, nil); err == nil {
		t.Error("missing levels were taken")
	}
	if _, err := Estimate(layers[0], []float64{0, 1}, []uint16{0, 1, 2, 0}, nil); err == nil {
		t.Error("a symbol without level was taken")
	}
	if _, err := Estimate(layers[0], []float64{0, 1}, []uint16{0}, nil); err == nil {
		t.Error("one symbol for four weights was taken")
	}
}

func BenchmarkRate(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 9))
	layers := []Layer{{Name: "fc1", Shape: tensor.Shape{300, 784}}, {Name: "fc2", Shape: tensor.Shape{100, 300}}, {Name: "fc3", Shape: tensor.Shape{10, 100}}}
	var w, g [][]float32
	n := 0
	for _, l := range layers {
		w = append(w, scaled(rng, l.Shape, 0.5, 0.5))
		g = append(g, make([]float32, len(w[len(w)-1])))
		n += len(w[len(w)-1])
	}
	for _, model := range []Model{PerTensor, RowColumn, Blocks} {
		b.Run(string(model), func(b *testing.B) {
			var levels []*Levels
			for range layers {
				l, err := Symmetric(0.8, 1)
				if err != nil {
					b.Fatal(err)
				}
				levels = append(levels, l)
			}
			r, err := NewRate(layers, levels, &RateOptions{Model: model, Threads: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r.AddGrad(w, g)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/weight")
		})
	}
}
