package lineage

import (
	"math"
	"slices"

	"ropewalk/symmetry"
)

// Where all numbers differ, as after noise, training or quantization, an edit is what stands
// out. For rows that is a factor far from those of others, measured in the scatter of all
// rows. For single numbers it is a gap in their tail: if tails fall like a power, the logarithms
// of ratios of successive largest numbers are exponential, each over its rank (Rényi 1953), and
// the power is told by those behind (Hill 1975).

const (
	deviations = 6    // of a factor, in robust standard deviations
	standing   = 10   // numbers that stand out of one tensor
	behind     = 64   // numbers that tell how the tail falls
	rare       = 1e-6 // probability of such a gap in any tensor
	steepest   = 20   // power of tails: those that end at once say little of what lies behind
)

// outliers returns what stands out of a tensor that differs everywhere; matrices is how many
// tensors are looked at.
func (p *pairing) outliers(n *pairedTensor, matrices int) []Edit {
	s := &survey{p: p, n: n, diff: make([]bool, len(n.x))}
	for k := range s.diff {
		s.diff[k] = n.x[k] != n.y[k]
	}
	s.group()
	done := s.factors()
	s.gaps(done, matrices)
	return s.edits
}

// factors finds rows that are multiplied by what others are not.
func (s *survey) factors() (done map[int]bool) {
	done = map[int]bool{}
	type fit struct {
		u        *unit
		list     []int
		log, err float64
		negative bool
	}
	byPlace := map[seat][]fit{}
	var places []seat
	for _, u := range s.units {
		if u.seat.class < 0 {
			continue
		}
		list := s.numbers(nil, u)
		var xx, yy, xy float64
		for _, k := range list {
			x, y := s.n.x[k], s.n.y[k]
			xx, yy, xy = xx+x*x, yy+y*y, xy+x*y
		}
		c2 := xy * xy / (xx * yy)
		if len(list) < 4 || !(c2 > 0.25) { // of others nobody can say what they were multiplied by
			continue
		}
		key := seat{u.seat.class, u.seat.place, 0}
		if byPlace[key] == nil {
			places = append(places, key)
		}
		byPlace[key] = append(byPlace[key], fit{
			u, list, math.Log(math.Abs(xy) / xx),
			math.Sqrt((1 - min(c2, 1-1e-9)) / (c2 * float64(len(list)))), xy < 0,
		})
	}
	for _, key := range places {
		fits := byPlace[key]
		if len(fits) < 8 {
			continue // no sample to measure scatter by
		}
		logs := make([]float64, len(fits))
		for k := range fits {
			logs[k] = fits[k].log
		}
		middle := middleOf(logs)
		z := make([]float64, len(fits))
		for k := range fits {
			z[k] = (fits[k].log - middle) / fits[k].err
		}
		sorted := make([]float64, len(z))
		for k := range z {
			sorted[k] = math.Abs(z[k])
		}
		// Errors are those of independent noise; whatever else there is makes all larger.
		scatter := max(1, 1.4826*middleOf(sorted))
		for k, f := range fits {
			role := s.p.classes[key.class].Places[key.place].Role
			r := math.Exp(f.log - middle)
			switch {
			case f.negative:
				s.add(Edit{What: EditSign, Factor: -r, Size: s.largest(f.list)}, f.u, "have the other sign, which nothing undoes")
			case math.Abs(z[k]) > deviations*scatter && math.Abs(f.log-middle) > 0.05:
				e := Edit{What: EditNorm, Factor: r, Size: s.largest(f.list)}
				if role == symmetry.Outgoing {
					e.What = EditColumn
				}
				s.add(e, f.u, "are about "+short(math.Round(1000*r)/1000)+" times what all others are, "+
					short(math.Round(math.Abs(z[k])/scatter))+" standard deviations from them")
			default:
				continue
			}
			for _, at := range f.list {
				done[at] = true
			}
		}
	}
	return done
}

// middleOf returns the middle of values, which it sorts.
func middleOf(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// gaps finds single numbers that differ by far more than all others of the tensor.
func (s *survey) gaps(done map[int]bool, matrices int) {
	n := s.n
	type change struct {
		k    int
		size float64
	}
	var all []change
	for k := range n.x {
		if d := math.Abs(n.y[k] - n.x[k]); d > 0 && !done[k] {
			all = append(all, change{k, d})
		}
	}
	if len(all) < 4*behind {
		return
	}
	slices.SortFunc(all, func(a, b change) int {
		switch {
		case a.size > b.size:
			return -1
		case a.size < b.size:
			return 1
		}
		return a.k - b.k
	})
	out := 0
	for m := 1; m <= standing; m++ {
		// The Hill estimate of the power from those behind the gap.
		sum := 0.0
		for j := m; j < m+behind; j++ {
			sum += math.Log(all[j].size / all[m+behind].size)
		}
		power := min(steepest, float64(behind)/max(sum, 1e-9))
		gap := math.Log(all[m-1].size / all[m].size)
		if -power*float64(m)*gap < math.Log(rare/float64(max(1, matrices)*standing)) {
			out = m
		}
	}
	keep := make([]bool, len(n.x))
	for _, c := range all[:out] {
		keep[c.k] = true
	}
	s.diff = keep
	s.singles()
}
