package main

import (
	"fmt"
	"math"
	"slices"
)

// The second part of the page holds quantizers against each other: bytes at the
// same error, all coded by the same coder. The Lloyd-Max streams of the suite
// set the errors.

// A criterion says what an error is: the squared differences of each matrix
// times a factor of that matrix, summed.
type criterion struct {
	name   string
	factor func(signal, weights float64) float64
}

var criteria = []criterion{
	// What issues and papers mean by the error of weights.
	{"equal squared error", func(float64, float64) float64 { return 1 }},
	// What a network feels is nearer to this: the next norm takes scales out.
	{"equal error relative to each tensor's own squares", func(signal, weights float64) float64 {
		if signal == 0 {
			return 0
		}
		return weights / signal
	}},
}

// error returns that of all matrices.
func (c *criterion) error(tensors []coded) float64 {
	sum := 0.0
	for _, t := range tensors {
		sum += t.noise * c.factor(t.signal, float64(len(t.syms)))
	}
	return sum
}

// A rate is a quantizer that can be tuned to an error.
type rate struct {
	name string
	// tune returns the indices whose error is the given one or a little less,
	// and how many bytes the levels take beside them.
	tune func(ms []matrix, c *criterion, most float64) (tensors []coded, side int)
}

// rates are what is compared with Lloyd-Max. The quantizers of the product
// belong here, once without and once with assignment by rate and distortion,
// under the names of the targets.
var rates = []rate{
	{"uniform", uniformSteps},
}

const (
	defaultRate = "default"
	rdoRate     = "default, RDO"
)

// lloydRate is the name that the anchors have among the rates.
const lloydRate = "Lloyd-Max"

// anchors are the quantizers of the suite whose errors are to be met.
var anchors = []string{"LM4", "LM8", "LM16", "LM32"}

func (s *stream) isAnchor() bool { return slices.Contains(anchors, s.quantizer) }

// levelBytes is what a level of Lloyd-Max costs, as a float32.
const levelBytes = 4

// uniformSteps rounds to multiples of a step: the simplest quantizer that spends
// bits where they help most, as steps that cost the same error are the same slope.
// A matrix costs its step, its lowest level and their number.
func uniformSteps(ms []matrix, c *criterion, most float64) (tensors []coded, side int) {
	round := func(step float64) []coded {
		list := make([]coded, len(ms))
		for i, m := range ms {
			signal := 0.0
			for _, x := range m.values {
				signal += float64(x) * float64(x)
			}
			out := make([]float32, len(m.values))
			if f := c.factor(signal, float64(len(m.values))); f > 0 {
				own := step / math.Sqrt(f)
				for j, x := range m.values {
					out[j] = float32(math.RoundToEven(float64(x)/own)*own) + 0
				}
			}
			list[i] = index(m, out)
		}
		return list
	}
	weights := 0
	for _, m := range ms {
		weights += len(m.values)
	}
	// The error of a fine step is a twelfth of its square; that of a coarse one
	// is less, so it may be larger.
	lo := math.Sqrt(most/float64(weights)*12) / 2
	hi := 20 * lo
	for range 12 {
		middle := math.Sqrt(lo * hi)
		if c.error(round(middle)) > most {
			hi = middle
		} else {
			lo = middle
		}
	}
	return round(lo), 3 * levelBytes * len(ms)
}

// A ratePoint is what one quantizer needs at the error of an anchor.
type ratePoint struct {
	criterion string
	stream    string // the anchor
	rate      string
	error     float64 // by the criterion
	size      int64   // indices and levels
}

// measureRates lets every rate meet every anchor among the streams.
func measureRates(c *config, streams []stream) ([]ratePoint, error) {
	var points []ratePoint
	for _, n := range networks {
		var ms []matrix
		for i := range streams {
			anchor := &streams[i]
			if anchor.network != n.name || !anchor.isAnchor() {
				continue
			}
			if ms == nil {
				var err error
				if ms, err = n.load(c); err != nil {
					return nil, err
				}
			}
			list, err := meet(anchor, ms)
			if err != nil {
				return nil, err
			}
			points = append(points, list...)
		}
	}
	return points, nil
}

// meet lets every rate meet one anchor.
func meet(anchor *stream, ms []matrix) ([]ratePoint, error) {
	indices, err := best.run(anchor, once)
	if err != nil {
		return nil, err
	}
	levels := 0
	for _, t := range anchor.tensors {
		levels += len(t.levels)
	}
	var points []ratePoint
	for _, c := range criteria {
		most := c.error(anchor.tensors)
		points = append(points, ratePoint{c.name, anchor.name(), lloydRate, most, indices.size + int64(levels)*levelBytes})
		for _, r := range rates {
			tensors, side := r.tune(ms, &c, most)
			m, err := best.run(&stream{anchor.network, r.name, tensors}, once)
			if err != nil {
				return nil, fmt.Errorf("%s for %s: %w", r.name, anchor.name(), err)
			}
			points = append(points, ratePoint{c.name, anchor.name(), r.name, c.error(tensors), m.size + int64(side)})
		}
	}
	return points, nil
}
