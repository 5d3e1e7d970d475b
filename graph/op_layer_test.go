package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/tensor"
)

func matmulCases() []opCase {
	a, b := floats(tensor.Shape{2, 2}, 1, 2, 3, 4), floats(tensor.Shape{2, 3}, 1, 0, 1, 0, 1, 1)
	ab := floats(tensor.Shape{2, 3}, 1, 2, 3, 3, 4, 7)
	return []opCase{
		{"MatMul", nil, values(a, b), values(ab)},
		{"MatMul vectors", nil, values(list(1, 2), list(3, 4)), values(scalar(11))},
		{"MatMul row", nil, values(list(1, 1), b), values(list(1, 1, 2))},
		{"MatMul column", nil, values(a, list(1, 1)), values(list(3, 7))},
		{"MatMul stacks", nil, values(floats(tensor.Shape{2, 1, 1, 2}, 1, 2, 3, 4), floats(tensor.Shape{2, 2, 1}, 1, 1, 2, 0)), values(floats(tensor.Shape{2, 2, 1, 1}, 3, 2, 7, 6))},
		{"MatMul of integers", nil, values(ints(tensor.Shape{1, 2}, 3, 4), ints(tensor.Shape{2, 1}, 5, 6)), values(ints(tensor.Shape{1, 1}, 39))},
		{"MatMul of none", nil, values(upTo(2, 0), upTo(0, 1)), values(floats(tensor.Shape{2, 1}, 0, 0))},
		{"Gemm", Attributes{"alpha": 2.0, "beta": 0.5}, values(a, b, list(2, 4, 6)), values(floats(tensor.Shape{2, 3}, 3, 6, 9, 7, 10, 17))},
		{
			"Gemm transposed",
			Attributes{"transA": int64(1), "transB": int64(1)},
			values(floats(tensor.Shape{2, 2}, 1, 3, 2, 4), floats(tensor.Shape{3, 2}, 1, 0, 0, 1, 1, 1), floats(tensor.Shape{2, 1}, 10, 20)),
			values(floats(tensor.Shape{2, 3}, 11, 12, 13, 23, 24, 27)),
		},
		{"Det", nil, values(floats(tensor.Shape{2, 2, 2}, 0, 2, 3, 4, 1, 2, 2, 4)), values(list(-6, 0))},
		{"Einsum", Attributes{"equation": "ij, jk -> ki"}, values(a, b), values(floats(tensor.Shape{3, 2}, 1, 3, 2, 4, 3, 7))},
		{"Einsum diagonal", Attributes{"equation": "...ii"}, values(floats(tensor.Shape{2, 2, 2}, 1, 2, 3, 4, 5, 6, 7, 8)), values(list(5, 13))},
		{"Einsum sum", Attributes{"equation": "ij->"}, values(a), values(scalar(10))},
		{"Einsum stacks", Attributes{"equation": "...i,...i->..."}, values(a, floats(tensor.Shape{1, 2}, 1, 10)), values(list(21, 43))},
	}
}

func convCases() []opCase {
	x := upTo(1, 1, 3, 3)
	ones := floats(tensor.Shape{1, 1, 2, 2}, 1, 1, 1, 1)
	return []opCase{
		{"Conv", nil, values(x, ones, list(100)), values(floats(tensor.Shape{1, 1, 2, 2}, 108, 112, 120, 124))},
		{"Conv pads", Attributes{"pads": []int64{1, 1, 0, 0}, "strides": []int64{2, 2}}, values(x, ones), values(floats(tensor.Shape{1, 1, 2, 2}, 0, 3, 9, 24))},
		{"Conv same", Attributes{"auto_pad": "SAME_UPPER"}, values(upTo(1, 1, 3), floats(tensor.Shape{1, 1, 2}, 1, 10)), values(floats(tensor.Shape{1, 1, 3}, 10, 21, 2))},
		{"Conv same lower", Attributes{"auto_pad": "SAME_LOWER"}, values(upTo(1, 1, 3), floats(tensor.Shape{1, 1, 2}, 1, 10)), values(floats(tensor.Shape{1, 1, 3}, 0, 10, 21))},
		{"Conv dilated", Attributes{"dilations": []int64{2}}, values(upTo(1, 1, 4), floats(tensor.Shape{1, 1, 2}, 1, 10)), values(floats(tensor.Shape{1, 1, 2}, 20, 31))},
		{"Conv groups", Attributes{"group": int64(2)}, values(upTo(1, 2, 2), floats(tensor.Shape{2, 1, 1}, 1, 10)), values(floats(tensor.Shape{1, 2, 2}, 0, 1, 20, 30))},
		{"ConvTranspose", nil, values(upTo(1, 1, 2, 2), ones, list(1)), values(floats(tensor.Shape{1, 1, 3, 3}, 1, 2, 2, 3, 7, 5, 3, 6, 4))},
		{"ConvTranspose strides", Attributes{"strides": []int64{2}, "output_padding": []int64{1}, "pads": []int64{1, 0}}, values(floats(tensor.Shape{1, 1, 2}, 1, 2), floats(tensor.Shape{1, 1, 3}, 1, 10, 100)), values(floats(tensor.Shape{1, 1, 5}, 10, 102, 20, 200, 0))},
		{"ConvTranspose shape", Attributes{"strides": []int64{2}, "output_shape": []int64{4}}, values(floats(tensor.Shape{1, 1, 2}, 1, 2), floats(tensor.Shape{1, 1, 3}, 1, 10, 100)), values(floats(tensor.Shape{1, 1, 4}, 10, 102, 20, 200))},
		{"ConvTranspose groups", Attributes{"group": int64(2)}, values(floats(tensor.Shape{1, 2, 1}, 1, 2), floats(tensor.Shape{2, 1, 2}, 1, 2, 3, 4)), values(floats(tensor.Shape{1, 2, 2}, 1, 2, 6, 8))},
	}
}

func poolCases() []opCase {
	x := upTo(1, 1, 3, 3)
	two := []int64{2, 2}
	return []opCase{
		{"MaxPool", Attributes{"kernel_shape": two}, values(x), values(floats(tensor.Shape{1, 1, 2, 2}, 4, 5, 7, 8), ints(tensor.Shape{1, 1, 2, 2}, 4, 5, 7, 8))},
		{"MaxPool columns", Attributes{"kernel_shape": two, "storage_order": int64(1)}, values(x), values(floats(tensor.Shape{1, 1, 2, 2}, 4, 5, 7, 8), ints(tensor.Shape{1, 1, 2, 2}, 4, 7, 5, 8))},
		{"MaxPool ceil", Attributes{"kernel_shape": two, "strides": two, "ceil_mode": int64(1)}, values(x), values(floats(tensor.Shape{1, 1, 2, 2}, 4, 5, 7, 8))},
		{"MaxPool floor", Attributes{"kernel_shape": two, "strides": two}, values(x), values(floats(tensor.Shape{1, 1, 1, 1}, 4))},
		{"MaxPool dilated", Attributes{"kernel_shape": two, "dilations": two}, values(x), values(floats(tensor.Shape{1, 1, 1, 1}, 8))},
		{"MaxPool ceil that would begin behind", Attributes{"kernel_shape": []int64{1}, "strides": []int64{2}, "ceil_mode": int64(1)}, values(upTo(1, 1, 4)), values(floats(tensor.Shape{1, 1, 2}, 0, 2))},
		{"MaxPool of integers", Attributes{"kernel_shape": []int64{2}, "pads": []int64{1, 0}}, values(&Value{Type: tensor.I8, Shape: tensor.Shape{1, 1, 2}, Int: []int64{-5, -7}}), values(&Value{Type: tensor.I8, Shape: tensor.Shape{1, 1, 2}, Int: []int64{-5, -5}})},
		{"AveragePool", Attributes{"kernel_shape": two, "pads": []int64{1, 1, 0, 0}}, values(upTo(1, 1, 2, 2)), values(floats(tensor.Shape{1, 1, 2, 2}, 0, 0.5, 1, 1.5))},
		{"AveragePool with pads", Attributes{"kernel_shape": two, "pads": []int64{1, 1, 0, 0}, "count_include_pad": int64(1)}, values(upTo(1, 1, 2, 2)), values(floats(tensor.Shape{1, 1, 2, 2}, 0, 0.25, 0.5, 1.5))},
		// ONNX Runtime 1.20 and ONNX's reference: the missing element counts.
		{"AveragePool ceil with pads", Attributes{"kernel_shape": []int64{2}, "strides": []int64{2}, "ceil_mode": int64(1), "count_include_pad": int64(1)}, values(floats(tensor.Shape{1, 1, 3}, 1, 1, 1)), values(floats(tensor.Shape{1, 1, 2}, 1, 0.5))},
		{"AveragePool ceil", Attributes{"kernel_shape": []int64{2}, "strides": []int64{2}, "ceil_mode": int64(1)}, values(floats(tensor.Shape{1, 1, 3}, 1, 1, 1)), values(floats(tensor.Shape{1, 1, 2}, 1, 1))},
		{"LpPool", Attributes{"kernel_shape": []int64{2}}, values(floats(tensor.Shape{1, 1, 3}, 3, -4, 0)), values(floats(tensor.Shape{1, 1, 2}, 5, 4))},
		{"MaxUnpool", Attributes{"kernel_shape": []int64{2}, "strides": []int64{2}}, values(floats(tensor.Shape{1, 1, 2}, 5, 6), ints(tensor.Shape{1, 1, 2}, 1, 2)), values(floats(tensor.Shape{1, 1, 4}, 0, 5, 6, 0))},
		{"MaxUnpool shape", Attributes{"kernel_shape": []int64{2}, "strides": []int64{2}}, values(floats(tensor.Shape{1, 1, 2}, 5, 6), ints(tensor.Shape{1, 1, 2}, 1, 4), counts(1, 1, 5)), values(floats(tensor.Shape{1, 1, 5}, 0, 5, 0, 0, 6))},
		{"GlobalMaxPool", nil, values(upTo(1, 2, 2)), values(floats(tensor.Shape{1, 2, 1}, 1, 3))},
		{"GlobalAveragePool", nil, values(upTo(1, 2, 2)), values(floats(tensor.Shape{1, 2, 1}, 0.5, 2.5))},
		{"GlobalLpPool", Attributes{"p": int64(1)}, values(floats(tensor.Shape{1, 1, 2}, 1, -2)), values(floats(tensor.Shape{1, 1, 1}, 3))},
	}
}

func normCases() []opCase {
	x := floats(tensor.Shape{1, 2, 2}, 1, 3, 10, 30)
	normal := func(v ...float64) *Value { return floats(tensor.Shape{1, 2, 2}, v...) }
	exact := Attributes{"epsilon": 0.0}
	return []opCase{
		{"BatchNormalization", Attributes{"epsilon": 1.0}, values(x, list(2, 1), list(0, 5), list(1, 10), list(3, 24)), values(normal(0, 2, 5, 9))},
		{"BatchNormalization training", Attributes{"epsilon": 0.0, "training_mode": int64(1), "momentum": 0.5}, values(x, list(1, 1), list(0, 0), list(0, 0), list(1, 0)), values(normal(-1, 1, -1, 1), list(1, 10), list(1, 50))},
		{"InstanceNormalization", exact, values(x, list(1, 2), list(0, 1)), values(normal(-1, 1, -1, 3))},
		{"GroupNormalization", Attributes{"epsilon": 0.0, "num_groups": int64(1)}, values(normal(1, 1, 3, 3), list(1, 2), list(0, 1)), values(normal(-1, -1, 3, 3))},
		{"LayerNormalization", Attributes{"epsilon": 0.0}, values(x, list(1, 2), list(0, 1)), values(normal(-1, 3, -1, 3), floats(tensor.Shape{1, 2, 1}, 2, 20), floats(tensor.Shape{1, 2, 1}, 1, 0.1))},
		{"LayerNormalization axis", Attributes{"epsilon": 0.0, "axis": int64(1)}, values(normal(1, 1, 3, 3), scalar(1)), values(normal(-1, -1, 1, 1))},
		{"RMSNormalization", exact, values(floats(tensor.Shape{1, 2}, 1, 7), list(1, 2)), values(floats(tensor.Shape{1, 2}, 0.2, 2.8))},
		{"MeanVarianceNormalization", Attributes{"axes": []int64{2}}, values(x), values(normal(-1, 1, -1, 1))},
		{"LpNormalization", nil, values(floats(tensor.Shape{2, 2}, 3, 4, 0, 0)), values(floats(tensor.Shape{2, 2}, 0.6, 0.8, 0, 0))},
		{"LpNormalization one", Attributes{"p": int64(1), "axis": int64(0)}, values(floats(tensor.Shape{2, 1}, 1, -3)), values(floats(tensor.Shape{2, 1}, 0.25, -0.75))},
		{"LRN", Attributes{"size": int64(3), "alpha": 3.0, "beta": 1.0}, values(floats(tensor.Shape{1, 3, 1}, 1, 2, 3)), values(floats(tensor.Shape{1, 3, 1}, 1.0/6, 2.0/15, 3.0/14))},
	}
}

// convolve is Conv in two dimensions by its definition: seven nested loops.
func convolve(x, w *Value, group, stride, dilation int, pads [4]int) *Value {
	n, c, h, wd := int(x.Shape[0]), int(x.Shape[1]), int(x.Shape[2]), int(x.Shape[3])
	m, kh, kw := int(w.Shape[0]), int(w.Shape[2]), int(w.Shape[3])
	oh := (h+pads[0]+pads[2]-(kh-1)*dilation-1)/stride + 1
	ow := (wd+pads[1]+pads[3]-(kw-1)*dilation-1)/stride + 1
	out := newValue(Type{x.Type, tensor.Shape{int64(n), int64(m), int64(oh), int64(ow)}})
	for b := range n {
		for f := range m {
			for i := range oh {
				for j := range ow {
					sum := 0.0
					for k := range c / group {
						ch := f/(m/group)*(c/group) + k
						for p := range kh {
							for q := range kw {
								y, z := i*stride+p*dilation-pads[0], j*stride+q*dilation-pads[1]
								if y >= 0 && y < h && z >= 0 && z < wd {
									sum += x.Float[((b*c+ch)*h+y)*wd+z] * w.Float[((f*(c/group)+k)*kh+p)*kw+q]
								}
							}
						}
					}
					out.Float[((b*m+f)*oh+i)*ow+j] = sum
				}
			}
		}
	}
	return out
}

func drawArray(t *rapid.T, name string, shape ...int64) *Value {
	v := newValue(Type{tensor.F32, shape})
	for i := range v.Float {
		v.Float[i] = float64(rapid.IntRange(-8, 8).Draw(t, fmt.Sprint(name, i)))
	}
	return v
}

// Conv is what its definition says for any geometry, and ConvTranspose is its adjoint:
// the product of Conv(x) with y is that of x with ConvTranspose(y).
func TestConvProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		group := rapid.IntRange(1, 3).Draw(t, "group")
		stride := rapid.IntRange(1, 3).Draw(t, "stride")
		dilation := rapid.IntRange(1, 2).Draw(t, "dilation")
		inGroup, outGroup := rapid.Int64Range(1, 2).Draw(t, "in"), rapid.Int64Range(1, 2).Draw(t, "out")
		kh, kw := rapid.Int64Range(1, 3).Draw(t, "kh"), rapid.Int64Range(1, 3).Draw(t, "kw")
		var pads [4]int
		for i := range pads {
			pads[i] = rapid.IntRange(0, 2).Draw(t, "pad")
		}
		x := drawArray(t, "x", rapid.Int64Range(1, 2).Draw(t, "batch"), int64(group)*inGroup, rapid.Int64Range(5, 6).Draw(t, "h"), rapid.Int64Range(5, 7).Draw(t, "w"))
		w := drawArray(t, "w", int64(group)*outGroup, inGroup, kh, kw)
		with := Attributes{
			"group": int64(group), "strides": []int64{int64(stride), int64(stride)}, "dilations": []int64{int64(dilation), int64(dilation)},
			"pads": []int64{int64(pads[0]), int64(pads[1]), int64(pads[2]), int64(pads[3])},
		}
		want := convolve(x, w, group, stride, dilation, pads)
		c := opCase{"Conv", with, values(x, w), values(want)}
		got, err := testContext().apply(c.node(), c.in)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got[0]); d != "" {
			t.Fatal(d)
		}
		y := drawArray(t, "y", want.Shape...)
		with = Attributes{"group": with["group"], "strides": with["strides"], "dilations": with["dilations"], "pads": with["pads"]}
		// What the stride leaves over at the end is the output padding.
		var left []int64
		for i := range 2 {
			width := (w.Shape[2+i]-1)*int64(dilation) + 1
			left = append(left, (x.Shape[2+i]+int64(pads[i]+pads[2+i])-width)%int64(stride))
		}
		with["output_padding"] = left
		c = opCase{"ConvTranspose", with, values(y, w), values(x)}
		back, err := testContext().apply(c.node(), c.in)
		if err != nil {
			t.Fatal(err)
		}
		one, two := 0.0, 0.0
		for i, v := range want.Float {
			one += v * y.Float[i]
		}
		for i, v := range x.Float {
			two += v * back[0].Float[i]
		}
		if one != two {
			t.Fatalf("the products are %g and %g", one, two)
		}
	})
}

// MatMul, Gemm and Einsum agree.
func TestProductsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, k, n := rapid.Int64Range(1, 4).Draw(t, "m"), rapid.Int64Range(0, 4).Draw(t, "k"), rapid.Int64Range(1, 4).Draw(t, "n")
		a, b := drawArray(t, "a", m, k), drawArray(t, "b", k, n)
		want := newValue(Type{tensor.F32, tensor.Shape{m, n}})
		for i := range m {
			for j := range n {
				for l := range k {
					want.Float[i*n+j] += a.Float[i*k+l] * b.Float[l*n+j]
				}
			}
		}
		bt := transpose(b, []int{1, 0})
		for _, c := range []opCase{
			{"MatMul", nil, values(a, b), values(want)},
			{"Gemm", Attributes{"transB": int64(1)}, values(a, bt), values(want)},
			{"Einsum", Attributes{"equation": "ij,jk"}, values(a, b), values(want)},
			{"Einsum", Attributes{"equation": "ij,kj->ik"}, values(a, bt), values(want)},
		} {
			got, err := testContext().apply(c.node(), c.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Fatalf("%s: %s", c.name, d)
			}
		}
	})
}

// In training, BatchNormalization uses the batch, and the running statistics go to
// Updated under the names of the old ones, the variance of n-1.
func TestTraining(t *testing.T) {
	set, err := tensor.NewSet(weightOf(t, "one", list(1)), weightOf(t, "zero", list(0)), weightOf(t, "mean", list(5)), weightOf(t, "var", list(9)))
	if err != nil {
		t.Fatal(err)
	}
	g := &Graph{
		Inputs: []Input{{Name: "x"}}, Outputs: []string{"d"}, Weights: set,
		Nodes: []*Node{
			{Name: "bn", Op: "BatchNormalization", Inputs: []string{"x", "one", "zero", "mean", "var"}, Outputs: []string{"y"}, Attributes: Attributes{"epsilon": 0.0, "momentum": 0.75}},
			{Name: "drop", Op: "Dropout", Inputs: []string{"y"}, Outputs: []string{"d"}},
		},
	}
	in := map[string]*Value{"x": floats(tensor.Shape{3, 1}, 2, 5, 8)}
	got, err := Evaluate(g, in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(floats(tensor.Shape{3, 1}, -1, 0, 1), got["d"], nearly); d != "" {
		t.Errorf("at inference: %s", d)
	}
	o := &EvaluateOptions{Training: true, Updated: map[string]*Value{}, Mask: func(node string, n int) []bool {
		if node != "drop" || n != 3 {
			t.Errorf("a mask of %d for %q", n, node)
		}
		return []bool{true, true, false}
	}}
	if got, err = Evaluate(g, in, o); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(floats(tensor.Shape{3, 1}, -3/math.Sqrt(6)*2, 0, 0), got["d"], nearly); d != "" {
		t.Errorf("in training: %s", d)
	}
	if d := cmp.Diff(map[string]*Value{"mean": list(5), "var": list(9)}, o.Updated, nearly); d != "" {
		t.Errorf("running statistics: %s", d) // the variance is 6, and 9 of n-1
	}
}

func weightOf(t *testing.T, name string, v *Value) *tensor.Tensor {
	t.Helper()
	w, err := v.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
