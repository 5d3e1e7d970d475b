package graph

// signalRules are the operators of spectra.
var signalRules = map[string]rule{
	"DFT": oldDFT,
}

// oldDFT: the axis, an attribute before version 20, is the third input.
func oldDFT(r *rewriter) {
	if r.version >= 20 {
		return
	}
	axis := int64(1)
	if a, ok := take[int64](r, "axis"); ok {
		axis = a
	}
	r.setInput(2, r.int("axis", axis))
}
