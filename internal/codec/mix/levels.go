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
	start := len(dst)
	p := chooseParams(syms, segs, nil)
	dst, costs := p.encode(dst, syms, segs)
	if plain := choosePlains(syms, segs, costs); plain != nil {
		p = chooseParams(syms, segs, plain)
		if b, _ := p.encode(nil, syms, segs); len(b) < len(dst)-start {
			dst = append(dst[:start], b...)
		}
	}
	return dst
}

// DecodeLevels fills syms, whose length the caller knows.
func DecodeLevels(syms []uint16, coded []byte, segs []codec.Segment) error {
	p, n := parseParams(coded, segs)
	if n < 0 {
		return ErrCorrupt
	}
	c := newDecoder(coded[n:])
	newLevelModel(&c, p, segs).run(syms)
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
	p := chooseParams(first, segs, nil)
	_, costs := p.encode(nil, first, segs)
	if plain := choosePlains(first, segs, costs); plain != nil {
		p = chooseParams(first, segs, plain)
	}
	c := newEncoder(nil)
	m := newLevelModel(&c, p, segs)
	m.fit(first)
	m.assign = choose
	m.run(first)
}

// tolerated is what a segment may take above the entropy of its histogram
// before its block is coded a second time, in bits/65536: 56 bytes.
const tolerated = 56 << 19

// choosePlains returns how segments are coded that take less than costs,
// in bits/65536, without the model; nil if that is not worth coding the block
// again: if none is beyond what is tolerated, and all gain less than 1/256.
func choosePlains(syms []uint16, segs []codec.Segment, costs []int64) []estimator {
	// No code for single symbols takes less than their entropy.
	over := make([]int64, len(segs))
	var most, whole int64 // that can be gained, and that there is
	far := false
	at := 0
	for i, s := range segs {
		over[i] = max(costs[i]-information(syms[at:at+s.Len], len(s.Levels)), 0)
		far = far || over[i] > tolerated
		most += over[i]
		whole += costs[i]
		at += s.Len
	}
	if !far && most <= whole>>8 {
		return nil
	}
	plain := make([]estimator, len(segs))
	gains := int64(0)
	far = false
	at = 0
	for i, s := range segs {
		if over[i] > 0 {
			how, gain := choosePlain(syms[at:at+s.Len], len(s.Levels), costs[i])
			far = far || how != 0 && over[i] > tolerated
			gains += gain
			plain[i] = how
		}
		at += s.Len
	}
	if !far && gains <= whole>>8 {
		return nil
	}
	return plain
}

// levelParams are what the encoder chooses for a block, beside coefficients.
type levelParams struct {
	spread int  // of the offsets, in quarter octaves of 1/256
	zero   bool // first ask whether an offset is zero: it often is
	segs   []segmentParams
}

// segmentParams are what the encoder chooses for a segment.
type segmentParams struct {
	plain  estimator // if any, the segment is not modelled, and this is all
	mode   int       // its most frequent symbol
	centre bool      // values count from that of the mode
}

// chooseParams chooses the parameters for symbols; plain says which segments
// are not modelled, nil: none.
func chooseParams(syms []uint16, segs []codec.Segment, plain []estimator) levelParams {
	p := levelParams{segs: make([]segmentParams, len(segs))}
	n, dist, zeros := 0, 0, 0
	var counts [MaxLevels]int
	for i, s := range segs {
		part := syms[:s.Len]
		syms = syms[s.Len:]
		if plain != nil && plain[i] != 0 {
			p.segs[i].plain = plain[i]
			continue
		}
		hist := counts[:len(s.Levels)]
		clear(hist)
		for _, v := range part {
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
		n += s.Len
		zeros += hist[mode]
		p.segs[i].mode = mode
		if l := s.Levels; len(l) > 0 && (l[0] > 0 || l[len(l)-1] < 0 || (l[0] == 0 && mode > len(l)/4)) {
			p.segs[i].centre = true
		}
	}
	p.zero = zeros*5 > n
	// Spread of |v| without the zeros, in 1/256 of a symbol.
	if p.zero {
		n = max(n-zeros, 1)
	}
	p.spread = int(max(log2(uint64(max(dist*256*6/8/max(n, 1), 32))), 0)) >> 6
	p.spread = min(p.spread, 127)
	return p
}

// encode appends the coded form of symbols, and tells what each segment took,
// in bits/65536.
func (p *levelParams) encode(dst []byte, syms []uint16, segs []codec.Segment) (coded []byte, costs []int64) {
	c := newEncoder(p.append(dst, segs))
	m := newLevelModel(&c, *p, segs)
	m.fit(syms)
	m.run(syms)
	return c.Finish(), m.costs()
}

func (p *levelParams) append(dst []byte, segs []codec.Segment) []byte {
	dst = append(dst, byte(p.spread)<<1|byte(b2i(p.zero)))
	for i, s := range p.segs {
		v := s.mode<<1 | b2i(s.centre)
		if s.plain != 0 {
			v = len(segs[i].Levels)<<1 + int(s.plain-novelty)
		}
		dst = binary.AppendUvarint(dst, uint64(v))
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
		v, k := codec.Uvarint(b[n:])
		modelled := uint64(len(s.Levels)) << 1
		if k <= 0 || modelled == 0 || v >= modelled+uint64(estimators-novelty) {
			return p, -1
		}
		if v < modelled {
			p.segs = append(p.segs, segmentParams{mode: int(v >> 1), centre: v&1 != 0})
		} else {
			p.segs = append(p.segs, segmentParams{plain: novelty + estimator(v-modelled)})
		}
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
