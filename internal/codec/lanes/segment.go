package lanes

import (
	"encoding/binary"

	"ropewalk/internal/codec"
)

// segment decodes the symbols of a segment. It reports whether the words were
// enough.
func (d *decoder) segment(syms []uint16, p *params, s *codec.Segment) bool {
	if p.constant {
		for i := range syms {
			syms[i] = uint16(p.symbol)
		}
		return true
	}
	m := &d.model
	m.prepare(p, s.Levels)
	d.build()
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
	return true
}

// build makes all tables of the model.
func (d *decoder) build() {
	m := &d.model
	size := 2 << m.buckets
	d.table = resize(d.table, m.scales*m.width*size)
	d.freqs = resize(d.freqs, m.symbols)
	i := 0
	for s := range m.scales {
		for v := -m.means; v <= m.means; v++ {
			m.frequencies(d.freqs, s, v)
			d.builder.alias(d.table[i:i+size], d.freqs, m.buckets)
			i += size
		}
	}
}

// A walker decodes the spans of a segment.
type walker struct {
	d    *decoder
	g    *shape
	out  []uint16
	rows [maxLanes]int // classes of the rows of this step, less the lowest
	at   [maxLanes]int // where position 0 of the rows lies in out
	cols []int16       // of each column and tap, or nothing
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
}

// span decodes one span. As long as there are words enough for a whole position
// it looks for their end once a position.
func (w *walker) span(sp span) bool {
	d, m := w.d, &w.d.model
	p := m.params
	col, tap := sp.from/w.g.taps, sp.from%w.g.taps
	words := d.words
	buckets := (totalBits - m.buckets) & 15
	inBucket := uint32(1)<<buckets - 1
	entry := m.buckets + 1
	table := d.table
	top := p.scales - 1
	means := p.means
	values := m.values
	states := &d.states
	for pos := sp.from; pos < sp.to; pos++ {
		class := 0
		if w.cols != nil {
			class = int(w.cols[col])
		}
		if w.taps != nil {
			class += int(w.taps[tap])
		}
		var sums [maxLanes]int64
		var now *[maxLanes]int32
		if means > 0 {
			now = w.predict(&sums, col, tap)
		}
		if len(words) < 2*maxLanes || p.split > 0 {
			// The careful way.
			d.words = words
			for l := sp.first; l < sp.last; l++ {
				v, ok := d.symbol(l, m.at(class+w.rows[l], sums[l]))
				if !ok {
					return false
				}
				w.out[w.at[l]+pos] = uint16(v)
				if now != nil {
					now[l] = values[v]
				}
			}
			words = d.words
		} else {
			next := 0
			for l := sp.first; l < sp.last; l++ {
				s := min(max(class+w.rows[l&7], 0), top)
				t := s
				if means > 0 {
					v := int((sums[l&7]>>8*m.gain[s%maxScales] + 1<<27) >> 28)
					t = t*m.width + means + min(max(v, -means), means)
				}
				x := states[l&7]
				slot := x & (total - 1)
				i := t<<entry + int(slot>>buckets)<<1
				place := slot & inBucket
				e, other := table[i], table[i+1]
				if uint64(place) >= e>>48 {
					e = other
				}
				x = uint32(e>>16&0xffff)*(x>>totalBits) + (uint32(e)+place)&0xffff
				word := uint32(binary.LittleEndian.Uint16(words[next:]))
				if x < lowState {
					x = x<<wordBits | word
					next += 2
				}
				states[l&7] = x
				v := int(e >> 32 & 0xffff)
				w.out[w.at[l&7]+pos] = uint16(v)
				if now != nil {
					now[l&7] = values[v]
				}
			}
			words = words[next:]
		}
		if tap++; tap == w.g.taps {
			tap = 0
			col++
		}
	}
	d.words = words
	return true
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
		for l := range sums {
			sums[l] += c * int64(v[l])
		}
	}
	c := int64(coefs[n])
	v := (*[maxLanes]int32)(h[there+tap*maxLanes:])
	for l := range sums {
		sums[l] += c * int64(v[l])
	}
	return (*[maxLanes]int32)(h[here+tap*maxLanes:])
}
