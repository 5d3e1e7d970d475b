package native

import "math"

// A logSumExp is ReduceLogSumExp. Exponentials are of differences to the greatest, so
// that they do not overflow.
type logSumExp struct {
	*reduce
	peaks []float64
	peak  func(worker, piece int)
}

func newLogSumExp(r *reduce) *logSumExp {
	o := &logSumExp{reduce: r, peaks: make([]float64, r.y.size)}
	o.peak, o.do, o.undo = r.forth.body(o.addPeak), r.forth.body(o.addExp), r.back.body(o.spreadExp)
	return o
}

func (o *logSumExp) forward() {
	for i := range o.peaks {
		o.peaks[i], o.sums[i] = math.Inf(-1), 0
	}
	if o.x.size > 0 {
		o.forth.run(o.pool, o.peak)
		o.forth.run(o.pool, o.do)
	}
	for i, s := range o.sums {
		o.y.float[i] = float32(math.Log(s) + o.base(i))
	}
}

// base is what is taken off before exponentials: the greatest, if it is finite.
func (o *logSumExp) base(i int) float64 {
	if math.IsInf(o.peaks[i], 0) {
		return 0
	}
	return o.peaks[i]
}

func (o *logSumExp) addPeak(x, y, _, n int) {
	dx, dy, _ := o.forth.last()
	for i := range n {
		o.peaks[y+i*dy] = max(o.peaks[y+i*dy], float64(o.x.float[x+i*dx]))
	}
}

func (o *logSumExp) addExp(x, y, _, n int) {
	dx, dy, _ := o.forth.last()
	for i := range n {
		o.sums[y+i*dy] += math.Exp(float64(o.x.float[x+i*dx]) - o.base(y+i*dy))
	}
}

func (o *logSumExp) spreadExp(x, y, _, n int) {
	dx, dy, _ := o.back.last()
	for i := range n {
		d := float64(o.x.float[x+i*dx]) - float64(o.y.float[y+i*dy])
		o.x.into[x+i*dx] += o.y.grad[y+i*dy] * float32(math.Exp(d))
	}
}
