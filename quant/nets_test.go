package quant_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

type weights struct {
	name  string
	shape []int64
	w     []float32
}

// load returns the float32 tensors of rank 2 and more, with 64 elements and
// more, that are not constant.
func load(t *testing.T, path string) []weights {
	c, err := checkpoint.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out []weights
	for _, x := range c.Tensors.All() {
		if x.DType != tensor.F32 || len(x.Shape) < 2 || x.Elems() < 64 {
			continue
		}
		b, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		w := make([]float32, len(b)/4)
		for i := range w {
			w[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		if slices.Min(w) < slices.Max(w) {
			out = append(out, weights{x.Name, x.Shape, w})
		}
	}
	return out
}

// cost is what a quantized net costs, per weight.
type cost struct {
	d      float64
	order0 float64 // bits
	real   float64 // bits in the max coder, and codebooks
}

func measure(t *testing.T, net []weights, o *quant.Options, rdo bool) cost {
	p, err := quant.NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range net {
		if err := p.Add(x.name, x.shape, x.w, nil); err != nil {
			t.Fatal(err)
		}
	}
	lambda, err := p.Lambda()
	if err != nil {
		t.Fatal(err)
	}
	var sum cost
	n := 0.0
	for i, x := range net {
		q, err := p.Quantize(i, x.w, nil, lambda)
		if err != nil {
			t.Fatal(err)
		}
		code := func(q *quant.Quantized, choose quant.Choice) []uint16 {
			symbols := slices.Clone(q.Symbols)
			rope.Assign(t.Context(), x.shape, q.Levels, symbols, choose)
			return symbols
		}
		if rdo {
			q.Assign(x.w, nil, code)
		}
		bits := uint64(0)
		code(q, func(i int, price func(int) uint32) int {
			s := int(q.Symbols[i])
			bits += uint64(price(s))
			return s
		})
		n += float64(len(x.w))
		sum.d += q.NMSE * float64(len(x.w))
		sum.order0 += q.Bits
		sum.real += float64(bits)/65536 + codebookBits(q.Levels)
	}
	return cost{sum.d / n, sum.order0 / n, sum.real / n}
}

// codebookBits is about what the container stores for levels: a byte for each
// multiple of a step, two for each half, or four.
func codebookBits(levels []float32) float64 {
	n := float64(len(levels))
	step := math.Inf(1)
	for i, l := range levels {
		if i > 0 {
			step = min(step, float64(l)-float64(levels[i-1]))
		}
	}
	multiples, halves := true, true
	for _, l := range levels {
		k := float64(l) / step
		multiples = multiples && math.Abs(k-math.Round(k)) < 1e-3
		halves = halves && math.Float32bits(l)&(1<<13-1) == 0
	}
	switch {
	case multiples:
		return 32 + 8*n
	case halves:
		return 16 * n
	}
	return 32 * n
}

// At equal distortion, the default needs fewer bits than Lloyd–Max on the data
// with 4 to 32 levels, and still fewer with symbols chosen by their cost in the
// max coder. The aim is 8 and 12 % in the mean over nets. The limits here are
// what weights without heavy tails reach, as those of ResNets.
func TestNetsAgainstLloyd(t *testing.T) {
	dir := os.Getenv("ROPEWALK_MODELS")
	if dir == "" {
		t.Skip("ROPEWALK_MODELS does not name a folder of trained networks")
	}
	if testing.Short() {
		t.Skip("takes a minute for a million weights")
	}
	var files []string
	for _, ext := range []string{"*.safetensors", "*.onnx"} {
		found, err := filepath.Glob(filepath.Join(dir, ext))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	var order0, plainMean, rdoMean, n float64
	for _, f := range files {
		net := load(t, f)
		if len(net) == 0 {
			continue
		}
		t.Logf("%s, %d tensors", filepath.Base(f), len(net))
		for _, levels := range []int{4, 8, 16, 32} {
			l := measure(t, net, &quant.Options{Method: quant.Lloyd, Levels: levels}, false)
			plain := atDistortion(l.d, func(lambda float64) cost {
				return measure(t, net, &quant.Options{Lambda: lambda}, false)
			})
			rdo := atDistortion(l.d, func(lambda float64) cost {
				return measure(t, net, &quant.Options{Lambda: lambda}, true)
			})
			t.Logf("%2d levels: distortion %.5f, order-0 %.4f bits, max coder %.4f; the default needs %.4f and %.4f of them, with assignment %.4f",
				levels, l.d, l.order0, l.real, plain.order0/l.order0, plain.real/l.real, rdo.real/l.real)
			order0 += plain.order0 / l.order0
			plainMean += plain.real / l.real
			rdoMean += rdo.real / l.real
			n++
		}
	}
	if n == 0 {
		t.Skip("there is no network with float32 weights in " + dir)
	}
	t.Logf("mean: order-0 %.4f, max coder %.4f, with assignment %.4f", order0/n, plainMean/n, rdoMean/n)
	if plainMean/n > 0.94 || rdoMean/n > 0.93 {
		t.Error("want 0.94 and 0.93 at most")
	}
}

// atDistortion returns what it costs to have this distortion: on the line
// between two that are near, the distortion in logarithms.
func atDistortion(d float64, of func(lambda float64) cost) cost {
	// At high rate the distortion is lambda/(2·ln 2), at low rate less.
	lambda := d * 2 * math.Ln2
	a := of(lambda)
	lambda *= math.Pow(d/a.d, 1.2)
	b := of(lambda)
	f := (math.Log(d) - math.Log(a.d)) / (math.Log(b.d) - math.Log(a.d))
	if math.Abs(b.d/a.d-1) < 1e-6 {
		f = 1
	}
	on := func(x, y float64) float64 { return x + f*(y-x) }
	return cost{d, on(a.order0, b.order0), on(a.real, b.real)}
}
