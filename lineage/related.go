package lineage

import (
	"math"

	"ropewalk/align"
)

// inPlace relates a suspect whose neurons have not moved, but are damaged so much that no
// search for their order ends in certainty. Then neurons are taken to be where they are.
func (c *comparer) inPlace() error {
	found := c.out.Match
	for _, x := range found.Classes {
		if len(x.Sus) != len(x.Ref) {
			return nil
		}
	}
	own, err := align.FromSymmetry(c.spec)
	if err != nil {
		return err
	}
	c.progress("neurons in place")
	points, err := fixedPoints(c.ctx, c.ref.Set, c.stock.sus, own, own, c.o.Seed, c.o.Threads)
	if err != nil || points.Log10P > exactLevel {
		return err
	}
	c.out.InPlace = points
	found.Related = true
	classes := found.Classes
	for k := range classes {
		x := &classes[k]
		for i := range x.Sus {
			x.Sus[i], x.Ref[i] = i, i
		}
		for f := range x.Scale {
			for i := range x.Scale[f] {
				x.Scale[f][i] = 1
			}
		}
		x.Added, x.Merged, x.Ambiguous = nil, nil, nil
	}
	return nil
}

// How much two networks have to be alike of which no neuron can move: what each learned
// by itself may be much alike then, because there is one best solution.
const (
	minCopied      = 0.005 // share of weights that are equal bit for bit
	minCorrelation = 0.9
)

// unlike says whether nothing relates two networks of which no neuron can move.
func (c *comparer) unlike() (bool, error) {
	var xx, xy, yy float64
	equal, all := 0, 0
	for _, t := range c.ref.Set.All() {
		x, y, err := both(t, c.stock.sus.Lookup(t.Name))
		if err != nil {
			return false, err
		}
		if len(t.Shape) < 2 {
			continue // biases and norms begin alike, and many stay so
		}
		weight := 1 / math.Max(square(x), math.SmallestNonzeroFloat64)
		for i := range x {
			a, b := float64(x[i]), float64(y[i])
			xx, xy, yy = xx+weight*a*a, xy+weight*a*b, yy+weight*b*b
			if a != 0 {
				all++
				if a == b {
					equal++
				}
			}
		}
	}
	copied := float64(equal) > minCopied*float64(all) && equal > 1
	return !copied && !(xy > minCorrelation*math.Sqrt(xx*yy) && xy > 0), nil
}
