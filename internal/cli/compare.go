package cli

import (
	"bytes"
	"context"
	"math"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// A difference is how much the values of a tensor have changed.
type difference struct {
	Values    int64    `json:"values"`
	Changed   int64    `json:"changed" about:"values with other bits; if retyped, other values"`
	NonFinite int64    `json:"non_finite" about:"changed values of which one is infinite or NaN; left out below"`
	Max       float64  `json:"max_abs"`
	RMS       float64  `json:"rms"`
	NMSE      *float64 `json:"nmse_db,omitempty" about:"10 log10(sum (a-b)^2 / sum a^2); absent if either sum is 0"`

	squares, reference float64
}

func (d *difference) add(o *difference) {
	d.Values += o.Values
	d.Changed += o.Changed
	d.NonFinite += o.NonFinite
	d.Max = max(d.Max, o.Max)
	d.squares += o.squares
	d.reference += o.reference
}

func (d *difference) finish() {
	if d.Values > 0 {
		d.RMS = math.Sqrt(d.squares / float64(d.Values))
	}
	if d.squares > 0 && d.reference > 0 {
		db := 10 * math.Log10(d.squares/d.reference)
		d.NMSE = &db
	}
	// Numbers near the end of float64 overflow; JSON has no infinity.
	d.Max = min(d.Max, math.MaxFloat64)
	d.RMS = min(d.RMS, math.MaxFloat64)
	if d.NMSE != nil && math.IsInf(*d.NMSE, 0) || d.NMSE != nil && math.IsNaN(*d.NMSE) {
		d.NMSE = nil
	}
}

// A pair is two tensors to be compared: their numbers in their checkpoints.
type pair struct{ a, b int }

// compare compares all tensors.
func (e *env) compare(ctx context.Context, a, b *checkpoint.Checkpoint) ([]tensorDiff, error) {
	diffs := []tensorDiff{} // [] in JSON
	indexB := make(map[string]int)
	for i, t := range b.Tensors.All() {
		indexB[t.Name] = i
	}
	pairs := make(map[int]pair) // by place in diffs
	bytes := int64(0)
	for i, t := range a.Tensors.All() {
		d := tensorDiff{Name: t.Name, Status: statusOnlyA, A: typeShapeOf(t)}
		if j, ok := indexB[t.Name]; ok {
			u := b.Tensors.At(j)
			d.B = typeShapeOf(u)
			readable := false
			if d.Status, readable = statusBefore(t, u); readable {
				pairs[len(diffs)] = pair{i, j}
				bytes += t.Size()
			}
		}
		diffs = append(diffs, d)
	}
	for _, t := range b.Tensors.All() {
		if a.Tensors.Lookup(t.Name) == nil {
			diffs = append(diffs, tensorDiff{Name: t.Name, Status: statusOnlyB, B: typeShapeOf(t)})
		}
	}
	p := e.progress("diff", bytes)
	defer p.stop()
	return diffs, compareValues(ctx, a, b, diffs, pairs, func(n int64) { p.done.Add(n) })
}

// statusBefore returns the status as far as it is known before the values are
// read, and whether they are to be compared.
func statusBefore(a, b *tensor.Tensor) (status string, readable bool) {
	switch {
	case !a.Shape.Equal(b.Shape):
		return statusReshaped, false
	case a.DType != b.DType:
		return statusRetyped, a.DType.Known() && b.DType.Known()
	case a.Size() != b.Size(): // of an unknown type
		return statusReshaped, false
	}
	return statusIdentical, true
}

func typeShapeOf(t *tensor.Tensor) *typeShape {
	h := headingOf(t)
	return &typeShape{h.DType, h.Shape}
}

// compareValues compares the pairs in parallel, a chunk at a time, and adds up
// in order, so that the sums do not depend on the number of threads.
func compareValues(ctx context.Context, a, b *checkpoint.Checkpoint, diffs []tensorDiff, pairs map[int]pair, progress func(int64)) error {
	type job struct {
		at     int // in diffs
		ka, kb chunk
		same   bool
		got    difference
	}
	var jobs []job
	for at := range diffs {
		p, ok := pairs[at]
		if !ok {
			continue
		}
		cut := matching(chunks(a, p.a), a.Tensors.At(p.a), chunks(b, p.b), b.Tensors.At(p.b))
		for _, k := range cut {
			jobs = append(jobs, job{at: at, ka: k[0], kb: k[1]})
		}
		diffs[at].Change = &difference{}
	}
	err := parallel(ctx, len(jobs), func(i int) error {
		j := &jobs[i]
		ra, err := j.ka.read(a)
		if err != nil {
			return err
		}
		rb, err := j.kb.read(b)
		if err != nil {
			return err
		}
		ta, tb := a.Tensors.At(j.ka.tensor), b.Tensors.At(j.kb.tensor)
		if j.same = ta.DType == tb.DType && bytes.Equal(ra, rb); j.same {
			j.got.Values = numbersIn(ta, partOf(ta.DType), j.ka)
		} else {
			j.got = differenceOf(ta, tb, j.ka, j.kb, ra, rb)
		}
		j.ka.release(a)
		j.kb.release(b)
		progress(j.ka.n)
		return nil
	})
	if err != nil {
		return err
	}
	changed := make([]bool, len(diffs))
	for i := range jobs {
		changed[jobs[i].at] = changed[jobs[i].at] || jobs[i].got.Changed > 0
	}
	// What is the same in a tensor that changed is still part of what the
	// changes are relative to.
	err = parallel(ctx, len(jobs), func(i int) error {
		j := &jobs[i]
		if !j.same || !changed[j.at] {
			return nil
		}
		ra, err := j.ka.read(a)
		if err != nil {
			return err
		}
		t := a.Tensors.At(j.ka.tensor)
		number := floatOf(partOf(t.DType))
		for _, v := range appendBits(nil, partOf(t.DType), ra, j.got.Values) {
			j.got.refer(number(v))
		}
		j.ka.release(a)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range jobs {
		diffs[jobs[i].at].Change.add(&jobs[i].got)
	}
	for at := range pairs {
		d := &diffs[at]
		d.Change.finish()
		switch {
		case d.Status == statusRetyped:
		case d.Change.Changed > 0:
			d.Status = statusChanged
		default:
			d.Change = nil
		}
	}
	return nil
}

// matching pairs the chunks of two tensors with equally many values. If one
// of them has to be read as a whole, so is the other.
func matching(ca []chunk, a *tensor.Tensor, cb []chunk, b *tensor.Tensor) [][2]chunk {
	if len(ca) != len(cb) {
		return [][2]chunk{{{ca[0].tensor, 0, a.Size()}, {cb[0].tensor, 0, b.Size()}}}
	}
	all := make([][2]chunk, len(ca))
	for i := range ca {
		all[i] = [2]chunk{ca[i], cb[i]}
	}
	return all
}

// differenceOf compares the bytes ra and rb of two chunks of as many values.
func differenceOf(ta, tb *tensor.Tensor, ka, kb chunk, ra, rb []byte) difference {
	pa, pb := partOf(ta.DType), partOf(tb.DType)
	d := difference{Values: numbersIn(ta, pa, ka)}
	same := ta.DType == tb.DType
	va := appendBits(nil, pa, ra, d.Values)
	vb := appendBits(nil, pb, rb, numbersIn(tb, pb, kb))
	if isComplex(ta) != isComplex(tb) { // a complex number against a real one
		va, vb = widen(va, ta), widen(vb, tb)
		d.Values = int64(len(va))
	}
	fa, fb, gap := floatOf(pa), floatOf(pb), gapOf(pa)
	for i, x := range va {
		y := vb[i]
		number := fa(x)
		d.refer(number)
		if same && x == y {
			continue
		}
		var g float64
		if same {
			g = gap(x, y)
		} else {
			other := fb(y)
			if number == other || number != number && other != other {
				continue
			}
			g = math.Abs(number - other)
		}
		d.Changed++
		if g-g != 0 { // infinite or NaN
			d.NonFinite++
			continue
		}
		d.Max = max(d.Max, g)
		d.squares += g * g
	}
	return d
}

// refer adds the square of a value of A, if it is finite.
func (d *difference) refer(x float64) {
	if x-x == 0 {
		d.reference += x * x
	}
}

func isComplex(t *tensor.Tensor) bool { return partOf(t.DType) != t.DType && t.DType.Known() }

// widen gives real numbers an imaginary part of zero bits.
func widen(v []uint64, t *tensor.Tensor) []uint64 {
	if isComplex(t) {
		return v
	}
	wide := make([]uint64, 2*len(v))
	for i, x := range v {
		wide[2*i] = x
	}
	return wide
}
