package graph

import (
	"math"

	"ropewalk/tensor"
)

// upTo returns an array of that shape with 0, 1, 2, …
func upTo(shape ...int64) *Value {
	v := newValue(Type{tensor.F32, shape})
	for i := range v.Float {
		v.Float[i] = float64(i)
	}
	return v
}

func shaped(v *Value, shape ...int64) *Value { return v.reshaped(shape) }

func shapeCases() []opCase {
	x := upTo(2, 3)
	return []opCase{
		{"Reshape", nil, values(x, counts(3, -1)), values(shaped(x, 3, 2))},
		{"Reshape copies", nil, values(x, counts(0, 1, 3)), values(shaped(x, 2, 1, 3))},
		{"Reshape allowzero", Attributes{"allowzero": int64(1)}, values(upTo(0, 3), counts(3, 0)), values(upTo(3, 0))},
		{"Flatten", nil, values(upTo(2, 3, 4)), values(shaped(upTo(24), 2, 12))},
		{"Flatten last", Attributes{"axis": int64(-1)}, values(upTo(2, 3, 4)), values(shaped(upTo(24), 6, 4))},
		{"Flatten none", Attributes{"axis": int64(0)}, values(upTo(2, 3)), values(shaped(x, 1, 6))},
		{"Squeeze", nil, values(upTo(1, 2, 1)), values(upTo(2))},
		{"Squeeze axes", nil, values(upTo(1, 2, 1), counts(-1)), values(upTo(1, 2))},
		{"Unsqueeze", nil, values(upTo(2), counts(0, -1)), values(upTo(1, 2, 1))},
		{"Shape", nil, values(upTo(2, 3)), values(counts(2, 3))},
		{"Shape part", Attributes{"start": int64(1), "end": int64(-1)}, values(upTo(2, 3, 4)), values(counts(3))},
		{"Size", nil, values(upTo(2, 3)), values(whole(6))},
	}
}

func moveCases() []opCase {
	f := floats
	return []opCase{
		{"Transpose", nil, values(upTo(2, 3)), values(f(tensor.Shape{3, 2}, 0, 3, 1, 4, 2, 5))},
		{"Transpose perm", Attributes{"perm": []int64{1, 0, 2}}, values(upTo(2, 2, 2)), values(f(tensor.Shape{2, 2, 2}, 0, 1, 4, 5, 2, 3, 6, 7))},
		{"Concat", Attributes{"axis": int64(1)}, values(upTo(2, 1), upTo(2, 2)), values(f(tensor.Shape{2, 3}, 0, 0, 1, 1, 2, 3))},
		{"Concat empty", Attributes{"axis": int64(0)}, values(upTo(0), list(7)), values(list(7))},
		{"Split", Attributes{"axis": int64(1)}, values(upTo(2, 3), counts(1, 2)), values(f(tensor.Shape{2, 1}, 0, 3), f(tensor.Shape{2, 2}, 1, 2, 4, 5))},
		{"Split equal", Attributes{"num_outputs": int64(2)}, values(upTo(5)), values(list(0, 1, 2), list(3, 4))},
		{"Slice", nil, values(upTo(3, 3), counts(1), counts(3), counts(1)), values(f(tensor.Shape{3, 2}, 1, 2, 4, 5, 7, 8))},
		{"Slice backward", nil, values(upTo(5), counts(-1), counts(math.MinInt64), counts(0), counts(-2)), values(list(4, 2, 0))},
		{"Slice beyond", nil, values(upTo(3), counts(1), counts(math.MaxInt64), counts(0), counts(math.MaxInt64)), values(list(1))},
		{"Slice nothing", nil, values(upTo(3), counts(2), counts(1)), values(upTo(0))},
		{"Pad", nil, values(upTo(2, 2), counts(0, 1, 1, 0), scalar(9)), values(f(tensor.Shape{3, 3}, 9, 0, 1, 9, 2, 3, 9, 9, 9))},
		{"Pad axes", nil, values(upTo(1, 2), counts(1, 0), nil, counts(1)), values(f(tensor.Shape{1, 3}, 0, 0, 1))},
		{"Pad crop", nil, values(upTo(4), counts(-1, 1)), values(list(1, 2, 3, 0))},
		{"Pad reflect", Attributes{"mode": "reflect"}, values(upTo(3), counts(2, 3)), values(list(2, 1, 0, 1, 2, 1, 0, 1))},
		{"Pad edge", Attributes{"mode": "edge"}, values(upTo(2), counts(1, 2)), values(list(0, 0, 1, 1, 1))},
		{"Pad wrap", Attributes{"mode": "wrap"}, values(upTo(3), counts(1, 2)), values(list(2, 0, 1, 2, 0, 1))},
		{"CenterCropPad", nil, values(upTo(2, 4), counts(4, 2)), values(f(tensor.Shape{4, 2}, 0, 0, 1, 2, 5, 6, 0, 0))},
		{"CenterCropPad axes", Attributes{"axes": []int64{1}}, values(upTo(1, 4), counts(3)), values(f(tensor.Shape{1, 3}, 0, 1, 2))},
		{"Expand", nil, values(f(tensor.Shape{2, 1}, 1, 2), counts(2, 1, 2)), values(f(tensor.Shape{2, 2, 2}, 1, 1, 2, 2, 1, 1, 2, 2))},
		{"Tile", nil, values(upTo(1, 2), counts(2, 2)), values(f(tensor.Shape{2, 4}, 0, 1, 0, 1, 0, 1, 0, 1))},
		{"DepthToSpace", Attributes{"blocksize": int64(2)}, values(upTo(1, 8, 1, 1)), values(f(tensor.Shape{1, 2, 2, 2}, 0, 2, 4, 6, 1, 3, 5, 7))},
		{"DepthToSpace CRD", Attributes{"blocksize": int64(2), "mode": "CRD"}, values(upTo(1, 8, 1, 1)), values(upTo(1, 2, 2, 2))},
		{"SpaceToDepth", Attributes{"blocksize": int64(2)}, values(upTo(1, 1, 2, 4)), values(f(tensor.Shape{1, 4, 1, 2}, 0, 2, 1, 3, 4, 6, 5, 7))},
		{"Trilu", nil, values(upTo(2, 3)), values(f(tensor.Shape{2, 3}, 0, 1, 2, 0, 4, 5))},
		{"Trilu lower", Attributes{"upper": int64(0)}, values(upTo(2, 3), whole(-1)), values(f(tensor.Shape{2, 3}, 0, 0, 0, 3, 0, 0))},
		{"ReverseSequence", Attributes{"batch_axis": int64(0), "time_axis": int64(1)}, values(upTo(2, 3), counts(3, 2)), values(f(tensor.Shape{2, 3}, 2, 1, 0, 4, 3, 5))},
	}
}

func castCases() []opCase {
	return []opCase{
		{"Cast to integers", Attributes{"to": int64(7)}, values(list(1.9, -1.9)), values(counts(1, -1))},
		{"Cast cuts", Attributes{"to": int64(2)}, values(counts(256, -1)), values(small(tensor.U8, 0, 255))},
		{"Cast saturates four bits", Attributes{"to": int64(22)}, values(list(100, -100)), values(small(tensor.I4, 7, -8))},
		{"Cast to truth", Attributes{"to": int64(9)}, values(list(0, 0.1, math.NaN())), values(truths(tensor.Shape{3}, 0, 1, 1))},
		{"Cast rounds", Attributes{"to": int64(10)}, values(list(1+1.0/2048, 1+3.0/2048, 65520)), values(&Value{Type: tensor.F16, Shape: tensor.Shape{3}, Float: []float64{1, 1 + 4.0/2048, math.Inf(1)}})},
		{"Cast rounds to bfloat16", Attributes{"to": int64(16)}, values(list(1+1.0/256, 1+3.0/256)), values(&Value{Type: tensor.BF16, Shape: tensor.Shape{2}, Float: []float64{1, 1 + 4.0/256}})},
		{"Cast unsigned", Attributes{"to": int64(1)}, values(small(tensor.U64, -1)), values(list(1 << 64))},
		{"Cast to text", Attributes{"to": int64(8)}, values(list(0.1, math.Inf(-1))), values(words(tensor.Shape{2}, "0.1", "-INF"))},
		{"Cast from text", Attributes{"to": int64(1)}, values(words(tensor.Shape{2}, "1.5", "-inf")), values(list(1.5, math.Inf(-1)))},
		{"CastLike", nil, values(list(2.5), counts(1, 2)), values(counts(2))},
	}
}

func reduceCases() []opCase {
	x := floats(tensor.Shape{2, 2}, 1, -2, 3, 4)
	last, flat := counts(1), Attributes{"keepdims": int64(0)}
	return []opCase{
		{"ReduceSum", nil, values(x, last), values(floats(tensor.Shape{2, 1}, -1, 7))},
		{"ReduceSum all", flat, values(x), values(scalar(6))},
		{"ReduceSum nothing", Attributes{"noop_with_empty_axes": int64(1)}, values(x, counts()), values(x)},
		{"ReduceSum of none", flat, values(upTo(2, 0), last), values(list(0, 0))},
		{"ReduceMean", flat, values(x, counts(0)), values(list(2, 1))},
		{"ReduceMean of integers", flat, values(counts(1, 2)), values(whole(1))},
		{"ReduceProd", flat, values(x, last), values(list(-2, 12))},
		{"ReduceMax", flat, values(x, last), values(list(1, 4))},
		{"ReduceMax of none", flat, values(&Value{Type: tensor.I8, Shape: tensor.Shape{0}, Int: []int64{}}), values(&Value{Type: tensor.I8, Shape: tensor.Shape{}, Int: []int64{-128}})},
		{"ReduceMax of truth", flat, values(truths(tensor.Shape{2}, 0, 1)), values(truths(tensor.Shape{}, 1))},
		{"ReduceMin", flat, values(x, last), values(list(-2, 3))},
		{"ReduceL1", flat, values(x, last), values(list(3, 7))},
		{"ReduceL2", flat, values(x, last), values(list(math.Sqrt(5), 5))},
		{"ReduceSumSquare", flat, values(x, last), values(list(5, 25))},
		{"ReduceLogSum", flat, values(list(1, 2, 3)), values(scalar(math.Log(6)))},
		{"ReduceLogSumExp", flat, values(list(1000, 1000)), values(scalar(1000 + math.Ln2))},
		{"ReduceLogSumExp of none", flat, values(upTo(0)), values(scalar(math.Inf(-1)))},
	}
}
