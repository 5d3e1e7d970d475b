package native

// operators has the maker of each operator of ONNX. Copy is our own.
var operators map[string]maker

func init() {
	operators = map[string]maker{
		"Copy": makeCopy,
		"Add":  makePair, "Sub": makePair, "Mul": makePair, "Div": makePair, "Pow": makePair,
		"Relu": makeUnary(&relu, nil), "Sigmoid": makeUnary(&sigmoid, nil), "Tanh": makeUnary(&tanh, nil),
		"HardSwish": makeUnary(&hardSwish, nil), "Swish": makeUnary(&silu, nil),
	}
}

// folded are operators that follow from shapes, so that no plan sees them.
var folded = map[string]bool{"Shape": true, "Size": true, "Constant": true, "ConstantOfShape": true, "Range": true}
