package native

import "maps"

// operators has the maker of each operator of ONNX. Copy is our own.
var operators = join(
	map[string]maker{
		"Copy": makeCopy,

		"Sigmoid": makeUnary(&sigmoid, nil), "Tanh": makeUnary(&tanh, nil),
		"HardSwish": makeUnary(&hardSwish, nil), "HardSigmoid": makeUnary(&hardSigmoid, hardSigmoidConstants),
		"Swish": makeSwish, "Gelu": makeGelu, "Exp": makeUnary(&exp, nil), "Erf": makeUnary(&erf, nil), "Clip": makeClip,
		"LeakyRelu": makeLeakyRelu, "Elu": makeElu, "Selu": makeSelu, "Celu": makeCelu,
		"Softmax": makeSoftmax(false), "LogSoftmax": makeSoftmax(true), "Dropout": makeDropout,

		"Gemm": makeGemm, "MatMul": makeMatMul, "Einsum": makeEinsum,
		"Conv": byAxes(makeConv, makeConvND), "ConvTranspose": byAxes(makeConvTranspose, makeConvTransposeND),
		"BatchNormalization": makeBatchNorm, "LayerNormalization": makeLayerNorm, "RMSNormalization": makeLayerNorm,
		"InstanceNormalization": makeGroupNorm, "GroupNormalization": makeGroupNorm, "LpNormalization": makeLpNorm,
		"MeanVarianceNormalization": makeMeanVariance, "LRN": makeResponseNorm,

		"MaxPool": makeMaxPool, "AveragePool": byAxes(makePool(true, false), makePoolND),
		"GlobalMaxPool": makePool(false, true), "GlobalAveragePool": makePool(true, true),
		"LpPool": makePoolND, "GlobalLpPool": makePoolND, "MaxUnpool": makeUnpool, "Resize": makeResize,

		"Transpose": makeTranspose, "Slice": makeSlice, "Split": makeSplit, "Concat": makeConcat,
		"Expand": makeExpand, "Pad": makePad, "Tile": makeTile,
		"DepthToSpace": makeDepthToSpace, "SpaceToDepth": makeDepthToSpace, "CenterCropPad": makeCenterCropPad,
		"Trilu": makeTrilu, "ReverseSequence": makeReverseSequence, "Compress": makeCompress,
		"Gather": makeGather, "GatherElements": makeGatherElements, "GatherND": makeGatherND,
		"ScatterElements": makeScatter, "Scatter": makeScatter, "ScatterND": makeScatter, "OneHot": makeOneHot,

		"Cast": makeCast, "CastLike": makeCast, "Where": makeWhere, "IsNaN": makeTest, "IsInf": makeTest,
		"Relu": orWhole(makeUnary(&relu, nil)), "Not": orWhole(onlyWhole), "BitwiseNot": orWhole(onlyWhole),
		"Max": makeSeveral, "Min": makeSeveral, "Sum": makeSeveral, "Mean": makeSeveral,
		"ArgMax": makeArgExtreme, "ArgMin": makeArgExtreme, "TopK": makeTopK, "Hardmax": makeHardmax, "CumSum": makeCumSum,
		"ReduceLogSumExp": makeLogSumExp, "ThresholdedRelu": makeThresholdedRelu, "Shrink": makeShrink,

		"NegativeLogLikelihoodLoss": makeLoss, "SoftmaxCrossEntropyLoss": makeLoss,

		"RNN": makeRecurrent, "GRU": makeRecurrent, "LSTM": makeRecurrent,

		"QuantizeLinear": makeQuantize, "DequantizeLinear": makeQuantize, "DynamicQuantizeLinear": makeDynamicQuantize,
		"MatMulInteger": makeWholeMatMul, "QLinearMatMul": makeWholeMatMul,
		"ConvInteger": makeWholeConv, "QLinearConv": makeWholeConv,
	},
	each(reduceRules, makeReduce),
	each(pairRules, makePair),
	each(pointRules, orWhole(makePoint)),
	each(compareRules, makeCompare),
	map[string]maker{"Pow": makePow},
)

// makerOf returns the maker of an operator, or nil. If is not in the table, since it
// makes operators itself.
func makerOf(op string) maker {
	if op == "If" {
		return makeIf
	}
	return operators[op]
}

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

// folded are operators that follow from shapes, or from small inputs that then steer the
// plan (see program.specialize), so that no plan sees them.
var folded = map[string]bool{
	"Shape": true, "Size": true, "Constant": true, "ConstantOfShape": true, "Range": true, "EyeLike": true,
	"HannWindow": true, "HammingWindow": true, "BlackmanWindow": true, "MelWeightMatrix": true,
	"NonZero": true, "Unique": true, "NonMaxSuppression": true,
}
