package kernel

import "unsafe"

// tileArgs say which tile of C = A·B to compute in registers. Assembly knows the
// offsets. Distances are in bytes.
//
// The columns of a tile come in slots of as many lanes as a register has, or half
// as many: row k of B lies, for slot s, at b[s] + k·bStep (linear, where slots are side by
// side) or at b[s] + off[k] (table). Column r of A lies at a + 4r + k·aStep.
type tileArgs struct {
	a, off           unsafe.Pointer
	b, c, res        [4]unsafe.Pointer
	mask             [4]uint64 // which lanes exist
	rowBias, colBias unsafe.Pointer
	k, aStep, bStep  int
	ldc              int // between rows of c and of res
	flags            uint64
	lo, hi           float32
}

// The bits of tileArgs.flags. Sums are taken in this order.
const (
	flagAccumulate = 1 << iota
	flagRowBias
	flagColBias
	flagResidual
	flagClamp
)

// dotArgs say which small matrix of dot products to add to out: that of row r of y
// and row c of x. A row is groups of lines of vectors. Assembly knows the offsets. Distances are in bytes.
type dotArgs struct {
	y, x                           unsafe.Pointer
	yStep                          int    // between rows of y
	off                            [6]int // where rows of x begin
	groups, yGroupStep, xGroupStep int
	lines, yLine, xLine            int // the number of lines, or of pairs of them for halves
	vectors                        int // whole registers of a line; half registers for halves
	rest                           int // elements behind them
	mask                           uint64
	lanes                          [8]int32 // mask, for AVX2
	out                            unsafe.Pointer
	ldo                            int
	place                          [6]int //nolint:unused // assembly keeps its place here
}

// copyArgs say what to copy, to where, in which order. Assembly knows the offsets.
// Distances are in bytes.
type copyArgs struct {
	dst, src         unsafe.Pointer
	rows             int
	dstStep, srcStep int
	left             int // of zeros before a row
	vectors          int
	mask             [2]uint64
	cols             int         // elements in the masks
	lanes            [2][8]int32 // mask, for AVX2
	single           int         // a row of dst, zeros included, is no longer than a register, and the mask says which lanes are of src
}

// A segment is a register of output pixels: where in the image they see their
// first tap, where they go, in bytes, and which lanes exist.
type segment struct {
	in, out int
	mask    uint64
}

// depthArgs say how to convolve one channel. Assembly knows the offsets.
type depthArgs struct {
	image, w, off, c, res unsafe.Pointer
	segments              unsafe.Pointer
	count, k              int // of groups of four segments, and of taps
	flags                 uint64
	bias                  unsafe.Pointer
	lo, hi                float32
}

// columnArgs are rows of pixels of which even and odd ones are told apart.
// Assembly knows the offsets. Distances are in bytes.
type columnArgs struct {
	dst, dst2, src   unsafe.Pointer
	rows             int
	dstStep, srcStep int
	vectors          int       // whole registers
	mask             [4]uint64 // of what is behind them
	accumulate       int
}

// setMask makes the lanes [lo, hi) those that exist.
func (c *copyArgs) setMask(lo, hi int) {
	c.mask[0] = laneMask(hi) &^ laneMask(lo)
	c.cols = hi - lo
	for i := range c.lanes[0] {
		c.lanes[0][i] = 0
		if lo <= i && i < hi {
			c.lanes[0][i] = -1
		}
	}
}

// laneMask has the lowest n bits set.
func laneMask(n int) uint64 { return 1<<uint(n) - 1 }

func laneWords(n int) (w [8]int32) {
	for i := range min(max(n, 0), 8) {
		w[i] = -1
	}
	return w
}

// at is the address of s[i] or, if there is no such element (the slot's mask is then
// empty), of the first one. An address behind the end would be one that belongs to
// somebody else, or to nobody, which the garbage collector does not forgive; nil would
// be slow where assembly loads under an empty mask.
func at(s []float32, i int) unsafe.Pointer {
	if i >= len(s) {
		return unsafe.Pointer(unsafe.SliceData(s))
	}
	return unsafe.Pointer(&s[i])
}

func load(p unsafe.Pointer, bytes int) float32 { return *(*float32)(unsafe.Add(p, bytes)) }

// finishTile does what assembly without masks cannot: it takes the sums of a tile
// that lies in tmp, with slots of lanes side by side and rows of width, and
// finishes them as t says, where lanes exist.
func finishTile(t *tileArgs, tmp []float32, rows, slots, lanes int) {
	for r := range rows {
		for s := range slots {
			for l := range lanes {
				if t.mask[s]>>l&1 == 0 {
					continue
				}
				sum := tmp[(r*slots+s)*lanes+l]
				c := (*float32)(unsafe.Add(t.c[s], r*t.ldc+4*l))
				if t.flags&flagAccumulate != 0 {
					sum += *c
				}
				if t.flags&flagRowBias != 0 {
					sum += load(t.rowBias, 4*r)
				}
				if t.flags&flagColBias != 0 {
					sum += load(t.colBias, 4*(s*lanes+l))
				}
				if t.flags&flagResidual != 0 {
					sum += load(t.res[s], r*t.ldc+4*l)
				}
				if t.flags&flagClamp != 0 {
					sum = clamp(sum, t.lo, t.hi)
				}
				*c = sum
			}
		}
	}
}

// compute runs f, which has the given number of rows and slots, on t. tmp is
// scratch of at least rows·slots·lanes.
func (in *inner) compute(f func(*tileArgs), t *tileArgs, tmp []float32, rows, slots, lanes int) {
	whole := true
	if !in.masks {
		for _, m := range t.mask[:slots] {
			whole = whole && m == laneMask(lanes)
		}
	}
	if whole {
		f(t)
		return
	}
	c, ldc, flags := t.c, t.ldc, t.flags
	for s := range slots {
		t.c[s] = at(tmp, s*lanes)
	}
	t.ldc, t.flags = 4*slots*lanes, 0
	f(t)
	t.c, t.ldc, t.flags = c, ldc, flags
	finishTile(t, tmp, rows, slots, lanes)
}
