package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ropewalk/engine"
)

// CompareOptions say how to compare. Nil and the zero value are the default.
type CompareOptions struct {
	// Batch is the examples of a batch; 0 is 128.
	Batch int
	// FixedBatch is that of [EvaluateOptions], for either network.
	FixedBatch bool
	// Logits says that the first output holds logits: KL is that of its softmax.
	Logits bool
	// Progress is called after each batch; nil is not.
	Progress func(done, total int)
}

// A Comparison is what two networks, A and B, make of the same inputs.
type Comparison struct {
	Examples int                `json:"examples"`
	Outputs  []OutputComparison `json:"outputs"`
	// Top1 of both, if the examples have labels, from the first output, if that can
	// be one value for each class; Unjudged says why it cannot.
	Top1A *float64 `json:"top1_a,omitempty" about:"part of the examples that A gets right"`
	Top1B *float64 `json:"top1_b,omitempty" about:"part of the examples that B gets right"`

	Unjudged string `json:"unjudged,omitempty" about:"why there is no accuracy, although the examples have labels"`
}

// What the KL divergence of an output is of.
const (
	KLOfOutputs = "outputs"
	KLOfSoftmax = "softmax"
)

// OutputComparison is the difference of an output.
type OutputComparison struct {
	Name      string  `json:"name,omitempty"`
	Values    int64   `json:"values" about:"that were compared"`
	Equal     int64   `json:"equal" about:"values that are equal"`
	NonFinite int64   `json:"non_finite" about:"values that are no finite number in A or B; they count nowhere else"`
	Max       float64 `json:"max" about:"largest difference"`
	Mean      float64 `json:"mean" about:"mean of the differences without sign"`
	Relative  float64 `json:"relative" about:"root of (sum of squared differences / sum of squares of A); 0 if both are 0"`
	// Rows are along the last axis, if that is longer than 1.
	Rows      int64    `json:"rows,omitempty" about:"vectors along the last axis"`
	Agreement *float64 `json:"agreement,omitempty" about:"part of the rows whose largest value is at the same place"`
	KL        *float64 `json:"kl,omitempty" about:"mean over the rows of KL(A, B) in nats, if all values are finite"`
	KLOf      string   `json:"kl_of,omitempty" about:"outputs, if all rows are distributions in A and B, or softmax of the outputs"`
}

// Compare runs a and b on all examples of s.
func Compare(ctx context.Context, a, b engine.Program, s Source, o *CompareOptions) (*Comparison, error) {
	if o == nil {
		o = &CompareOptions{}
	}
	size := o.Batch
	if size == 0 {
		size = defaultBatch
	}
	if s.Len() < 1 {
		return nil, errors.New("there are no inputs to compare on")
	}
	var c comparison
	f := newFiller(o.FixedBatch, size)
	seen := 0
	for batch, err := range s.Batches(ctx, Pass{Size: size}) {
		if err != nil {
			return nil, err
		}
		n := 0
		inputs := batch.Inputs
		if o.FixedBatch {
			if n, err = batch.size(); err != nil {
				return nil, err
			}
			if inputs, err = f.fill(inputs, n); err != nil {
				return nil, err
			}
		}
		outA, err := a.Forward(inputs)
		if err != nil {
			return nil, fmt.Errorf("in A: %w", err)
		}
		outB, err := b.Forward(inputs)
		if err != nil {
			return nil, fmt.Errorf("in B: %w", err)
		}
		if err := c.add(f.cut(outA, n), f.cut(outB, n), &batch.Targets, o.Logits); err != nil {
			return nil, err
		}
		seen = min(seen+size, s.Len())
		if o.Progress != nil {
			o.Progress(seen, s.Len())
		}
	}
	return c.finish(s.Len()), nil
}

// A comparison is a Comparison in the making.
type comparison struct {
	outputs        []*sums
	labels         int
	rightA, rightB int
	unjudged       error // why labels do not count
}

// sums are those of one output.
type sums struct {
	OutputComparison
	diff, squareDiff, squareA float64
	agree                     int64
	kl                        float64
	isDistribution, logits    bool
}

func (c *comparison) add(a, b []engine.Array, t *Targets, logits bool) error {
	if len(a) != len(b) {
		return fmt.Errorf("network A has %d outputs, and B %d", len(a), len(b))
	}
	if c.outputs == nil {
		for i := range a {
			c.outputs = append(c.outputs, &sums{isDistribution: true, logits: logits && i == 0})
		}
	}
	for i := range a {
		if !a[i].Shape.Equal(b[i].Shape) {
			return fmt.Errorf("output %d of A is %v, and that of B %v", i, a[i].Shape, b[i].Shape)
		}
		width := 1
		if n := len(a[i].Shape); n > 0 {
			width = int(a[i].Shape[n-1])
		}
		c.outputs[i].add(floats(a[i]), floats(b[i]), width)
	}
	if t.Labels != nil && c.unjudged == nil {
		c.unjudged = c.judge(a, b, t)
	}
	return nil
}

// judge counts what both get right. An error is that they are no classifiers for
// these labels, which is no reason not to compare them.
func (c *comparison) judge(a, b []engine.Array, t *Targets) error {
	za, _, n, width, err := first(a, nil)
	if err != nil {
		return err
	}
	long := 0
	for _, d := range a[0].Shape[1:] {
		if d > 1 {
			long++
		}
	}
	if long > 1 {
		return fmt.Errorf("the output of shape %v is not one value for each class", a[0].Shape)
	}
	if err := t.checkLabels(n, width); err != nil {
		return err
	}
	zb, _, _, _, err := first(b, nil)
	if err != nil {
		return err
	}
	for i, l := range t.Labels {
		c.labels++
		if argmax(za[i*width:][:width]) == int(l) {
			c.rightA++
		}
		if argmax(zb[i*width:][:width]) == int(l) {
			c.rightB++
		}
	}
	return nil
}

// floats returns the values of an array as floats.
func floats(a engine.Array) []float32 {
	if a.Float != nil || a.Int == nil {
		return a.Float
	}
	f := make([]float32, len(a.Int))
	for i, v := range a.Int {
		f[i] = float32(v)
	}
	return f
}

func (s *sums) add(a, b []float32, width int) {
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		s.Values++
		d := math.Abs(x - y)
		switch {
		case a[i]-a[i] != 0 || b[i]-b[i] != 0:
			s.NonFinite++
			continue
		case a[i] == b[i]:
			s.Equal++
		}
		s.diff += d
		s.squareDiff += d * d
		s.squareA += x * x
		s.Max = max(s.Max, d)
	}
	if width < 2 {
		return
	}
	logA, logB := make([]float64, width), make([]float64, width)
	for ; len(a) >= width; a, b = a[width:], b[width:] {
		rowA, rowB := a[:width], b[:width]
		s.Rows++
		if argmax(rowA) == argmax(rowB) {
			s.agree++
		}
		switch {
		case s.logits:
			logSoftmax(logA, rowA, 1)
			logSoftmax(logB, rowB, 1)
			for k := range logA {
				if p := math.Exp(logA[k]); p > 0 {
					s.kl += p * (logA[k] - logB[k])
				}
			}
		case s.isDistribution:
			s.isDistribution = isDistribution(rowA) && isDistribution(rowB)
			for k, p := range rowA {
				if p > 0 {
					s.kl += float64(p) * (math.Log(float64(p)) - math.Log(max(float64(rowB[k]), leastProbability)))
				}
			}
		}
	}
}

// isDistribution reports whether a row is not negative and sums to one, as exactly
// as a sum of float32 does.
func isDistribution(row []float32) bool {
	sum := 0.0
	for _, v := range row {
		if !(v >= 0) {
			return false
		}
		sum += float64(v)
	}
	return math.Abs(sum-1) < 1e-3
}

func (c *comparison) finish(examples int) *Comparison {
	r := &Comparison{Examples: examples}
	for _, s := range c.outputs {
		if n := s.Values - s.NonFinite; n > 0 {
			s.Mean = s.diff / float64(n)
		}
		if s.squareDiff > 0 {
			s.Relative = math.Sqrt(s.squareDiff / s.squareA)
			if s.squareA == 0 {
				s.Relative = math.MaxFloat64 // infinity is no JSON
			}
		}
		if s.Rows > 0 {
			v := float64(s.agree) / float64(s.Rows)
			s.Agreement = &v
			if s.logits && c.unjudged != nil {
				s.logits, s.isDistribution = false, false // of what is no classifier, there are none
			}
			if kl := s.kl / float64(s.Rows); s.NonFinite == 0 && (s.logits || s.isDistribution) {
				s.KL, s.KLOf = &kl, KLOfOutputs
				if s.logits {
					s.KLOf = KLOfSoftmax
				}
			}
		}
		r.Outputs = append(r.Outputs, s.OutputComparison)
	}
	if c.unjudged != nil {
		r.Unjudged = c.unjudged.Error()
	} else if c.labels > 0 {
		a, b := float64(c.rightA)/float64(c.labels), float64(c.rightB)/float64(c.labels)
		r.Top1A, r.Top1B = &a, &b
	}
	return r
}
