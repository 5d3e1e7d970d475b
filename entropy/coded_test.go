package entropy_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/entropy"
	"ropewalk/layout"
	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// coded returns the bits that a .rope stores for float32 weights of one tensor,
// without its codebook, header and index.
func coded(t *testing.T, shape tensor.Shape, levels []float64, symbols []uint16, effort rope.Effort) float64 {
	t.Helper()
	w := make([]float32, len(symbols))
	for i, s := range symbols {
		w[i] = float32(levels[s])
	}
	raw := tensor.F32.AppendFloats(nil, w)
	l := &layout.Layout{
		Format: "test",
		Files:  []layout.File{{Name: "w.bin", Data: tensor.Bytes(raw)}},
		Arrays: []layout.Array{{Name: "w", DType: tensor.F32, Shape: shape, Size: int64(len(raw))}},
		Views:  []layout.View{{Name: "w", DType: tensor.F32, Shape: shape}},
	}
	var b bytes.Buffer
	if _, err := rope.Encode(context.Background(), &b, l, &rope.Options{Effort: effort}); err != nil {
		t.Fatal(err)
	}
	f, err := rope.Open("w.rope", tensor.Bytes(b.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := f.Arrays()[0]
	if a.Levels != len(levels) && a.Levels == 0 {
		t.Fatalf("stored as %+v, without levels", a)
	}
	return float64(8 * a.Stored)
}

// The three that have to go together (docs/RATIONALE.md): the rate that is
// trained, the entropy that is reported, and the bits that are stored.
//
// On levels, the rate is the entropy, up to the rounding of levels to float32. The
// coders store what the estimate of the model says, within a few per cent.
func TestRateEntropyAndBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	gauss := func(shape tensor.Shape, spread float64) []float32 {
		n, _ := shape.Elems()
		inner := int(n / shape[0])
		taps := inner / int(shape[1])
		col := make([]float64, shape[1])
		for i := range col {
			col[i] = math.Exp(spread * rng.NormFloat64())
		}
		w := make([]float32, n)
		row := 1.0
		for i := range w {
			if i%inner == 0 {
				row = math.Exp(spread * rng.NormFloat64())
			}
			w[i] = float32(rng.NormFloat64() * row * col[i/taps%int(shape[1])])
		}
		return w
	}
	tests := []struct {
		name   string
		shape  tensor.Shape
		spread float64 // of the scales of rows and columns
		step   float64
		k      int // levels on each side of zero
		model  entropy.Model
	}{
		{"ternary", tensor.Shape{200, 300}, 0, 1.8, 1, entropy.PerTensor},
		{"sparse ternary", tensor.Shape{300, 400}, 0, 3, 1, entropy.PerTensor},
		{"5 levels", tensor.Shape{64, 32, 3, 3}, 0, 1.2, 2, entropy.PerTensor},
		{"ternary, scales", tensor.Shape{200, 300}, 0.6, 2.5, 1, entropy.RowColumn},
		{"sparse ternary, scales", tensor.Shape{300, 784}, 0.7, 6, 1, entropy.RowColumn},
		{"15 levels, scales", tensor.Shape{128, 64, 3, 3}, 0.5, 0.7, 7, entropy.RowColumn},
	}
	for _, tt := range tests {
		layer := entropy.Layer{Name: "w", Shape: tt.shape}
		levels, err := entropy.Symmetric(tt.step, tt.k)
		if err != nil {
			t.Fatal(err)
		}
		w := gauss(tt.shape, tt.spread)
		q, err := entropy.NewQuantizer([]entropy.Layer{layer}, []*entropy.Levels{levels}, nil)
		if err != nil {
			t.Fatal(err)
		}
		on := make([]float32, len(w))
		q.Forward([][]float32{on}, [][]float32{w})
		symbols := q.Symbols(0)
		sink := [][]float32{make([]float32, len(w))}
		rate := func(m entropy.Model, x []float32) float64 {
			r, err := entropy.NewRate([]entropy.Layer{layer}, []*entropy.Levels{levels}, &entropy.RateOptions{Model: m})
			if err != nil {
				t.Fatal(err)
			}
			r.AddGrad([][]float32{x}, sink)
			return r.Bits()
		}
		measured := entropy.Measure(1, symbols).Bits * float64(len(w))
		if trained := rate(entropy.PerTensor, on); math.Abs(trained-measured) > 1e-6*measured {
			t.Errorf("%s: trained %v bits, measured %v", tt.name, trained, measured)
		}
		estimate, err := entropy.Estimate(layer, levels.Values(), symbols, &entropy.RateOptions{Model: tt.model})
		if err != nil {
			t.Fatal(err)
		}
		trained := rate(tt.model, on)
		fast, small := coded(t, tt.shape, levels.Values(), symbols, rope.Fast), coded(t, tt.shape, levels.Values(), symbols, rope.Max)
		t.Logf("%-22s %8d weights: order 0 %8.0f, trained %8.0f, estimate %8.0f, fast %8.0f (%.3f), max %8.0f (%.3f)",
			tt.name, len(w), measured, trained, estimate, fast, fast/estimate, small, small/estimate)
		if trained > estimate || estimate > 1.06*trained {
			t.Errorf("%s: trained %v bits, estimate %v: classes and tables should cost below 6 %%", tt.name, trained, estimate)
		}
		if fast < 0.95*estimate || fast > 1.15*estimate {
			t.Errorf("%s: estimate %v bits, fast stores %v", tt.name, estimate, fast)
		}
		if small < 0.94*estimate || small > 1.04*estimate {
			t.Errorf("%s: estimate %v bits, max stores %v", tt.name, estimate, small)
		}
	}
}

// The same on a trained network, quantized without training; the levels are
// those of package quant. Its kernels have structure that no model here has, so
// the coders are below the estimate, but not far.
func TestEstimateOfNetwork(t *testing.T) {
	c, err := checkpoint.Open(filepath.Join("..", "testdata", "fashion-cnn.safetensors"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	compare(t, c, 0.85, 1.08)
}

func TestEstimateOfResNet(t *testing.T) {
	path := filepath.Join("..", "..", "shared", "data", "resnet20_cifar10.safetensors")
	if _, err := os.Stat(path); err != nil {
		t.Skip("no ResNet-20 beside the repository: ", err)
	}
	c, err := checkpoint.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	compare(t, c, 0.8, 1.02)
}

func compare(t *testing.T, c *checkpoint.Checkpoint, least, most float64) {
	t.Helper()
	for _, step := range []float64{0.5, 1.5} {
		var trained, estimate, small float64
		for _, x := range c.Tensors.All() {
			if len(x.Shape) < 2 || x.Elems() < 4000 || x.DType != tensor.F32 {
				continue
			}
			b, err := x.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			w := tensor.F32.AppendFloat32s(nil, b)
			q, err := quant.Quantize(x.Name, x.Shape, w, nil, &quant.Options{Step: step})
			if err != nil {
				t.Fatal(err)
			}
			levels := make([]float64, len(q.Levels))
			for i, v := range q.Levels {
				levels[i] = float64(v)
			}
			best := math.Inf(1)
			layer := entropy.Layer{Name: x.Name, Shape: x.Shape}
			for _, m := range []entropy.Model{entropy.PerTensor, entropy.RowColumn} {
				e, err := entropy.Estimate(layer, levels, q.Symbols, &entropy.RateOptions{Model: m})
				if err != nil {
					t.Fatal(err)
				}
				best = min(best, e)
			}
			estimate += best
			l, err := entropy.NewLevels(levels)
			if err != nil {
				t.Fatal(err)
			}
			r, err := entropy.NewRate([]entropy.Layer{layer}, []*entropy.Levels{l}, &entropy.RateOptions{Model: entropy.RowColumn})
			if err != nil {
				t.Fatal(err)
			}
			v := q.Values(nil)
			r.AddGrad([][]float32{v}, [][]float32{make([]float32, len(v))})
			trained += r.Bits()
			small += coded(t, x.Shape, levels, q.Symbols, rope.Max)
		}
		if estimate == 0 {
			t.Fatal("no tensors")
		}
		t.Logf("step %g: trained %.0f, estimate %.0f, max %.0f bits (%.3f)", step, trained, estimate, small, small/estimate)
		if small < least*estimate || small > most*estimate {
			t.Errorf("step %g: estimate %v bits, stored %v", step, estimate, small)
		}
	}
}

func ExampleMeasure() {
	symbols := slices.Repeat([]uint16{0, 1, 1, 0, 0, 1, 0, 0}, 100)
	for n := 1; n <= 4; n++ {
		e := entropy.Measure(n, symbols)
		fmt.Printf("H_%d/%d = %.3f bits per weight, %d different blocks\n", n, n, e.PerWeight(), e.Distinct)
	}
	// Output:
	// H_1/1 = 0.954 bits per weight, 2 different blocks
	// H_2/2 = 0.750 bits per weight, 3 different blocks
	// H_3/3 = 0.833 bits per weight, 6 different blocks
	// H_4/4 = 0.250 bits per weight, 2 different blocks
}

func ExampleRate() {
	levels, err := entropy.Symmetric(1, 1) // -1, 0, 1
	if err != nil {
		panic(err)
	}
	layers := []entropy.Layer{{Name: "fc.weight", Shape: tensor.Shape{2, 4}}}
	rate, err := entropy.NewRate(layers, []*entropy.Levels{levels}, nil)
	if err != nil {
		panic(err)
	}
	latents := [][]float32{{0, 0, 0, 1, 0, 0, -1, 0.5}}
	gradients := [][]float32{make([]float32, 8)}
	bits := rate.AddGrad(latents, gradients)
	fmt.Printf("%.2f bits\n", bits)
	fmt.Printf("the weight between two levels: %.2f bits per unit\n", gradients[0][7])
	// Output:
	// 9.60 bits
	// the weight between two levels: 1.87 bits per unit
}
