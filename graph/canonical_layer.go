package graph

import (
	"math"

	"ropewalk/tensor"
)

// layerRules are the operators that layers of networks are made of.
var layerRules = map[string]rule{
	"MeanVarianceNormalization": oldMeanVariance,
	"BatchNormalization":        oldBatchNormalization,
	"GroupNormalization":        oldGroupNormalization,
	"Dropout":                   oldDropout,
	"Gemm":                      oldGemm,
	"PRelu":                     oldPRelu,
	"Softmax":                   flatSoftmax,
	"LogSoftmax":                flatSoftmax,
	"Hardmax":                   flatSoftmax,
	"LpPool":                    oldWholePower,
	"GlobalLpPool":              oldWholePower,
	"LpNormalization":           oldWholePower,
	"RNN":                       oldRecurrent,
	"GRU":                       oldRecurrent,
	"LSTM":                      oldRecurrent,
	"Scan":                      oldScan,
}

// oldBatchNormalization: training_mode, which version 14 brought, says whether the
// statistics are those of the batch. Before, outputs beyond the first said it; the
// last two of them had no use outside of training.
func oldBatchNormalization(r *rewriter) {
	if r.version >= 14 {
		return
	}
	if spatial, ok := take[int64](r, "spatial"); ok && spatial == 0 {
		r.problem("statistics for each place (spatial = 0) have no equal in newer opsets")
	}
	training := false
	for i, name := range r.n.Outputs {
		training = training || i > 0 && name != ""
	}
	if test, ok := take[int64](r, "is_test"); r.version < 7 {
		training = training || !ok || test == 0
		// Files of before version 7 that were made to be run leave out is_test, too.
		if !ok && len(r.n.Outputs) == 1 {
			training = false
		}
	}
	// Nothing but the old gradients reads the last two. A node that does so all
	// the same is found at the end.
	r.n.Outputs = r.n.Outputs[:min(3, len(r.n.Outputs))]
	if training {
		r.n.Attributes["training_mode"] = int64(1)
	}
}

// oldGroupNormalization: scale and bias, one for each group before version 21, are one
// for each channel.
func oldGroupNormalization(r *rewriter) {
	if r.version >= 21 {
		return
	}
	groups, ok := r.n.Attributes["num_groups"].(int64)
	if !ok || groups < 1 {
		r.problem("it has no num_groups")
		return
	}
	shape := r.emit("shape", "Shape", Attributes{"start": int64(1), "end": int64(2)}, r.input(0))
	each := r.emit("each", "Div", nil, shape, r.ints("groups", groups))
	size := r.emit("size", "Concat", Attributes{"axis": int64(0)}, r.ints("one", groups), each)
	column, flat := r.ints("column", -1, 1), r.ints("flat", -1)
	for i, what := range []string{"scale", "bias"} {
		v := r.emit(what+".column", "Reshape", nil, r.input(i+1), column)
		v = r.emit(what+".each", "Expand", nil, v, size)
		r.setInput(i+1, r.emit(what, "Reshape", nil, v, flat))
	}
}

// oldDropout: the ratio, an attribute before version 12, is the second input.
func oldDropout(r *rewriter) {
	if r.version >= 12 {
		return
	}
	delete(r.n.Attributes, "is_test") // whether there is training, who runs it says
	if ratio, ok := take[float64](r, "ratio"); ok {
		t := floatArray([]float64{ratio})
		t.Shape = tensor.Shape{}
		r.setInput(1, r.add("ratio", t))
	}
}

// oldGemm: since version 7 C broadcasts without being told.
func oldGemm(r *rewriter) {
	if r.version < 7 {
		delete(r.n.Attributes, "broadcast")
	}
}

// oldPRelu: since version 7 slopes broadcast from the last axis; before, they were one for each channel.
func oldPRelu(r *rewriter) {
	if r.version >= 7 {
		return
	}
	if t := r.weight(1); t != nil && t.Elems() == 1 {
		return
	}
	r.setInput(1, r.alongAxis(1, 1))
}

// flatSoftmax takes an array apart at the axis into rows and columns before version
// 13; now it works along one axis. Along the last the two are the same.
func flatSoftmax(r *rewriter) {
	if r.version >= 13 {
		return
	}
	axis := int64(1)
	if a, ok := take[int64](r, "axis"); ok {
		axis = a
	}
	r.n.Attributes["axis"] = int64(-1)
	if axis == -1 || len(r.n.Outputs) != 1 {
		return
	}
	shape := r.emit("shape", "Shape", nil, r.input(0))
	r.n.Inputs = []string{r.emit("rows", "Flatten", Attributes{"axis": axis}, r.input(0))}
	r.after("Reshape", shape)
}

// after puts a node behind this one, which takes its output's place: the node's
// output gets a new name, and the new node has the old one.
func (r *rewriter) after(op string, inputs ...string) {
	inner := *r.n
	inner.Name = r.imp.nodes.unique(r.n.Name + "." + r.n.Op)
	name, err := r.imp.fresh(r.n.Outputs[0]+".rows", r.at)
	if err != nil {
		r.fail(err)
		return
	}
	inner.Outputs = []string{name}
	if err := r.imp.emit(r.b, &inner, inner.Name, r.at); err != nil {
		r.fail(err)
		return
	}
	*r.n = Node{
		Name:       r.n.Name,
		Op:         op,
		Inputs:     append([]string{name}, inputs...),
		Outputs:    r.n.Outputs,
		Attributes: Attributes{},
		Opset:      r.n.Opset,
	}
}

// oldMeanVariance: the axes that are left out are written down, for the reference
// implementation of ONNX takes a model without them for invalid.
func oldMeanVariance(r *rewriter) { r.setDefault("axes", []int64{0, 2, 3}) }

// oldWholePower: p is an integer since version 2.
func oldWholePower(r *rewriter) {
	p, ok := r.n.Attributes["p"].(float64)
	if !ok {
		return
	}
	if p != math.Trunc(p) || math.Abs(p) > 1<<31 {
		r.problem("p is %g, want a whole number", p)
		return
	}
	r.n.Attributes["p"] = int64(p)
}

// oldRecurrent: an attribute before version 7 said which outputs there are.
func oldRecurrent(r *rewriter) {
	if r.version < 7 {
		delete(r.n.Attributes, "output_sequence")
	}
}

// oldScan: version 8 had a batch axis of its own.
func oldScan(r *rewriter) {
	if r.version < 9 {
		r.problem("the form of opset 8 has no equal in newer opsets")
	}
}
