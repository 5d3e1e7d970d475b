package graph

import (
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// lossOps compare scores with labels.
var lossOps = map[string]operator{
	"NegativeLogLikelihoodLoss": {infer: inferLoss, evaluate: evaluateLoss, min: 2, max: 3},
	"SoftmaxCrossEntropyLoss":   {infer: inferLoss, evaluate: evaluateLoss, min: 2, max: 3},
}

// inferLoss: scores of batch × classes × space, labels of batch × space, and a weight
// for each class. The second output of SoftmaxCrossEntropyLoss is the logarithms of
// the shares.
func inferLoss(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	how := r.string("reduction", "mean")
	r.int("ignore_index", 0)
	if r.err == nil && how != "none" && how != "sum" && how != "mean" {
		r.fail("attribute reduction is %q, want none, sum or mean", how)
	}
	if r.err != nil {
		return nil, r.err
	}
	x, labels := in[0].Type, in[1].Type
	if kindOf(x.DType) != kindFloat || len(x.Shape) < 2 || kindOf(labels.DType) != kindInt {
		return nil, fmt.Errorf("its inputs are %v and %v, want scores and labels", x, labels)
	}
	if want := slices.Concat(x.Shape[:1], x.Shape[2:]); !labels.Shape.Equal(want) {
		return nil, fmt.Errorf("the labels are %v, want %v for scores %v", labels.Shape, want, x.Shape)
	}
	if err := sameType(in[0], in[2]); err != nil {
		return nil, err
	}
	if err := perChannel(in[2], x.Shape[1], "the weight"); err != nil {
		return nil, err
	}
	to := tensor.Shape{}
	if how == "none" {
		to = labels.Shape
	}
	types := []Type{{x.DType, to}}
	if n.Op == "SoftmaxCrossEntropyLoss" {
		types = append(types, x)
	}
	return types, nil
}

func evaluateLoss(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	x := in[0]
	classes := x.Shape[1]
	if n.Op == "SoftmaxCrossEntropyLoss" {
		x = x.clone()
		line := make([]float64, classes)
		eachLine(x.Shape, 1, func(at, stride int) {
			for i := range line {
				line[i] = x.Float[at+i*stride]
			}
			logSoftmax(line)
			for i, y := range line {
				x.Float[at+i*stride] = y
			}
		})
	}
	out := newValue(c.types[0])
	sum, weights := 0.0, 0.0
	area := channelArea(x.Shape)
	for i, label := range in[1].Int {
		if r.has("ignore_index") && label == r.int("ignore_index", 0) {
			continue
		}
		if label < 0 || label >= classes {
			return nil, fmt.Errorf("label %d at %d is outside of %d classes", label, i, classes)
		}
		weight := 1.0
		if in[2] != nil {
			weight = in[2].Float[label]
		}
		loss := -weight * x.Float[(i/area*int(classes)+int(label))*area+i%area]
		sum += loss
		weights += weight
		if r.string("reduction", "mean") == "none" {
			out.Float[i] = loss
		}
	}
	switch r.string("reduction", "mean") {
	case "sum":
		out.Float[0] = sum
	case "mean":
		out.Float[0] = sum / weights
	}
	return []*Value{out, x}, nil
}
