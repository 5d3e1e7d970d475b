package align

import (
	"math"
	"math/rand/v2"

	"ropewalk/internal/kernel"
)

const (
	// lazySketch is the length of the sketches of networks that are not held in memory:
	// a signed count-sketch, where number c of a neuron goes to sum c mod lazySketch.
	lazySketch = 128
	// lazyCandidates is how many partners are looked at, at full width, of a neuron whose
	// sketch leaves a doubt.
	lazyCandidates = 16
	// parts is into how many pieces columns are cut. It is fixed, so that sums do not
	// depend on the number of threads.
	lazyParts = 8
)

// signs of the numbers of a view, the same for both sides.
func sketchSigns(view, dim int) []float32 {
	r := rand.New(rand.NewPCG(uint64(view), uint64(dim)))
	s := make([]float32, dim)
	var bits uint64
	for c := range s {
		if c%64 == 0 {
			bits = r.Uint64()
		}
		s[c] = 1 - 2*float32(bits>>(c%64)&1)
	}
	return s
}

// sketch adds the sketches of the neurons of one side to dst (n, lazySketch), each with
// a length of √dim, so that a view counts by its numbers and not by their size.
func (v *lazyView) sketch(s *lazySide, index int, dst []float32, pool *kernel.Pool, ws []scratch) error {
	signs := sketchSigns(index, v.dim)
	one := make([]float32, s.n*lazySketch)
	var err error
	if v.rows() {
		err = v.sketchRows(s, signs, one, pool, ws)
	} else {
		err = v.sketchColumns(s, signs, one, pool, ws)
	}
	if err != nil {
		return err
	}
	for i, l := range lengths(one, lazySketch) {
		if l-l != 0 {
			return errNotFinite
		}
		if l == 0 {
			continue
		}
		a := float32(math.Sqrt(float64(v.dim))) / l
		row := dst[i*lazySketch:][:lazySketch]
		for b, x := range one[i*lazySketch:][:lazySketch] {
			row[b] += a * x
		}
	}
	return nil
}

// sketchRows folds each row, times its signs, in halves.
func (v *lazyView) sketchRows(s *lazySide, signs, dst []float32, pool *kernel.Pool, ws []scratch) error {
	padded := lazySketch
	for padded < v.dim {
		padded *= 2
	}
	errs := make([]error, s.n)
	pool.Ranges(s.n, 1+s.n/64, func(worker, lo, hi int) {
		w := &ws[worker]
		x := sized(&w.x, padded)
		clear(x[v.dim:])
		for i := lo; i < hi; i++ {
			if errs[i] = s.row(i, x[:v.dim], w); errs[i] != nil {
				return
			}
			kernel.Mul(w.serial, x[:v.dim], x[:v.dim], signs)
			for n := padded / 2; n >= lazySketch; n /= 2 {
				kernel.Add(w.serial, x[:n], x[:n], x[n:2*n])
			}
			copy(dst[i*lazySketch:], x[:lazySketch])
			clear(x[:padded])
		}
	})
	return firstError(errs)
}

// sketchColumns adds up columns, of all neurons at once.
func (v *lazyView) sketchColumns(s *lazySide, signs, dst []float32, pool *kernel.Pool, ws []scratch) error {
	parts := min(lazyParts, s.outer)
	sums := make([][]float32, parts) // (lazySketch, n)
	errs := make([]error, parts)
	pool.Run(parts, func(worker, part int) {
		w := &ws[worker]
		sum := make([]float32, lazySketch*s.n)
		sums[part] = sum
		buf := sized(&w.x, s.n)
		for o := part * s.outer / parts; o < (part+1)*s.outer/parts; o++ {
			slab, g, err := s.slab(o, w)
			if err != nil {
				errs[part] = err
				return
			}
			c := o * s.run * s.inner
			for r := range s.run {
				for z := range s.inner {
					kernel.Axpy(w.serial, sum[c%lazySketch*s.n:][:s.n], signs[c], s.column(slab, g, r, z, buf))
					c++
				}
			}
		}
	})
	if err := firstError(errs); err != nil {
		return err
	}
	for _, sum := range sums {
		for b := range lazySketch {
			for i, x := range sum[b*s.n:][:s.n] {
				dst[i*lazySketch+b] += x
			}
		}
	}
	return nil
}

func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// shortlist holds the most similar suspects of each neuron of the reference, by
// sketches, the best one first.
type shortlist struct {
	m, slots int
	sus      []int32   // (neurons, slots)
	score    []float32 // cosines of sketches
	sd       float64   // of strangers' cosines
	view     int       // that the sketches are of, or -1 for several
	// likest is the cosine of the second best, where lists were cut to one candidate,
	// and 4 deviations more, for the error of sketches.
	likest []float32
	full   *shortlist // before it was cut, or nil
}

// shortlisted compares the sketches of all neurons of both sides (n, lazySketch) and
// (m, lazySketch), a few rows at a time.
func shortlisted(ref, sus []float32, folded bool, pool *kernel.Pool) *shortlist {
	ref, sus = unit(ref, lazySketch), unit(sus, lazySketch)
	n, m := len(ref)/lazySketch, len(sus)/lazySketch
	l := &shortlist{m: m, slots: min(lazyCandidates, m)}
	l.sus, l.score = make([]int32, n*l.slots), make([]float32, n*l.slots)
	const band = 256
	block := make([]float32, min(band, n)*m)
	rest := make([]float64, n)
	for from := 0; from < n; from += band {
		rows := min(band, n-from)
		kernel.Gemm(pool, &kernel.GemmArgs{M: rows, N: m, K: lazySketch, A: ref[from*lazySketch:], B: sus, C: block, TransB: true})
		pool.Run(rows, func(_, i int) {
			at := (from + i) * l.slots
			rest[from+i] = top(block[i*m:][:m], l.sus[at:][:l.slots], l.score[at:][:l.slots], folded)
		})
	}
	sum := 0.0
	for _, x := range rest {
		sum += x
	}
	l.sd = math.Sqrt(sum / float64(n) / float64(max(1, m-1)))
	return l
}

// top puts the largest numbers of a row in descending order, and returns the sum of the
// squares of a sample of all but the first, for the whole row. If folded, it is magnitudes
// that count, and signs are lost from the row.
func top(row []float32, at []int32, score []float32, folded bool) float64 {
	for k := range score {
		score[k] = float32(math.Inf(-1))
	}
	last := len(score) - 1
	floor := score[last]
	if folded {
		for j, x := range row {
			row[j] = max(x, -x)
		}
	}
	for j, x := range row {
		if x <= floor {
			continue
		}
		k := last
		for ; k > 0 && score[k-1] < x; k-- {
			score[k], at[k] = score[k-1], at[k-1]
		}
		score[k], at[k] = x, int32(j)
		floor = score[last]
	}
	const sample = 256 // of each row
	step := 1 + len(row)/sample
	var sum float64
	count := 0
	for j := 0; j < len(row); j += step {
		if int32(j) != at[0] {
			sum += float64(row[j]) * float64(row[j])
			count++
		}
	}
	return sum / float64(max(1, count)) * float64(len(row)-1)
}

// lazyGap is by how many deviations of strangers each favourite has to be ahead, so that
// it alone is looked at. It is less than sketchGap, because it is looked at.
const lazyGap = 4

// decided reports whether each neuron has a favourite of its own, far ahead of the
// second.
func (l *shortlist) decided() bool {
	taken := make([]bool, l.m)
	for at := 0; at < len(l.sus); at += l.slots {
		j := l.sus[at]
		if taken[j] || l.slots > 1 && float64(l.score[at]-l.score[at+1]) < lazyGap*l.sd {
			return false
		}
		taken[j] = true
	}
	return l.sd > 0 || l.m == 1
}

// cut keeps the first of each list.
func (l *shortlist) cut() *shortlist {
	out := &shortlist{m: l.m, slots: 1, sd: l.sd, view: l.view, full: l}
	for at := 0; at < len(l.sus); at += l.slots {
		out.sus, out.score = append(out.sus, l.sus[at]), append(out.score, l.score[at])
		second := 0.0
		if l.slots > 1 {
			second = float64(l.score[at+1])
		}
		out.likest = append(out.likest, float32(min(1, second+4*l.sd)))
	}
	return out
}

// single is the list of matches that are known already.
func (l *shortlist) single(of []int) *shortlist {
	out := &shortlist{m: l.m, slots: 1, sd: l.sd, view: -1}
	for _, j := range of {
		out.sus, out.score = append(out.sus, int32(j)), append(out.score, 1)
	}
	return out
}
