package lanes

import (
	"encoding/binary"
	"sync"

	"ropewalk/internal/codec"
)

// Decode fills syms, whose length the caller knows, as he knows the segments.
// It returns an error that wraps [ErrCorrupt] if coded is not what an encoder
// writes for them.
func Decode(syms []uint16, coded []byte, segs []codec.Segment) error {
	check(len(syms), segs)
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	return d.decode(syms, coded, segs)
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// A decoder holds what is allocated once.
type decoder struct {
	lanes  int
	states [maxLanes]uint32
	words  []byte
	plain  plainReader

	params  []params
	model   model
	table   [][2]uint64     // all of them
	made    [maxScales]bool // whether those of a scale are made
	freqs   []uint16
	history []int32 // two kernels of each lane
	builder builder
}

func (d *decoder) decode(syms []uint16, coded []byte, segs []codec.Segment) error {
	d.lanes = lanesOf(len(syms))
	plain, rest, err := d.side(coded, segs)
	if err != nil {
		return err
	}
	if len(rest) < plain {
		return corrupt("cut in the plain bits")
	}
	d.plain = plainReader{src: rest[:plain]}
	if d.words, err = d.begin(rest[plain:]); err != nil {
		return err
	}
	for i := range segs {
		n := segs[i].Len
		if n == 0 {
			continue
		}
		if !d.segment(syms[:n], &d.params[i], &segs[i]) {
			return corrupt("bad symbols")
		}
		syms = syms[n:]
	}
	if len(d.words) > 0 {
		return corrupt("words behind the last symbol")
	}
	for _, x := range d.states[:d.lanes] {
		if x != startState(d.lanes) {
			return corrupt("a lane does not end where it began")
		}
	}
	return nil
}

// side decodes the parameters of all segments, and returns how many bytes of
// plain bits there are, and the input behind the parameters.
func (d *decoder) side(coded []byte, segs []codec.Segment) (plain int, rest []byte, err error) {
	c := newDecoder(coded)
	var m sideModel
	if cap(d.params) < len(segs) {
		d.params = make([]params, len(segs))
	}
	d.params = d.params[:len(segs)]
	bits := 0
	for i, s := range segs {
		if s.Len == 0 {
			continue
		}
		// Whatever a segment has costs input, near enough: stop at its end.
		if c.Overrun() {
			return 0, nil, corrupt("cut in the parameters")
		}
		g := shapeOf(s, d.lanes)
		d.params[i].reset()
		if !m.code(&c, &d.params[i], &g, len(s.Levels)) {
			return 0, nil, corrupt("bad parameters")
		}
		if !d.params[i].constant {
			bits += s.Len * int(d.params[i].split)
		}
	}
	rest, ok := c.End()
	if !ok {
		return 0, nil, corrupt("cut in the parameters")
	}
	return (bits + 7) / 8, rest, nil
}

// begin reads the states of the lanes and returns the words behind them.
func (d *decoder) begin(src []byte) ([]byte, error) {
	if d.lanes == 1 {
		// Words have two bytes, and a state before words has three or four.
		n := len(src)
		if n > 4 {
			n = 4 - n&1
		}
		x := uint32(0)
		for _, b := range src[:n] {
			x = x<<8 | uint32(b)
		}
		d.states[0] = x
		return src[n:], nil
	}
	if len(src) < 4*d.lanes {
		return nil, corrupt("cut in the lanes")
	}
	for l := range d.lanes {
		d.states[l] = binary.LittleEndian.Uint32(src[4*l:])
	}
	return src[4*d.lanes:], nil
}
