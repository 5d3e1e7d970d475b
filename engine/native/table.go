package native

import "maps"

// operators has the maker of each operator of ONNX. Copy is our own.
var operators = join(
	map[string]maker{
		"Copy": makeCopy,

		"Relu": makeUnary(&relu, nil), "Sigmoid": makeUnary(&sigmoid, nil), "Tanh": makeUnary(&tanh, nil),
		"HardSwish": makeUnary(&hardSwish, nil), "HardSigmoid": makeUnary(&hardSigmoid, hardSigmoidConstants),
		"Swish": makeSwish, "Gelu": makeGelu, "Exp": makeUnary(&exp, nil), "Erf": makeUnary(&erf, nil), "Clip": makeClip,
		"LeakyRelu": makeLeakyRelu, "Elu": makeElu, "Selu": makeSelu, "Celu": makeCelu,
		"Softmax": makeSoftmax(false), "LogSoftmax": makeSoftmax(true), "Dropout": makeDropout,

		"Conv": makeConv, "Gemm": makeGemm, "MatMul": makeMatMul,
		"BatchNormalization": makeBatchNorm,
		"MaxPool":            makePool(false, false), "AveragePool": makePool(true, false),
		"GlobalMaxPool": makePool(false, true), "GlobalAveragePool": makePool(true, true),

		"Transpose": makeTranspose, "Slice": makeSlice, "Split": makeSplit, "Concat": makeConcat,
		"Expand": makeExpand, "Pad": makePad, "Tile": makeTile, "DepthToSpace": makeDepthToSpace, "SpaceToDepth": makeDepthToSpace,
		"Resize": makeResize, "Gather": makeGather, "Where": makeWhere, "Cast": makeCast,

		"ConvTranspose": makeConvTranspose, "LayerNormalization": makeLayerNorm,
		"InstanceNormalization": makeInstanceNorm, "GroupNormalization": makeInstanceNorm,

		"Equal":          makeCompare(func(a, b float32) bool { return a == b }, func(a, b int64) bool { return a == b }),
		"Greater":        makeCompare(func(a, b float32) bool { return a > b }, func(a, b int64) bool { return a > b }),
		"GreaterOrEqual": makeCompare(func(a, b float32) bool { return a >= b }, func(a, b int64) bool { return a >= b }),
		"Less":           makeCompare(func(a, b float32) bool { return a < b }, func(a, b int64) bool { return a < b }),
		"LessOrEqual":    makeCompare(func(a, b float32) bool { return a <= b }, func(a, b int64) bool { return a <= b }),
		"And":            makeCompare(nil, func(a, b int64) bool { return a&b != 0 }),
		"Or":             makeCompare(nil, func(a, b int64) bool { return a|b != 0 }),
		"Xor":            makeCompare(nil, func(a, b int64) bool { return a != b }),
		"Not":            makeNot,

		// Forward only.
		"LSTM": makeRecurrent, "GRU": makeRecurrent, "TopK": makeTopK, "ArgMax": makeArg(false), "ArgMin": makeArg(true),
		"QuantizeLinear": makeQuantize, "DequantizeLinear": makeQuantize,
	},
	each(reduceRules, makeReduce),
	each(pairRules, makePair),
	each(pointRules, makePoint),
	each(variadicRules, makeVariadic),
)

func join(families ...map[string]maker) map[string]maker {
	all := map[string]maker{}
	for _, f := range families {
		maps.Copy(all, f)
	}
	return all
}

// each returns a family of operators that one maker makes by their rules.
func each[R any](rules map[string]*R, m maker) map[string]maker {
	f := map[string]maker{}
	for op := range rules {
		f[op] = m
	}
	return f
}

// folded are operators that follow from shapes, so that no plan sees them.
var folded = map[string]bool{"Shape": true, "Size": true, "Constant": true, "ConstantOfShape": true, "Range": true}
