package rope

import (
	"context"

	"ropewalk/internal/codec"
	"ropewalk/internal/codec/mix"
	"ropewalk/tensor"
)

// Assign chooses the symbols of a tensor one after the other, in row-major
// order, by what they cost in the coder of effort Max: choose is called for
// each weight i with a function that tells the price of a symbol there, in
// 1/65536 bit, and answers with a symbol, which the model then learns. Symbols
// are indices into levels, which increase. What symbols holds before decides
// the parameters of the model; the choices are left in it.
//
// Blocks are those of a file of default block size, but a tensor begins with a
// new model, while a small one in a file goes on with that of the one before. So
// prices are a little too high there.
//
// When ctx ends, Assign returns after the block in work, and symbols are of no use.
func Assign(ctx context.Context, shape tensor.Shape, levels []float32, symbols []uint16, choose func(i int, cost func(sym int) uint32) int) {
	bits := make([]uint64, len(levels))
	for i, l := range levels {
		bits[i] = floatBits(l)
	}
	fixed := fixedLevels(tensor.F32, bits)
	cols, taps, width := codec.Shape(shape)
	for at := 0; at < len(symbols); at += DefaultBlockValues {
		if ctx.Err() != nil {
			return
		}
		part := symbols[at:min(at+DefaultBlockValues, len(symbols))]
		seg := codec.Segment{Cols: cols, Taps: taps, Width: width, Start: at, Len: len(part), Levels: fixed}
		mix.AssignLevels(part, []codec.Segment{seg}, func(i int, cost func(sym int) uint32) int {
			return choose(at+i, cost)
		})
	}
}
