package kernel

import "math"

// A rowJob goes over the rows of a matrix.
type rowJob struct {
	kind       rowKind
	rows, cols int
	dst, x, y  []float32
}

type rowKind int

const (
	rowSoftmax rowKind = iota
	rowLogSoftmax
	rowLogSumExp
	rowSoftmaxGrad
	rowLogSoftmaxGrad
)

// SoftmaxRows computes dst = exp(x)/Σ exp(x) in each row, without overflow. dst
// may be x.
func SoftmaxRows(p *Pool, rows, cols int, dst, x []float32) {
	p.rows(rowJob{kind: rowSoftmax, rows: rows, cols: cols, dst: dst, x: x}, rows*cols)
}

// LogSoftmaxRows computes dst = x − log Σ exp(x) in each row. dst may be x.
func LogSoftmaxRows(p *Pool, rows, cols int, dst, x []float32) {
	p.rows(rowJob{rowLogSoftmax, rows, cols, dst, x, nil}, rows*cols)
}

// LogSumExpRows computes dst[row] = log Σ exp(x).
func LogSumExpRows(p *Pool, rows, cols int, dst, x []float32) {
	p.rows(rowJob{rowLogSumExp, rows, cols, dst, x, nil}, rows)
}

// SoftmaxGradRows computes dx = y·(dy − Σ y·dy) in each row, where y is the result
// of SoftmaxRows. dx may be dy.
func SoftmaxGradRows(p *Pool, rows, cols int, dx, y, dy []float32) {
	need("dy", dy, rows*cols)
	p.rows(rowJob{rowSoftmaxGrad, rows, cols, dx, y, dy}, rows*cols)
}

// LogSoftmaxGradRows computes dx = dy − exp(y)·Σ dy in each row, where y is the
// result of LogSoftmaxRows. dx may not be dy.
func LogSoftmaxGradRows(p *Pool, rows, cols int, dx, y, dy []float32) {
	need("dy", dy, rows*cols)
	p.rows(rowJob{rowLogSoftmaxGrad, rows, cols, dx, y, dy}, rows*cols)
}

func (p *Pool) rows(j rowJob, results int) {
	if j.rows < 0 || j.cols < 0 {
		panic("kernel: a matrix with a negative length")
	}
	need("the result", j.dst, results)
	need("the operand", j.x, j.rows*j.cols)
	p.jobs.rows = j
	p.run(ceilDiv(j.rows, j.grain()), &p.jobs.rows)
	p.jobs.rows = rowJob{}
}

func (j *rowJob) grain() int {
	if j.rows*j.cols <= serial/8 {
		return max(j.rows, 1)
	}
	return max(1, 1<<12/max(j.cols, 1))
}

func (j *rowJob) do(p *Pool, worker, i int) {
	grain := j.grain()
	v := p.vecArgs(worker)
	n := j.cols
	for i, end := i*grain, min(j.rows, (i+1)*grain); i < end; i++ {
		x := j.x[i*n:][:n]
		switch j.kind {
		case rowSoftmax:
			dst := j.dst[i*n:][:n]
			_, sum := expSum(v, dst, x)
			v.k = [12]float32{float32(1 / sum), 0, float32(math.Inf(-1)), float32(math.Inf(1))}
			plane(v, opAffine, dst, dst, nil, nil, n)
		case rowLogSoftmax:
			dst := j.dst[i*n:][:n]
			m := rowMax(v, x)
			sum := expSumOf(v, p.local(worker, chunk), x, m)
			// One after the other: their sum has no room for the logarithm if m is large.
			v.k = [12]float32{1, -m, float32(math.Inf(-1)), float32(math.Inf(1))}
			plane(v, opAffine, dst, x, nil, nil, n)
			v.k[1] = -float32(math.Log(sum))
			plane(v, opAffine, dst, dst, nil, nil, n)
		case rowLogSumExp:
			m := rowMax(v, x)
			j.dst[i] = float32(float64(m) + math.Log(expSumOf(v, p.local(worker, chunk), x, m)))
		case rowSoftmaxGrad:
			dx, dy := j.dst[i*n:][:n], j.y[i*n:][:n]
			dot := plane(v, opDot, nil, x, dy, nil, n)
			v.k = [12]float32{1, float32(-dot), float32(math.Inf(-1)), float32(math.Inf(1))}
			plane(v, opAffine, dx, dy, nil, nil, n)
			plane(v, opMul, dx, dx, x, nil, n)
		case rowLogSoftmaxGrad:
			dx, dy := j.dst[i*n:][:n], j.y[i*n:][:n]
			sum := plane(v, opSum, nil, dy, nil, nil, n)
			plane(v, opExp, dx, x, nil, nil, n)
			v.k = [12]float32{float32(-sum), 1}
			plane(v, opCombine, dx, dx, dy, nil, n)
		}
	}
}

func rowMax(v *vecArgs, x []float32) float32 {
	m := float32(math.Inf(-1))
	f := current.ops[opMax]
	for lo := 0; lo < len(x); lo += chunk {
		v.n, v.a, v.k[0] = min(chunk, len(x)-lo), x[lo:], m
		f(v)
		m = v.r[0]
	}
	v.a = nil
	return m
}

func expSum(v *vecArgs, dst, x []float32) (m float32, sum float64) {
	m = rowMax(v, x)
	v.k[0] = m
	return m, plane(v, opExpSum, dst, x, nil, nil, len(x))
}

// expSumOf does not keep the exponentials; tmp has the length of a chunk.
func expSumOf(v *vecArgs, tmp, x []float32, m float32) float64 {
	var sum float64
	v.k[0] = m
	for lo := 0; lo < len(x); lo += chunk {
		sum += plane(v, opExpSum, tmp, x[lo:], nil, nil, min(chunk, len(x)-lo))
	}
	return sum
}
