package kernel

import "unsafe"

// How convolutions are products of matrices without the matrix.
//
// The sums of a convolution are C = A·B, where A is the weights, a row for each output
// channel and a column for each tap of each input channel, and B has a column for
// each output pixel: the pixels that its taps see. B is not built. The image is
// copied once, with zeros around it and, for a stride in columns, with the columns of
// each phase side by side; then what neighbouring output pixels see through a tap are
// neighbours, and the address of row k of B, in a tile of neighbouring pixels, is that of
// row 0 and a table's entry off[k]. Where there is no padding and no stride the
// copy is left out.
//
// The gradient by the images is a convolution of dy with taps turned around: for a
// stride s there are s² of them, one for each phase of the pixels of dx.

// A convJob is a convolution with given taps, or a part of it that can be done in
// parallel: for each group
//
//	y[o][i][j] = Σ x[c][i·strideH + rowTap[u]][j·strideW + colTap[v]] · A[o][c, u, v]
type convJob struct {
	in               *inner
	phase            convPhase
	groups           int
	batch            int
	ic, oc           int // of a group
	x, y             []float32
	inH, inW         int
	outH, outW       int
	inSize, outSize  int // of planes; if it is less than outH·outW, the last row is shorter
	strideH, strideW int
	rowTap, colTap   []int
	epilogue         ConvEpilogue
	accumulate       bool

	weights weights
	packed  []float32 // A of each group, in strips
	off     []int
	k       int
	strips  int

	buffer geometry
	direct bool // x serves as the buffer
	half   bool // a register holds two slots
	phased phased

	// A piece of work is some groups of an image, some of its rows, some strips.
	groupsPer, rowsPer, stripsPer    int
	groupParts, rowParts, stripParts int
}

type convPhase int

const (
	convPack convPhase = iota
	convTiles
)

// weights are w, (OutC, InC/Groups, KH, KW), as A, forwards or, for gradients,
// with the channels exchanged.
type weights struct {
	w      []float32
	kh, kw int
	// exchanged also has the rows of taps outermost in A, so that those that see
	// only zeros, above or below the image, can be left out.
	exchanged      bool
	rowSel, colSel []int // which u and v the taps are, if exchanged
}

// phased says where in dx the results of a phase go: pixel (i, j) to (i·stepH + h, j·stepW + w).
type phased struct {
	on                 bool
	stepH, stepW, h, w int
	height, width      int // of dx
}

// A geometry is the form of a copy of an image: planes of rows, in which columns
// lie by phase.
type geometry struct {
	rowLo, colLo int  // what the first row and column of the copy are in the image, for output pixel (0, 0)
	rowSpan      int  // rows that the taps see
	rowStep      int  // rows of the copy from one output row to the next
	rowSkip      int  // rows of the image from one row of the copy to the next
	onePhase     bool // only phase 0 of the columns is kept
	width        int  // columns, before they are sorted by phase
	phase        int  // columns of a phase
	pitch, plane int
}

// slack is how many elements behind its end a copy is written or read.
const slack = 64

// columns sets what follows from the strides, the number of taps and the distance of
// the outer ones.
func (b *geometry) columns(outW, strideH, strideW, rowTaps, colTaps, span int) {
	b.rowStep, b.rowSkip = strideH, 1
	if rowTaps == 1 {
		b.rowStep, b.rowSkip = 1, strideH
	}
	b.width = (outW-1)*strideW + span + 1
	b.phase = ceilDiv(b.width, strideW)
	b.pitch = b.phase * strideW
	if b.onePhase = colTaps == 1 && strideW > 1; b.onePhase {
		b.pitch = b.phase
	}
}

// setPlane makes planes large enough for n output rows, and an odd number of cache
// lines: else those of many channels would compete for the same few places.
func (b *geometry) setPlane(n int) {
	const line = 16
	b.plane = (ceilDiv(b.rows(n)*b.pitch, line) | 1) * line
}

// rows returns how many rows of the copy n output rows see.
func (b *geometry) rows(n int) int { return (n-1)*b.rowStep + b.rowSpan }

func minMax(s []int) (lo, hi int) {
	lo, hi = s[0], s[0]
	for _, v := range s {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// conv runs j, in which the fields up to weights are set.
func (p *Pool) conv(j *convJob) {
	j.k = j.ic * len(j.rowTap) * len(j.colTap)
	j.strips = ceilDiv(j.oc, j.in.rows)
	j.inSize, j.outSize = j.inH*j.inW, j.outH*j.outW
	rowLo, rowHi := minMax(j.rowTap)
	colLo, colHi := minMax(j.colTap)
	inside := rowLo >= 0 && (j.outH-1)*j.strideH+rowHi < j.inH && colLo >= 0 && j.outW-1+colHi < j.inW
	if inside && len(j.colTap) == 1 && len(j.rowTap) == 1 && j.strideH == 1 && j.strideW == 1 && j.inH == j.outH && j.inW == j.outW &&
		j.in.masks && !j.phased.on {
		// A 1×1 convolution knows no rows: make them as long as is good.
		const long = 256
		if j.outSize > long && j.outW%long != 0 {
			j.inW, j.outW = long, long
			j.outH = ceilDiv(j.outSize, long)
			j.inH = j.outH
		} else if j.outSize <= long {
			j.inW, j.outW, j.inH, j.outH = j.outSize, j.outSize, 1, 1
		}
	}
	b := &j.buffer
	b.rowLo, b.colLo, b.rowSpan = rowLo, colLo, rowHi-rowLo+1
	b.columns(j.outW, j.strideH, j.strideW, len(j.rowTap), len(j.colTap), colHi-colLo)
	lanes := j.in.lanes
	j.half = j.in.halves != nil && 10*ceilDiv(j.outW, lanes) >= 11*ceilDiv(j.outW, lanes/2)/2 &&
		ceilDiv(j.outW, lanes/2)%2 == 1
	j.direct = inside && j.strideW == 1 && j.in.masks && (!j.half || j.outW%(lanes/2) == 0)

	j.cut(p)
	if j.direct {
		b.pitch, b.plane, b.rowStep = j.inW, j.inSize, j.strideH
	} else {
		b.setPlane(j.rowsPer)
	}
	j.off = j.off[:0]
	add := func(c, u int) {
		for _, v := range j.colTap {
			col := v - colLo
			j.off = append(j.off, 4*(c*b.plane+(u-rowLo)*b.pitch+col%j.strideW*b.phase+col/j.strideW))
		}
	}
	if j.weights.exchanged {
		for _, u := range j.rowTap {
			for c := range j.ic {
				add(c, u)
			}
		}
	} else {
		for c := range j.ic {
			for _, u := range j.rowTap {
				add(c, u)
			}
		}
	}

	small := j.batch*j.groups*j.oc*j.outSize*j.k <= smallWork
	if j.packed == nil {
		j.packed = p.buffer(j.groups * j.oc * j.k)
		j.phase = convPack
		j.all(p, j.groups*j.strips, small)
	}
	j.phase = convTiles
	j.all(p, j.batch*j.groupParts*j.rowParts*j.stripParts, small)
}

func (j *convJob) all(p *Pool, n int, serially bool) {
	if serially {
		for i := range n {
			j.do(p, 0, i)
		}
		return
	}
	p.run(n, j)
}

// cut decides what a piece of work is. It has no influence on results.
func (j *convJob) cut(p *Pool) {
	const copied = 96 << 10 // elements of a copy: it stays in the cache of a core
	j.groupsPer, j.rowsPer, j.stripsPer = 1, j.outH, j.strips
	if !j.direct {
		rows := (copied/(j.ic*j.buffer.pitch) - j.buffer.rowSpan) / j.buffer.rowStep
		j.rowsPer = min(j.outH, max(rows, 1, ceilDiv(j.in.width(), j.outW)))
	}
	work := j.oc * j.outSize * j.k
	for j.groupsPer < j.groups && work*j.groupsPer < smallWork/8 {
		j.groupsPer *= 2
	}
	j.groupsPer = min(j.groupsPer, j.groups)
	want := 4 * p.threads
	pieces := func() int {
		j.groupParts, j.rowParts, j.stripParts = ceilDiv(j.groups, j.groupsPer), ceilDiv(j.outH, j.rowsPer), ceilDiv(j.strips, j.stripsPer)
		return j.batch * j.groupParts * j.rowParts * j.stripParts
	}
	least := max(1, ceilDiv(2*j.in.width(), j.outW))
	for pieces() < want && j.rowsPer >= 2*least {
		j.rowsPer = (j.rowsPer + 1) / 2
	}
	for pieces() < want && j.stripsPer > 1 {
		j.stripsPer = (j.stripsPer + 1) / 2
	}
}

func (j *convJob) do(p *Pool, worker, i int) {
	if j.phase == convPack {
		j.pack(&p.jobs.workers[worker].copy, i/j.strips, i%j.strips)
		return
	}
	w := &p.jobs.workers[worker]
	strip, i := i%j.stripParts, i/j.stripParts
	row, i := i%j.rowParts, i/j.rowParts
	group, n := i%j.groupParts, i/j.groupParts
	i0, i1 := row*j.rowsPer, min(j.outH, (row+1)*j.rowsPer)
	s0, s1 := strip*j.stripsPer, min(j.strips, (strip+1)*j.stripsPer)
	size := 0
	if !j.direct {
		size = j.ic*j.buffer.plane + slack
	}
	temp := 0
	if j.phased.on {
		temp = j.oc * (i1 - i0) * j.outW
	}
	buf := p.local(worker, tileScratch+size+temp)
	tmp, image, phase := buf[:tileScratch], buf[tileScratch:tileScratch+size], buf[tileScratch+size:]
	if j.depthwise() {
		w.segments = j.segments(w.segments[:0], i0, i1)
	}
	for g := group * j.groupsPer; g < min(j.groups, (group+1)*j.groupsPer); g++ {
		x := j.x[(n*j.groups+g)*j.ic*j.inSize:]
		if j.direct {
			image = x[(i0*j.strideH+j.buffer.rowLo)*j.inW+j.buffer.colLo:]
		} else {
			j.buffer.copyPlanes(j.in, w, image, x, j.ic, j.inH, j.inW, j.strideW, i0*j.strideH+j.buffer.rowLo, j.buffer.rows(i1-i0))
		}
		if j.depthwise() {
			j.depth(w, image, n, g)
			continue
		}
		if j.phased.on {
			r0, r1 := split(j.oc, j.strips, s0), split(j.oc, j.strips, s1)
			j.strip(&w.tile, tmp, image, phase, (i1-i0)*j.outW, 0, n, g, i0, i1, s0, s1)
			j.scatter(&w.cols, phase, n, g, r0, r1, i0, i1)
			continue
		}
		j.strip(&w.tile, tmp, image, j.y[(n*j.groups+g)*j.oc*j.outSize:], j.outSize, i0*j.outW, n, g, i0, i1, s0, s1)
	}
}

// pack packs strip s of the weights of group g.
func (j *convJob) pack(c *copyArgs, g, s int) {
	r0, r1 := split(j.oc, j.strips, s), split(j.oc, j.strips, s+1)
	rows := r1 - r0
	dst := j.packed[(g*j.oc+r0)*j.k:][:rows*j.k]
	w := &j.weights
	taps := w.kh * w.kw
	if !w.exchanged {
		j.in.pack(c, dst, rows, w.w[(g*j.oc+r0)*j.k:], j.k, rows, j.k)
		return
	}
	// The rows are input channels of the forward convolution, whose weights have
	// j.ic outputs and j.oc inputs in a group.
	cols := len(w.colSel)
	for o := range j.ic {
		src := w.w[((g*j.ic+o)*j.oc+r0)*taps:][:rows*taps]
		for i, u := range w.rowSel {
			for k, v := range w.colSel {
				to := dst[((i*j.ic+o)*cols+k)*rows:][:rows]
				at := u*w.kw + v
				for r := range to {
					to[r] = src[at]
					at += taps
				}
			}
		}
	}
}

// copyPlanes copies rows first, first + rowSkip, … of planes of height×width.
func (b *geometry) copyPlanes(in *inner, w *gemmWorker, dst, x []float32, planes, height, width, stride, first, rows int) {
	left, from := max(0, -b.colLo), max(0, b.colLo)
	n := max(0, min(width-from, b.width-left))
	// Rows [above, below) of the copy are in the image.
	above := min(rows, ceilDiv(max(0, -first), b.rowSkip))
	below := max(above, min(rows, ceilDiv(height-first, b.rowSkip)))
	start := (first+above*b.rowSkip)*width + from
	plain := stride == 1 && left <= in.lanes && b.pitch-left-n <= in.lanes && n > 0 && below > above
	if plain {
		b.plain(in, &w.copy, left, n, below-above, width)
	}
	for k := range planes {
		plane := dst[k*b.plane:]
		if above > 0 {
			clear(plane[:above*b.pitch])
		}
		switch {
		case plain:
			w.copy.dst, w.copy.src = at(plane, above*b.pitch), at(x, k*height*width+start)
			in.copyRows(&w.copy)
		case below > above && n > 0:
			b.copyRows(in, w, plane[above*b.pitch:], x[k*height*width+start:], left, n, below-above, stride, width)
		default:
			clear(plane[above*b.pitch : below*b.pitch])
		}
		if below < rows {
			clear(plane[below*b.pitch : rows*b.pitch])
		}
	}
	w.copy = copyArgs{}
}

// plain sets c up for copies of rows of n elements behind left zeros.
func (b *geometry) plain(in *inner, c *copyArgs, left, n, rows, width int) {
	*c = copyArgs{rows: rows, dstStep: 4 * b.pitch, srcStep: 4 * width * b.rowSkip, left: 4 * left, vectors: n / in.lanes}
	c.setMask(0, n%in.lanes)
	if b.pitch <= in.lanes && in.lanes >= 8 {
		c.single = 1
		c.setMask(left, left+n)
	}
}

// copyRows is for what plain is not for: it copies rows of n elements, width·rowSkip
// apart in src, to behind left zeros.
func (b *geometry) copyRows(in *inner, w *gemmWorker, dst, src []float32, left, n, rows, stride, width int) {
	srcStep := width * b.rowSkip
	if stride == 2 && in.splitColumns != nil && (!b.onePhase || left%2 == 0) {
		// Element i goes to column left + i: even ones to phase left%2.
		clear(dst[:rows*b.pitch])
		even, odd := left/2, b.phase+left/2
		if left%2 == 1 {
			even, odd = b.phase+left/2, (left+1)/2
		}
		rest := n % (2 * in.lanes)
		c := &w.cols
		*c = columnArgs{
			dst: at(dst, even), src: at(src, 0), rows: rows, dstStep: 4 * b.pitch, srcStep: 4 * srcStep, vectors: n / (2 * in.lanes),
			mask: [4]uint64{
				laneMask(min(rest, in.lanes)), laneMask(max(0, rest-in.lanes)), laneMask((rest + 1) / 2), laneMask(rest / 2),
			},
		}
		if !b.onePhase {
			c.dst2 = at(dst, odd)
		}
		in.splitColumns(c)
		*c = columnArgs{}
		return
	}
	for r := range rows {
		row, line := dst[r*b.pitch:][:b.pitch], src[r*srcStep:][:n]
		if stride == 1 {
			clear(row[:left])
			copy(row[left:], line)
			clear(row[left+n:])
			continue
		}
		clear(row)
		for f := range stride {
			if f > 0 && b.onePhase {
				break
			}
			// Columns f, f + stride, … of the copy.
			at := (f - left%stride + stride) % stride
			to := row[f*b.phase+(left+at)/stride:]
			for i := at; i < n; i += stride {
				to[(i-at)/stride] = line[i]
			}
		}
	}
}

// strip computes strips [s0, s1) of output rows [i0, i1). Row i0 of channel 0
// begins at y[first], and channels are size apart.
func (j *convJob) strip(t *tileArgs, tmp, image, y []float32, size, first, n, g, i0, i1, s0, s1 int) {
	*t = tileArgs{k: j.k, off: intAt(j.off), ldc: 4 * size}
	if !j.phased.on {
		t.flags = j.flags()
		t.lo, t.hi = j.epilogue.Clamp.bounds()
	}
	lanes, slots, funcs := j.in.lanes, 2, j.in.table
	if j.half {
		lanes, slots, funcs = lanes/2, 4, j.in.halves
	}
	perRow := ceilDiv(j.outW, lanes)
	segments := (i1 - i0) * perRow
	lastRow := i1 - 1
	tail := j.outW
	if i1 == j.outH {
		tail = j.outSize - (j.outH-1)*j.outW
		segments = (i1-1-i0)*perRow + ceilDiv(tail, lanes)
	}
	// Weights that do not fit the cache of a core are gone through once, and the
	// image again and again; else it is the other way around.
	outer := j.oc*j.k > 128<<10
	for from := s0; from < s1; {
		to := s1
		if outer {
			to = from + 1
		}
		row, col := i0, 0
		for seg := 0; seg < segments; seg += slots {
			var offsets [4]int
			firstRow := row
			for s := range slots {
				if seg+s >= segments {
					t.b[s], offsets[s], t.mask[s] = t.b[0], offsets[0], 0
					continue
				}
				length := j.outW
				if row == lastRow {
					length = tail
				}
				t.b[s] = at(image, (row-i0)*j.buffer.rowStep*j.buffer.pitch+col)
				offsets[s] = first + (row-i0)*j.outW + col
				t.mask[s] = laneMask(min(lanes, length-col))
				col += lanes
				if col >= length {
					row, col = row+1, 0
				}
			}
			k0, k1 := 0, j.k
			if j.weights.exchanged {
				// The tile is of rows firstRow to row, or to the one before if row
				// has not begun.
				k0, k1 = j.seen(firstRow, row, col)
			}
			t.k, t.off = k1-k0, intAt(j.off[k0:])
			for s := from; s < to; s++ {
				r0, r1 := split(j.oc, j.strips, s), split(j.oc, j.strips, s+1)
				rows := r1 - r0
				t.a, t.aStep = at(j.packed, (g*j.oc+r0)*j.k+k0*rows), 4*rows
				for i := range slots {
					t.c[i] = at(y, r0*size+offsets[i])
				}
				if t.flags&flagRowBias != 0 {
					t.rowBias = at(j.epilogue.Bias, g*j.oc+r0)
				}
				if t.flags&flagResidual != 0 {
					for i := range slots {
						t.res[i] = at(j.epilogue.Residual, ((n*j.groups+g)*j.oc+r0)*j.outSize+offsets[i])
					}
				}
				j.in.compute(funcs[rows], t, tmp, rows, slots, lanes)
			}
		}
		from = to
	}
	*t = tileArgs{}
}

// depthwise: there is nothing that output channels could share.
func (j *convJob) depthwise() bool {
	return j.oc == 1 && j.in.depthwise != nil && !j.phased.on && !j.half
}

// segments appends where the output pixels of rows [i0, i1) are, as depth wants them.
func (j *convJob) segments(s []segment, i0, i1 int) []segment {
	for i := i0; i < i1; i++ {
		length := min(j.outW, j.outSize-i*j.outW)
		for col := 0; col < length; col += j.in.lanes {
			s = append(s, segment{
				in: 4 * ((i-i0)*j.buffer.rowStep*j.buffer.pitch + col), out: 4 * (i*j.outW + col),
				mask: laneMask(min(j.in.lanes, length-col)),
			})
		}
	}
	for len(s)%4 != 0 {
		s = append(s, segment{in: s[0].in, out: s[0].out})
	}
	return s
}

// depth computes the one output channel of group g, for the segments at hand.
func (j *convJob) depth(w *gemmWorker, image []float32, n, g int) {
	t := &w.depth
	*t = depthArgs{
		image: at(image, 0), w: at(j.packed, g*j.k), off: intAt(j.off), k: j.k,
		segments: unsafe.Pointer(unsafe.SliceData(w.segments)), count: len(w.segments) / 4,
		c: at(j.y, (n*j.groups+g)*j.outSize), flags: j.flags(),
	}
	t.lo, t.hi = j.epilogue.Clamp.bounds()
	if t.flags&flagRowBias != 0 {
		t.bias = at(j.epilogue.Bias, g)
	}
	if t.flags&flagResidual != 0 {
		t.res = at(j.epilogue.Residual, (n*j.groups+g)*j.outSize)
	}
	j.in.depthwise(t)
	*t = depthArgs{}
}

// flags are what is done with sums.
func (j *convJob) flags() (flags uint64) {
	if j.accumulate {
		flags |= flagAccumulate
	}
	if j.epilogue.Bias != nil {
		flags |= flagRowBias
	}
	if j.epilogue.Residual != nil {
		flags |= flagResidual
	}
	if j.epilogue.Clamp.On {
		flags |= flagClamp
	}
	return flags
}

// seen returns the part of K in which the rows of taps lie that see the image from
// output rows first to last, without last if col is 0.
func (j *convJob) seen(first, last, col int) (k0, k1 int) {
	if col == 0 {
		last--
	}
	u0, u1 := len(j.rowTap), 0
	for u, tap := range j.rowTap {
		if last*j.strideH+tap >= 0 && first*j.strideH+tap < j.inH {
			u0, u1 = min(u0, u), u+1
		}
	}
	if u0 >= u1 {
		return 0, 0
	}
	perRow := j.k / len(j.rowTap)
	return u0 * perRow, u1 * perRow
}

// scatter puts the results of a phase where they belong in dx. Channel r of them
// begins at r·rows·outW.
func (j *convJob) scatter(c *columnArgs, phase []float32, n, g, r0, r1, i0, i1 int) {
	f := &j.phased
	rows := i1 - i0
	for r := r0; r < r1; r++ {
		src := phase[r*rows*j.outW:][:rows*j.outW]
		dst := j.y[(((n*j.groups+g)*j.oc+r)*f.height+i0*f.stepH+f.h)*f.width+f.w:]
		if f.stepW == 2 && j.in.joinColumns != nil {
			rest := j.outW % (j.in.lanes / 2)
			*c = columnArgs{
				dst: at(dst, 0), src: at(src, 0), rows: rows, dstStep: 4 * f.stepH * f.width, srcStep: 4 * j.outW,
				vectors: j.outW / (j.in.lanes / 2), mask: [4]uint64{laneMask(2*rest) & 0x5555},
			}
			if j.accumulate {
				c.accumulate = 1
			}
			j.in.joinColumns(c)
			*c = columnArgs{}
			continue
		}
		for i := range rows {
			line, to := src[i*j.outW:][:j.outW], dst[i*f.stepH*f.width:]
			if j.accumulate {
				for k, v := range line {
					to[k*f.stepW] += v
				}
				continue
			}
			for k, v := range line {
				to[k*f.stepW] = v
			}
		}
	}
}
