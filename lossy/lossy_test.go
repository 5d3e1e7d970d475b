package lossy_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"testing"

	"ropewalk/layout"
	"ropewalk/lossy"
	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// network is a layout of a matrix and a vector, with bytes before, between and behind.
func network(dtype tensor.DType) *layout.Layout {
	w := make([]float32, 40*90)
	for i := range w {
		w[i] = float32(math.Sin(float64(i*i%977)) * 0.1 * float64(1+i%7))
	}
	b := make([]float32, 40)
	for i := range b {
		b[i] = float32(i) / 7
	}
	file := []byte("<")
	l := &layout.Layout{Format: "test"}
	add := func(name string, shape tensor.Shape, v []float32) {
		raw := dtype.AppendFloats(nil, v)
		l.Views = append(l.Views, layout.View{Name: name, DType: dtype, Shape: shape, Array: len(l.Arrays)})
		l.Arrays = append(l.Arrays, layout.Array{Name: name, DType: dtype, Shape: shape, Offset: int64(len(file)), Size: int64(len(raw))})
		file = append(append(file, raw...), '|')
	}
	add("w", tensor.Shape{40, 10, 3, 3}, w)
	add("b", tensor.Shape{40}, b)
	l.Files = []layout.File{{Name: "m.test", Data: tensor.Bytes(file)}}
	return l
}

// Every byte but those of the matrix stays; the matrix has few values, near its own.
func TestQuantize(t *testing.T) {
	ctx := context.Background()
	for _, o := range []lossy.Options{
		{},
		{RDO: true, Quant: quant.Options{Step: 0.5}},
		{Quant: quant.Options{Method: quant.Lloyd, Levels: 4}},
		{Quant: quant.Options{PerChannel: true}},
	} {
		for _, dtype := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.F64} {
			if o.Quant.PerChannel && dtype != tensor.F32 {
				continue
			}
			l := network(dtype)
			q, err := lossy.New(ctx, l, &o)
			if err != nil {
				t.Fatal(err)
			}
			lambda, err := q.Lambda()
			if err != nil {
				t.Fatal(err)
			}
			r, err := q.Quantize(ctx, lambda)
			if err != nil {
				t.Fatal(err)
			}
			var packed bytes.Buffer
			if _, err := rope.Encode(ctx, &packed, r.Layout, &rope.Options{Effort: rope.Max}); err != nil {
				t.Fatal(err)
			}
			f, err := rope.Open("packed", tensor.Bytes(packed.Bytes()), nil)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := f.Restore(ctx, 0, &out, func(int64, int64) {}); err != nil {
				t.Fatal(err)
			}
			was, is := []byte(l.Files[0].Data.(tensor.Bytes)), out.Bytes()
			a := l.Arrays[0]
			if len(is) != len(was) || !bytes.Equal(is[a.Offset+a.Size:], was[a.Offset+a.Size:]) || is[0] != was[0] {
				t.Fatal("bytes beside the matrix have changed")
			}
			w := dtype.AppendFloat32s(nil, was[a.Offset:a.Offset+a.Size])
			v := dtype.AppendFloat32s(nil, is[a.Offset:a.Offset+a.Size])
			var d, e float64
			for i := range w {
				d += float64(w[i]-v[i]) * float64(w[i]-v[i])
				e += float64(w[i]) * float64(w[i])
			}
			if n, nmse := r.Weights(); n != 3600 || math.Abs(d/e-nmse) > 0.01*nmse+1e-5 || nmse > 0.2 {
				t.Errorf("%+v %s: error %g of %d weights, said %g", o.Quant, dtype, d/e, n, nmse)
			}
			if r.Tensors[1].Kept != "a vector" || r.Tensors[0].Levels < 2 {
				t.Errorf("report: %+v", r.Tensors)
			}
		}
	}
}

func TestWithin(t *testing.T) {
	ctx := context.Background()
	for _, rdo := range []bool{false, true} {
		q, err := lossy.New(ctx, network(tensor.F32), &lossy.Options{RDO: rdo})
		if err != nil {
			t.Fatal(err)
		}
		opt := &rope.Options{Effort: rope.Max}
		const target = 1500
		r, err := q.Within(ctx, target, opt)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		if _, err := rope.Encode(ctx, &packed, r.Layout, opt); err != nil {
			t.Fatal(err)
		}
		if n := packed.Len(); n > target || n < target*98/100 { // few weights: sizes jump
			t.Errorf("rdo %v: %d bytes, wanted %d", rdo, n, target)
		}
		_, err = q.Within(ctx, 100, opt)
		if b, ok := errors.AsType[*lossy.BudgetError](err); !ok || b.Smallest <= 100 {
			t.Errorf("100 bytes: %v", err)
		}
	}
}

// A level beyond the range of a type would be infinite in the file: the highest
// multiple of a step may lie half a step above the largest weight.
func TestOutermostLevel(t *testing.T) {
	l := network(tensor.F16)
	a := l.Arrays[0]
	w := make([]float32, a.Size/2)
	for i := range w {
		w[i] = float32(i-len(w)/2) / float32(len(w)/2) * 65504
	}
	tensor.F16.AppendFloats(l.Files[0].Data.(tensor.Bytes)[a.Offset:a.Offset], w)
	for step := 0.04; step < 0.06; step += 0.001 {
		q, err := lossy.New(t.Context(), l, &lossy.Options{Quant: quant.Options{Step: step, Rounding: 0.5}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := q.Quantize(t.Context(), 0.001)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := tensor.ReadRange(r.Layout.ArrayData(0), 0, a.Size, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range tensor.F16.AppendFloat32s(nil, raw) {
			if math.IsInf(float64(v), 0) {
				t.Fatalf("step %g: weight %d, %g, became %g", step, i, w[i], v)
			}
		}
	}
}

// What fits as it is loses nothing, and comes out as if no budget had been.
func TestFits(t *testing.T) {
	ctx := t.Context()
	opt := &rope.Options{Effort: rope.Max}
	l := network(tensor.F32)
	size := func(l *layout.Layout) int64 {
		var b bytes.Buffer
		if _, err := rope.Encode(ctx, &b, l, opt); err != nil {
			t.Fatal(err)
		}
		return int64(b.Len())
	}
	whole := size(l)
	for _, method := range []quant.Method{quant.Uniform, quant.Lloyd} {
		q, err := lossy.New(ctx, l, &lossy.Options{Budget: true, RDO: true, Quant: quant.Options{Method: method}})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			target int64
			as     bool
		}{{whole, true}, {whole - 1, false}, {2 * whole, true}} {
			r, err := q.Within(ctx, tt.target, opt)
			if err != nil {
				t.Fatal(err)
			}
			n, nmse := r.Weights()
			if (n == 0) != tt.as || n == 0 && nmse != 0 || size(r.Layout) > tt.target || tt.as != (r.Layout == l) {
				t.Errorf("%s, %d bytes of %d: %d weights quantized, %d bytes", method, tt.target, whole, n, size(r.Layout))
			}
		}
	}
}

// The levels of Lloyd-Max follow a budget as well.
func TestLloydWithBits(t *testing.T) {
	ctx := t.Context()
	opt := &rope.Options{Effort: rope.Max}
	q, err := lossy.New(ctx, network(tensor.F32), &lossy.Options{Budget: true, Quant: quant.Options{Method: quant.Lloyd}})
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, bits := range []float64{1.5, 2, 2.5, 3, 4} {
		r, err := q.WithBits(ctx, bits, opt)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := rope.Encode(ctx, &b, r.Layout, opt); err != nil {
			t.Fatal(err)
		}
		f, err := rope.Open("packed", tensor.Bytes(b.Bytes()), nil)
		if err != nil {
			t.Fatal(err)
		}
		stored, n := r.Stored(f.Arrays())
		if got := 8 * float64(stored) / float64(n); got > bits || r.Tensors[0].Levels < last {
			t.Errorf("%g bits: %g with %d levels, after %d", bits, got, r.Tensors[0].Levels, last)
		}
		last = r.Tensors[0].Levels
	}
	if last < 8 {
		t.Errorf("%d levels for 4 bits", last)
	}
	_, err = q.WithBits(ctx, 0.1, opt)
	if b, ok := errors.AsType[*lossy.BitsError](err); !ok || b.Least < 0.1 || b.Least > 1.5 {
		t.Errorf("0.1 bits: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	sens := func(shape tensor.Shape, n int) *tensor.Set {
		s, err := tensor.NewSet(&tensor.Tensor{Name: "w", DType: tensor.F32, Shape: shape, Data: tensor.Bytes(make([]byte, 4*n))})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, tt := range []struct {
		o    lossy.Options
		want error
	}{
		{lossy.Options{Keep: []string{"x*"}}, lossy.ErrOptions},
		{lossy.Options{Keep: []string{"w"}}, lossy.ErrOptions},
		{lossy.Options{Quant: quant.Options{Lambda: -1}}, lossy.ErrOptions},
		{lossy.Options{Sensitivities: sens(tensor.Shape{3600}, 3600)}, lossy.ErrInput},
		{lossy.Options{Sensitivities: sens(tensor.Shape{40, 10, 3, 3}, 3600)}, lossy.ErrInput}, // all zero
		{lossy.Options{Quant: quant.Options{Step: 1e-9}}, lossy.ErrOptions},
		{lossy.Options{Quant: quant.Options{Levels: 1}}, lossy.ErrOptions},
	} {
		if _, err := lossy.New(ctx, network(tensor.F32), &tt.o); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.o, err, tt.want)
		}
	}
	if _, err := lossy.New(ctx, network(tensor.F16), &lossy.Options{Quant: quant.Options{PerChannel: true}}); !errors.Is(err, lossy.ErrOptions) {
		t.Errorf("scales per channel for F16: %v", err)
	}
	if _, err := lossy.New(ctx, &layout.Layout{}, nil); !errors.Is(err, lossy.ErrOptions) {
		t.Errorf("nothing at all: %v", err)
	}
}
