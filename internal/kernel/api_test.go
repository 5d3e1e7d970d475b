package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// lengths reach from nothing to several pieces of work.
var lengths = []int{0, 1, 15, 16, 17, 1000, 4096, 5000, 40000, 70001}

// Sums are those of float64, and the same for any number of threads.
func TestSums(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		one, three := newPool(t, 1), newPool(t, 3)
		for _, n := range lengths {
			r := generator(uint64(n))
			a, b := random(r, n), random(r, n)
			var sum, squares, dot float64
			for i := range a {
				sum += float64(a[i])
				squares += float64(a[i]) * float64(a[i])
				dot += float64(a[i]) * float64(b[i])
			}
			for _, c := range []struct {
				name string
				f    func(p *Pool) float64
				want float64
			}{
				{"Sum", func(p *Pool) float64 { return Sum(p, a) }, sum},
				{"SumSquares", func(p *Pool) float64 { return SumSquares(p, a) }, squares},
				{"Norm2", func(p *Pool) float64 { return Norm2(p, a) }, math.Sqrt(squares)},
				{"Dot", func(p *Pool) float64 { return Dot(p, a, b) }, dot},
			} {
				got := c.f(one)
				if math.Abs(got-c.want) > 1e-6*max(1, squares) {
					t.Errorf("%s of %d elements is %v, want %v", c.name, n, got, c.want)
				}
				if again := c.f(three); again != got {
					t.Errorf("%s of %d elements is %v with one thread, and %v with three", c.name, n, got, again)
				}
			}
			if !AllFinite(three, a) {
				t.Errorf("%d finite numbers are not", n)
			}
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				if n > 0 {
					i := r.IntN(n)
					old := a[i]
					a[i] = float32(bad)
					if AllFinite(three, a) {
						t.Errorf("%v among %d numbers was not seen", bad, n)
					}
					a[i] = old
				}
			}
		}
	})
}

// Element-wise functions go over all elements, and over no other.
func TestElementwise(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		one, three := newPool(t, 1), newPool(t, 3)
		hs := Clamp{true, 0, 1}
		cases := []struct {
			name string
			run  func(p *Pool, dst, a, b, c []float32)
			want func(d, a, b, c float64) float64
		}{
			{"Add", func(p *Pool, d, a, b, _ []float32) { Add(p, d, a, b) }, func(_, a, b, _ float64) float64 { return a + b }},
			{"Sub", func(p *Pool, d, a, b, _ []float32) { Sub(p, d, a, b) }, func(_, a, b, _ float64) float64 { return a - b }},
			{"Mul", func(p *Pool, d, a, b, _ []float32) { Mul(p, d, a, b) }, func(_, a, b, _ float64) float64 { return a * b }},
			{"Div", func(p *Pool, d, a, b, _ []float32) { Div(p, d, a, b) }, func(_, a, b, _ float64) float64 { return a / b }},
			{"MulAdd", func(p *Pool, d, a, b, c []float32) { MulAdd(p, d, a, b, c) }, func(_, a, b, c float64) float64 { return a*b + c }},
			{"Axpy", func(p *Pool, d, a, _, _ []float32) { Axpy(p, d, 0.5, a) }, func(d, a, _, _ float64) float64 { return d + a/2 }},
			{"Combine", func(p *Pool, d, a, b, _ []float32) { Combine(p, d, 0.5, a, 2, b) }, func(_, a, b, _ float64) float64 { return a/2 + 2*b }},
			{"Affine", func(p *Pool, d, a, _, _ []float32) { Affine(p, d, a, 0.5, 0.25, hs) }, func(_, a, _, _ float64) float64 { return max(0, min(1, a/2+0.25)) }},
			{"Scale", func(p *Pool, d, a, _, _ []float32) { Scale(p, d, a, 3) }, func(_, a, _, _ float64) float64 { return 3 * a }},
			{"ReLU", func(p *Pool, d, a, _, _ []float32) { ReLU().Apply(p, d, a) }, func(_, a, _, _ float64) float64 { return max(0, a) }},
			{"ReLU6", func(p *Pool, d, a, _, _ []float32) { ReLU6().Apply(p, d, a) }, func(_, a, _, _ float64) float64 { return max(0, min(6, a)) }},
			{"AddClamp", func(p *Pool, d, a, b, _ []float32) { AddClamp(p, d, a, b, ReLU()) }, func(_, a, b, _ float64) float64 { return max(0, a+b) }},
			{"Grad", func(p *Pool, d, a, b, _ []float32) { hs.Grad(p, d, a, b) }, func(_, a, b, _ float64) float64 {
				if 0 < a && a < 1 {
					return b
				}
				return 0
			}},
			{"Exp", func(p *Pool, d, a, _, _ []float32) { Exp(p, d, a) }, func(_, a, _, _ float64) float64 { return math.Exp(a) }},
			{"Sigmoid", func(p *Pool, d, a, _, _ []float32) { Sigmoid(p, d, a) }, func(_, a, _, _ float64) float64 { return sigmoid64(a) }},
			{"Tanh", func(p *Pool, d, a, _, _ []float32) { Tanh(p, d, a) }, func(_, a, _, _ float64) float64 { return math.Tanh(a) }},
			{"Erf", func(p *Pool, d, a, _, _ []float32) { Erf(p, d, a) }, func(_, a, _, _ float64) float64 { return math.Erf(a) }},
			{"SiLU", func(p *Pool, d, a, _, _ []float32) { SiLU(p, d, a) }, func(_, a, _, _ float64) float64 { return silu64(a) }},
			{"GELU", func(p *Pool, d, a, _, _ []float32) { GELU(p, d, a) }, func(_, a, _, _ float64) float64 { return gelu64(a) }},
			{"HardSwish", func(p *Pool, d, a, _, _ []float32) { HardSwish(p, d, a) }, func(_, a, _, _ float64) float64 { return a * max(0, min(1, a/6+0.5)) }},
			{"SigmoidGrad", func(p *Pool, d, a, b, _ []float32) { SigmoidGrad(p, d, a, b) }, func(_, a, b, _ float64) float64 { return b * a * (1 - a) }},
			{"TanhGrad", func(p *Pool, d, a, b, _ []float32) { TanhGrad(p, d, a, b) }, func(_, a, b, _ float64) float64 { return b * (1 - a*a) }},
			{"SiLUGrad", func(p *Pool, d, a, b, _ []float32) { SiLUGrad(p, d, a, b) }, func(_, a, b, _ float64) float64 { return b * slope(silu64, a) }},
			{"GELUGrad", func(p *Pool, d, a, b, _ []float32) { GELUGrad(p, d, a, b) }, func(_, a, b, _ float64) float64 { return b * slope(gelu64, a) }},
			{"HardSwishGrad", func(p *Pool, d, a, b, _ []float32) { HardSwishGrad(p, d, a, b) }, func(_, a, b, _ float64) float64 {
				return b * slope(func(a float64) float64 { return a * max(0, min(1, a/6+0.5)) }, a)
			}},
		}
		for _, c := range cases {
			for _, n := range lengths {
				r := generator(uint64(n))
				d, a, b, e := random(r, n), random(r, n), random(r, n), random(r, n)
				got, check := guarded(d)
				c.run(one, got, a, b, e)
				check(t, c.name)
				again, _ := guarded(d)
				c.run(three, again, a, b, e)
				same(t, c.name, got, again)
				for i := range got {
					if want := c.want(float64(d[i]), float64(a[i]), float64(b[i]), float64(e[i])); relative(float64(got[i]), want) > 2e-6 {
						t.Fatalf("%s of %d elements: element %d is %v, want %v (of %v, %v, %v)", c.name, n, i, got[i], want, a[i], b[i], e[i])
					}
				}
			}
		}
	})
}

// slope is the derivative of f by central differences.
func slope(f func(float64) float64, x float64) float64 {
	const h = 1e-5
	return (f(x+h) - f(x-h)) / (2 * h)
}

func TestChannels(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, d := range []Planes{{1, 1, 1}, {3, 4, 17}, {2, 5, 1}, {4, 3, 5000}, {40, 20, 100}, {0, 3, 4}} {
			r := generator(uint64(d.Size))
			x, scale, shift, start := random(r, d.elements()), random(r, d.Channels), random(r, d.Channels), random(r, d.elements())
			var first []float32
			for _, threads := range []int{1, 3} {
				p := newPool(t, threads)
				sums, checkSums := guarded(scale)
				ChannelSums(p, d, sums, x, true)
				checkSums(t, "sums")
				means := make([]float32, d.Batch*d.Channels)
				PlaneMeans(p, d, means, x)
				spread, checkSpread := guarded(start)
				PlaneMeansBackward(p, d, spread, means, true)
				checkSpread(t, "spread")
				y, checkY := guarded(start)
				ChannelAffine(p, d, y, x, scale, shift, ReLU())
				checkY(t, "y")
				wantSums := make([]float64, d.Channels)
				for i := range wantSums {
					wantSums[i] = float64(scale[i])
				}
				for q := range d.Batch * d.Channels {
					var sum float64
					c := q % d.Channels
					for i := q * d.Size; i < (q+1)*d.Size; i++ {
						sum += float64(x[i])
						if want := max(0, float64(x[i])*float64(scale[c])+float64(shift[c])); relative(float64(y[i]), want) > 1e-6 {
							t.Fatalf("%v: y[%d] is %v, want %v", d, i, y[i], want)
						}
						if want := float64(start[i]) + float64(means[q])/float64(d.Size); relative(float64(spread[i]), want) > 1e-6 {
							t.Fatalf("%v: dx[%d] is %v, want %v", d, i, spread[i], want)
						}
					}
					wantSums[c] += sum
					if relative(float64(means[q]), sum/float64(d.Size)) > 1e-5 {
						t.Fatalf("%v: mean %d is %v, want %v", d, q, means[q], sum/float64(d.Size))
					}
				}
				for c := range sums {
					if relative(float64(sums[c]), wantSums[c]) > 1e-5*float64(d.Batch*d.Size) {
						t.Fatalf("%v: sum %d is %v, want %v", d, c, sums[c], wantSums[c])
					}
				}
				if first != nil {
					same(t, "sums", first, sums)
				}
				first = sums
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for _, s := range [][2]int{{0, 5}, {3, 1}, {5, 10}, {7, 1000}, {2, 9000}, {300, 33}} {
			rows, cols := s[0], s[1]
			r := generator(uint64(cols))
			x, dy := random(r, rows*cols), random(r, rows*cols)
			for i := range x {
				x[i] = x[i]*10 + 500 // exp alone would overflow
			}
			p := newPool(t, 3)
			y, checkY := guarded(make([]float32, len(x)))
			log, checkLog := guarded(make([]float32, len(x)))
			lse := make([]float32, rows)
			dx, dLog := make([]float32, len(x)), make([]float32, len(x))
			SoftmaxRows(p, rows, cols, y, x)
			LogSoftmaxRows(p, rows, cols, log, x)
			LogSumExpRows(p, rows, cols, lse, x)
			SoftmaxGradRows(p, rows, cols, dx, y, dy)
			LogSoftmaxGradRows(p, rows, cols, dLog, log, dy)
			checkY(t, "y")
			checkLog(t, "log")
			for i := range rows {
				var sum, dot, total float64
				for _, v := range x[i*cols:][:cols] {
					sum += math.Exp(float64(v) - 500)
				}
				want := 500 + math.Log(sum)
				if relative(float64(lse[i]), want) > 1e-6 {
					t.Fatalf("%v: log-sum-exp is %v, want %v", s, lse[i], want)
				}
				soft := func(k int) float64 { return math.Exp(float64(x[i*cols+k]) - want) }
				for k := range cols {
					dot += soft(k) * float64(dy[i*cols+k])
					total += float64(dy[i*cols+k])
				}
				for k := range cols {
					at := i*cols + k
					d := float64(dy[at])
					for _, c := range []struct {
						name      string
						got       float32
						want, tol float64
					}{
						{"softmax", y[at], soft(k), 1e-6},
						{"log", log[at], float64(x[at]) - want, 1e-4},
						{"dx", dx[at], soft(k) * (d - dot), 2e-6},
						{"dlog", dLog[at], d - soft(k)*total, 1e-4},
					} {
						if relative(float64(c.got), c.want) > c.tol {
							t.Fatalf("%v: %s[%d] is %v, want %v", s, c.name, at, c.got, c.want)
						}
					}
				}
			}
		}
	})
}

func TestOptimizers(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		const n = 1000
		for variant := range 4 {
			r := generator(9)
			p := newPool(t, 2)
			w, m, v := random(r, n), make([]float32, n), make([]float32, n)
			w64, m64, v64 := make([]float64, n), make([]float64, n), make([]float64, n)
			for i := range w {
				w64[i] = float64(w[i])
			}
			for step := 1; step <= 20; step++ {
				g := random(r, n)
				sgd := SGD{Rate: 0.1, Momentum: 0.9, Decay: 1e-2, Nesterov: variant == 1}
				adam := Adam{Rate: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Decay: 0.1, Decoupled: variant == 3}
				if variant < 2 {
					sgd.Step(p, w, g, m)
				} else {
					adam.Step(p, step, w, g, m, v)
				}
				for i := range w64 {
					d := float64(g[i])
					if variant < 2 {
						d += 0.01 * w64[i]
						m64[i] = 0.9*m64[i] + d
						if sgd.Nesterov {
							w64[i] -= 0.1 * (d + 0.9*m64[i])
						} else {
							w64[i] -= 0.1 * m64[i]
						}
						continue
					}
					if adam.Decoupled {
						w64[i] *= 1 - 0.01*0.1
					} else {
						d += 0.1 * w64[i]
					}
					m64[i] = 0.9*m64[i] + 0.1*d
					v64[i] = 0.999*v64[i] + 0.001*d*d
					w64[i] -= 0.01 * m64[i] / (1 - math.Pow(0.9, float64(step))) / (math.Sqrt(v64[i]/(1-math.Pow(0.999, float64(step)))) + 1e-8)
				}
			}
			for i := range w {
				if relative(float64(w[i]), w64[i]) > 1e-4 {
					t.Fatalf("variant %d: w[%d] is %v, want %v", variant, i, w[i], w64[i])
				}
			}
		}
	})
}

func TestPool(t *testing.T) {
	p := newPool(t, 3)
	for n := range 20 {
		seen := make([]int32, n)
		p.Run(n, func(worker, i int) {
			if worker < 0 || worker >= p.Threads() {
				t.Errorf("worker %d", worker)
			}
			seen[i]++
		})
		covered := make([]int32, n)
		p.Ranges(n, 3, func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				covered[i]++
			}
		})
		for i := range n {
			if seen[i] != 1 || covered[i] != 1 {
				t.Errorf("%d of %d was done %d and %d times", i, n, seen[i], covered[i])
			}
		}
	}
	recovered := func(f func()) (r any) {
		defer func() { r = recover() }()
		f()
		return nil
	}
	if r := recovered(func() { p.Run(100, func(_, i int) { panic("seven") }) }); r != "seven" {
		t.Errorf("recovered %v", r)
	}
	if r := recovered(func() { p.Run(2, func(int, int) { p.Run(2, func(int, int) {}) }) }); r == nil {
		t.Error("a pool was used from inside its own job")
	}
	p.Run(1, func(int, int) {}) // it still works
}

// Jobs that come while workers look out, fall asleep and sleep are all done whole, by
// whoever is there.
func TestPoolPauses(t *testing.T) {
	p := newPool(t, 4)
	r := rand.New(rand.NewPCG(1, 2))
	for job := range 3000 {
		n := 1 + r.IntN(9)
		done := make([]int, n) // a race, if two do the same piece
		p.Run(n, func(_, i int) {
			done[i]++
			if i%4 == 3 {
				relax(int64(1 + job%200))
			}
		})
		for i, d := range done {
			if d != 1 {
				t.Fatalf("piece %d of job %d was done %d times", i, job, d)
			}
		}
		if job%16 == 0 {
			time.Sleep(time.Duration(r.IntN(60)) * time.Microsecond)
		}
	}
}

// Mistakes of the caller are found before anything is read or written.
func TestPanics(t *testing.T) {
	p := newPool(t, 1)
	s := []float32{1, 2, 3}
	for name, f := range map[string]func(){
		"short operand": func() { Add(p, make([]float32, 4), s, s) },
		"no operand":    func() { Mul(p, s, s, nil) },
		"short A":       func() { Gemm(p, &GemmArgs{M: 2, N: 1, K: 2, A: s, B: s, C: s}) },
		"rows too near": func() { Gemm(p, &GemmArgs{M: 1, N: 1, K: 2, A: s, LDA: 1, B: s, C: s}) },
		"overlapping":   func() { Gemm(p, &GemmArgs{M: 1, N: 1, K: 1, Batch: 2, A: s, B: s, C: s}) },
		"no such image": func() {
			ConvForward(p, &ConvShape{Batch: 1, InC: 1, InH: 1, InW: 1, OutC: 1, KH: 3, KW: 3}, s, s, s, nil)
		},
		"no such pool": func() { AveragePool(p, &PoolShape{Batch: 1, Channels: 1, InH: 1, InW: 1, KH: 2, KW: 2}, s, s) },
		"short mean":   func() { (&BatchNorm{Planes: Planes{1, 3, 1}, Mean: s[:2], Variance: s}).Forward(p, s, s) },
		"short rows":   func() { SoftmaxRows(p, 2, 2, s, s) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.HasPrefix(fmt.Sprint(r), "kernel: ") {
					t.Errorf("%s: %v", name, r)
				}
			}()
			f()
		}()
	}
}

// Once its pool has grown, no kernel allocates.
func TestAllocations(t *testing.T) {
	p := newPool(t, 2)
	r := generator(1)
	s := square(8, 16, 16, 16, 3, 1)
	d := s.filled()
	x, w, dy := random(r, d.sizeX()), random(r, d.sizeW()), random(r, d.sizeY())
	y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
	g := &GemmArgs{M: 128, N: 128, K: 128, A: x, B: dy, C: y}
	b := &BatchNorm{Planes: Planes{8, 16, 256}, Epsilon: 1, Mean: make([]float32, 16), Variance: make([]float32, 16)}
	arg := make([]int32, len(x))
	for name, f := range map[string]func(){
		"Gemm":                func() { Gemm(p, g) },
		"ConvForward":         func() { ConvForward(p, &s, y, x, w, nil) },
		"ConvBackwardData":    func() { ConvBackwardData(p, &s, dx, dy, w, false) },
		"ConvBackwardWeights": func() { ConvBackwardWeights(p, &s, dw, x, dy, false) },
		"Add":                 func() { Add(p, y, x, dy) },
		"Sum":                 func() { Sum(p, x) },
		"Softmax":             func() { SoftmaxRows(p, 128, 256, y, x) },
		"BatchNorm":           func() { b.Forward(p, y, x); b.Backward(p, dx, nil, nil, x, y, dy, false) },
		"MaxPool":             func() { MaxPool(p, &PoolShape{Batch: 8, Channels: 16, InH: 16, InW: 16, KH: 2, KW: 2}, y, arg, x) },
	} {
		if n := testing.AllocsPerRun(10, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
