package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// normOps shift and scale by statistics of the elements.
var normOps = map[string]operator{
	"BatchNormalization":    {infer: inferBatchNorm, evaluate: evaluateBatchNorm, min: 5, max: 5, volatile: true},
	"InstanceNormalization": {infer: inferInstanceNorm, evaluate: evaluateInstanceNorm, min: 3, max: 3},
	"GroupNormalization":    {infer: inferInstanceNorm, evaluate: evaluateInstanceNorm, min: 3, max: 3},
	"LayerNormalization":    {infer: inferLayerNorm, evaluate: evaluateLayerNorm, min: 2, max: 3},
	"RMSNormalization":      {infer: inferLayerNorm, evaluate: evaluateLayerNorm, min: 2, max: 2},

	"MeanVarianceNormalization": {infer: inferMeanVariance, evaluate: evaluateMeanVariance, min: 1, max: 1},

	"LpNormalization": {infer: inferLpNorm, evaluate: evaluateLpNorm, min: 1, max: 1},
	"LRN":             {infer: inferLRN, evaluate: evaluateLRN, min: 1, max: 1},
}

// inferBatchNorm: X, scale, bias, mean, variance give Y, and in training the new
// running mean and variance.
func inferBatchNorm(c *context, n *Node, in []*Operand) ([]Type, error) {
	t := in[0].Type
	if kindOf(t.DType) != kindFloat || len(t.Shape) < 2 {
		return nil, fmt.Errorf("its input is %v, want floats with a batch and channels", t)
	}
	for i, what := range []string{"the scale", "the bias", "the mean", "the variance"} {
		if err := perChannel(in[i+1], t.Shape[1], what); err != nil {
			return nil, err
		}
		if kindOf(in[i+1].Type.DType) != kindFloat {
			return nil, fmt.Errorf("%s is %v, want floats", what, in[i+1].Type)
		}
	}
	r := read(n)
	r.float("epsilon", 1e-5)
	r.float("momentum", 0.9)
	if training := r.flag("training_mode", false); r.err == nil && !training {
		return []Type{t}, nil
	}
	return []Type{t, in[3].Type, in[4].Type}, r.err
}

func evaluateBatchNorm(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	epsilon, momentum := r.float("epsilon", 1e-5), r.float("momentum", 0.9)
	x, scale, bias, mean, variance := in[0], in[1], in[2], in[3], in[4]
	out := newValue(c.types[0])
	results := []*Value{out}
	if c.training || r.flag("training_mode", false) {
		count := 0.0
		newMean, newVariance := newValue(mean.typ()), newValue(variance.typ())
		mean, variance, count = channelStatistics(x)
		running := func(old, now float64) float64 { return momentum*old + (1-momentum)*now }
		unbiased := newValue(variance.typ())
		for i := range mean.Float {
			newMean.Float[i] = running(in[3].Float[i], mean.Float[i])
			newVariance.Float[i] = running(in[4].Float[i], variance.Float[i])
			unbiased.Float[i] = running(in[4].Float[i], variance.Float[i]*count/math.Max(count-1, 1))
		}
		if c.updated != nil {
			c.updated[n.Inputs[3]], c.updated[n.Inputs[4]] = newMean, unbiased
		}
		results = append(results, newMean, newVariance)
	}
	area := channelArea(x.Shape)
	for i, v := range x.Float {
		ch := i / area % len(scale.Float)
		out.Float[i] = (v-mean.Float[ch])/math.Sqrt(variance.Float[ch]+epsilon)*scale.Float[ch] + bias.Float[ch]
	}
	return results, nil
}

// channelArea is how many elements of an array of images are in one channel of one
// image.
func channelArea(s tensor.Shape) int {
	if product(s) == 0 {
		return 1
	}
	return product(s[2:])
}

// channelStatistics returns mean and variance of each channel over all else, and how
// many elements a channel has.
func channelStatistics(x *Value) (mean, variance *Value, count float64) {
	channels := int(x.Shape[1])
	mean = newValue(Type{x.Type, tensor.Shape{x.Shape[1]}})
	variance = newValue(mean.typ())
	count = float64(x.elems()) / math.Max(float64(channels), 1)
	area := channelArea(x.Shape)
	for i, v := range x.Float {
		mean.Float[i/area%channels] += v / count
	}
	for i, v := range x.Float {
		d := v - mean.Float[i/area%channels]
		variance.Float[i/area%channels] += d * d / count
	}
	return mean, variance, count
}

// inferInstanceNorm serves GroupNormalization, too, which has attribute num_groups,
// and scale and bias for each channel.
func inferInstanceNorm(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := floatsOnly(in...); err != nil {
		return nil, err
	}
	t := in[0].Type
	if len(t.Shape) < 2 {
		return nil, fmt.Errorf("its input is %v, want a batch and channels", t)
	}
	if err := perChannel(in[1], t.Shape[1], "the scale"); err != nil {
		return nil, err
	}
	if err := perChannel(in[2], t.Shape[1], "the bias"); err != nil {
		return nil, err
	}
	r := read(n)
	r.float("epsilon", 1e-5)
	groups := r.int("num_groups", t.Shape[1])
	if n.Op == "GroupNormalization" && !r.has("num_groups") {
		r.fail("attribute num_groups is missing")
	}
	if r.err == nil && (groups < 0 || groups == 0 && t.Shape[1] > 0 || groups > 0 && t.Shape[1]%groups != 0) {
		r.fail("%d channels do not divide into %d groups", t.Shape[1], groups)
	}
	return []Type{t}, r.err
}

func evaluateInstanceNorm(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	x := in[0]
	out := newValue(c.types[0])
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	epsilon := r.float("epsilon", 1e-5)
	groups := int(x.Shape[0])
	if n.Op == "GroupNormalization" {
		groups *= int(r.int("num_groups", 1))
	} else {
		groups *= int(x.Shape[1])
	}
	area, channels, each := channelArea(x.Shape), int(x.Shape[1]), out.elems()/groups
	for g := range groups {
		part := x.Float[g*each : (g+1)*each]
		mean, variance := moments(part)
		for i, v := range part {
			at := g*each + i
			ch := at / area % channels
			out.Float[at] = (v-mean)/math.Sqrt(variance+epsilon)*in[1].Float[ch] + in[2].Float[ch]
		}
	}
	return []*Value{out}, nil
}

// moments returns mean and variance.
func moments(x []float64) (mean, variance float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	return mean, variance
}

// inferLayerNorm normalizes over attribute axis and all behind it; RMSNormalization is
// the same without a mean. The other outputs of LayerNormalization are the mean and
// the inverse of the deviation.
func inferLayerNorm(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	at := r.int("axis", -1)
	r.float("epsilon", 1e-5)
	if s := r.int("stash_type", 1); r.err == nil && s != 1 && s != 16 {
		r.fail("attribute stash_type is %d, want 1 or 16", s)
	}
	if r.err != nil {
		return nil, r.err
	}
	t := in[0].Type
	axis, err := axisOf(at, len(t.Shape))
	if err != nil {
		return nil, err
	}
	for i, o := range in {
		if o == nil {
			continue
		}
		if kindOf(o.Type.DType) != kindFloat {
			return nil, fmt.Errorf("input %d is %v, want floats", i, o.Type)
		}
		if s, err := broadcast(t.Shape, o.Type.Shape); err != nil || !s.Equal(t.Shape) {
			return nil, fmt.Errorf("input %d of shape %v does not broadcast to %v", i, o.Type.Shape, t.Shape)
		}
	}
	if n.Op == "RMSNormalization" {
		return []Type{t}, nil
	}
	rest := slices.Clone(t.Shape)
	for i := axis; i < len(rest); i++ {
		rest[i] = 1
	}
	return []Type{t, {tensor.F32, rest}, {tensor.F32, rest}}, nil
}

func evaluateLayerNorm(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	x := in[0]
	axis, err := axisOf(r.int("axis", -1), len(x.Shape))
	if err != nil {
		return nil, err
	}
	epsilon := r.float("epsilon", 1e-5)
	rest := slices.Clone(x.Shape)
	for i := axis; i < len(rest); i++ {
		rest[i] = 1
	}
	out := newValue(c.types[0])
	means, inverses := newValue(Type{tensor.F32, rest}), newValue(Type{tensor.F32, rest})
	if out.elems() == 0 {
		return []*Value{out, means, inverses}, nil
	}
	each := out.elems() / means.elems()
	strides := [][]int{stretched(in[1].Shape, x.Shape), make([]int, len(x.Shape))}
	if len(in) > 2 && in[2] != nil {
		strides[1] = stretched(in[2].Shape, x.Shape)
	}
	w := newWalker(x.Shape, strides...)
	for g := range means.Float {
		part := x.Float[g*each : (g+1)*each]
		mean, variance := moments(part)
		if n.Op == "RMSNormalization" {
			variance += mean * mean
			mean = 0
		}
		means.Float[g], inverses.Float[g] = mean, 1/math.Sqrt(variance+epsilon)
		for i, v := range part {
			y := (v - mean) * inverses.Float[g] * in[1].Float[w.off[0]]
			if len(in) > 2 && in[2] != nil {
				y += in[2].Float[w.off[1]]
			}
			out.Float[g*each+i] = y
			w.next()
		}
	}
	return []*Value{out, means, inverses}, nil
}

// MeanVarianceNormalization has no weights; attribute axes says over what to take
// the statistics.
func inferMeanVariance(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := floatsOnly(in...); err != nil {
		return nil, err
	}
	_, err := meanVarianceAxes(n, len(in[0].Type.Shape))
	return []Type{in[0].Type}, err
}

func meanVarianceAxes(n *Node, rank int) ([]bool, error) {
	r := read(n)
	axes := r.ints("axes")
	if r.err != nil {
		return nil, r.err
	}
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	return axesOf(axes, rank)
}

func evaluateMeanVariance(c *context, n *Node, in []*Value) ([]*Value, error) {
	x := in[0]
	set, err := meanVarianceAxes(n, len(x.Shape))
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	strides, count := reducedStrides(x.Shape, set)
	mean := make([]float64, out.elems()/count)
	variance := make([]float64, len(mean))
	walk := func(f func(o, i int)) {
		w := newWalker(x.Shape, strides)
		for i := range x.Float {
			f(w.off[0], i)
			w.next()
		}
	}
	walk(func(o, i int) { mean[o] += x.Float[i] / float64(count) })
	walk(func(o, i int) { variance[o] += (x.Float[i] - mean[o]) * (x.Float[i] - mean[o]) / float64(count) })
	walk(func(o, i int) { out.Float[i] = (x.Float[i] - mean[o]) / (math.Sqrt(variance[o]) + 1e-9) })
	return []*Value{out}, nil
}

func inferLpNorm(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := floatsOnly(in...); err != nil {
		return nil, err
	}
	r := read(n)
	axis, p := r.int("axis", -1), r.int("p", 2)
	if r.err == nil && p != 1 && p != 2 {
		r.fail("attribute p is %d, want 1 or 2", p)
	}
	if r.err != nil {
		return nil, r.err
	}
	_, err := axisOf(axis, len(in[0].Type.Shape))
	return []Type{in[0].Type}, err
}

func evaluateLpNorm(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	axis, err := axisOf(r.int("axis", -1), len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	p := float64(r.int("p", 2))
	out := newValue(c.types[0])
	line := make([]float64, out.Shape[axis])
	eachLine(out.Shape, axis, func(at, stride int) {
		for i := range line {
			line[i] = in[0].Float[at+i*stride]
		}
		if length := norm(line, p); length != 0 { // a line of zeros stays one
			for i, x := range line {
				out.Float[at+i*stride] = x / length
			}
		}
	})
	return []*Value{out}, nil
}

// LRN divides by the squares of the channels around.
func inferLRN(_ *context, n *Node, in []*Operand) ([]Type, error) {
	if err := floatsOnly(in...); err != nil {
		return nil, err
	}
	if len(in[0].Type.Shape) < 2 {
		return nil, fmt.Errorf("its input is %v, want a batch and channels", in[0].Type)
	}
	r := read(n)
	r.float("alpha", 0.0001)
	r.float("beta", 0.75)
	r.float("bias", 1)
	if size := r.int("size", 0); r.err == nil && size < 1 {
		r.fail("attribute size is %d, want 1 or more", size)
	}
	return []Type{in[0].Type}, r.err
}

func evaluateLRN(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	alpha, beta, bias, size := r.float("alpha", 0.0001), r.float("beta", 0.75), r.float("bias", 1), r.int("size", 1)
	x := in[0]
	out := newValue(c.types[0])
	channels := x.Shape[1]
	if err := c.spendProduct(int64(out.elems()), min(size, channels)); err != nil {
		return nil, err
	}
	area := channelArea(x.Shape)
	for i, v := range x.Float {
		ch := int64(i / area % int(channels))
		lo, hi := max(0, ch-(size-1)/2), channels-1
		if size/2 < channels-1-ch {
			hi = ch + size/2
		}
		sum := 0.0
		for k := lo; k <= hi; k++ {
			y := x.Float[i+int(k-ch)*area]
			sum += y * y
		}
		out.Float[i] = v / math.Pow(bias+alpha/float64(size)*sum, beta)
	}
	return []*Value{out}, nil
}
