package lanes

import (
	"encoding/binary"

	"ropewalk/internal/codec"
)

// segment decodes the symbols of a segment. It reports whether the words were
// enough and the symbols are levels.
func (d *decoder) segment(syms []uint16, p *params, s *codec.Segment) bool {
	if p.constant {
		for i := range syms {
			syms[i] = uint16(p.symbol)
		}
		return true
	}
	d.model.prepare(p, s.Levels)
	d.prepare()
	g := shapeOf(*s, d.lanes)
	w := walker{d: d, g: &g, out: syms}
	w.begin()
	for step := range g.steps(d.lanes) {
		w.step(step)
		for _, sp := range g.spans(step, d.lanes) {
			if sp.from >= sp.to || sp.first >= sp.last {
				continue
			}
			if !w.span(sp) {
				return false
			}
		}
	}
	return p.split == 0 || d.plain.extend(syms, p.split, len(s.Levels))
}

// prepare makes room for the tables, none of which is made.
func (d *decoder) prepare() {
	m := &d.model
	d.table = room(d.table, m.scales*m.width<<m.buckets)
	d.freqs = room(d.freqs, m.symbols)
	d.made = [maxScales]bool{}
}

// scale makes the tables of a scale: there are those that no value has, where
// some rows or columns are far from the others.
func (d *decoder) scale(s int) {
	m := &d.model
	for t := s * m.width; t < (s+1)*m.width; t++ {
		m.frequencies(d.freqs, t)
		d.builder.alias(d.table[t<<m.buckets:(t+1)<<m.buckets], d.freqs, m.buckets)
	}
	d.made[s] = true
}

// scales are those of lanes at columns and taps of a class, in one step.
type scales struct {
	turn, class int
	tables      [maxLanes]int   // of each lane, the one without a mean
	gains       [maxLanes]int64 // of each lane
}

// A walker decodes the spans of a segment.
type walker struct {
	d    *decoder
	g    *shape
	out  []uint16
	rows [maxLanes]int // classes of the rows of this step, less the lowest
	at   [maxLanes]int // where position 0 of the rows lies in out

	turn  int        // number of the step, from 1
	known [64]scales // by class, modulo that: few classes of many columns differ

	cols []int16 // of each column and tap, or nothing
	taps []int16
}

func (w *walker) begin() {
	p := w.d.model.params
	if p.coled {
		w.cols = p.cols
	}
	if p.tapped {
		w.taps = p.taps
	}
	if p.means > 0 {
		w.d.history = resize(w.d.history, 2*w.g.taps*maxLanes)
	}
}

// step begins step i.
func (w *walker) step(i int) {
	p := w.d.model.params
	for l := range w.d.lanes {
		w.rows[l] = -p.low
		w.at[l] = w.g.at(i, w.d.lanes, l)
		if r := i*w.d.lanes + l; p.rowed && r < len(p.rows) {
			w.rows[l] += int(p.rows[r])
		}
	}
	if p.means > 0 {
		clear(w.d.history)
	}
	w.turn = i + 1
}

// scales returns those of a class.
func (w *walker) scales(class int) *scales {
	s := &w.known[class&63]
	if s.class != class || s.turn != w.turn {
		w.find(s, class)
	}
	return s
}

// find fills in the scales of a class, and makes their tables.
func (w *walker) find(to *scales, class int) {
	d, m := w.d, &w.d.model
	to.turn, to.class = w.turn, class
	for l, row := range w.rows {
		s := min(max(class+row, 0), m.scales-1)
		if !d.made[s] {
			d.scale(s)
		}
		to.tables[l] = s*m.width + m.means
		to.gains[l] = m.gain[s]
	}
}

// span decodes one span. As long as there are words enough for a whole position
// it need not look for their end; then it goes the careful way.
func (w *walker) span(sp span) bool {
	if w.d.model.means > 0 {
		w.predicted(&sp)
	} else {
		w.unpredicted(&sp)
	}
	return w.careful(&sp)
}

// classOf returns the sum of the classes of a column and a tap.
func (w *walker) classOf(col, tap int) int {
	c := 0
	if w.cols != nil {
		c = int(w.cols[col])
	}
	if w.taps != nil {
		c += int(w.taps[tap])
	}
	return c
}

// careful decodes a span symbol by symbol.
func (w *walker) careful(sp *span) bool {
	d, m := w.d, &w.d.model
	col, tap := sp.from/w.g.taps, sp.from%w.g.taps
	for pos := sp.from; pos < sp.to; pos++ {
		scales := w.scales(w.classOf(col, tap))
		var sums [maxLanes]int64
		var now *[maxLanes]int32
		if m.means > 0 {
			now = w.predict(&sums, col, tap)
		}
		for l := sp.first; l < sp.last; l++ {
			v, ok := d.symbol(l, scales.tables[l]+m.mean(sums[l], scales.gains[l]))
			if !ok {
				return false
			}
			w.out[w.at[l]+pos] = uint16(v)
			if now != nil {
				now[l] = m.values[v]
			}
		}
		if tap++; tap == w.g.taps {
			tap = 0
			col++
		}
	}
	return true
}

// unpredicted decodes what it can of a span of a segment without predictions,
// and moves the beginning of the span behind that.
func (w *walker) unpredicted(sp *span) {
	d, m := w.d, &w.d.model
	col, tap := sp.from/w.g.taps, sp.from%w.g.taps
	words, table, out := d.words, d.table, w.out
	states, at := &d.states, &w.at
	shift := (totalBits - m.buckets) & 15
	mask := uint32(1)<<shift - 1
	buckets := m.buckets & 15
	pos := sp.from
	for ; pos < sp.to && len(words) >= 2*maxLanes; pos++ {
		scales := w.scales(w.classOf(col, tap))
		next := uint32(0)
		for l := sp.first; l < sp.last; l++ {
			x := states[l&7]
			pair := &table[scales.tables[l&7]<<buckets+int(x&(total-1)>>shift)]
			place := x & mask
			e := pair[(pair[0]>>48-1-uint64(place))>>63] // the other one behind the cut
			out[at[l&7]+pos] = uint16(e >> 32)
			state, low := advance(x, e, place, uint32(binary.LittleEndian.Uint16(words[next&(2*maxLanes-2):])))
			states[l&7] = state
			next += 2 * low
		}
		words = words[next:]
		if tap++; tap == w.g.taps {
			tap = 0
			col++
		}
	}
	d.words = words
	sp.from = pos
}

// advance returns the state behind a symbol with entry e and its place, and
// whether, 1 or 0, it took the word.
func advance(x uint32, e uint64, place, word uint32) (state, low uint32) {
	x = uint32(e>>16&0xffff)*(x>>totalBits) + (uint32(e)+place)&0xffff
	low = uint32((uint64(x) - lowState) >> 63)
	return x ^ (x^(x<<wordBits|word))&-low, low
}

// predicted is the like for a segment with predictions.
func (w *walker) predicted(sp *span) {
	d, m := w.d, &w.d.model
	col, tap := sp.from/w.g.taps, sp.from%w.g.taps
	words, table, out, values := d.words, d.table, w.out, m.values
	states, at := &d.states, &w.at
	shift := (totalBits - m.buckets) & 15
	mask := uint32(1)<<shift - 1
	buckets := m.buckets & 15
	means := m.means
	pos := sp.from
	for ; pos < sp.to && len(words) >= 2*maxLanes; pos++ {
		scales := w.scales(w.classOf(col, tap))
		var sums [maxLanes]int64
		now := w.predict(&sums, col, tap)
		next := uint32(0)
		for l := sp.first; l < sp.last; l++ {
			x := states[l&7]
			v := int((sums[l&7]>>8*scales.gains[l&7] + 1<<27) >> 28)
			t := scales.tables[l&7] + min(max(v, -means), means)
			pair := &table[t<<buckets+int(x&(total-1)>>shift)]
			place := x & mask
			e := pair[(pair[0]>>48-1-uint64(place))>>63] // the other one behind the cut
			out[at[l&7]+pos] = uint16(e >> 32)
			now[l&7] = values[e>>32&0xffff]
			state, low := advance(x, e, place, uint32(binary.LittleEndian.Uint16(words[next&(2*maxLanes-2):])))
			states[l&7] = state
			next += 2 * low
		}
		words = words[next:]
		if tap++; tap == w.g.taps {
			tap = 0
			col++
		}
	}
	d.words = words
	sp.from = pos
}

// predict returns the weighted sums of earlier values of each lane, and where
// the values at this position are to be put.
func (w *walker) predict(sums *[maxLanes]int64, col, tap int) (now *[maxLanes]int32) {
	taps := w.g.taps
	h := w.d.history
	here := (col & 1 * taps) * maxLanes
	there := (taps - col&1*taps) * maxLanes
	coefs := &w.d.model.coefs[min(tap, maxSets-1)]
	n := min(tap, maxBack)
	for k := range n {
		c := int64(coefs[k])
		v := (*[maxLanes]int32)(h[here+(tap-1-k)*maxLanes:])
		accumulate(sums, v, c)
	}
	c := int64(coefs[n])
	v := (*[maxLanes]int32)(h[there+tap*maxLanes:])
	accumulate(sums, v, c)
	return (*[maxLanes]int32)(h[here+tap*maxLanes:])
}

// accumulate adds c times v to sums.
func accumulate(sums *[maxLanes]int64, v *[maxLanes]int32, c int64) {
	sums[0] += c * int64(v[0])
	sums[1] += c * int64(v[1])
	sums[2] += c * int64(v[2])
	sums[3] += c * int64(v[3])
	sums[4] += c * int64(v[4])
	sums[5] += c * int64(v[5])
	sums[6] += c * int64(v[6])
	sums[7] += c * int64(v[7])
}
