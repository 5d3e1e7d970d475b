package graph

import (
	"math"

	"ropewalk/tensor"
)

func scalar(x float64) *Value { return floats(tensor.Shape{}, x) }

func whole(x int64) *Value { return ints(tensor.Shape{}, x) }

func words(shape tensor.Shape, x ...string) *Value { return &Value{Type: Text, Shape: shape, Text: x} }

// list is a vector of floats, counts one of integers.
func list(x ...float64) *Value { return floats(tensor.Shape{int64(len(x))}, x...) }

func counts(x ...int64) *Value { return ints(tensor.Shape{int64(len(x))}, x...) }

// small is a vector of integers of another type.
func small(d tensor.DType, x ...int64) *Value {
	return &Value{Type: d, Shape: tensor.Shape{int64(len(x))}, Int: x}
}

func values(v ...*Value) []*Value { return v }

func elementwiseCases() []opCase {
	column, row := floats(tensor.Shape{2, 1}, 10, 20), list(1, 2, 3)
	return []opCase{
		{"Add broadcast", nil, values(column, row), values(floats(tensor.Shape{2, 3}, 11, 12, 13, 21, 22, 23))},
		{"Add of none", nil, values(floats(tensor.Shape{0, 1}), row), values(floats(tensor.Shape{0, 3}))},
		{"Add wraps", nil, values(small(tensor.U8, 200, 255), small(tensor.U8, 100, 1)), values(small(tensor.U8, 44, 0))},
		{"Sub", nil, values(row, scalar(1)), values(list(0, 1, 2))},
		{"Mul", nil, values(small(tensor.I8, 100, -3), small(tensor.I8, 2, 5)), values(small(tensor.I8, -56, -15))},
		{"Div", nil, values(list(1, -1, 0), list(4, 0, 0)), values(list(0.25, math.Inf(-1), math.NaN()))},
		{"Div toward zero", nil, values(counts(7, -7, math.MinInt64, 5), counts(2, 2, -1, 0)), values(counts(3, -3, math.MinInt64, 0))},
		{"Div unsigned", nil, values(small(tensor.U64, -1), small(tensor.U64, 2)), values(small(tensor.U64, math.MaxInt64))},
		{"Pow", nil, values(list(2, 9, -2), list(3, 0.5, 2)), values(list(8, 3, 4))},
		{"Pow of integers", nil, values(counts(2, -1, 3), counts(10, -3, -1)), values(counts(1024, -1, 0))},
		{"Pow mixed", nil, values(list(2, 3), counts(3, 2)), values(list(8, 9))},
		{"Pow integer base", nil, values(counts(4, 2), list(0.5, 3)), values(counts(2, 8))},
		{"Mod", nil, values(counts(-4, 7, 5, -4), counts(2, -3, 8, 3)), values(counts(0, -2, 5, 2))},
		{"Mod fmod", Attributes{"fmod": int64(1)}, values(list(-4.3, 7.2), list(2.1, -3.4)), values(list(-0.1, 0.4))},
		{"PRelu", nil, values(floats(tensor.Shape{2, 2}, -1, 2, -3, 4), list(0.5, 0.25)), values(floats(tensor.Shape{2, 2}, -0.5, 2, -1.5, 4))},
		{"Max", nil, values(row, list(3, 2, 1), scalar(2.5)), values(list(3, 2.5, 3))},
		{"Max unsigned", nil, values(small(tensor.U64, -1), small(tensor.U64, 5)), values(small(tensor.U64, -1))},
		{"Min", nil, values(counts(1, 2, 3), counts(3, 2, 1)), values(counts(1, 2, 1))},
		{"Sum", nil, values(row, row, column), values(floats(tensor.Shape{2, 3}, 12, 14, 16, 22, 24, 26))},
		{"Mean", nil, values(row, list(3, 4, 8)), values(list(2, 3, 5.5))},
		{"BitwiseAnd", nil, values(small(tensor.U8, 12, 10), small(tensor.U8, 10, 6)), values(small(tensor.U8, 8, 2))},
		{"BitwiseOr", nil, values(small(tensor.U8, 12, 10), small(tensor.U8, 10, 6)), values(small(tensor.U8, 14, 14))},
		{"BitwiseXor", nil, values(small(tensor.U8, 12, 10), small(tensor.U8, 10, 6)), values(small(tensor.U8, 6, 12))},
		{"BitShift left", Attributes{"direction": "LEFT"}, values(small(tensor.U8, 255, 1), small(tensor.U8, 1, 9)), values(small(tensor.U8, 254, 0))},
		{"BitShift right", Attributes{"direction": "RIGHT"}, values(small(tensor.U8, 255, 1), small(tensor.U8, 1, 9)), values(small(tensor.U8, 127, 0))},
	}
}

func logicCases() []opCase {
	x, y := list(1, 2, math.NaN()), list(2, 2, 1)
	a, b := truths(tensor.Shape{4}, 0, 0, 1, 1), truths(tensor.Shape{4}, 0, 1, 0, 1)
	three := tensor.Shape{3}
	return []opCase{
		{"Equal", nil, values(x, y), values(truths(three, 0, 1, 0))},
		{"Equal text", nil, values(words(tensor.Shape{2}, "a", "b"), words(tensor.Shape{}, "b")), values(truths(tensor.Shape{2}, 0, 1))},
		{"Less", nil, values(x, y), values(truths(three, 1, 0, 0))},
		{"Less unsigned", nil, values(small(tensor.U64, 1), small(tensor.U64, -1)), values(truths(tensor.Shape{1}, 1))},
		{"LessOrEqual", nil, values(x, y), values(truths(three, 1, 1, 0))},
		{"Greater", nil, values(x, y), values(truths(three, 0, 0, 0))},
		{"GreaterOrEqual", nil, values(counts(1, 2, 3), whole(2)), values(truths(three, 0, 1, 1))},
		{"And", nil, values(a, b), values(truths(tensor.Shape{4}, 0, 0, 0, 1))},
		{"Or", nil, values(a, b), values(truths(tensor.Shape{4}, 0, 1, 1, 1))},
		{"Xor", nil, values(a, b), values(truths(tensor.Shape{4}, 0, 1, 1, 0))},
		{"Not", nil, values(a), values(truths(tensor.Shape{4}, 1, 1, 0, 0))},
		{"Where", nil, values(truths(tensor.Shape{2, 1}, 1, 0), list(1, 2), scalar(9)), values(floats(tensor.Shape{2, 2}, 1, 2, 9, 9))},
		{"IsNaN", nil, values(x), values(truths(three, 0, 0, 1))},
		{"IsInf", nil, values(list(math.Inf(1), math.Inf(-1), 0)), values(truths(three, 1, 1, 0))},
		{"IsInf positive", Attributes{"detect_negative": int64(0)}, values(list(math.Inf(1), math.Inf(-1), 0)), values(truths(three, 1, 0, 0))},
	}
}

func activationCases() []opCase {
	x := list(-2, -0.5, 0, 1)
	of := func(name string, with Attributes, f func(x float64) float64) opCase {
		y := make([]float64, len(x.Float))
		for i, v := range x.Float {
			y[i] = f(v)
		}
		return opCase{name, with, values(x), values(list(y...))}
	}
	e := math.E
	logistic := func(x float64) float64 { return math.Pow(e, x) / (1 + math.Pow(e, x)) }
	return []opCase{
		{"Identity", nil, values(words(tensor.Shape{1}, "a")), values(words(tensor.Shape{1}, "a"))},
		{"Abs", nil, values(x), values(list(2, 0.5, 0, 1))},
		{"Abs of integers", nil, values(small(tensor.I8, -128, -5, 5)), values(small(tensor.I8, -128, 5, 5))},
		{"Neg", nil, values(x), values(list(2, 0.5, 0, -1))},
		{"Sign", nil, values(x), values(list(-1, -1, 0, 1))},
		{"Sign unsigned", nil, values(small(tensor.U64, -1, 0)), values(small(tensor.U64, 1, 0))},
		{"Ceil", nil, values(list(-1.5, 0.2)), values(list(-1, 1))},
		{"Floor", nil, values(list(-1.5, 0.2)), values(list(-2, 0))},
		{"Round", nil, values(list(0.5, 1.5, 2.5, -0.5, -1.6)), values(list(0, 2, 2, 0, -2))},
		{"BitwiseNot", nil, values(small(tensor.U8, 1, 255)), values(small(tensor.U8, 254, 0))},
		{"Sqrt", nil, values(list(4, 2)), values(list(2, math.Sqrt2))},
		of("Exp", nil, func(x float64) float64 { return math.Pow(e, x) }),
		{"Log", nil, values(list(1, e)), values(list(0, 1))},
		{"Reciprocal", nil, values(list(4, -0.5)), values(list(0.25, -2))},
		{"Erf", nil, values(list(0, 1, -1)), values(list(0, 0.8427008, -0.8427008))},
		{"Sin", nil, values(list(0, math.Pi/2)), values(list(0, 1))},
		{"Cos", nil, values(list(0, math.Pi)), values(list(1, -1))},
		{"Tan", nil, values(list(0, math.Pi/4)), values(list(0, 1))},
		{"Asin", nil, values(list(0, 1)), values(list(0, math.Pi/2))},
		{"Acos", nil, values(list(1, -1)), values(list(0, math.Pi))},
		{"Atan", nil, values(list(0, 1)), values(list(0, math.Pi/4))},
		of("Sinh", nil, func(x float64) float64 { return (math.Pow(e, x) - math.Pow(e, -x)) / 2 }),
		of("Cosh", nil, func(x float64) float64 { return (math.Pow(e, x) + math.Pow(e, -x)) / 2 }),
		of("Tanh", nil, func(x float64) float64 { return 2*logistic(2*x) - 1 }),
		of("Asinh", nil, func(x float64) float64 { return math.Log(x + math.Sqrt(x*x+1)) }),
		{"Acosh", nil, values(list(1, 2)), values(list(0, 1.316958))},
		{"Atanh", nil, values(list(0, 0.5)), values(list(0, 0.5493061))},
		{"Relu", nil, values(x), values(list(0, 0, 0, 1))},
		{"Relu of integers", nil, values(counts(-3, 4)), values(counts(0, 4))},
		of("Sigmoid", nil, logistic),
		of("Softplus", nil, func(x float64) float64 { return math.Log(1 + math.Pow(e, x)) }),
		{"Softplus large", nil, values(list(1000, -1000)), values(list(1000, 0))},
		{"Softsign", nil, values(x), values(list(-2.0/3, -1.0/3, 0, 0.5))},
		of("Mish", nil, func(x float64) float64 { return x * math.Tanh(math.Log(1+math.Pow(e, x))) }),
		{"HardSwish", nil, values(list(-4, -1, 1, 4)), values(list(0, -1.0/3, 2.0/3, 4))},
		{"LeakyRelu", Attributes{"alpha": 0.5}, values(x), values(list(-1, -0.25, 0, 1))},
		{"LeakyRelu default", nil, values(list(-1)), values(list(-0.01))},
		of("Elu", Attributes{"alpha": 2.0}, func(x float64) float64 {
			if x < 0 {
				return 2 * (math.Pow(e, x) - 1)
			}
			return x
		}),
		{"Selu", nil, values(list(-1, 1)), values(list(-1.1113307, 1.0507009))},
		of("Celu", Attributes{"alpha": 2.0}, func(x float64) float64 {
			return math.Max(0, x) + math.Min(0, 2*(math.Pow(e, x/2)-1))
		}),
		{"ThresholdedRelu", Attributes{"alpha": 0.5}, values(list(0.5, 0.6)), values(list(0, 0.6))},
		{"HardSigmoid", nil, values(list(-3, 0, 1, 3)), values(list(0, 0.5, 0.7, 1))},
		{"Shrink", Attributes{"lambd": 1.5, "bias": 1.0}, values(list(-2, -1, 2)), values(list(-1, 0, 1))},
		of("Swish", Attributes{"alpha": 2.0}, func(x float64) float64 { return x * logistic(2*x) }),
		{"Gelu", nil, values(list(-1, 0, 1)), values(list(-0.15865526, 0, 0.8413447))},
		{"Gelu tanh", Attributes{"approximate": "tanh"}, values(list(-1, 0, 1)), values(list(-0.15880801, 0, 0.841192))},
		{"Clip", nil, values(x, scalar(-1), scalar(0.5)), values(list(-1, -0.5, 0, 0.5))},
		{"Clip upper bound only", nil, values(counts(-5, 7), nil, whole(3)), values(counts(-5, 3))},
		{"Clip lower bound above", nil, values(list(1), scalar(3), scalar(2)), values(list(2))},
		{"Softmax", nil, values(floats(tensor.Shape{2, 2}, 0, math.Log(3), 1000, 1000)), values(floats(tensor.Shape{2, 2}, 0.25, 0.75, 0.5, 0.5))},
		{"Softmax axis", Attributes{"axis": int64(0)}, values(floats(tensor.Shape{2, 2}, 0, 1, math.Log(4), 1)), values(floats(tensor.Shape{2, 2}, 0.2, 0.5, 0.8, 0.5))},
		{"LogSoftmax", nil, values(list(0, math.Log(3))), values(list(math.Log(0.25), math.Log(0.75)))},
		{"Hardmax", nil, values(floats(tensor.Shape{2, 3}, 1, 3, 2, 5, 5, 5)), values(floats(tensor.Shape{2, 3}, 0, 1, 0, 1, 0, 0))},
	}
}
