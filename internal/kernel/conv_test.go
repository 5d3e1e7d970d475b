package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// reference computes in float64, for one convolution, y, dx and dw, and the sums
// of the magnitudes of their terms.
type reference struct {
	y, dx, dw             []float64
	sizeY, sizeDX, sizeDW []float64
}

func (d *convDims) reference(x, w, dy []float32) *reference {
	f := &reference{
		make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(w)),
		make([]float64, len(dy)), make([]float64, len(x)), make([]float64, len(w)),
	}
	add := func(sum, size *float64, v float64) { *sum += v; *size += math.Abs(v) }
	for n := range d.Batch {
		d.visit(n, func(ix, iw, iy int) {
			add(&f.y[iy], &f.sizeY[iy], float64(x[ix])*float64(w[iw]))
			add(&f.dx[ix], &f.sizeDX[ix], float64(dy[iy])*float64(w[iw]))
			add(&f.dw[iw], &f.sizeDW[iw], float64(dy[iy])*float64(x[ix]))
		})
	}
	return f
}

// near fails unless got is want up to the rounding of a sum of terms with the given
// magnitude, in any order.
func near(t *testing.T, what string, got []float32, want, size []float64, terms int) {
	t.Helper()
	for i := range got {
		if !(math.Abs(float64(got[i])-want[i]) <= size[i]*float64(terms+4)*0x1p-24) {
			t.Fatalf("%s[%d] is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func same(t *testing.T, what string, a, b []float32) {
	t.Helper()
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			t.Fatalf("%s[%d] is %v with one thread, and %v with three", what, i, a[i], b[i])
		}
	}
}

func randomConv(r *rand.Rand) (ConvShape, bool) {
	s := ConvShape{
		Batch: 1 + r.IntN(3), InH: 1 + r.IntN(12), InW: 1 + r.IntN(20), KH: 1 + r.IntN(5), KW: 1 + r.IntN(5),
		StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3), DilationH: 1 + r.IntN(2), DilationW: 1 + r.IntN(2),
		PadTop: r.IntN(4), PadLeft: r.IntN(4), PadBottom: r.IntN(4), PadRight: r.IntN(4), Groups: 1 + r.IntN(3),
	}
	s.InC, s.OutC = s.Groups*(1+r.IntN(4)), s.Groups*(1+r.IntN(19))
	switch r.IntN(6) {
	case 0: // 1×1
		s.KH, s.KW, s.PadTop, s.PadLeft, s.PadBottom, s.PadRight = 1, 1, 0, 0, 0, 0
		s.InH, s.InW = 1+r.IntN(30), 1+r.IntN(40)
	case 1: // 3×3, same size
		s.KH, s.KW, s.PadTop, s.PadLeft, s.PadBottom, s.PadRight = 3, 3, 1, 1, 1, 1
		s.StrideH, s.StrideW, s.DilationH, s.DilationW = 1, 1, 1, 1
		s.InW = []int{7, 8, 14, 16, 24, 28, 32, 33}[r.IntN(8)]
	case 2: // 5×5, no padding
		s.KH, s.KW, s.PadTop, s.PadLeft, s.PadBottom, s.PadRight = 5, 5, 0, 0, 0, 0
		s.StrideH, s.StrideW, s.DilationH, s.DilationW = 1, 1, 1, 1
		s.InH, s.InW = 5+r.IntN(9), []int{12, 20, 28, 36}[r.IntN(4)]
	case 3: // wide padding
		s.PadLeft, s.PadRight = r.IntN(40), r.IntN(40)
	case 4: // depthwise
		s.Groups = s.InC
		s.OutC = s.InC * (1 + r.IntN(2))
	}
	return s, s.InH+s.PadTop+s.PadBottom > s.DilationH*(s.KH-1) && s.InW+s.PadLeft+s.PadRight > s.DilationW*(s.KW-1)
}

func TestConv(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		count := 300
		if testing.Short() {
			count = 60
		}
		pools := []*Pool{newPool(t, 1), newPool(t, 3)}
		for i := range count {
			r := generator(uint64(i))
			s, ok := randomConv(r)
			if !ok {
				continue
			}
			checkConv(t, r, pools, fmt.Sprint(i), s)
		}
	})
}

// Shapes that networks have.
func TestConvKnown(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		pools := []*Pool{newPool(t, 1), newPool(t, 3)}
		for _, s := range convShapes {
			if s.shape.InC*s.shape.OutC*s.shape.InW*s.shape.InH > 1<<19 {
				continue
			}
			s.shape.Batch = 2
			checkConv(t, generator(7), pools, s.name, s.shape)
		}
	})
}

func checkConv(t *testing.T, r *rand.Rand, pools []*Pool, name string, s ConvShape) {
	t.Run(name, func(t *testing.T) {
		t.Logf("%+v", s)
		d := s.filled()
		x, _ := guarded(random(r, d.sizeX()))
		w, _ := guarded(random(r, d.sizeW()))
		dy, _ := guarded(random(r, d.sizeY()))
		f := d.reference(x, w, dy)
		start := [][]float32{random(r, len(dy)), random(r, len(x)), random(r, len(w))}
		accumulate := r.IntN(2) == 0
		e := ConvEpilogue{}
		if r.IntN(2) == 0 {
			e.Bias, _ = guarded(random(r, d.OutC))
		}
		if r.IntN(2) == 0 {
			e.Residual, _ = guarded(random(r, len(dy)))
		}
		if r.IntN(2) == 0 {
			e.Clamp = Clamp{true, -0.5, 3}
		}
		for i := range f.y {
			if e.Bias != nil {
				b := float64(e.Bias[i/(d.OutH*d.OutW)%d.OutC])
				f.y[i] += b
				f.sizeY[i] += math.Abs(b)
			}
			if e.Residual != nil {
				f.y[i] += float64(e.Residual[i])
				f.sizeY[i] += math.Abs(float64(e.Residual[i]))
			}
			if e.Clamp.On {
				f.y[i] = max(-0.5, min(f.y[i], 3))
			}
		}
		if accumulate {
			for i, v := range start[1] {
				f.dx[i] += float64(v)
				f.sizeDX[i] += math.Abs(float64(v))
			}
			for i, v := range start[2] {
				f.dw[i] += float64(v)
				f.sizeDW[i] += math.Abs(float64(v))
			}
		}
		var first [3][]float32
		for run, p := range pools {
			y, checkY := guarded(start[0])
			dx, checkDX := guarded(start[1])
			dw, checkDW := guarded(start[2])
			ConvForward(p, &s, y, x, w, &e)
			checkY(t, "y")
			near(t, "y", y, f.y, f.sizeY, d.ic*d.KH*d.KW)
			ConvBackwardData(p, &s, dx, dy, w, accumulate)
			checkDX(t, "dx")
			near(t, "dx", dx, f.dx, f.sizeDX, d.oc*d.KH*d.KW)
			ConvBackwardWeights(p, &s, dw, x, dy, accumulate)
			checkDW(t, "dw")
			near(t, "dw", dw, f.dw, f.sizeDW, d.Batch*d.OutH*d.OutW)
			if run == 0 {
				first = [3][]float32{y, dx, dw}
				continue
			}
			same(t, "y", first[0], y)
			same(t, "dx", first[1], dx)
			same(t, "dw", first[2], dw)
		}
	})
}

type namedConv struct {
	name  string
	shape ConvShape
}

var convShapes = []namedConv{
	{"LeNet1", ConvShape{Batch: 100, InC: 1, InH: 28, InW: 28, OutC: 20, KH: 5, KW: 5}},
	{"LeNet2", ConvShape{Batch: 100, InC: 20, InH: 12, InW: 12, OutC: 50, KH: 5, KW: 5}},
	{"ResNet16", square(128, 16, 32, 16, 3, 1)},
	{"ResNet32", square(128, 32, 16, 32, 3, 1)},
	{"ResNet64", square(128, 64, 8, 64, 3, 1)},
	{"stem", square(128, 3, 32, 16, 3, 1)},
	{"stride2", square(128, 16, 32, 32, 3, 2)},
	{"1x1", square(128, 64, 8, 128, 1, 1)},
	{"1x1s2", square(128, 16, 32, 32, 1, 2)},
	{"depthwise", ConvShape{Batch: 32, InC: 64, InH: 32, InW: 32, OutC: 64, KH: 3, KW: 3, PadTop: 1, PadLeft: 1, PadBottom: 1, PadRight: 1, Groups: 64}},
	{"56x56", square(4, 64, 56, 64, 3, 1)},
	{"14x14", square(4, 256, 14, 256, 3, 1)},
	{"7x7", square(4, 512, 7, 512, 3, 1)},
}

// square is a convolution of squares, with as much padding as keeps them.
func square(batch, in, size, out, k, stride int) ConvShape {
	return ConvShape{
		Batch: batch, InC: in, InH: size, InW: size, OutC: out, KH: k, KW: k, StrideH: stride, StrideW: stride,
		PadTop: k / 2, PadLeft: k / 2, PadBottom: k / 2, PadRight: k / 2,
	}
}

func BenchmarkConv(b *testing.B) {
	for _, s := range convShapes {
		d := s.shape.filled()
		r := generator(5)
		x, w, dy := random(r, d.sizeX()), random(r, d.sizeW()), random(r, d.sizeY())
		y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
		for _, threads := range []int{1, 2} {
			p := newPool(b, threads)
			run := func(name string, f func()) {
				b.Run(fmt.Sprintf("%s/%s/threads=%d", s.name, name, threads), func(b *testing.B) {
					measure(b, 2*float64(len(dy))*float64(d.ic*d.KH*d.KW), f)
				})
			}
			run("forward", func() { ConvForward(p, &s.shape, y, x, w, nil) })
			run("data", func() { ConvBackwardData(p, &s.shape, dx, dy, w, false) })
			run("weights", func() { ConvBackwardWeights(p, &s.shape, dw, x, dy, false) })
		}
	}
}

// visit calls f with the indices into x, w and y of each product of image n.
func (d *convDims) visit(n int, f func(x, w, y int)) {
	for o := range d.OutC {
		group := o / d.oc
		for i := range d.OutH {
			for j := range d.OutW {
				y := ((n*d.OutC+o)*d.OutH+i)*d.OutW + j
				for c := range d.ic {
					for u := range d.KH {
						row := i*d.StrideH + u*d.DilationH - d.PadTop
						if row < 0 || row >= d.InH {
							continue
						}
						for v := range d.KW {
							col := j*d.StrideW + v*d.DilationW - d.PadLeft
							if col < 0 || col >= d.InW {
								continue
							}
							x := ((n*d.InC+group*d.ic+c)*d.InH+row)*d.InW + col
							f(x, ((o*d.ic+c)*d.KH+u)*d.KW+v, y)
						}
					}
				}
			}
		}
	}
}
