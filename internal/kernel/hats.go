package kernel

// MaxCenters is how many centers [Hats] have at most: a register of the widest path
// has so many lanes.
const MaxCenters = 16

// MaxBlock is how many weights a block of [Hats] has at most: its cells fill a
// register.
const MaxBlock = 4

// HatsRoom is how many elements the loops of [Hats] write beyond the last one, at
// most.
const HatsRoom = 16

// Hats share weights between neighbouring centers, as package entropy has it: a
// weight in bin b, between the centers b and b+1, belongs to the upper one by its
// share u = (w − c_b)/(c_{b+1} − c_b), and to the lower one by 1−u.
//
// A table of blocks of n weights has 2^n numbers for each tuple of n bins, of which
// the first is the most significant digit of the base that Reset was told: one number for each choice of
// centers, in which bit n−1−m says that weight m takes its upper one.
//
// Arrays of bins, shares and slopes have [HatsRoom] elements more than there are
// weights. The zero value is ready for [Hats.Reset]. It is not safe for concurrent use.
type Hats struct{ a hatArgs }

// FastHats reports whether this machine has assembly for [Hats]. What Go makes of them
// is only there to be held against.
func FastHats() bool { return current.locate != nil }

// hatArgs are the operands of the loops. Assembly knows the offsets.
type hatArgs struct {
	w, dst, shares, slopes, table []float32
	bins                          []int32
	n                             int // weights, or blocks
	inner                         int // centers without the outer ones
	radix                         int // bins
	zero                          int // result: 1 if some share is 0
	pull                          float32
	squares                       float32 // result
	at, inverse                   [MaxCenters]float32
	factor, split, low, high      [MaxCenters]float32
}

// A Bin is what lies between two centers.
type Bin struct {
	From    float32 // the least weight in it; that of the first bin does not matter
	Inverse float32 // one over its width
	// A weight that is above Split is quantized to High, and else to Low.
	Split, Low, High float32
}

// Reset sets the bins, from below: at least one, and less than [MaxCenters]. Tables
// have room for so many bins as radix says.
func (h *Hats) Reset(bins []Bin, radix int) {
	if n := len(bins); n < 1 || n > radix || radix >= MaxCenters {
		panicRange("bins", n, 1, min(radix, MaxCenters-1))
	}
	h.a = hatArgs{inner: len(bins) - 1, radix: radix}
	for i, b := range bins {
		h.a.at[i], h.a.inverse[i] = b.From, b.Inverse
		h.a.split[i], h.a.low[i], h.a.high[i] = b.Split, b.Low, b.High
	}
}

// Locate finds bins and shares of the weights. A share is at least 0, and below 1.
// onCenter says that one is 0.
func (h *Hats) Locate(bins []int32, shares, w []float32) (onCenter bool) {
	need("the shares", shares, len(w)+HatsRoom)
	a := &h.a
	a.w, a.bins, a.shares, a.n, a.zero = w, bins[:len(w)+HatsRoom], shares, len(w), 0
	if current.locate != nil {
		current.locate(a)
	} else {
		locate(a)
	}
	a.w, a.bins, a.shares = nil, nil, nil
	return a.zero != 0
}

// TableSize is how many numbers a table has for blocks of n weights.
func (h *Hats) TableSize(n int) int {
	size := 1
	for range n {
		size *= 2 * h.a.radix
	}
	return size
}

// Scatter adds the products of the shares of some blocks of n weights to a table.
func (h *Hats) Scatter(table []float32, n, blocks int, bins []int32, shares []float32) {
	h.blocks(table, n, blocks, bins, shares)
	if n > 1 && current.scatter[n] != nil {
		current.scatter[n](&h.a)
	} else {
		scatter(&h.a, n)
	}
	h.a.table, h.a.bins, h.a.shares = nil, nil, nil
}

// Slopes finds, for each block, the derivatives by its n shares of the sum of the
// numbers in the table, weighted by the products of shares.
func (h *Hats) Slopes(slopes, table []float32, n, blocks int, bins []int32, shares []float32) {
	h.blocks(table, n, blocks, bins, shares)
	need("the slopes", slopes, n*blocks+HatsRoom)
	h.a.slopes = slopes
	if n > 1 && current.slopes[n] != nil {
		current.slopes[n](&h.a)
	} else {
		slopesOf(&h.a, n)
	}
	h.a.table, h.a.bins, h.a.shares, h.a.slopes = nil, nil, nil, nil
}

func (h *Hats) blocks(table []float32, n, blocks int, bins []int32, shares []float32) {
	if n < 1 || n > MaxBlock {
		panicRange("weights of a block", n, 1, MaxBlock)
	}
	need("the table", table, h.TableSize(n))
	need("the shares", shares, n*blocks+HatsRoom)
	h.a.table, h.a.bins, h.a.shares, h.a.n = table, bins[:n*blocks+HatsRoom], shares, blocks
}

// Pull sets dst to slope times the factor of the bin, plus lambda times the distance to
// the level that the weight is quantized to. It returns the sum of the squares of these
// distances.
func (h *Hats) Pull(dst, w, slopes []float32, bins []int32, factors []float32, lambda float32) float32 {
	need("the slopes", slopes, len(w))
	need("the pull", dst, len(w))
	need("the factors", factors, h.a.inner+1)
	a := &h.a
	copy(a.factor[:], factors)
	a.dst, a.w, a.slopes, a.bins, a.n, a.pull, a.squares = dst, w, slopes, bins[:len(w)], len(w), lambda, 0
	if current.hatPull != nil {
		current.hatPull(a)
	} else {
		hatPull(a)
	}
	a.dst, a.w, a.slopes, a.bins = nil, nil, nil, nil
	return a.squares
}

const (
	leastShare = 1.0 / (1 << 60) // less is on the center, so that products do not underflow
	below1     = 1 - 1.0/(1<<24) // the last number below 1
)

func locate(a *hatArgs) {
	inner := a.at[1 : 1+a.inner]
	bins, shares := a.bins[:a.n], a.shares[:a.n]
	for i, x := range a.w[:a.n] {
		b := 0
		for _, c := range inner {
			if x >= c {
				b++
			}
		}
		u := (x - a.at[b&(MaxCenters-1)]) * a.inverse[b&(MaxCenters-1)]
		if !(u >= leastShare) {
			a.zero, u = 1, 0
		}
		bins[i], shares[i] = int32(b), min(u, below1)
	}
}

// cell is where the numbers of a block begin in the table.
func (a *hatArgs) cell(bins []int32) int {
	c := 0
	for _, b := range bins {
		c = c*a.radix + int(b)
	}
	return c << len(bins)
}

// products fills the leaves of the tree of products of the shares of a block.
func products(p []float32, shares []float32) {
	p[0] = 1
	for m, u := range shares {
		for i := 1<<m - 1; i >= 0; i-- {
			x := p[i]
			p[2*i], p[2*i+1] = x*(1-u), x*u
		}
	}
}

func scatter(a *hatArgs, n int) {
	var p [1 << MaxBlock]float32
	bins, shares := a.bins, a.shares
	for range a.n {
		products(p[:], shares[:n])
		t := a.table[a.cell(bins[:n]):]
		for i, x := range p[:1<<n] {
			t[i] += x
		}
		bins, shares = bins[n:], shares[n:]
	}
}

func slopesOf(a *hatArgs, n int) {
	var value, p [1 << MaxBlock]float32
	bins, shares, slopes := a.bins, a.shares, a.slopes
	for range a.n {
		copy(value[:], a.table[a.cell(bins[:n]):][:1<<n])
		// The last weight decides between neighbours: it is taken out first.
		for m := n - 1; m >= 0; m-- {
			products(p[:], shares[:m])
			u, slope := shares[m], float32(0)
			for i := range 1 << m {
				lo, hi := value[2*i], value[2*i+1]
				slope += p[i] * (hi - lo)
				value[i] = (1-u)*lo + u*hi
			}
			slopes[m] = slope
		}
		bins, shares, slopes = bins[n:], shares[n:], slopes[n:]
	}
}

func hatPull(a *hatArgs) {
	dst, slopes, bins := a.dst[:a.n], a.slopes[:a.n], a.bins[:a.n]
	sum := 0.0
	for i, x := range a.w[:a.n] {
		b := bins[i] & (MaxCenters - 1)
		level := a.low[b]
		if x > a.split[b] {
			level = a.high[b]
		}
		d := x - level
		sum += float64(d) * float64(d)
		dst[i] = slopes[i]*a.factor[b] + a.pull*d
	}
	a.squares = float32(sum)
}
