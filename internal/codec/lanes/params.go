package lanes

// Limits of what a segment may describe. A decoder refuses what is outside.
const (
	maxSymbols = 256  // of the alphabet of a table; what is more is split off as plain bits
	maxScales  = 48   // tables of different scale
	maxMeans   = 8    // tables of different mean, on each side of 0
	maxTaps    = 1024 // of a kernel that has a structure
	maxSets    = 25   // sets of coefficients: those of later taps share one
	maxBack    = 8    // earlier taps that are looked at
	coefUnit   = 32   // coefficients count 1/32
	maxCoef    = 255
	maxClass   = 255 // of a row, column or tap
	maxWeight  = 80  // ten octaves
)

// params are what a segment says about its symbols, and what its tables are
// made from.
type params struct {
	constant bool // all symbols are the same
	symbol   int  // that one

	split uint // low bits that are stored plainly
	shape int
	dead  int // how the cell of a level that is zero is bounded: see deadZones
	base  int // scale of the lowest table, in eighths of an octave

	// Classes are in steps of 8>>fine eighths of an octave, and add up.
	fine             int
	rowed, coled     bool
	tapped           bool
	rows, cols, taps []int16
	smooth           [3]bool // whether these are close to the ones before
	low, scales      int     // class of the lowest table, number of tables

	means int // tables on each side; 0 for no prediction
	coefs [maxSets][maxBack + 1]int16

	weighted bool
	weights  []int16 // of symbols, in eighths of an octave
}

// reset empties p and keeps its memory.
func (p *params) reset() {
	*p = params{rows: p.rows[:0], cols: p.cols[:0], taps: p.taps[:0], weights: p.weights[:0]}
}

// step returns the step of classes in eighths of an octave.
func (p *params) step() int { return 8 >> p.fine }

// features returns the number of coefficients of tap t: one for each earlier
// tap of the same kernel, up to eight, and one for the same tap of the column
// before.
func features(t int) int { return min(t, maxBack) + 1 }

// sets returns how many sets of coefficients a kernel has.
func sets(taps int) int { return min(taps, maxSets) }

// sideModel holds the probabilities of the side information of a block. They
// and the last parameters are kept from one segment to the next.
type sideModel struct {
	constant, rowed, coled, tapped, predicted, weighted        prob
	symbol, split, shape, dead, base, fine, low, scales, means number
	smooth                                                     [3]prob
	classes                                                    [3][4]number
	coef                                                       [maxBack + 1]number
	weight                                                     [3]number
	lastShape, lastBase, lastFine, lastScales, lastMeans       int
	lastCoefs                                                  [maxSets][maxBack + 1]int16
}

func flag(c *coder, p *prob, b *bool) { *b = c.decide(p, b2i(*b)) != 0 }

// code codes p, in either direction, and reports whether it is valid.
func (m *sideModel) code(c *coder, p *params, g *shape, k int) bool {
	flag(c, &m.constant, &p.constant)
	if p.constant {
		p.symbol = m.symbol.unsigned(c, p.symbol)
		return p.symbol < k
	}
	p.split = uint(m.split.unsigned(c, int(p.split)))
	if p.split > 8 {
		return false
	}
	symbols := (k-1)>>p.split + 1
	p.shape = m.lastShape + m.shape.signed(c, p.shape-m.lastShape)
	p.dead = m.dead.unsigned(c, p.dead)
	p.base = m.lastBase + m.base.signed(c, p.base-m.lastBase)
	p.scales = m.lastScales + m.scales.signed(c, p.scales-m.lastScales)
	if symbols > maxSymbols || p.shape < 0 || p.shape >= shapes || p.dead >= len(deadZones) ||
		p.base < 0 || p.base > maxScale || p.scales < 1 || p.scales > maxScales {
		return false
	}
	m.lastShape, m.lastBase, m.lastScales = p.shape, p.base, p.scales
	if !m.codeClasses(c, p, g) || !m.codeCoefs(c, p, g) {
		return false
	}
	flag(c, &m.weighted, &p.weighted)
	if p.weighted {
		if c.Decoding() {
			p.weights = resize(p.weights, symbols)
		}
		last := 0
		for i := range p.weights {
			w := last + m.weight[min(abs(last), 2)].signed(c, int(p.weights[i])-last)
			if abs(w) > maxWeight {
				return false
			}
			p.weights[i] = int16(w)
			last = w
		}
	}
	return true
}

func (m *sideModel) codeClasses(c *coder, p *params, g *shape) bool {
	flag(c, &m.rowed, &p.rowed)
	if p.coled, p.tapped = p.coled && g.structured(), p.tapped && g.structured(); g.structured() {
		flag(c, &m.coled, &p.coled)
		if g.taps > 1 {
			flag(c, &m.tapped, &p.tapped)
		}
	}
	if !p.rowed && !p.coled && !p.tapped {
		p.fine, p.low = 0, 0
		return p.scales == 1
	}
	p.fine = m.lastFine + m.fine.signed(c, p.fine-m.lastFine)
	if p.fine < 0 || p.fine > 3 || p.base+(p.scales-1)*p.step() > maxScale {
		return false
	}
	m.lastFine = p.fine
	p.low = m.low.signed(c, p.low)
	if abs(p.low) > 4*maxClass {
		return false
	}
	return (!p.rowed || m.codeList(c, &p.rows, &p.smooth[0], g.rows, 0)) &&
		(!p.coled || m.codeList(c, &p.cols, &p.smooth[1], g.cols, 1)) &&
		(!p.tapped || m.codeList(c, &p.taps, &p.smooth[2], g.taps, 2))
}

// codeList codes n classes, each as it is or as the distance to the one before.
func (m *sideModel) codeList(c *coder, list *[]int16, smooth *bool, n, kind int) bool {
	if c.Decoding() {
		*list = resize(*list, n)
	}
	flag(c, &m.smooth[kind], smooth)
	last := 0
	for i, v := range *list {
		near := min(abs(last), 2)
		guess := 0
		if *smooth {
			guess, near = last, 3
		}
		last = guess + m.classes[kind][near].signed(c, int(v)-guess)
		if abs(last) > maxClass {
			return false
		}
		(*list)[i] = int16(last)
	}
	return true
}

func (m *sideModel) codeCoefs(c *coder, p *params, g *shape) bool {
	predicted := p.means > 0
	if !g.structured() {
		p.means = 0
		return true
	}
	if flag(c, &m.predicted, &predicted); !predicted {
		p.means = 0
		return true
	}
	p.means = m.lastMeans + m.means.signed(c, p.means-m.lastMeans)
	if p.means < 1 || p.means > maxMeans {
		return false
	}
	m.lastMeans = p.means
	for t := range sets(g.taps) {
		for f := range features(t) {
			last := int(m.lastCoefs[t][f])
			v := last + m.coef[f].signed(c, int(p.coefs[t][f])-last)
			if abs(v) > maxCoef {
				return false
			}
			p.coefs[t][f] = int16(v)
		}
	}
	m.lastCoefs = p.coefs
	return true
}

// resize returns a slice of n zeros, in the memory of s if it is enough.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// room returns a slice of n values of any content, in the memory of s if it is
// enough.
func room[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func abs(v int) int {
	if v < 0 {
		return -v
	}
	return v
}
