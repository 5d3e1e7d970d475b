package lanes

import (
	"encoding/binary"
	"slices"
	"sync"

	"ropewalk/internal/codec"
)

// Append appends the coded form of symbols, each below the number of levels of
// its segment, of which there are at most [MaxLevels].
func Append(dst []byte, syms []uint16, segs []codec.Segment) []byte {
	check(len(syms), segs)
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	return e.append(dst, syms, segs)
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// An encoder holds what is allocated once.
type encoder struct {
	lanes  int
	params []params
	fitter fitter
	model  model
	tables []inverseTable
	freqs  []uint16
	uses   []int // of each table
	build  builder
	alias  [][2]uint64

	seq    []uint32 // of a segment, in the order of coding: table, symbol, lane
	words  []byte   // from the end
	plain  plainWriter
	states [maxLanes]uint32
}

func (e *encoder) append(dst []byte, syms []uint16, segs []codec.Segment) []byte {
	e.lanes = lanesOf(len(syms))
	if cap(e.params) < len(segs) {
		e.params = make([]params, len(segs))
	}
	e.params = e.params[:len(segs)]
	c := newEncoder(dst)
	var m sideModel
	at, coded := 0, 0
	for i, s := range segs {
		if s.Len == 0 {
			continue
		}
		g := shapeOf(s, e.lanes)
		e.fitter.fit(&e.params[i], &m, syms[at:at+s.Len], s.Levels, &g, e.lanes)
		if !m.code(&c, &e.params[i], &g, len(s.Levels)) {
			panic("lanes: internal error: parameters out of range")
		}
		if !e.params[i].constant {
			coded += s.Len
		}
		at += s.Len
	}
	dst, _ = c.End()

	// The plain bits in order; the others from the last to the first, as each
	// symbol goes on top of a state.
	e.plain = plainWriter{dst: dst}
	at = 0
	for i, s := range segs {
		if p := &e.params[i]; s.Len > 0 && !p.constant && p.split > 0 {
			for _, v := range syms[at : at+s.Len] {
				e.plain.put(uint32(v)&(1<<p.split-1), p.split)
			}
		}
		at += s.Len
	}
	dst = e.plain.flush()
	for l := range e.states {
		e.states[l] = startState(e.lanes)
	}
	e.words = e.words[:0]
	for i := len(segs) - 1; i >= 0; i-- {
		s := &segs[i]
		at -= s.Len
		if s.Len > 0 && !e.params[i].constant {
			e.segment(syms[at:at+s.Len], &e.params[i], s)
		}
	}
	if e.lanes == 1 {
		n := 4
		for n > 1 && e.states[0]>>(8*n-8) == 0 {
			n--
		}
		for n--; n >= 0; n-- {
			dst = append(dst, byte(e.states[0]>>(8*n)))
		}
	} else {
		for _, x := range e.states[:e.lanes] {
			dst = binary.LittleEndian.AppendUint32(dst, x)
		}
	}
	slices.Reverse(e.words)
	return append(dst, e.words...)
}

// segment codes a segment onto the states.
func (e *encoder) segment(syms []uint16, p *params, s *codec.Segment) {
	m := &e.model
	m.prepare(p, s.Levels)
	g := shapeOf(*s, e.lanes)
	e.seq = resize(e.seq, s.Len)
	m.contexts(syms, &g, e.lanes, e.seq)
	n := m.scales * m.width
	for len(e.tables) < n {
		e.tables = append(e.tables, inverseTable{})
	}
	e.uses = resize(e.uses, n)
	for _, q := range e.seq {
		e.uses[q>>11]++
	}
	e.freqs = resize(e.freqs, m.symbols)
	e.alias = resize(e.alias, 1<<m.buckets)
	for t := range n {
		if e.uses[t] > 0 {
			m.frequencies(e.freqs, t/m.width, t%m.width-m.means)
			e.build.alias(e.alias, e.freqs, m.buckets)
			e.tables[t].invert(e.freqs, e.alias, m.buckets, e.uses[t] > manyUses)
		}
	}
	for _, q := range slices.Backward(e.seq) {
		t := &e.tables[q>>11]
		l := q >> 8 & 7
		x := e.states[l]
		sym := &t.symbols[q&255]
		f := uint32(sym.freq)
		if x>>(32-totalBits) >= f {
			e.words = append(e.words, byte(x>>8), byte(x)) // to be reversed
			x >>= wordBits
		}
		div := x / f
		place := x - div*f
		if len(t.slots) == total {
			place = uint32(t.slots[(sym.start+place)&(total-1)])
		} else {
			place = t.slot(sym, place)
		}
		e.states[l] = div<<totalBits | place
	}
}

// An inverseTable leads from a place in a symbol to a slot.
type inverseTable struct {
	symbols []inverseSymbol
	pieces  []piece  // of each bucket
	slots   []uint16 // of all places of all symbols, if the table is much used
}

// manyUses is from how many uses of a table on it pays to list its slots.
const manyUses = 1024

type inverseSymbol struct {
	start uint32 // of its places in slots
	freq  uint16
	own   uint16 // places in the symbol's own bucket
	slot  uint16 // where these are
	first int16  // bucket of the first other piece
}

// A piece is what a symbol has of the bucket of another one.
type piece struct {
	end  uint16 // place behind it
	slot uint16 // of place 0, modulo 2^16
	next int16
}

func (t *inverseTable) invert(freqs []uint16, alias [][2]uint64, buckets uint, list bool) {
	t.symbols = resize(t.symbols, len(freqs))
	t.pieces = resize(t.pieces, 1<<buckets)
	size := total >> buckets
	start := uint32(0)
	for i, f := range freqs {
		t.symbols[i] = inverseSymbol{
			start: start, freq: f, own: uint16(alias[i][0] >> 48), slot: uint16(i * size), first: -1,
		}
		start += uint32(f)
	}
	for b := range t.pieces {
		cut := int(alias[b][0] >> 48)
		if cut == size {
			continue
		}
		a := alias[b][1]
		add := uint16(a)
		t.pieces[b] = piece{end: uint16(size) + add, slot: uint16(b*size) - add, next: -1}
	}
	t.slots = t.slots[:0]
	if list {
		t.list(alias, size)
		return
	}
	// The pieces of a symbol in the order of their places.
	for b := range t.pieces {
		if int(alias[b][0]>>48) == size {
			continue
		}
		s := &t.symbols[alias[b][1]>>32&0xffff]
		link := &s.first
		for *link >= 0 && t.pieces[*link].end < t.pieces[b].end {
			link = &t.pieces[*link].next
		}
		t.pieces[b].next = *link
		*link = int16(b)
	}
}

// list lists the slots.
func (t *inverseTable) list(alias [][2]uint64, size int) {
	t.slots = resize(t.slots, total)
	for b, a := range alias {
		cut := int(a[0] >> 48)
		slot := uint16(b * size)
		if b < len(t.symbols) {
			own := t.slots[t.symbols[b].start:]
			for i := range own[:cut] {
				own[i] = slot + uint16(i)
			}
		}
		if cut < size {
			s := &t.symbols[a[1]>>32&0xffff]
			other := t.slots[s.start+uint32(uint16(a[1])+uint16(cut)):]
			for i := range other[:size-cut] {
				other[i] = slot + uint16(cut+i)
			}
		}
	}
}

// slot returns the slot of a place in a symbol.
func (t *inverseTable) slot(s *inverseSymbol, place uint32) uint32 {
	if place < uint32(s.own) {
		return uint32(s.slot) + place
	}
	p := &t.pieces[s.first]
	for place >= uint32(p.end) {
		p = &t.pieces[p.next]
	}
	return uint32(p.slot+uint16(place)) & (total - 1)
}

// A plainWriter is the inverse of a plainReader.
type plainWriter struct {
	dst  []byte
	last uint32
	n    uint
}

func (w *plainWriter) put(v uint32, n uint) {
	w.last |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.dst = append(w.dst, byte(w.last))
		w.last >>= 8
	}
}

func (w *plainWriter) flush() []byte {
	if w.n > 0 {
		w.dst = append(w.dst, byte(w.last))
	}
	return w.dst
}
