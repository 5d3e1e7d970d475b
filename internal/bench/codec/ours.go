package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"ropewalk/internal/codec"
	"ropewalk/internal/codec/lanes"
	"ropewalk/internal/codec/mix"
)

// A blockCoder is one of ours: it codes blocks, and what a block holds is for
// the caller to say.
type blockCoder struct {
	label  string
	encode func(dst []byte, syms []uint16, segs []codec.Segment) []byte
	decode func(syms []uint16, coded []byte, segs []codec.Segment) error
	// alone says that a block holds parts of one matrix only. Others share a
	// block as long as it is not full.
	alone bool
}

const (
	fastName = "ropewalk fast"
	maxName  = "ropewalk max"
)

// ours are the coders of this module, the fastest first.
var ours = []blockCoder{
	{label: fastName, encode: lanes.Append, decode: lanes.Decode},
	{label: maxName, encode: mix.AppendLevels, decode: mix.DecodeLevels},
}

// blockWeights is how many weights a block holds, as in a file.
const blockWeights = 1 << 18

// A block is coded, and comes back, without the others.
type block struct {
	syms []uint16
	segs []codec.Segment
}

// blocks cuts a stream: a matrix that fills a block is cut where blocks end; the
// others lie whole in a block, several in one unless they are to be alone.
func (s *stream) blocks(alone bool) []block {
	var list []block
	open := false // the last block takes another matrix
	for _, t := range s.tensors {
		cols, taps, width := codec.Shape(t.shape)
		levels := fixedPoint(t.levels)
		open = open && !alone && len(list[len(list)-1].syms)+len(t.syms) <= blockWeights
		for start := 0; start < len(t.syms); start += blockWeights {
			part := t.syms[start:min(start+blockWeights, len(t.syms))]
			if !open {
				list = append(list, block{})
			}
			b := &list[len(list)-1]
			b.syms = append(b.syms, part...)
			b.segs = append(b.segs, codec.Segment{
				Cols: cols, Taps: taps, Width: width, Start: start, Len: len(part), Levels: levels,
			})
		}
		open = len(t.syms) < blockWeights
	}
	return list
}

// fixedPoint returns the levels as multiples of a power of two, as large as
// coders take them. Levels that are too near to each other for that move apart.
func fixedPoint(levels []float32) []int32 {
	const bits = 21
	largest := 0.0
	for _, x := range levels {
		largest = max(largest, math.Abs(float64(x)))
	}
	_, exponent := math.Frexp(largest)
	fixed := make([]int32, len(levels))
	for i, x := range levels {
		fixed[i] = int32(math.Ldexp(float64(x), bits-1-exponent)) // half of what is allowed leaves room to move
		if i > 0 {
			fixed[i] = max(fixed[i], fixed[i-1]+1)
		}
	}
	return fixed
}

func (c blockCoder) name() string { return c.label }

func (c blockCoder) code(_ context.Context, s *stream, _ string) (measured, error) {
	var m measured
	for _, b := range s.blocks(c.alone) {
		var packed []byte
		m.encode += seconds(func() { packed = c.encode(packed[:0], b.syms, b.segs) })
		m.size += int64(len(packed))
		restored := make([]uint16, len(b.syms))
		var err error
		m.decode += seconds(func() { err = c.decode(restored, packed, b.segs) })
		if err != nil {
			return measured{}, err
		}
		if !slices.Equal(restored, b.syms) {
			return measured{}, errors.New("other indices came back")
		}
	}
	return m, nil
}

// Work that takes less than short is done again, and the best time counts: the
// noise of a machine only ever adds.
const (
	short   = 0.5 // seconds
	repeats = 3
)

// seconds returns how long work takes.
func seconds(work func()) float64 {
	least := math.Inf(1)
	for range repeats {
		start := time.Now()
		work()
		least = min(least, time.Since(start).Seconds())
		if least > short {
			break
		}
	}
	return least
}
