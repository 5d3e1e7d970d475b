package kernel

// A gradJob is the gradient of a convolution by its weights: for each output
// channel o and row k of what is called B in implicit.go, the dot product of
// dy[o] and that row, over all images. Dot products are taken as vectors along the
// rows of the images, some channels by some rows of B at a time.
//
// Each piece of work is the images of a part of the batch and some output channels
// of a group. It sums in the order of images; then the sums of parts are added in order. What
// the parts are depends on the shape alone.
type gradJob struct {
	convDims
	in         *inner
	phase      gradPhase
	x, dy, dw  []float32
	accumulate bool

	off    []int
	k      int
	buffer geometry
	direct bool // x serves as the buffer
	half   bool // a register holds eight columns of two lines
	packed bool // dy is copied, to lines of whole registers and an even number of them

	images, rows, channels   int // that are looked at together; channels are of x
	dyPitch, dyPlane         int
	imageParts, channelParts int
	partials                 []float32
}

type gradPhase int

const (
	gradSum gradPhase = iota
	gradReduce
)

// gradParts is the number of pieces of work that is aimed at, and so a bound for
// the threads that a gradient can use.
const gradParts = 16

func (p *Pool) convBackwardWeights(d *convDims, x, dy, dw []float32, accumulate bool) {
	j := &p.jobs.grad
	*j = gradJob{convDims: *d, in: current, x: x, dy: dy, dw: dw, accumulate: accumulate, off: j.off[:0]}
	defer func() { j.x, j.dy, j.dw, j.partials = nil, nil, nil, nil }()
	j.k = d.ic * d.KH * d.KW
	j.plan()
	small := d.Batch*d.OutC*j.k*d.OutH*d.OutW <= smallWork
	if j.imageParts > 1 {
		j.partials = p.buffer(j.imageParts * d.sizeW())
	}
	j.phase = gradSum
	j.all(p, d.Groups*j.channelParts*j.imageParts, small)
	if j.imageParts > 1 {
		j.phase = gradReduce
		j.all(p, ceilDiv(d.sizeW(), chunk), small)
	}
}

func (j *gradJob) all(p *Pool, n int, serially bool) {
	if serially {
		for i := range n {
			j.do(p, 0, i)
		}
		return
	}
	p.run(n, j)
}

// plan sets the fields that follow from the shape.
func (j *gradJob) plan() {
	b := &j.buffer
	b.rowLo, b.colLo = -j.PadTop, -j.PadLeft
	rowHi, colHi := (j.KH-1)*j.DilationH-j.PadTop, (j.KW-1)*j.DilationW-j.PadLeft
	inside := b.rowLo >= 0 && (j.OutH-1)*j.StrideH+rowHi < j.InH && b.colLo >= 0 && (j.OutW-1)*j.StrideW+colHi < j.InW
	if inside && j.KH == 1 && j.KW == 1 && j.StrideH == 1 && j.StrideW == 1 && j.InH == j.OutH && j.InW == j.OutW {
		// A 1×1 convolution knows no rows.
		j.InW, j.OutW, j.InH, j.OutH = j.InH*j.InW, j.OutH*j.OutW, 1, 1
	}
	b.rowSpan = rowHi - b.rowLo + 1
	b.columns(j.OutW, j.StrideH, j.StrideW, j.KH, j.KW, colHi-b.colLo)

	lanes := j.in.lanes
	cost := ceilDiv(j.OutW, lanes) * 2 * j.OutH // in half registers
	halfCost := ceilDiv(j.OutW, lanes/2) * (j.OutH + j.OutH%2)
	j.half = j.in.dotHalves != nil && 10*cost >= 12*halfCost
	j.packed = j.half && (j.OutW%(lanes/2) != 0 || j.OutH%2 != 0)
	j.direct = inside && j.StrideW == 1 && !j.packed

	const copied, pixels = 96 << 10, 2048
	j.images, j.rows, j.channels = 1, j.OutH, j.ic
	if j.direct {
		b.pitch, b.plane, b.rowStep = j.InW, j.InH*j.InW, j.StrideH
	} else {
		// A copy of a few channels has to fit.
		for j.rows > 2 && min(j.ic, 8)*b.rows(j.rows)*b.pitch > copied {
			j.rows = (j.rows/2 + 1) / 2 * 2
		}
		b.setPlane(j.rows + j.rows%2)
	}
	if j.rows == j.OutH {
		j.images = min(max(1, pixels/(j.OutH*j.OutW)), max(j.Batch, 1))
	}
	if !j.direct {
		j.images = max(1, min(j.images, copied/(min(j.ic, 8)*b.plane)))
		j.channels = max(1, min(j.ic, copied/(j.images*b.plane)))
	}
	if j.packed {
		j.dyPitch = ceilDiv(j.OutW, lanes/2) * (lanes / 2)
		j.dyPlane = (j.rows + j.rows%2) * j.dyPitch
	}
	for c := range j.channels {
		for u := range j.KH {
			for v := range j.KW {
				col := v * j.DilationW
				j.off = append(j.off, 4*(c*b.plane+u*j.DilationH*b.pitch+col%j.StrideW*b.phase+col/j.StrideW))
			}
		}
	}

	const most = 4 << 20 // elements of all partial sums
	want := ceilDiv(gradParts, j.Groups)
	if j.Batch*j.OutC*j.k*j.OutH*j.OutW <= smallWork {
		want = 1
	}
	j.imageParts = max(1, min(want, ceilDiv(j.Batch, j.images), most/j.sizeW()))
	j.channelParts = max(1, min(ceilDiv(want, j.imageParts), j.oc/(2*(len(j.in.dots)-1))))
}

func (j *gradJob) do(p *Pool, worker, i int) {
	if j.phase == gradReduce {
		j.reduce(p.vecArgs(worker), i*chunk, min(j.sizeW(), (i+1)*chunk))
		return
	}
	part, i := i%j.imageParts, i/j.imageParts
	channels, g := i%j.channelParts, i/j.channelParts
	o0, o1 := split(j.oc, j.channelParts, channels), split(j.oc, j.channelParts, channels+1)
	n0, n1 := split(j.Batch, j.imageParts, part), split(j.Batch, j.imageParts, part+1)
	dw := j.dw
	if j.partials != nil {
		dw = j.partials[part*j.sizeW():]
	}
	dw = dw[(g*j.oc+o0)*j.k:][:(o1-o0)*j.k]
	if j.partials != nil || !j.accumulate {
		clear(dw)
	}
	sizeX, sizeDY := 0, 0
	if !j.direct {
		sizeX = j.images*j.channels*j.buffer.plane + slack
	}
	if j.packed {
		sizeDY = j.images*(o1-o0)*j.dyPlane + slack
	}
	buf := p.local(worker, sizeX+sizeDY)
	w := &p.jobs.workers[worker]
	for n := n0; n < n1; n += j.images {
		for i := 0; i < j.OutH; i += j.rows {
			j.add(w, dw, buf[:sizeX], buf[sizeX:], g, n, min(n1, n+j.images), o0, o1, i, min(j.OutH, i+j.rows))
		}
	}
}

// add adds to dw the dot products over images [n0, n1) and output rows [i0, i1), for
// channels [o0, o1) of group g.
func (j *gradJob) add(w *gemmWorker, dw, bufX, bufDY []float32, g, n0, n1, o0, o1, i0, i1 int) {
	b := &j.buffer
	t := &w.dot
	rows := i1 - i0
	*t = dotArgs{groups: n1 - n0, lines: rows, ldo: 4 * j.k, xLine: 4 * b.rowStep * b.pitch}

	sizeY := j.OutH * j.OutW
	y := j.dy[((n0*j.OutC+g*j.oc+o0)*j.OutH+i0)*j.OutW:]
	t.yStep, t.yLine, t.yGroupStep = 4*sizeY, 4*j.OutW, 4*j.OutC*sizeY
	if j.packed {
		j.copyDY(&w.copy, bufDY, y, n1-n0, o1-o0, rows)
		y = bufDY
		t.yStep, t.yLine, t.yGroupStep = 4*j.dyPlane, 4*j.dyPitch, 4*(o1-o0)*j.dyPlane
	}
	dots := j.in.dots
	if j.half {
		dots = j.in.dotHalves
		t.lines = (rows + 1) / 2
		t.vectors = ceilDiv(j.OutW, j.in.lanes/2)
		if t.yLine == 4*j.in.lanes/2 {
			dots = j.in.dotPairs
		}
	} else {
		rest := j.OutW % j.in.lanes
		t.vectors, t.rest, t.mask, t.lanes = j.OutW/j.in.lanes, rest, laneMask(rest), laneWords(rest)
	}
	taps := j.KH * j.KW
	maxRows, maxCols := len(dots)-1, len(dots[1])-1
	os := ceilDiv(o1-o0, maxRows)
	for c0 := 0; c0 < j.ic; c0 += j.channels {
		c1 := min(j.ic, c0+j.channels)
		x := j.image(w, t, bufX, g, n0, n1, i0, rows, c0, c1)
		t.x = at(x, 0)
		count := (c1 - c0) * taps
		ks := ceilDiv(count, maxCols)
		for s := range os {
			r0, r1 := split(o1-o0, os, s), split(o1-o0, os, s+1)
			if j.packed {
				t.y = at(y, r0*j.dyPlane)
			} else {
				t.y = at(y, r0*sizeY)
			}
			for c := range ks {
				k0, k1 := split(count, ks, c), split(count, ks, c+1)
				copy(t.off[:], j.off[k0:k1])
				t.out = at(dw, r0*j.k+c0*taps+k0)
				dots[r1-r0][k1-k0](t)
			}
		}
	}
	*t = dotArgs{}
}

// image returns channels [c0, c1) of x as the dot products want them, and sets the
// distance of images.
func (j *gradJob) image(w *gemmWorker, t *dotArgs, buf []float32, g, n0, n1, i0, rows, c0, c1 int) []float32 {
	b := &j.buffer
	size := j.InH * j.InW
	x := j.x[(n0*j.InC+g*j.ic+c0)*size:]
	first := i0*j.StrideH + b.rowLo
	if j.direct {
		t.xGroupStep = 4 * j.InC * size
		return x[first*j.InW+b.colLo:]
	}
	t.xGroupStep = 4 * (c1 - c0) * b.plane
	span := b.rows(rows)
	for n := range n1 - n0 {
		dst := buf[n*(c1-c0)*b.plane:]
		b.copyPlanes(j.in, w, dst, x[n*j.InC*size:], c1-c0, j.InH, j.InW, j.StrideW, first, span)
		if j.packed {
			// What is behind the rows meets zeros of dy: it must be finite.
			for c := range c1 - c0 {
				clear(dst[c*b.plane+span*b.pitch : (c+1)*b.plane])
			}
		}
	}
	if j.packed {
		clear(buf[(n1-n0)*(c1-c0)*b.plane:])
	}
	return buf
}

// copyDY copies rows of channels of dy, with zeros that fill up lines and make
// their number even.
func (j *gradJob) copyDY(c *copyArgs, dst, dy []float32, images, channels, rows int) {
	rest := j.OutW % j.in.lanes
	for n := range images {
		for o := range channels {
			plane := dst[(n*channels+o)*j.dyPlane:]
			*c = copyArgs{
				dst: at(plane, 0), src: at(dy, (n*j.OutC+o)*j.OutH*j.OutW), rows: rows,
				dstStep: 4 * j.dyPitch, srcStep: 4 * j.OutW, vectors: j.OutW / j.in.lanes,
			}
			c.setMask(0, rest)
			j.in.copyRows(c)
			if rows%2 != 0 {
				clear(plane[rows*j.dyPitch:][:j.dyPitch])
			}
		}
	}
	*c = copyArgs{}
}

// reduce adds the parts of elements [lo, hi) in their order.
func (j *gradJob) reduce(v *vecArgs, lo, hi int) {
	dst := j.dw[lo:hi]
	first := 0
	if !j.accumulate {
		copy(dst, j.partials[lo:hi])
		first = 1
	}
	for i := first; i < j.imageParts; i++ {
		plane(v, opAdd, dst, dst, j.partials[i*j.sizeW()+lo:], nil, hi-lo)
	}
}
