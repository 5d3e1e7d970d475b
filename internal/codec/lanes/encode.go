package lanes

import (
	"encoding/binary"
	"math/bits"
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
	lanes    int
	fits     []fit    // of each segment
	entries  []uint32 // of all of them
	fitter   fitter
	model    model
	inverter inverter

	plain  plainWriter
	states [maxLanes]uint32
	words  []byte // written from the end
	left   int    // bytes of words that are free
}

func (e *encoder) append(dst []byte, syms []uint16, segs []codec.Segment) []byte {
	e.lanes = lanesOf(len(syms))
	e.fits = room(e.fits, len(segs))
	e.entries = room(e.entries, len(syms))
	c := newEncoder(dst)
	var m sideModel
	at := 0
	for i, s := range segs {
		if s.Len == 0 {
			continue
		}
		g := shapeOf(s, e.lanes)
		f := &e.fits[i]
		f.entries = e.entries[at : at+s.Len]
		e.fitter.fit(f, &m, syms[at:at+s.Len], s.Levels, &g)
		if !m.code(&c, &f.params, &g, len(s.Levels)) {
			panic("lanes: internal error: parameters out of range")
		}
		at += s.Len
	}
	dst, _ = c.End()

	// The plain bits in order; the others from the last to the first, as each
	// symbol goes on top of a state.
	e.plain = plainWriter{dst: dst}
	at = 0
	for i, s := range segs {
		if p := &e.fits[i].params; s.Len > 0 && !p.constant && p.split > 0 {
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
	e.words = room(e.words, 2*len(syms)+2) // a symbol gives one word at most
	e.left = len(e.words)
	for i := len(segs) - 1; i >= 0; i-- {
		if s, f := &segs[i], &e.fits[i]; s.Len > 0 && !f.params.constant {
			e.segment(f, s)
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
	return append(dst, e.words[e.left:]...)
}

// segment codes a segment onto the states.
func (e *encoder) segment(f *fit, s *codec.Segment) {
	e.model.prepare(&f.params, s.Levels)
	e.inverter.build(&e.model, f.tables)
	g := shapeOf(*s, e.lanes)
	for step := g.steps(e.lanes) - 1; step >= 0; step-- {
		var at [maxLanes]int
		for l := range e.lanes {
			at[l] = g.at(step, e.lanes, l)
		}
		spans := g.spans(step, e.lanes)
		for _, sp := range slices.Backward(spans[:]) {
			e.span(f.entries, &at, sp)
		}
	}
}

// span codes the symbols of a span, from the last to the first.
func (e *encoder) span(entries []uint32, at *[maxLanes]int, sp span) {
	v := &e.inverter
	cells, pieces, symbols := v.cells, v.pieces, v.symbols
	cellBits := v.cellBits & 15
	states, words, left := &e.states, e.words, e.left
	for pos := sp.to - 1; pos >= sp.from; pos-- {
		for l := sp.last - 1; l >= sp.first; l-- {
			s := &symbols[entries[at[l&7]+pos]]
			x := states[l&7]
			binary.LittleEndian.PutUint16(words[left-2:], uint16(x))
			full := (uint64(s.freq) - 1 - uint64(x>>(32-totalBits))) >> 63 // 1 if the word is to be taken off
			left -= int(2 * full)
			x >>= full * wordBits & 31
			div, _ := bits.Mul64(uint64(x)+1, s.inverse)
			place := x - uint32(div)*s.freq
			j := cells[s.cells+place>>cellBits]
			j += uint32((uint64(pieces[j].end) - 1 - uint64(place)) >> 63)
			for place >= uint32(pieces[j].end) {
				j++
			}
			states[l&7] = uint32(div)<<totalBits | (place+uint32(pieces[j].add))&(total-1)
		}
	}
	e.left = left
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
