package main

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// The second part of the page holds quantizers against each other: bytes at the
// same squared error, all coded by the same coder. The Lloyd-Max streams of the
// suite set the errors.

// A rate is a quantizer that can be tuned to an error.
type rate struct {
	name string
	// tune returns the indices whose noise is the given one or a little less,
	// and how many bytes the levels take beside them.
	tune func(ms []matrix, noise float64) (tensors []coded, side int)
}

// rates are what is compared with Lloyd-Max. The quantizers of the product
// belong here, once without and once with assignment by rate and distortion,
// under the names of the targets.
var rates = []rate{
	{"one uniform step", oneStep},
}

const (
	defaultRate = "default"
	rdoRate     = "default, RDO"
)

// anchors are the quantizers of the suite whose errors are to be met.
var anchors = []string{"LM4", "LM8", "LM16", "LM32"}

// levelBytes is what a level of Lloyd-Max costs, as a float32.
const levelBytes = 4

// oneStep rounds all weights of a network to multiples of one step: the simplest
// quantizer that spends bits where they help most, as equal steps are equal
// slopes. A matrix costs its step, its lowest level and their number.
func oneStep(ms []matrix, noise float64) (tensors []coded, side int) {
	round := func(step float64) (list []coded, sum float64) {
		for _, m := range ms {
			out := make([]float32, len(m.values))
			for i, x := range m.values {
				out[i] = float32(math.RoundToEven(float64(x)/step)*step) + 0
			}
			c := index(m, out)
			list, sum = append(list, c), sum+c.noise
		}
		return list, sum
	}
	weights := 0
	for _, m := range ms {
		weights += len(m.values)
	}
	// The error of a step is below a twelfth of its square or, for a coarse one,
	// that of rounding all to 0: so the search starts at half of the step that
	// would do, and ends at ten times that.
	lo := math.Sqrt(noise/float64(weights)*12) / 2
	hi := 20 * lo
	for range 12 {
		middle := math.Sqrt(lo * hi)
		if _, sum := round(middle); sum > noise {
			hi = middle
		} else {
			lo = middle
		}
	}
	tensors, _ = round(lo)
	return tensors, 3 * levelBytes * len(ms)
}

// A ratePoint is what one quantizer needs at the error of an anchor.
type ratePoint struct {
	stream string // the anchor
	rate   string
	snr    float64
	size   int64 // indices and levels
}

// lloydRate is the name that the anchors have among the rates.
const lloydRate = "Lloyd-Max"

// measureRates lets every rate meet every anchor among the streams.
func measureRates(ctx context.Context, c *config, streams []stream) ([]ratePoint, error) {
	var points []ratePoint
	measure := func(anchor *stream, name string, s *stream, side int) error {
		m, err := best.code(ctx, s, "")
		if err != nil {
			return fmt.Errorf("%s for %s: %w", name, anchor.name(), err)
		}
		points = append(points, ratePoint{anchor.name(), name, s.snr(), m.size + int64(side)})
		return nil
	}
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
			levels, noise := 0, 0.0
			for _, t := range anchor.tensors {
				levels += len(t.levels)
				noise += t.noise
			}
			if err := measure(anchor, lloydRate, anchor, levels*levelBytes); err != nil {
				return nil, err
			}
			for _, r := range rates {
				tensors, side := r.tune(ms, noise)
				if err := measure(anchor, r.name, &stream{n.name, r.name, tensors}, side); err != nil {
					return nil, err
				}
			}
		}
	}
	return points, nil
}

func (s *stream) isAnchor() bool { return slices.Contains(anchors, s.quantizer) }
