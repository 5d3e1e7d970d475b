package compact

import (
	"math"

	"ropewalk/internal/kernel"
)

// How much columns learn from their neighbours and rows from the whole tensor, in
// weights that were seen there.
const (
	columnPrior = 6
	rowPrior    = 2
)

// Densities are kept away from where prices end.
const (
	leastDensity   = 2e-4
	largestDensity = 0.7
	leastPrice     = 0.5 // bits
	smoothedSide   = 7   // a plane of at least so many pixels a side is smoothed by 3x3
)

// A price is what weights that are not zero cost in one tensor: the code length of
// a level and its sign beyond that of zero, where row and column say how dense it
// is there.
//
//	p_ij = p_row · p_column / p        C_ij = log2((1-p_ij)/p_ij) + 1
//
// Higher levels cost what their frequency among the non-zeros says.
type price struct {
	rows, cols   int
	plane        [2]int // of a channel; columns are channels of planes
	bits         []float32
	higher       []float64 // bits of level m+1 beyond level m on one side, from m = 1
	row, col     []float64 // counts, then densities
	smooth       []float64
	total        int
	counts       []float64 // of magnitudes
	levelsOnSide int
}

// newPrice is for a tensor of rows and columns. Planes that do not divide the
// columns are ignored.
func newPrice(rows, cols, side int, plane [2]int) *price {
	p := &price{rows: rows, cols: cols, levelsOnSide: side, bits: make([]float32, rows*cols)}
	if n := plane[0] * plane[1]; n > 1 && cols%n == 0 {
		p.plane = plane
	}
	p.row, p.col, p.smooth = make([]float64, rows), make([]float64, cols), make([]float64, cols)
	p.counts, p.higher = make([]float64, side+1), make([]float64, side)
	return p
}

// refresh finds the prices for symbols, of which zero is in the middle.
func (p *price) refresh(symbols []uint16) {
	clear(p.row)
	clear(p.col)
	clear(p.counts)
	zero := p.levelsOnSide
	p.total = 0
	for i := range p.rows {
		n := 0
		for j, s := range symbols[i*p.cols : (i+1)*p.cols] {
			m := int(s) - zero
			if m == 0 {
				continue
			}
			n++
			p.col[j]++
			p.counts[max(m, -m)]++
		}
		p.row[i] = float64(n)
		p.total += n
	}
	mean := float64(p.total) / float64(p.rows*p.cols)
	p.neighbours()
	for j, n := range p.col {
		p.col[j] = (n + columnPrior*p.smooth[j]) / float64(p.rows+columnPrior)
	}
	if p.rows == 1 { // a column of one weight says nothing that it does not know itself
		for j := range p.col {
			p.col[j] = mean
		}
	}
	for i, n := range p.row {
		p.row[i] = (n + rowPrior*mean) / float64(p.cols+rowPrior)
	}
	inverse := 1 / max(mean, leastDensity)
	// log2 d is a sum: there is a logarithm for each row and column, and hardly ever
	// one for a weight.
	for j, c := range p.col {
		p.smooth[j] = math.Log2(c)
	}
	for i, r := range p.row {
		r *= inverse
		own := math.Log2(r)
		b := p.bits[i*p.cols:][:p.cols]
		for j, c := range p.col {
			d, log := r*c, own+p.smooth[j]
			switch {
			case d < leastDensity:
				b[j] = leastDensityPrice
				continue
			case d > largestDensity:
				d, log = largestDensity, largestLog
			}
			b[j] = float32(max(log2of1less(d)-log+1, leastPrice))
		}
	}
	for m := 1; m < p.levelsOnSide; m++ {
		p.higher[m-1] = max(math.Log2((p.counts[m]+0.5)/(p.counts[m+1]+0.5)), 0)
	}
}

var (
	leastDensityPrice = float32(math.Log2((1-leastDensity)/leastDensity) + 1)
	largestLog        = math.Log2(largestDensity)
)

// log2of1less returns log2(1-d), to a millionth, for 0 <= d < 1.
func log2of1less(d float64) float64 {
	if d > 1./16 {
		return math.Log2(1 - d)
	}
	return -math.Log2E * d * (1 + d*(1./2+d*(1./3+d/4)))
}

// neighbours sets smooth to the mean density of the columns around each: 3x3 in a
// picture that is large enough, else the channel, else all.
func (p *price) neighbours() {
	h, w := p.plane[0], p.plane[1]
	n := h * w
	if n == 0 {
		n = p.cols
	}
	for at := 0; at < p.cols; at += n {
		if h >= smoothedSide && w >= smoothedSide {
			p.around(at)
			continue
		}
		sum := 0.0
		for _, c := range p.col[at : at+n] {
			sum += c
		}
		for j := range n {
			p.smooth[at+j] = sum / float64(n*p.rows)
		}
	}
}

func (p *price) around(at int) {
	h, w := p.plane[0], p.plane[1]
	for y := range h {
		for x := range w {
			sum, n := 0.0, 0
			for v := max(y-1, 0); v <= min(y+1, h-1); v++ {
				for u := max(x-1, 0); u <= min(x+1, w-1); u++ {
					if u == x && v == y {
						continue
					}
					sum += p.col[at+v*w+u]
					n++
				}
			}
			p.smooth[at+y*w+x] = sum / float64(max(n, 1)*p.rows)
		}
	}
}

// addGrad adds lambda times the slope of the bits to dst, for latents w, from number
// from on, on levels that are about multiples of step.
func (p *price) addGrad(s *kernel.Strip, dst, w []float32, from int, step, lambda float64) {
	bits := p.bits[from : from+len(w)]
	if p.levelsOnSide > 1 {
		p.addGradOfMany(dst, w, bits, step, lambda)
		return
	}
	scale := lambda / step
	s.Hat(dst[:len(w)], w, bits, float32(step), float32(scale), float32(beyond*scale))
}

func (p *price) addGradOfMany(dst, w, first []float32, step, lambda float64) {
	inv, scale := float32(1/step), float32(lambda/step)
	for j, v := range w {
		m := max(v, -v) * inv
		var bits, slope float32
		switch {
		case m == 0:
			continue
		case m <= 1:
			slope = first[j]
		default:
			slope = p.beyond(&bits, first[j], m)
		}
		dst[j] += float32(math.Copysign(float64(slope*scale), float64(v)))
	}
}

// cost returns the bits of latents.
func (p *price) cost(w []float32, step float64) float64 {
	inv := float32(1 / step)
	sum := 0.0
	for j, v := range w[:len(p.bits)] {
		m := max(v, -v) * inv
		if m <= 1 {
			sum += float64(p.bits[j] * m)
			continue
		}
		var bits float32
		p.beyond(&bits, p.bits[j], m)
		sum += float64(bits)
	}
	return sum
}

// beyond adds the bits of a weight of more than one step, and returns their slope.
func (p *price) beyond(bits *float32, first, m float32) float32 {
	*bits += first
	if p.levelsOnSide == 1 {
		return beyond * first
	}
	side := float32(p.levelsOnSide)
	k := int(min(m, side-0.5))
	for _, h := range p.higher[:k-1] {
		*bits += float32(h)
	}
	c := float32(p.higher[k-1])
	*bits += c * min(m-float32(k), 1)
	if m > side {
		c *= beyond
	}
	return c
}
