package lanes

import (
	"math"
	"slices"
)

// An inverter leads from a symbol and a place in it to a slot: alias tables,
// backwards. The places of a symbol lie in pieces: its own bucket up to the cut,
// then what it has of other buckets, which is at most a bucket each. Cells that
// are as long as a bucket say which piece a place lies in, or which one before.
type inverter struct {
	symbols  []inverseSymbol // by entry
	cells    []uint32        // the piece of the first place of each cell
	pieces   []piece         // in the order of their places
	cellBits uint            // logarithm of the places of a cell

	freqs   []uint16
	alias   [][2]uint64
	builder builder
}

type inverseSymbol struct {
	inverse uint64 // floor((2^64 - 1) / freq): floor(x / freq) = (x + 1) * inverse >> 64 for x < 2^32
	cells   uint32 // the first one
	freq    uint32
}

type piece struct {
	end uint16 // place behind it
	add uint16 // to a place for its slot, modulo total
}

// build makes the inverse of tables of a model.
func (v *inverter) build(m *model, tables []uint16) {
	v.symbols = room(v.symbols, m.scales*m.width*m.symbols)
	v.freqs = room(v.freqs, m.symbols)
	v.alias = room(v.alias, 1<<m.buckets)
	v.cells, v.pieces = v.cells[:0], v.pieces[:0]
	v.cellBits = totalBits - m.buckets
	for _, t := range tables {
		m.frequencies(v.freqs, int(t))
		carved := v.builder.alias(v.alias, v.freqs, m.buckets)
		v.add(v.symbols[int(t)*m.symbols:][:m.symbols], carved)
	}
}

// add adds the table in alias, of which carved are the buckets that have a
// second symbol.
func (v *inverter) add(symbols []inverseSymbol, carved []uint16) {
	// Pieces were carved off the end of a symbol, so the last to go is the first.
	var counts [maxSymbols]uint32
	for _, b := range carved {
		counts[v.alias[b][1]>>32&(maxSymbols-1)]++
	}
	size := uint16(1) << v.cellBits
	first := len(v.pieces)
	var next [maxSymbols]uint32
	at := uint32(first)
	for i := range symbols {
		next[i] = at + 1
		at += 1 + counts[i]
	}
	v.pieces = append(v.pieces, make([]piece, int(at)-first)...)
	for i := range symbols {
		v.pieces[next[i]-1] = piece{end: uint16(v.alias[i][0] >> 48), add: uint16(i) * size}
	}
	for _, b := range slices.Backward(carved) {
		other := v.alias[b][1]
		to := &next[other>>32&(maxSymbols-1)]
		v.pieces[*to] = piece{end: size + uint16(other), add: b*size - uint16(other)}
		*to++
	}
	j := uint32(first)
	for i := range symbols {
		f := uint32(v.freqs[i])
		symbols[i] = inverseSymbol{inverse: math.MaxUint64 / uint64(f), cells: uint32(len(v.cells)), freq: f}
		for place := uint32(0); place < f; place += uint32(size) {
			for place >= uint32(v.pieces[j].end) {
				j++
			}
			v.cells = append(v.cells, j)
		}
		j = next[i]
	}
}
