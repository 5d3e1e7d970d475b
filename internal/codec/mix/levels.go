package mix

import (
	"encoding/binary"

	"ropewalk/internal/codec"
)

// MaxLevels bounds a codebook.
const MaxLevels = 4096

// AppendLevels appends the coded form of symbols, indices into the sorted
// Levels of their segments.
func AppendLevels(dst []byte, syms []uint16, segs []codec.Segment) []byte {
	p := chooseParams(syms, segs)
	dst = p.append(dst)
	c := newEncoder(dst)
	m := newLevelModel(&c, p, segs)
	m.fit(syms)
	codeLinears(&c, m.kinds)
	m.run(syms)
	return c.Finish()
}

// DecodeLevels fills syms, whose length the caller knows.
func DecodeLevels(syms []uint16, coded []byte, segs []codec.Segment) error {
	p, n := parseParams(coded, segs)
	if n < 0 {
		return ErrCorrupt
	}
	c := newDecoder(coded[n:])
	m := newLevelModel(&c, p, segs)
	codeLinears(&c, m.kinds)
	m.run(syms)
	if c.Overrun() {
		return ErrCorrupt
	}
	return nil
}

// AssignLevels chooses symbols one after the other: choose is asked for each,
// at what all symbols cost there under the adaptive model, which then learns
// the answer. first are symbols to begin with: the parameters of the block are
// fitted to them. They are overwritten.
func AssignLevels(first []uint16, segs []codec.Segment, choose func(i int, cost func(sym int) uint32) int) {
	p := chooseParams(first, segs)
	c := newEncoder(nil)
	m := newLevelModel(&c, p, segs)
	m.fit(first)
	codeLinears(&c, m.kinds)
	m.assign = choose
	m.run(first)
}

// levelParams are what the encoder chooses for a block, beside coefficients.
type levelParams struct {
	spread int    // of the offsets, in quarter octaves of 1/256
	zero   bool   // first ask whether an offset is zero: it often is
	modes  []int  // of each segment, its most frequent symbol
	centre []bool // of each segment: values count from that of the mode
}

func chooseParams(syms []uint16, segs []codec.Segment) levelParams {
	p := levelParams{modes: make([]int, len(segs)), centre: make([]bool, len(segs))}
	base, dist, zeros := 0, 0, 0
	var counts [MaxLevels]int
	for i, s := range segs {
		hist := counts[:len(s.Levels)]
		clear(hist)
		for _, v := range syms[base : base+s.Len] {
			hist[v]++
		}
		mode := 0
		for v, n := range hist {
			if n > hist[mode] {
				mode = v
			}
		}
		for v, n := range hist {
			dist += abs(v-mode) * n
		}
		zeros += hist[mode]
		p.modes[i] = mode
		base += s.Len
		if l := s.Levels; len(l) > 0 && (l[0] > 0 || l[len(l)-1] < 0 || (l[0] == 0 && mode > len(l)/4)) {
			p.centre[i] = true
		}
	}
	p.zero = zeros*5 > base
	// Spread of |v| without the zeros, in 1/256 of a symbol.
	n := base
	if p.zero {
		n = max(base-zeros, 1)
	}
	p.spread = int(max(log2(uint64(max(dist*256*6/8/max(n, 1), 32))), 0)) >> 6
	p.spread = min(p.spread, 127)
	return p
}

func (p *levelParams) append(dst []byte) []byte {
	dst = append(dst, byte(p.spread)<<1|byte(b2i(p.zero)))
	for i, m := range p.modes {
		dst = binary.AppendUvarint(dst, uint64(m)<<1|uint64(b2i(p.centre[i])))
	}
	return dst
}

func parseParams(b []byte, segs []codec.Segment) (p levelParams, n int) {
	if len(b) == 0 {
		return p, -1
	}
	p.spread, p.zero = int(b[0]>>1), b[0]&1 != 0
	n = 1
	for _, s := range segs {
		v, k := binary.Uvarint(b[n:])
		if k <= 0 || v>>1 >= uint64(len(s.Levels)) {
			return p, -1
		}
		p.modes = append(p.modes, int(v>>1))
		p.centre = append(p.centre, v&1 != 0)
		n += k
	}
	return p, n
}

func abs(v int) int {
	if v < 0 {
		return -v
	}
	return v
}
