package native

import "math"

// A loss is NegativeLogLikelihoodLoss or SoftmaxCrossEntropyLoss, of scores batch ×
// classes × places and a label for each place of the batch. Labels outside of the
// classes end the call.
type loss struct {
	x, labels, weight *operand // weight may be nil
	y                 *site    // or nil
	logs              *site    // log softmax as a result, or nil
	soft              bool
	how               string
	ignores           bool
	ignored           int64
	classes, area     int
	prob              *memory // log softmax; of the other operator nil
	total             float64 // of the weights
}

func makeLoss(n *node) (operator, error) {
	o := &loss{
		x: n.in[0], labels: n.in[1], weight: n.operand(2), y: n.out[0], soft: n.Op == "SoftmaxCrossEntropyLoss",
		how: n.text("reduction", "mean"), classes: int(n.in[0].shape[1]), area: product(n.in[0].shape[2:]),
	}
	o.ignored, o.ignores = n.Attributes["ignore_index"].(int64)
	if len(n.out) > 1 && n.out[1] != nil {
		o.logs = n.out[1]
		if n.mayWant(0) {
			return nil, n.lacks("the gradient of its second result")
		}
	}
	if n.mayWant(2) {
		return nil, n.lacks("weights of classes that are trained")
	}
	if o.soft {
		o.prob = n.retain(o.x.size)
	}
	n.keepIn(1)
	if o.weight != nil {
		n.keepIn(2)
	}
	return o, nil
}

// values returns the logarithms of probabilities.
func (o *loss) values() []float32 {
	if o.soft {
		return o.prob.float
	}
	return o.x.float
}

// each calls f for each label that counts, with the place of its score, and its weight.
func (o *loss) each(f func(i, at int, weight float64)) {
	for i, label := range o.labels.int {
		if o.ignores && label == o.ignored {
			continue
		}
		if label < 0 || label >= int64(o.classes) {
			fail("label %d at %d is outside of %d classes", label, i, o.classes)
		}
		w := 1.0
		if o.weight != nil {
			w = float64(o.weight.float[label])
		}
		f(i, (i/o.area*o.classes+int(label))*o.area+i%o.area, w)
	}
}

func (o *loss) forward() {
	if o.soft {
		o.logSoftmax()
		if o.logs != nil {
			copy(o.logs.float, o.prob.float)
		}
	}
	if o.y == nil {
		return
	}
	x, y := o.values(), o.y.float
	if o.how == "none" {
		clear(y)
	}
	sum := 0.0
	o.total = 0
	o.each(func(i, at int, weight float64) {
		l := -weight * float64(x[at])
		sum += l
		o.total += weight
		if o.how == "none" {
			y[i] = float32(l)
		}
	})
	switch o.how {
	case "sum":
		y[0] = float32(sum)
	case "mean":
		y[0] = float32(sum / o.total)
	}
}

func (o *loss) logSoftmax() {
	l := lines{o.x.size / max(1, o.classes*o.area), o.classes, o.area}
	for line := range l.count() {
		first := l.first(line)
		top, sum := math.Inf(-1), 0.0
		for k := range o.classes {
			top = max(top, float64(o.x.float[first+k*o.area]))
		}
		for k := range o.classes {
			sum += math.Exp(float64(o.x.float[first+k*o.area]) - top)
		}
		log := math.Log(sum)
		for k := range o.classes {
			o.prob.float[first+k*o.area] = float32(float64(o.x.float[first+k*o.area]) - top - log)
		}
	}
}

// slope returns the derivative of the loss of the network by the weighted loss of a
// label.
func (o *loss) slope(i int) float64 {
	switch o.how {
	case "none":
		return float64(o.y.grad[i])
	case "sum":
		return float64(o.y.grad[0])
	}
	return float64(o.y.grad[0]) / o.total
}

// backward: by the score of class k it is weight·slope·(softmax − 1 where k is the
// label), or without softmax −weight·slope there.
func (o *loss) backward() {
	o.each(func(i, at int, weight float64) {
		d := weight * o.slope(i)
		o.x.into[at] -= float32(d)
		if !o.soft {
			return
		}
		first := i/o.area*o.classes*o.area + i%o.area
		for k := range o.classes {
			p := first + k*o.area
			o.x.into[p] += float32(d * math.Exp(float64(o.prob.float[p])))
		}
	})
}
