package kernel

import "math"

// Sum returns Σ x. Long sums are float32 sums of pieces, added up in float64.
func Sum(p *Pool, x []float32) float64 {
	return p.total(vecJob{op: opSum, a: x, n: len(x)})
}

// SumSquares returns Σ x².
func SumSquares(p *Pool, x []float32) float64 {
	return p.total(vecJob{op: opSumSquares, a: x, n: len(x)})
}

// Norm2 returns √Σ x².
func Norm2(p *Pool, x []float32) float64 { return math.Sqrt(SumSquares(p, x)) }

// Dot returns Σ a·b over the length of a.
func Dot(p *Pool, a, b []float32) float64 {
	need("b", b, len(a))
	return p.total(vecJob{op: opDot, a: a, b: b, n: len(a)})
}

// AllFinite reports whether x has no NaN and no infinity.
func AllFinite(p *Pool, x []float32) bool {
	s := p.total(vecJob{op: opProbe, a: x, n: len(x)})
	return s == 0
}

// Planes is the shape of x seen as Batch × Channels planes of Size elements.
type Planes struct{ Batch, Channels, Size int }

func (d Planes) elements() int { return d.Batch * d.Channels * d.Size }

func (d Planes) check() {
	if min(d.Batch, d.Channels, d.Size) < 0 {
		panic("kernel: a shape with a negative length")
	}
}

// A planeJob goes over channels (sums, means) or planes (affine).
type planeJob struct {
	kind         planeKind
	d            Planes
	x, y         []float32
	scale, shift []float32
	clamp        Clamp
	accumulate   bool
}

type planeKind int

const (
	planeSums   planeKind = iota // y[channel]
	planeMeans                   // y[plane]
	planeSpread                  // y[plane][...] = scale x[plane]
	planeAffine
	planeColumns // y[channel], where planes have one element
)

// columnPiece is how many columns of a matrix are summed at a time, and columnRows
// how many rows in a float32 before the sum goes on in the result: long sums keep
// their digits.
const (
	columnPiece = 512
	columnRows  = 64
)

// ChannelSums computes dst[c] = Σ of channel c, or adds it to dst with accumulate:
// the gradient by the bias of a convolution.
func ChannelSums(p *Pool, d Planes, dst, x []float32, accumulate bool) {
	d.check()
	need("dst", dst, d.Channels)
	need("x", x, d.elements())
	if d.Size == 1 { // a matrix: along its rows, not down one column after another
		p.planes(planeJob{kind: planeColumns, d: d, x: x, y: dst, accumulate: accumulate}, ceilDiv(d.Channels, columnPiece))
		return
	}
	p.planes(planeJob{kind: planeSums, d: d, x: x, y: dst, accumulate: accumulate}, d.Channels)
}

// PlaneMeans computes dst[n][c] = mean of the plane: global average pooling.
func PlaneMeans(p *Pool, d Planes, dst, x []float32) {
	d.check()
	need("dst", dst, d.Batch*d.Channels)
	need("x", x, d.elements())
	p.planes(planeJob{kind: planeMeans, d: d, x: x, y: dst}, d.Batch*d.Channels)
}

// PlaneMeansBackward computes the gradient dx of PlaneMeans; with accumulate it
// is added.
func PlaneMeansBackward(p *Pool, d Planes, dx, dy []float32, accumulate bool) {
	d.check()
	need("dy", dy, d.Batch*d.Channels)
	need("dx", dx, d.elements())
	p.planes(planeJob{kind: planeSpread, d: d, x: dy, y: dx, accumulate: accumulate}, d.Batch*d.Channels)
}

// ChannelAffine computes y = clamp(scale[c]·x + shift[c]): a bias, or a batch
// normalization at inference. A nil scale is 1 and a nil shift 0. y may be x.
func ChannelAffine(p *Pool, d Planes, y, x, scale, shift []float32, c Clamp) {
	d.check()
	need("x", x, d.elements())
	need("y", y, d.elements())
	if scale != nil {
		need("scale", scale, d.Channels)
	}
	if shift != nil {
		need("shift", shift, d.Channels)
	}
	p.planes(planeJob{kind: planeAffine, d: d, x: x, y: y, scale: scale, shift: shift, clamp: c}, d.Batch*d.Channels)
}

func (p *Pool) planes(j planeJob, n int) {
	p.jobs.plane = j
	p.jobs.plane.run(p, n)
	p.jobs.plane = planeJob{}
}

// run gives each thread pieces of some thousand elements.
func (j *planeJob) run(p *Pool, n int) {
	if j.d.elements() <= serial {
		for i := range n {
			j.one(p, 0, i)
		}
		return
	}
	p.run(ceilDiv(n, j.grain()), j)
}

func (j *planeJob) grain() int {
	if j.kind == planeSums || j.kind == planeColumns {
		return 1
	}
	return max(1, 1<<14/max(j.d.Size, 1))
}

func (j *planeJob) do(p *Pool, worker, i int) {
	n := j.d.Batch * j.d.Channels
	switch j.kind {
	case planeSums:
		n = j.d.Channels
	case planeColumns:
		n = ceilDiv(j.d.Channels, columnPiece)
	}
	grain := j.grain()
	for i, end := i*grain, min(n, (i+1)*grain); i < end; i++ {
		j.one(p, worker, i)
	}
}

func (j *planeJob) one(p *Pool, worker, i int) {
	d := j.d
	v := p.vecArgs(worker)
	switch j.kind {
	case planeSums:
		var sum float64
		for n := range d.Batch {
			sum += plane(v, opSum, nil, j.x[(n*d.Channels+i)*d.Size:], nil, nil, d.Size)
		}
		if j.accumulate {
			sum += float64(j.y[i])
		}
		j.y[i] = float32(sum)
	case planeColumns:
		lo := i * columnPiece
		j.columns(p, worker, lo, min(d.Channels, lo+columnPiece))
	case planeMeans:
		j.y[i] = float32(plane(v, opSum, nil, j.x[i*d.Size:], nil, nil, d.Size) / float64(d.Size))
	case planeSpread:
		g := j.x[i] / float32(d.Size)
		dst := j.y[i*d.Size:][:d.Size]
		if j.accumulate {
			v.k = [12]float32{1, g, float32(math.Inf(-1)), float32(math.Inf(1))}
			plane(v, opAffine, dst, dst, nil, nil, d.Size)
			break
		}
		for k := range dst {
			dst[k] = g
		}
	case planeAffine:
		v.k[0], v.k[1] = 1, 0
		if j.scale != nil {
			v.k[0] = j.scale[i%d.Channels]
		}
		if j.shift != nil {
			v.k[1] = j.shift[i%d.Channels]
		}
		v.k[2], v.k[3] = j.clamp.bounds()
		plane(v, opAffine, j.y[i*d.Size:], j.x[i*d.Size:], nil, nil, d.Size)
	}
}

// columns sums the columns from lo to hi.
func (j *planeJob) columns(p *Pool, worker, lo, hi int) {
	v := p.vecArgs(worker)
	dst, sum := j.y[lo:hi], p.local(worker, hi-lo)
	if !j.accumulate {
		clear(dst)
	}
	row := func(n int) []float32 { return j.x[n*j.d.Channels+lo:][:hi-lo] }
	for n := 0; n < j.d.Batch; n += columnRows {
		copy(sum, row(n))
		for k := n + 1; k < min(n+columnRows, j.d.Batch); k++ {
			plane(v, opAdd, sum, sum, row(k), nil, hi-lo)
		}
		plane(v, opAdd, dst, dst, sum, nil, hi-lo)
	}
}

// plane runs an op over n elements, with the constants in v, and returns the sum
// of r0; v.r[1] holds that of r1 if one chunk was enough.
func plane(v *vecArgs, o op, dst, a, b, c []float32, n int) float64 {
	var sum float64
	f := current.ops[o]
	for lo := 0; lo < n; lo += chunk {
		v.n = min(chunk, n-lo)
		v.dst, v.a, v.b, v.c = from(dst, lo), from(a, lo), from(b, lo), from(c, lo)
		v.r = [2]float32{}
		f(v)
		sum += float64(v.r[0])
	}
	v.dst, v.a, v.b, v.c = nil, nil, nil, nil
	return sum
}
