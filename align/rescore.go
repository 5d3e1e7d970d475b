package align

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/internal/assignment"
	"ropewalk/internal/kernel"
)

// sums are what one view says about each neuron and each of its candidates, at full
// width: sums of squares and products.
type sums struct {
	view    *lazyView
	slots   int       // candidates
	xx      []float64 // (n)
	yy      []float64 // (n, slots): of the suspect's neurons
	xy      []float64
	quad    []float64 // of squares of products: how unevenly they are spread
	strange []float64 // cosines of strangers
}

// strangers are some pairs of neurons that are no candidates of each other: how
// similar two neurons are by chance. There are none where all are candidates.
type strangers struct{ ref, sus []int32 }

// maxStrangers is about how many there are at most: enough for one number.
const maxStrangers = 512

func newStrangers(sus []int32, n, slots int) (s strangers) {
	if slots >= n {
		return s
	}
	count := min(max(n/32, 16), maxStrangers)
	for i := 0; i < n; i += max(1, n/count) {
		own := sus[i*slots:][:slots]
		j := int32((i*7919 + n/2) % n)
		for slices.Contains(own, j) {
			j = (j + 1) % int32(n)
		}
		s.ref, s.sus = append(s.ref, int32(i)), append(s.sus, j)
	}
	return s
}

// rescore reads the view again. sus (n, slots) are the candidates.
func (v *lazyView) rescore(sus []int32, slots int, others strangers, pool *kernel.Pool, ws []scratch) (*sums, error) {
	n := v.ref.n
	s := &sums{v, slots, make([]float64, n), make([]float64, n*slots), make([]float64, n*slots), make([]float64, n*slots), make([]float64, len(others.ref))}
	read := v.rescoreColumns
	if v.rows() {
		read = v.rescoreRows
	}
	if err := read(s, sus, others, pool, ws); err != nil {
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

func (v *lazyView) rescoreRows(s *sums, sus []int32, others strangers, pool *kernel.Pool, ws []scratch) error {
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
	if err := firstError(errs); err != nil {
		return err
	}
	errs = make([]error, len(others.ref))
	pool.Run(len(others.ref), func(worker, k int) {
		w := &ws[worker]
		x, y := sized(&w.x, v.dim), sized(&w.y, v.dim)
		if errs[k] = v.ref.row(int(others.ref[k]), x, w); errs[k] != nil {
			return
		}
		if errs[k] = v.sus.row(int(others.sus[k]), y, w); errs[k] != nil {
			return
		}
		// Both lengths are needed: the suspect may be nobody's candidate.
		xx, yy := kernel.SumSquares(w.serial, x), kernel.SumSquares(w.serial, y)
		s.strange[k] = cosineOf(xx, kernel.Dot(w.serial, x, y), yy)
	})
	return firstError(errs)
}

func cosineOf(xx, xy, yy float64) float64 {
	if d := xx * yy; d > 0 {
		return xy / math.Sqrt(d)
	}
	return 0
}

// quadEach is of how many columns one is looked at for the squares of products, of which
// no more than an average is of interest.
const quadEach = 4

// rescoreColumns keeps sums of a few columns in float32, and adds those up in float64.
func (v *lazyView) rescoreColumns(s *sums, sus []int32, others strangers, pool *kernel.Pool, ws []scratch) error {
	n, m := v.ref.n, v.sus.n
	parts := min(lazyParts, v.ref.outer)
	type part struct{ xx, yy, xy, quad, strange []float64 }
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
		*t = part{make([]float64, n), make([]float64, m), make([]float64, s.slots*n), make([]float64, s.slots*n), make([]float64, len(others.ref))}
		short := make([]float32, n+m+2*s.slots*n+len(others.ref))
		flush := func() {
			at := 0
			for _, long := range [][]float64{t.xx, t.yy, t.xy, t.quad, t.strange} {
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
						if columns%quadEach == 0 {
							accumulate(short[n+m+(s.slots+k)*n:][:n], g)
						}
					}
					chance := short[n+m+2*s.slots*n:]
					for k, i := range others.ref {
						chance[k] += x[i] * y[others.sus[k]]
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
	yy := make([]float64, m)
	for _, t := range all {
		for j, y := range t.yy {
			yy[j] += y
		}
		for k, x := range t.strange {
			s.strange[k] += x
		}
		for i := range n {
			s.xx[i] += t.xx[i]
			for k := range s.slots {
				at := i*s.slots + k
				s.yy[at] += t.yy[sus[at]]
				s.xy[at] += t.xy[k*n+i]
				s.quad[at] += t.quad[k*n+i] * quadEach
			}
		}
	}
	for k, i := range others.ref {
		s.strange[k] = cosineOf(s.xx[i], s.strange[k], yy[others.sus[k]])
	}
	return nil
}

// cosine returns that of candidate k.
func (s *sums) cosine(k int) float64 {
	return cosineOf(s.xx[k/s.slots], s.xy[k], s.yy[k])
}

// minShown is how many deviations of strangers the median pair of a view has to be away
// from them, so that the view is evidence.
const minShown = 4.5

// weigh adds what a view says to the evidence: (n, slots), or (n, 2) where each neuron
// has one candidate alone. The second is then all others, by the most that they can be:
// likest is the cosine of the best of them in this view, if it is known, else it is
// as large as a stranger's gets.
func (s *sums) weigh(e *evidence, likest []float32) {
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
	for _, c := range s.strange {
		stranger(c)
	}
	for i := range n {
		for t := range s.slots {
			c := s.cosine(i*s.slots + t)
			cosines[i*k+t] = float32(c)
			if v.parity != 0 {
				c = math.Abs(c)
			}
			best[i] = max(best[i], c)
		}
		if s.slots < n {
			continue
		}
		for _, c := range cosines[i*k:][:s.slots] { // all are candidates: all but one are strangers
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
	for i := 0; k > s.slots && i < n; i++ {
		cosines[i*k+s.slots] = float32(unspread(minShown * f.sd))
		if likest != nil {
			cosines[i*k+s.slots] = likest[i]
		}
	}
	e.views = append(e.views, ViewEvidence{Name: v.name, Role: v.role.String(), Dim: v.dim, Effective: 1 / (f.sd * f.sd), Share: f.share})
	if f.mu > 0 {
		e.add(cosines, f, v.parity, len(e.views)-1)
	}
}

// choose matches one to one among the candidates: sus (n, slots), with their evidence
// total (n, stride). A neuron none of whose candidates is left gets any partner, and is
// named in rest.
func choose(total []float32, stride int, sus []int32, n, m, slots int) (slot []int, of []int, rest []int, err error) {
	c := &assignment.Candidates{Cols: m, Start: make([]int, n+1)}
	worst := 0.0
	for i := range n {
		for t := range slots {
			c.Col = append(c.Col, sus[i*slots+t])
			cost := -float64(total[i*stride+t])
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
		for t := range slots {
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
