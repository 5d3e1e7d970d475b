package lanes

// Frequencies of a table add up to total.
const (
	totalBits = 14
	total     = 1 << totalBits
)

// deadZones say where the cell of a level that is zero ends, in sixteenths of
// the way to the level beside it; 0 stands for the middle. Of pruned weights it
// ends just below that level.
var deadZones = [...]int{0, 12, 14, 15, 16}

// A model is what symbols of a segment are coded with: its tables.
type model struct {
	*params
	symbols int
	values  []int32   // of all levels
	bounds  []int64   // between symbols
	gain    [64]int64 // by scale
	width   int       // tables of one scale
	buckets uint      // logarithm of the number of buckets of a table
	sets    [maxSets]set
	line    []int64 // values of a row
}

// prepare fills in what tables are made from.
func (m *model) prepare(p *params, levels []int32) {
	m.params = p
	m.symbols = (len(levels)-1)>>p.split + 1
	m.values = resize(m.values, m.symbols)
	for j := range m.values {
		m.values[j] = levels[min(j<<p.split+1<<p.split>>1, len(levels)-1)]
	}
	m.bounds = resize(m.bounds, m.symbols-1)
	for j := range m.bounds {
		i := (j+1)<<p.split - 1
		m.bounds[j] = (int64(levels[i]) + int64(levels[i+1])) >> 1
	}
	if d := int64(deadZones[p.dead]); d > 0 && p.split == 0 {
		for i := 1; i < len(levels)-1; i++ {
			if levels[i] == 0 {
				m.bounds[i-1] = int64(levels[i-1]) * d >> 4
				m.bounds[i] = int64(levels[i+1]) * d >> 4
			}
		}
	}
	m.width = 2*p.means + 1
	m.buckets = 0
	for 1<<m.buckets < m.symbols {
		m.buckets++
	}
	for s := range p.scales {
		m.gain[s] = inverse(p.base+s*p.step()) >> 8
	}
}

// frequencies sets freqs, one for each symbol, to those of a table. They add up
// to total and none is zero.
func (m *model) frequencies(freqs []uint16, table int) {
	scale, mean := table/m.width, table%m.width-m.means
	var mass [maxSymbols]uint64
	x := mass[:len(freqs)]
	if m.shape == 0 {
		for i := range x {
			x[i] = massOf >> 4
		}
	} else {
		inv := inverse(m.base + scale*m.step())
		center := mean << (zFrac - 1)
		d := &distributions()[m.shape]
		last := uint32(0)
		for i, bound := range m.bounds[:len(x)-1] {
			to := max(below(d, int(bound*inv>>(40-zFrac))-center), last)
			x[i] = uint64(to-last) + massOf>>16
			last = to
		}
		x[len(x)-1] = uint64(massOf-last) + massOf>>16
	}
	if m.weighted {
		for i, w := range m.weights[:len(x)] {
			x[i] = x[i]*eighths[w&7]>>(uint(30-w>>3)&63) + 1
		}
	}
	sum := uint64(0)
	for _, x := range x {
		sum += x
	}
	// Each gets one, and its share of what is left; roundings go to the largest.
	share := uint64(total-len(x)) << 40 / sum
	left, top, most := total, 0, uint64(0)
	for i, x := range x {
		f := int(x*share>>40) + 1
		freqs[i] = uint16(f)
		left -= f
		if x > most {
			top, most = i, x
		}
	}
	freqs[top] += uint16(left)
}

// An alias table has buckets of equal size. Each belongs to the symbol of its
// number up to a cut, and behind that to one other symbol: so a symbol is found
// with one comparison. A bucket has two entries:
//
//	bits 48-63  cut, in the first one
//	     32-47  symbol
//	     16-31  its frequency
//	      0-15  what to add to the place in the bucket for the place in the symbol
type builder struct {
	rest   [maxSymbols]uint16
	todo   [maxSymbols]uint16
	carved [maxSymbols]uint16
}

// alias fills a table of 1<<buckets buckets. It returns those that have another
// symbol, in the order in which they were filled up with what that symbol had
// last. They are overwritten by the next call.
func (b *builder) alias(table [][2]uint64, freqs []uint16, buckets uint) (carved []uint16) {
	size := uint16(total >> buckets)
	n := 1 << buckets
	under, over := 0, n // stacks from both ends of todo
	carved = b.carved[:0]
	for i := range n {
		f := uint16(0)
		if i < len(freqs) {
			f = freqs[i]
		}
		b.rest[i] = f
		table[i][0] = uint64(size)<<48 | uint64(i)<<32 | uint64(f)<<16
		table[i][1] = 0
		switch {
		case f < size:
			b.todo[under] = uint16(i)
			under++
		case f > size:
			over--
			b.todo[over] = uint16(i)
		}
	}
	for under > 0 {
		under--
		u, o := b.todo[under], b.todo[over]
		carved = append(carved, u)
		cut := b.rest[u]
		b.rest[o] -= size - cut
		table[u][0] = table[u][0]&(1<<48-1) | uint64(cut)<<48
		table[u][1] = uint64(o)<<32 | uint64(freqs[o])<<16 | uint64(b.rest[o]-cut)
		switch {
		case b.rest[o] < size:
			over++
			b.todo[under] = o
			under++
		case b.rest[o] == size:
			over++
		}
	}
	// What an over-full symbol keeps fills its own bucket.
	return carved
}
