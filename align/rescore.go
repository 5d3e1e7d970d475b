package align

import (
	"fmt"
	"math"

	"ropewalk/internal/assignment"
	"ropewalk/internal/kernel"
)

// sums are what one view says about each neuron and each of its candidates, at full
// width: sums of squares and products.
type sums struct {
	view  *lazyView
	slots int       // candidates, and behind them a stranger
	xx    []float64 // (n)
	yy    []float64 // (n, slots): of the suspect's neurons
	xy    []float64
	quad  []float64 // of squares of products: how unevenly they are spread
}

// rescore reads the view again. sus (n, slots) are the candidates.
func (v *lazyView) rescore(sus []int32, slots int, pool *kernel.Pool, ws []scratch) (*sums, error) {
	n := v.ref.n
	s := &sums{v, slots, make([]float64, n), make([]float64, n*slots), make([]float64, n*slots), make([]float64, n*slots)}
	read := v.rescoreColumns
	if v.rows() {
		read = v.rescoreRows
	}
	if err := read(s, sus, pool, ws); err != nil {
		return nil, err
	}
	for i, x := range s.xx {
		if x-x != 0 {
			return nil, v.notFinite("reference", &v.ref)
		}
		for _, y := range s.yy[i*slots:][:slots] {
			if y-y != 0 {
				return nil, v.notFinite("suspect", &v.sus)
			}
		}
	}
	return s, nil
}

func (v *lazyView) rescoreRows(s *sums, sus []int32, pool *kernel.Pool, ws []scratch) error {
	n := v.ref.n
	errs := make([]error, n)
	pool.Ranges(n, 1+n/64, func(worker, lo, hi int) {
		w := &ws[worker]
		x, y, z := sized(&w.x, v.dim), sized(&w.y, v.dim), sized(&w.z, v.dim)
		for i := lo; i < hi; i++ {
			if errs[i] = v.ref.row(i, x, w); errs[i] != nil {
				return
			}
			s.xx[i] = kernel.SumSquares(w.serial, x)
			for k := i * s.slots; k < (i+1)*s.slots; k++ {
				if errs[i] = v.sus.row(int(sus[k]), y, w); errs[i] != nil {
					return
				}
				kernel.Mul(w.serial, z, x, y)
				s.yy[k], s.xy[k], s.quad[k] = kernel.SumSquares(w.serial, y), kernel.Sum(w.serial, z), kernel.SumSquares(w.serial, z)
			}
		}
	})
	return firstError(errs)
}

// rescoreColumns keeps sums of a few columns in float32, and adds those up in float64.
func (v *lazyView) rescoreColumns(s *sums, sus []int32, pool *kernel.Pool, ws []scratch) error {
	n, m := v.ref.n, v.sus.n
	parts := min(lazyParts, v.ref.outer)
	type part struct{ xx, yy, xy, quad []float64 }
	all := make([]part, parts)
	errs := make([]error, parts)
	own := make([][]int32, s.slots) // by slot
	for k := range own {
		own[k] = make([]int32, n)
		for i := range n {
			own[k][i] = sus[i*s.slots+k]
		}
	}
	pool.Run(parts, func(worker, p int) {
		w := &ws[worker]
		t := &all[p]
		*t = part{make([]float64, n), make([]float64, m), make([]float64, s.slots*n), make([]float64, s.slots*n)}
		short := make([]float32, n+m+2*s.slots*n)
		flush := func() {
			at := 0
			for _, long := range [][]float64{t.xx, t.yy, t.xy, t.quad} {
				for i := range long {
					long[i] += float64(short[at+i])
				}
				at += len(long)
			}
			clear(short)
		}
		xs, ys, g, z := sized(&w.x, n), sized(&w.y, m), sized(&w.z, n), sized(&w.w, max(n, m))
		var other scratch // a slab of the suspect beside one of the reference
		columns := 0
		for o := p * v.ref.outer / parts; o < (p+1)*v.ref.outer/parts; o++ {
			a, ga, err := v.ref.slab(o, w)
			if err != nil {
				errs[p] = err
				return
			}
			b, gb, err := v.sus.slab(o, &other)
			if err != nil {
				errs[p] = err
				return
			}
			for r := range v.ref.run {
				for c := range v.ref.inner {
					x, y := v.ref.column(a, ga, r, c, xs), v.sus.column(b, gb, r, c, ys)
					accumulate := func(dst, x []float32) {
						kernel.Mul(w.serial, z[:len(x)], x, x)
						kernel.Axpy(w.serial, dst, 1, z[:len(x)])
					}
					accumulate(short[:n], x)
					accumulate(short[n:][:m], y)
					for k, at := range own {
						for i, j := range at {
							g[i] = y[j]
						}
						kernel.Mul(w.serial, g, x, g)
						kernel.Axpy(w.serial, short[n+m+k*n:][:n], 1, g)
						accumulate(short[n+m+(s.slots+k)*n:][:n], g)
					}
					if columns++; columns%32 == 0 {
						flush()
					}
				}
			}
		}
		flush()
	})
	if err := firstError(errs); err != nil {
		return err
	}
	for _, t := range all {
		for i := range n {
			s.xx[i] += t.xx[i]
			for k := range s.slots {
				at := i*s.slots + k
				s.yy[at] += t.yy[sus[at]]
				s.xy[at] += t.xy[k*n+i]
				s.quad[at] += t.quad[k*n+i]
			}
		}
	}
	return nil
}

// cosine returns that of candidate k.
func (s *sums) cosine(k int) float64 {
	d := s.xx[k/s.slots] * s.yy[k]
	if d <= 0 {
		return 0
	}
	return s.xy[k] / math.Sqrt(d)
}

// minShown is how many deviations of strangers the median pair of a view has to be away
// from them, so that the view is evidence.
const minShown = 4.5

// weigh adds what a view says to the evidence (n, slots-1); the last slot holds strangers.
func (s *sums) weigh(e *evidence) {
	v := s.view
	n, k := e.n, e.m
	cosines := make([]float32, n*k)
	best := make([]float64, n)
	var square float64
	count := 0
	stranger := func(c float64) {
		c = spread(c)
		square += c * c
		count++
	}
	for i := range n {
		for t := range k {
			c := s.cosine(i*s.slots + t)
			cosines[i*k+t] = float32(c)
			if v.parity != 0 {
				c = math.Abs(c)
			}
			best[i] = max(best[i], c)
		}
		if k < n {
			stranger(s.cosine(i*s.slots + k))
			continue
		}
		for _, c := range cosines[i*k:][:k] { // all are candidates: all but one are strangers
			if math.Abs(float64(c)) < best[i] {
				stranger(float64(c))
			}
		}
	}
	f := fit{sd: math.Sqrt(square / float64(max(1, count))), share: 1}
	if least := 1 / math.Sqrt(float64(v.dim)); f.sd < least/2 || count < 16 {
		f.sd = max(least, f.sd) // too few strangers to tell
	}
	if mu := spread(median(best)) / f.sd; mu > minShown {
		f.mu = mu
	}
	e.views = append(e.views, ViewEvidence{Name: v.name, Role: v.role.String(), Dim: v.dim, Effective: 1 / (f.sd * f.sd), Share: f.share})
	if f.mu > 0 {
		e.add(cosines, f, v.parity, len(e.views)-1)
	}
}

// choose matches one to one among the candidates: sus (n, slots), with their evidence
// total (n, slots-1). A neuron none of whose candidates is left gets any partner, and is
// named in rest.
func choose(total []float32, sus []int32, n, m, slots int) (slot []int, of []int, rest []int, err error) {
	c := &assignment.Candidates{Cols: m, Start: make([]int, n+1)}
	worst := 0.0
	for i := range n {
		for t := range slots - 1 {
			c.Col = append(c.Col, sus[i*slots+t])
			cost := -float64(total[i*(slots-1)+t])
			c.Cost = append(c.Cost, cost)
			worst = max(worst, math.Abs(cost))
		}
		c.Start[i+1] = len(c.Col)
	}
	o := &assignment.Options{Alone: make([]float64, n)}
	for i := range o.Alone {
		o.Alone[i] = (2*worst + 1) * float64(n+1) // above any path of exchanges
	}
	s, err := c.Minimize(o)
	if err != nil {
		return nil, nil, nil, err
	}
	if gap := c.Gap(s, o); !(gap <= 1e-9*(1+worst)*float64(n)*float64(n)) {
		return nil, nil, nil, fmt.Errorf("internal error: an assignment of %d neurons misses its optimum by %g", n, gap)
	}
	slot, of = make([]int, n), s.Col
	free := 0
	for i, j := range of {
		slot[i] = -1
		for t := range slots - 1 {
			if j >= 0 && int(sus[i*slots+t]) == j {
				slot[i] = t
			}
		}
		if j < 0 {
			rest = append(rest, i)
		}
	}
	for _, i := range rest {
		for s.Row[free] >= 0 {
			free++
		}
		of[i] = free
		free++
	}
	return slot, of, rest, nil
}
