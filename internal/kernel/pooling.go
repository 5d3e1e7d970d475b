package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// A PoolShape is the shape of a pooling over windows of KH×KW. x is (Batch,
// Channels, InH, InW). Strides and dilations of 0 stand for 1. With Ceil the last window may
// hang over the edge, as long as it begins inside of the image or its left padding.
type PoolShape struct {
	Batch, Channels, InH, InW            int
	KH, KW                               int
	StrideH, StrideW                     int
	DilationH, DilationW                 int
	PadTop, PadLeft, PadBottom, PadRight int
	Ceil                                 bool
	// CountPadding makes averages divide by the size of the window, padding
	// included, and not by the number of pixels in it.
	CountPadding bool
}

// OutSize returns the height and width of the output.
func (s *PoolShape) OutSize() (h, w int) {
	one := func(in, k, stride, dilation, before, after int) int {
		stride, dilation = max(stride, 1), max(dilation, 1)
		span := in + before + after - dilation*(k-1) - 1
		if !s.Ceil {
			return span/stride + 1
		}
		n := ceilDiv(span, stride) + 1
		if (n-1)*stride >= in+before {
			n--
		}
		return n
	}
	return one(s.InH, s.KH, s.StrideH, s.DilationH, s.PadTop, s.PadBottom), one(s.InW, s.KW, s.StrideW, s.DilationW, s.PadLeft, s.PadRight)
}

// A poolJob goes over planes.
type poolJob struct {
	PoolShape
	kind       poolKind
	outH, outW int
	y, x       []float32
	arg        []int32
	accumulate bool
}

type poolKind int

const (
	poolMax poolKind = iota
	poolMaxBackward
	poolAverage
	poolAverageBackward
)

// MaxPool computes the maximum of each window. arg, if it is not nil, takes for
// each output the index of its maximum in its plane of x, the first one of equals,
// or −1 if the window holds no pixel; the output is then −Inf.
func MaxPool(p *Pool, s *PoolShape, y []float32, arg []int32, x []float32) {
	p.pooling(s, poolJob{kind: poolMax, y: y, x: x, arg: arg}, false)
}

// MaxPoolBackward computes dx from dy and what MaxPool has written to arg; with
// accumulate it is added to dx.
func MaxPoolBackward(p *Pool, s *PoolShape, dx, dy []float32, arg []int32, accumulate bool) {
	p.pooling(s, poolJob{kind: poolMaxBackward, y: dy, x: dx, arg: arg, accumulate: accumulate}, true)
}

// AveragePool computes the mean of each window.
func AveragePool(p *Pool, s *PoolShape, y, x []float32) {
	p.pooling(s, poolJob{kind: poolAverage, y: y, x: x}, false)
}

// AveragePoolBackward computes dx from dy; with accumulate it is added to dx.
func AveragePoolBackward(p *Pool, s *PoolShape, dx, dy []float32, accumulate bool) {
	p.pooling(s, poolJob{kind: poolAverageBackward, y: dy, x: dx, accumulate: accumulate}, false)
}

func (p *Pool) pooling(s *PoolShape, j poolJob, needArg bool) {
	j.PoolShape = *s
	for _, n := range []*int{&j.StrideH, &j.StrideW, &j.DilationH, &j.DilationW} {
		if *n == 0 {
			*n = 1
		}
	}
	j.outH, j.outW = j.OutSize()
	if min(j.Batch, j.Channels) < 0 || min(j.InH, j.InW, j.KH, j.KW, j.StrideH, j.StrideW, j.DilationH, j.DilationW) < 1 ||
		min(j.PadTop, j.PadLeft, j.PadBottom, j.PadRight) < 0 || min(j.outH, j.outW) < 1 || j.InH*j.InW > math.MaxInt32 {
		panic(fmt.Sprintf("kernel: no pooling has the shape %+v", *s))
	}
	planes := j.Batch * j.Channels
	need("x", j.x, planes*j.InH*j.InW)
	need("y", j.y, planes*j.outH*j.outW)
	if (j.arg != nil || needArg) && len(j.arg) < planes*j.outH*j.outW {
		panicShort("arg", len(j.arg), planes*j.outH*j.outW)
	}
	p.jobs.pool = j
	p.run(ceilDiv(planes, j.grain()), &p.jobs.pool)
	p.jobs.pool = poolJob{}
}

func (j *poolJob) grain() int {
	if j.Batch*j.Channels*j.InH*j.InW <= serial/4 {
		return max(1, j.Batch*j.Channels)
	}
	return max(1, 1<<13/(j.InH*j.InW))
}

func (j *poolJob) do(p *Pool, worker, i int) {
	grain := j.grain()
	in, out := j.InH*j.InW, j.outH*j.outW
	for i, end := i*grain, min(j.Batch*j.Channels, (i+1)*grain); i < end; i++ {
		x, y := j.x[i*in:][:in], j.y[i*out:][:out]
		var arg []int32
		if j.arg != nil {
			arg = j.arg[i*out:][:out]
		}
		switch j.kind {
		case poolMax:
			if j.isHalving() {
				j.halvePlane(&p.jobs.workers[worker].cols, y, arg, x)
			} else {
				j.maxPlane(y, arg, x)
			}
		case poolMaxBackward:
			if !j.accumulate {
				clear(x)
			}
			for k, at := range arg {
				if at >= 0 {
					x[at] += y[k]
				}
			}
		case poolAverage:
			j.averagePlane(y, x)
		case poolAverageBackward:
			if !j.accumulate {
				clear(x)
			}
			j.spreadPlane(x, y)
		}
	}
}

// A window is the pixels that an output sees: rows r0, r0+DilationH, … below r1,
// and columns likewise.
type window struct{ r0, r1, c0, c1 int }

func (j *poolJob) window(i, k int) window {
	lo := func(at, dilation int) int {
		if at < 0 {
			at += ceilDiv(-at, dilation) * dilation
		}
		return at
	}
	r, c := i*j.StrideH-j.PadTop, k*j.StrideW-j.PadLeft
	return window{
		lo(r, j.DilationH), min(j.InH, r+j.DilationH*(j.KH-1)+1),
		lo(c, j.DilationW), min(j.InW, c+j.DilationW*(j.KW-1)+1),
	}
}

// isHalving: windows are 2×2, side by side, and all in the image.
func (j *poolJob) isHalving() bool {
	return j.KH == 2 && j.KW == 2 && j.StrideH == 2 && j.StrideW == 2 && j.DilationH == 1 && j.DilationW == 1 &&
		j.PadTop == 0 && j.PadLeft == 0 && 2*j.outH <= j.InH && 2*j.outW <= j.InW && current.maxPool2 != nil
}

func (j *poolJob) halvePlane(c *columnArgs, y []float32, arg []int32, x []float32) {
	lanes := current.lanes
	rest := j.outW % lanes
	*c = columnArgs{
		dst: at(y, 0), src: at(x, 0), rows: j.outH, dstStep: 4 * j.outW, srcStep: 4 * j.InW, vectors: j.outW / lanes,
		mask: [4]uint64{laneMask(min(2*rest, lanes)), laneMask(max(0, 2*rest-lanes)), laneMask(rest)},
	}
	if arg != nil {
		c.dst2 = unsafe.Pointer(unsafe.SliceData(arg))
	}
	current.maxPool2(c)
	*c = columnArgs{}
}

func (j *poolJob) maxPlane(y []float32, arg []int32, x []float32) {
	for i := range j.outH {
		for k := range j.outW {
			w := j.window(i, k)
			best, at := float32(math.Inf(-1)), -1
			for r := w.r0; r < w.r1; r += j.DilationH {
				for c := w.c0; c < w.c1; c += j.DilationW {
					if a := x[r*j.InW+c]; a > best || at < 0 || a != a && best == best {
						best, at = a, r*j.InW+c
					}
				}
			}
			y[i*j.outW+k] = best
			if arg != nil {
				arg[i*j.outW+k] = int32(at)
			}
		}
	}
}

// weight is 1 / the number of pixels to divide by.
func (j *poolJob) weight(i, k int, w window) float32 {
	if !j.CountPadding {
		n := ceilDiv(w.r1-w.r0, j.DilationH) * ceilDiv(w.c1-w.c0, j.DilationW)
		if w.r1 <= w.r0 || w.c1 <= w.c0 {
			return 0
		}
		return 1 / float32(n)
	}
	// What hangs over the padding, with Ceil, does not count.
	r, c := i*j.StrideH-j.PadTop, k*j.StrideW-j.PadLeft
	rows := min(j.KH, ceilDiv(j.InH+j.PadBottom-r, j.DilationH))
	cols := min(j.KW, ceilDiv(j.InW+j.PadRight-c, j.DilationW))
	return 1 / float32(rows*cols)
}

func (j *poolJob) averagePlane(y, x []float32) {
	for i := range j.outH {
		for k := range j.outW {
			w := j.window(i, k)
			var sum float32
			for r := w.r0; r < w.r1; r += j.DilationH {
				for c := w.c0; c < w.c1; c += j.DilationW {
					sum += x[r*j.InW+c]
				}
			}
			y[i*j.outW+k] = sum * j.weight(i, k, w)
		}
	}
}

func (j *poolJob) spreadPlane(dx, dy []float32) {
	for i := range j.outH {
		for k := range j.outW {
			w := j.window(i, k)
			g := dy[i*j.outW+k] * j.weight(i, k, w)
			for r := w.r0; r < w.r1; r += j.DilationH {
				for c := w.c0; c < w.c1; c += j.DilationW {
					dx[r*j.InW+c] += g
				}
			}
		}
	}
}
