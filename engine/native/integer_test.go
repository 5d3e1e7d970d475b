package native

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

var wholeTypes = []tensor.DType{tensor.I64, tensor.I32, tensor.I8, tensor.U8, tensor.I16, tensor.U16, tensor.U32, tensor.U64}

// drawWhole draws integers of a type, small ones and extremes.
func drawWhole(t *rapid.T, label string, d tensor.DType, shape ...int64) *graph.Value {
	v := &graph.Value{Type: d, Shape: shape, Int: make([]int64, product(shape))}
	lo, hi := rangeOf(d)
	small := rapid.Int64Range(max(lo, -5), 5)
	switch d {
	case tensor.Bool:
		small = rapid.Int64Range(0, 1)
	case tensor.U64:
		small = rapid.Int64Range(0, 5)
	}
	for i := range v.Int {
		v.Int[i] = rapid.OneOf(small, rapid.SampledFrom([]int64{lo, hi, 0, 1})).Draw(t, label)
	}
	return v
}

// wholeCases are operators that take integers, with their number of operands.
var wholeCases = map[string]int{
	"Add": 2, "Sub": 2, "Mul": 2, "Div": 2, "Mod": 2, "Pow": 2, "PRelu": 2, "BitwiseAnd": 2, "BitwiseOr": 2, "BitwiseXor": 2, "BitShift": 2,
	"Equal": 2, "Less": 2, "LessOrEqual": 2, "Greater": 2, "GreaterOrEqual": 2, "And": 2, "Or": 2, "Xor": 2, "Not": 1,
	"Abs": 1, "Neg": 1, "Sign": 1, "Relu": 1, "BitwiseNot": 1, "Max": 2, "Min": 2, "Clip": 3,
	"ReduceSum": 1, "ReduceMean": 1, "ReduceProd": 1, "ReduceMax": 1, "ReduceMin": 1, "ReduceL1": 1, "ReduceL2": 1, "ReduceSumSquare": 1,
	"ArgMax": 1, "ArgMin": 1, "CumSum": 1, "TopK": 1, "Transpose": 1, "Concat": 2, "Where": 2, "MatMul": 2, "Pad": 1, "Tile": 1,
	"ScatterElements": 1, "MaxPool": 1, "Cast": 1,
}

// Operators compute integers of all types as graph.Evaluate does, also where they
// overflow, on inputs that are known when it runs.
func TestIntegers(t *testing.T) {
	for op, count := range wholeCases {
		t.Run(op, func(t *testing.T) {
			needsOracle(t, op)
			rapid.Check(t, func(t *rapid.T) { drawWholeCase(t, op, count).check(t, trial{}) })
		})
	}
}

func drawWholeCase(t *rapid.T, op string, count int) *single {
	d := rapid.SampledFrom(wholeTypes).Draw(t, "type")
	attributes := graph.Attributes{}
	outputs := 1
	a, b := drawBroadcast(t)
	switch op {
	case "And", "Or", "Xor", "Not":
		d = tensor.Bool
	case "BitShift":
		d = rapid.SampledFrom([]tensor.DType{tensor.U8, tensor.U16, tensor.U32, tensor.U64}).Draw(t, "unsigned")
		attributes["direction"] = rapid.SampledFrom([]string{"LEFT", "RIGHT"}).Draw(t, "direction")
	case "Neg", "Abs", "ReduceL1":
		d = rapid.SampledFrom([]tensor.DType{tensor.I8, tensor.I16, tensor.I32, tensor.I64}).Draw(t, "signed")
	case "Mod":
		attributes["fmod"] = flag(t, "fmod")
	case "PRelu":
		a = joined(a, b)
	case "MatMul":
		m, n, k := rapid.Int64Range(1, 3).Draw(t, "m"), rapid.Int64Range(1, 3).Draw(t, "n"), rapid.Int64Range(1, 3).Draw(t, "k")
		a, b = tensor.Shape{2, m, k}, tensor.Shape{k, n}
	case "MaxPool":
		a = tensor.Shape{1, 2, 4, 3}
		attributes["kernel_shape"], outputs = []int64{2, 2}, 2
		attributes["storage_order"] = flag(t, "storage_order")
	case "Concat":
		b = a
		attributes["axis"] = int64(0)
	case "Cast":
		attributes["to"] = rapid.SampledFrom([]int64{1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13, 16}).Draw(t, "to")
	case "TopK":
		outputs = 2
	}
	switch op {
	case "ArgMax", "ArgMin", "CumSum", "TopK", "ReduceMax", "ReduceMin", "Concat", "ScatterElements":
		if len(a) == 0 {
			a, b = tensor.Shape{3}, tensor.Shape{3}
		}
	}
	operands := []*graph.Value{drawWhole(t, "a", d, a...)}
	if count > 1 {
		operands = append(operands, drawWhole(t, "b", d, b...))
	}
	switch op {
	case "Clip":
		operands = append(operands[:1], drawWhole(t, "lo", d), drawWhole(t, "hi", d))
	case "CumSum":
		operands = append(operands, &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{0}})
	case "TopK":
		operands = append(operands, intsOf(1))
		attributes["largest"] = flag(t, "largest")
	case "Where":
		operands = append([]*graph.Value{truths(t, "c", joined(a, b)...)}, operands...)
	case "Pad":
		pads := make([]int64, 2*len(a))
		for i := range pads {
			pads[i] = rapid.Int64Range(0, 2).Draw(t, "pad")
		}
		operands = append(operands, intsOf(pads...), drawWhole(t, "value", d))
	case "Tile":
		times := make([]int64, len(a))
		for i := range times {
			times[i] = rapid.Int64Range(1, 2).Draw(t, "times")
		}
		operands = append(operands, intsOf(times...))
	case "ScatterElements":
		attributes["reduction"] = rapid.SampledFrom([]string{"none", "add", "mul", "max", "min"}).Draw(t, "reduction")
		operands = append(operands, wholes(t, "at", -a[0], a[0]-1, a...), drawWhole(t, "updates", d, a...))
	}
	s := one(op, attributes, outputs, operands...)
	s.place["w0"] = given
	if op != "TopK" && op != "Tile" && op != "Pad" && count > 1 {
		s.feed(t, 1)
	}
	return s
}

// quantized draws an operand of 8 bits.
func quantized(t *rapid.T, label string, d tensor.DType, shape ...int64) *graph.Value {
	lo, hi := rangeOf(d)
	v := wholes(t, label, lo, hi, shape...)
	v.Type = d
	return v
}

func eightBits(t *rapid.T) tensor.DType {
	return rapid.SampledFrom([]tensor.DType{tensor.U8, tensor.I8}).Draw(t, "type")
}

var quantizedCases = map[string]func(t *rapid.T) *single{
	"QuantizeLinear": func(t *rapid.T) *single {
		x := drawFloats(t, "x", drawRank(t, 2)...)
		scale, zero := drawScales(t, x, eightBits(t))
		return one("QuantizeLinear", graph.Attributes{"axis": int64(1)}, 1, x, scale, zero)
	},
	"DequantizeLinear": func(t *rapid.T) *single {
		d := eightBits(t)
		x := quantized(t, "x", d, drawRank(t, 2)...)
		scale, zero := drawScales(t, x, d)
		return one("DequantizeLinear", graph.Attributes{"axis": int64(1)}, 1, x, scale, zero)
	},
	"DynamicQuantizeLinear": func(t *rapid.T) *single {
		return one("DynamicQuantizeLinear", nil, 3, drawFloats(t, "x", drawRank(t, 0)...))
	},
	"MatMulInteger": func(t *rapid.T) *single {
		a, b := quantized(t, "a", eightBits(t), 2, 2, 3), quantized(t, "b", eightBits(t), 3, 4)
		zeroA, zeroB := quantized(t, "zero of a", a.Type), quantized(t, "zero of b", b.Type, 4)
		if rapid.Bool().Draw(t, "by row") {
			zeroA = quantized(t, "zero of a", a.Type, 2)
		}
		return one("MatMulInteger", nil, 1, a, b, zeroA, zeroB)
	},
	"QLinearMatMul": func(t *rapid.T) *single {
		a, b := quantized(t, "a", eightBits(t), 2, 2, 3), quantized(t, "b", eightBits(t), 3, 4)
		y := eightBits(t)
		return one("QLinearMatMul", nil, 1, a, scalarOf(0.01), quantized(t, "zero", a.Type), b, scalarOf(0.02), quantized(t, "zero", b.Type),
			scalarOf(0.05), quantized(t, "zero", y))
	},
	"ConvInteger": func(t *rapid.T) *single {
		w := drawWindow(t)
		x := quantized(t, "x", eightBits(t), append(tensor.Shape{1, 2}, w.image...)...)
		f := quantized(t, "w", eightBits(t), append(tensor.Shape{2, 1}, w.kernel...)...)
		w.attributes["group"] = int64(2)
		return one("ConvInteger", w.attributes, 1, x, f, quantized(t, "zero", x.Type), quantized(t, "zero", f.Type, 2))
	},
	"QLinearConv": func(t *rapid.T) *single {
		w := drawWindow(t)
		x := quantized(t, "x", eightBits(t), append(tensor.Shape{1, 2}, w.image...)...)
		f := quantized(t, "w", eightBits(t), append(tensor.Shape{3, 2}, w.kernel...)...)
		bias := wholes(t, "bias", -1000, 1000, 3)
		bias.Type = tensor.I32
		return one("QLinearConv", w.attributes, 1, x, scalarOf(0.02), quantized(t, "zero", x.Type), f,
			positive(drawFloats(t, "scales", 3)), quantized(t, "zero", f.Type, 3), scalarOf(0.5), quantized(t, "zero", eightBits(t)), bias)
	},
}

// drawScales draws one scale and zero point, or one for each place along axis 1.
func drawScales(t *rapid.T, x *graph.Value, d tensor.DType) (scale, zero *graph.Value) {
	shape := tensor.Shape{}
	if rapid.Bool().Draw(t, "by axis") {
		shape = tensor.Shape{x.Shape[1]}
	}
	scale = positive(drawFloats(t, "scale", shape...))
	for i := range scale.Float {
		scale.Float[i] = float64(float32(scale.Float[i] / 50))
	}
	return scale, quantized(t, "zero", d, shape...)
}

// Quantized operators give what graph.Evaluate does, to the last bit.
func TestQuantized(t *testing.T) {
	for op, draw := range quantizedCases {
		t.Run(op, func(t *testing.T) {
			needsOracle(t, op)
			rapid.Check(t, func(t *rapid.T) {
				s := draw(t)
				s.place["w0"] = given
				s.check(t, trial{})
			})
		})
	}
}

// Floats become what a file of their type can hold.
func TestCastRounds(t *testing.T) {
	x := &graph.Value{Type: tensor.F32, Shape: tensor.Shape{6}, Float: []float64{1.0009765, 65520, -1e-8, 2.5, math.Inf(1), -300.7}}
	for i := range x.Float {
		x.Float[i] = float64(float32(x.Float[i]))
	}
	for _, to := range []int64{10, 16, 6, 2, 3, 9, 7} {
		s := one("Cast", graph.Attributes{"to": to}, 1, x)
		s.place["w0"] = given
		if to == 6 || to == 2 || to == 3 || to == 7 {
			finite := *x
			finite.Float = append(finite.Float[:4:4], 7, -300.7)
			s.operands["w0"] = &finite
		}
		s.check(t, trial{tolerance: 1e-9})
	}
}

// An input that shapes follow from has a plan for each of its values; one that steers
// nothing has one plan for all.
func TestSteering(t *testing.T) {
	s := one("Resize", graph.Attributes{"mode": "nearest"}, 1,
		&graph.Value{Type: tensor.F32, Shape: tensor.Shape{2}, Float: []float64{1, 2}}, nil, nil, intsOf(4))
	s.place["w0"], s.place["w3"] = given, given
	p, err := compile(s.graph(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	quarter, x := engine.Array{Shape: tensor.Shape{}, Float: []float32{0}}, engine.Array{Shape: tensor.Shape{2}, Float: []float32{1, 2}}
	for _, n := range []int64{4, 6, 4} {
		out, err := p.Forward([]engine.Array{quarter, x, {Shape: tensor.Shape{1}, Int: []int64{n}}})
		if err != nil || out[0].Shape[0] != n {
			t.Fatalf("resized to %d: %v, %v", n, out, err)
		}
	}
	if len(p.plans) != 2 {
		t.Errorf("%d plans, want one for each size", len(p.plans))
	}
	g := one("Gather", nil, 1, &graph.Value{Type: tensor.F32, Shape: tensor.Shape{2}, Float: []float64{1, 2}}, intsOf(0))
	g.place["w1"] = given
	p, err = compile(g.graph(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i, want := range map[int64]float32{0: 1, 1: 2, -1: 2} {
		out, err := p.Forward([]engine.Array{quarter, {Shape: tensor.Shape{1}, Int: []int64{i}}})
		if err != nil || out[0].Float[0] != want {
			t.Errorf("index %d: %v, %v, want %v", i, out, err, want)
		}
	}
	if len(p.plans) != 1 {
		t.Errorf("%d plans for three indices, want 1", len(p.plans))
	}
}
