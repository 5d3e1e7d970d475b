package entropy

import (
	"fmt"
	"math"
)

// Float is the type of weights: float32 in training, float64 where derivatives
// are checked.
type Float interface{ float32 | float64 }

// Centers are the places c_0 < … < c_{K-1} between which a weight is shared: the
// soft assignment of the paper, piecewise linear ("hat functions"). A weight
// in [c_{b-1}, c_b) belongs to c_b by
//
//	u = (w - c_{b-1}) / (c_b - c_{b-1})
//
// and to c_{b-1} by 1-u. One on a center belongs to it alone. It is immutable.
type Centers struct {
	at     []float64 // the centers
	first  int       // index of the first level among them
	levels int
	bins   []bin // bin b is what lies in [at[b-1], at[b])

	edges   []float64 // bin b is [edges[b], edges[b+1])
	inverse []float64 // one over the distance of a center to the next

	// The bin of a number is looked up in a grid, and then corrected.
	grid    []uint16
	low, by float64
}

// A bin is how the weights between two centers are shared: u = base + (w-c)·inv
// belongs to the center above, index low+1.
type bin struct {
	c, inv, base float64
	low          int
}

// maxCenters bounds the centers: a bin has 16 bits.
const maxCenters = 1<<16 - 2

// NewCenters returns the levels as centers. Beyond the outer ones nothing is
// shared: a weight below the first level belongs to it, and its derivative is
// zero. Levels are finite and increase.
func NewCenters(levels []float64) (*Centers, error) {
	if err := checkLevels(levels); err != nil {
		return nil, err
	}
	c := &Centers{at: append([]float64(nil), levels...), levels: len(levels)}
	c.build()
	return c, nil
}

// NewOuterCenters returns the levels with the two dummy centers of the paper
// around them (papers' K = N+2):
//
//	c_0     = min - 0.01 - (c_2 - c_1)
//	c_{N+1} = max + 0.01 + (c_N - c_{N-1})
//
// where min and max are those of the weights. If these do not reach the outer
// levels, the levels count as weights, so that the centers increase. A single
// level has no distance to others, which is then 0.
func NewOuterCenters(levels []float64, least, largest float64) (*Centers, error) {
	c := &Centers{}
	return c, c.resetOuter(levels, least, largest)
}

// margin is between the outer weights and the outer thresholds.
const margin = 0.01

// resetOuter makes c what NewOuterCenters returns, in the memory that it has.
func (c *Centers) resetOuter(levels []float64, least, largest float64) error {
	if err := checkLevels(levels); err != nil {
		return err
	}
	if math.IsNaN(least+largest) || math.IsInf(least, 0) || math.IsInf(largest, 0) || least > largest {
		return fmt.Errorf("entropy: weights from %g to %g, want finite ones", least, largest)
	}
	n := len(levels)
	below, above := 0.0, 0.0
	if n > 1 {
		below, above = levels[1]-levels[0], levels[n-1]-levels[n-2]
	}
	c.at = append(c.at[:0], min(least, levels[0])-margin-below)
	c.at = append(c.at, levels...)
	c.at = append(c.at, max(largest, levels[n-1])+margin+above)
	c.first, c.levels = 1, n
	c.build()
	return nil
}

func checkLevels(levels []float64) error {
	if n := len(levels); n == 0 || n > maxCenters-2 {
		return fmt.Errorf("entropy: %d levels, want 1 to %d", n, maxCenters-2)
	}
	for i, l := range levels {
		if math.IsNaN(l) || math.IsInf(l, 0) {
			return fmt.Errorf("entropy: level %d is %g", i, l)
		}
		if i > 0 && levels[i-1] >= l {
			return fmt.Errorf("entropy: level %d, %g, is not above level %d, %g", i, l, i-1, levels[i-1])
		}
	}
	return nil
}

// alphabet is the number of indices that a bin names: the centers, or two if
// there is only one, of which the second is never used.
func (c *Centers) alphabet() int { return max(len(c.at), 2) }

func (c *Centers) build() {
	k := len(c.at)
	c.bins = append(c.bins[:0], bin{c: c.at[0]})
	for b := 1; b < k; b++ {
		c.bins = append(c.bins, bin{c: c.at[b-1], inv: 1 / (c.at[b] - c.at[b-1]), low: b - 1})
	}
	if k == 1 {
		c.bins = append(c.bins, bin{c: c.at[0]})
	} else {
		c.bins = append(c.bins, bin{c: c.at[k-1], base: 1, low: k - 2})
	}
	c.edges = append(append(append(c.edges[:0], math.Inf(-1)), c.at...), math.Inf(1))
	c.inverse = c.inverse[:0]
	for _, b := range c.bins[1 : len(c.bins)-1] {
		c.inverse = append(c.inverse, b.inv)
	}
	c.inverse = append(c.inverse, 0)
	// So many cells for each center that few of them have two bins.
	const cells = 64
	size := min(cells*k, 4096)
	if cap(c.grid) < size {
		c.grid = make([]uint16, size)
	}
	c.grid = c.grid[:size]
	c.low, c.by = c.at[0], 0
	if k > 1 {
		c.by = float64(size) / (c.at[k-1] - c.at[0])
	}
	b := 0
	for g := range c.grid {
		edge := c.low
		if c.by > 0 {
			edge += float64(g) / c.by
		}
		for b < k && c.at[b] <= edge {
			b++
		}
		c.grid[g] = uint16(b)
	}
}

// find returns the number of centers that are not above w.
func (c *Centers) find(w float64) int {
	g := int((w - c.low) * c.by)
	// Out of range, or not a number: any start will do.
	g = min(max(g, 0), len(c.grid)-1)
	b := int(c.grid[g])
	for b < len(c.at) && w >= c.at[b] {
		b++
	}
	for b > 0 && w < c.at[b-1] {
		b--
	}
	return b
}

// nearest is how close to a center, in units of the bin, a weight is on it.
// Without that, products of many tiny shares would underflow.
const nearest = 1.0 / (1 << 60)

// share returns the bin of w and its part u of the center above.
func (c *Centers) share(w float64) (b int, u float64) {
	b = c.find(w)
	in := &c.bins[b]
	u = in.base + (w-in.c)*in.inv
	switch {
	case in.inv == 0:
		u = in.base
	case u < nearest:
		u = 0
	case u >= 1: // by rounding: it is on the center above
		b++
		u = c.bins[b].base
	}
	return b, u
}

// locate sets lows to the centers below weights, and shares to the parts of the
// centers above them. Where a weight is beyond the outer centers, low is the
// second last one that is there, and the share 0 or 1.
func locate[T Float](c *Centers, lows []uint16, shares []float64, w []T) {
	lows, shares = lows[:len(w)], shares[:len(w)]
	edges, inverse, grid := c.edges, c.inverse, c.grid
	for i, x := range w {
		x := float64(x)
		if g := int((x - c.low) * c.by); uint(g) < uint(len(grid)) {
			b := int(grid[g])
			for x >= edges[b+1] {
				b++
			}
			for x < edges[b] {
				b--
			}
			if low := b - 1; uint(low) < uint(len(inverse)) {
				if u := (x - edges[b]) * inverse[low]; u >= nearest && u < 1 {
					lows[i], shares[i] = uint16(low), u
					continue
				}
			}
		}
		b, u := c.share(x)
		lows[i], shares[i] = uint16(c.bins[b].low), u
	}
}
