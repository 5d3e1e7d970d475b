package align

import (
	"math"
	"slices"
)

// A Dummy is a neuron of the suspect that is none of the reference's, and what it
// seems to be there for: neurons can be added to a network without a change of its
// function, so that nothing stands where it was (Yan and others, Rethinking
// White-Box Watermarks under Neural Structural Obfuscation, 2023).
type Dummy struct {
	Sus  int       `json:"sus"`
	Kind DummyKind `json:"kind"`
	// Of is the neuron of the suspect that a split belongs to, or the first of its
	// clique; -1 for others.
	Of int `json:"of"`
}

// A DummyKind says what a neuron without a partner is.
type DummyKind string

// The kinds.
const (
	ZeroDummy   DummyKind = "zero"    // nobody reads it, or it is never active
	CliqueDummy DummyKind = "clique"  // some alike that cancel each other where they are read
	SplitDummy  DummyKind = "split"   // a part of a real neuron, which lost as much
	Stranger    DummyKind = "unknown" // none of these: the function rests on it
)

// A Merge says that a neuron of the suspect is a part of another: its outgoing
// weights, times Weight, belong to those of neuron Into.
type Merge struct {
	Neuron, Into int
	Weight       float64
}

const (
	// alike is the cosine from which on incoming weights count as equal up to a factor,
	// whatever others are. Camouflage by noise of a thousandth leaves 0.999999, quantization
	// to 4 bits about 0.99; strangers with 27 weights reach 0.98 once in 10^18.
	alike = 0.98
	// exactCopy is the same in a network that nobody has damaged.
	exactCopy = 0.999
	// negligible is the share of a usual neuron's effect that counts as none.
	negligible = 0.01
	// cancelled is what may be left of the sum of a clique's outgoing weights, as a
	// share of their sizes.
	cancelled = 0.05
	// residual is by how much the weights that damage has made of zeros may be larger than
	// what it has put into others: to a grid without a zero they are all a half of a step
	// off, where others are 1/√12 of it on average.
	residual = 2
)

// allDummies says what the neurons of all classes without a partner are. What a dummy
// reads does not matter, so the classes are gone through from the network's end,
// with those that were explained as if they were gone; again, as long as more are.
func (s *side) allDummies(classes []Class, r *NetworkResult, left []residue, likes [][]int) (added [][]Dummy, merged [][]Merge) {
	work := &side{arrays: map[string]*array{}, owners: s.owners}
	for name, a := range s.arrays {
		work.arrays[name] = a.clone()
	}
	added, merged = make([][]Dummy, len(classes)), make([][]Merge, len(classes))
	for changed := true; changed; {
		changed = false
		for c := len(classes) - 1; c >= 0; c-- {
			class := &classes[c]
			before := explained(added[c])
			list, splits := work.dummies(class, &r.Classes[c].Matching, left[c], likes[c], added[c], merged[c])
			if explained(list) > before {
				changed = true
			}
			added[c], merged[c] = list, splits
			work.silence(class, list)
		}
	}
	return added, merged
}

func explained(list []Dummy) int {
	n := 0
	for _, d := range list {
		if d.Kind != Stranger {
			n++
		}
	}
	return n
}

// silence puts zeros where explained dummies are.
func (s *side) silence(class *Class, list []Dummy) {
	for p := range class.Places {
		place := &class.Places[p]
		a := s.arrays[place.Tensor]
		outer, inner := a.split(place.Axis)
		for _, d := range list {
			if d.Kind == Stranger {
				continue
			}
			for k := range max(1, place.Run) {
				for o := range outer {
					clear(a.data[(o*a.dims[place.Axis]+place.position(d.Sus, k))*inner:][:inner])
				}
			}
		}
	}
}

// dummies says what the neurons of one class of the suspect without a partner are,
// beside those that are explained already.
func (s *side) dummies(class *Class, m *Matching, left residue, like []int, was []Dummy, splits []Merge) (added []Dummy, merged []Merge) {
	if !slices.Contains(m.Ref, -1) {
		return nil, nil
	}
	merged = splits
	done := map[int]bool{}
	for _, d := range was {
		if d.Kind != Stranger {
			done[d.Sus] = true
			added = append(added, d)
		}
	}
	in := s.makers(class)
	out := s.rowsOf(class, func(p *Place) bool { return p.Role == Outgoing })
	size := make([]float64, class.Size)
	var usual []float64
	for j := range size {
		size[j] = math.Sqrt(inner(in[j], in[j]) * inner(out[j], out[j]))
		if m.Ref[j] >= 0 {
			usual = append(usual, size[j])
		}
	}
	least := negligible * median(usual)
	var rest []int
	for j, i := range m.Ref {
		switch {
		case i >= 0 || done[j]:
		case size[j] == 0:
			added = append(added, Dummy{j, ZeroDummy, -1})
		default:
			rest = append(rest, j)
		}
	}
	made := s.made(class)
	bar := s.likeness(class, made, m, left.in)
	// similar returns how alike two neurons are made, 0 if they are no copies of one.
	similar := func(j, k int) float64 {
		c := made.cosine(j, k)
		if c < 0 && !made.flips || math.Abs(c) < bar(j, k) || left.exact && math.Abs(c) < exactCopy {
			return 0
		}
		return math.Abs(c)
	}
	split := func(j, of int) {
		added = append(added, Dummy{j, SplitDummy, of})
		merged = append(merged, Merge{j, of, made.ratio(j, of)})
	}
	var alone []int
	for _, j := range rest {
		best, top := -1, 0.0
		for k, i := range m.Ref {
			if i < 0 {
				continue
			}
			if c := similar(j, k); c > top {
				best, top = k, c
			}
		}
		if best >= 0 { // also of a neuron that does next to nothing
			split(j, best)
		} else {
			alone = append(alone, j)
		}
	}
	for len(alone) > 0 { // cliques
		first := alone[0]
		clique := []int{first}
		ratios := map[int]float64{first: 1}
		for _, j := range alone[1:] {
			if similar(j, first) != 0 {
				clique, ratios[j] = append(clique, j), made.ratio(j, first)
			}
		}
		// silent reports whether nothing is left of the sum of what they are read with.
		silent := func(set []int) bool {
			sum := make([]float32, len(out[first]))
			total, damage := 0.0, 0.0
			for _, j := range set {
				for c, w := range out[j] {
					sum[c] += float32(ratios[j] * float64(w))
				}
				total += math.Abs(ratios[j]) * math.Sqrt(inner(out[j], out[j]))
				damage += ratios[j] * ratios[j] * left.out
			}
			return math.Sqrt(inner(sum, sum)) <= cancelled*total+residual*math.Sqrt(damage)
		}
		if len(clique) > 2 && !silent(clique) { // others may only resemble them
			if k := slices.IndexFunc(clique[1:], func(j int) bool { return silent([]int{first, j}) }); k >= 0 {
				clique = []int{first, clique[1+k]}
			}
		}
		if len(clique) > 1 && silent(clique) {
			for _, j := range clique {
				added = append(added, Dummy{j, CliqueDummy, first})
			}
		} else {
			clique = clique[:1]
			switch {
			case !left.exact && like != nil && like[first] >= 0 && m.Sus[like[first]] >= 0:
				// What it is like beside the reference is damaged once, and not twice.
				split(first, m.Sus[like[first]])
			case size[first] <= least || inner(out[first], out[first]) <= residual*residual*left.out:
				added = append(added, Dummy{first, ZeroDummy, -1})
			default:
				added = append(added, Dummy{first, Stranger, -1})
			}
		}
		alone = slices.DeleteFunc(alone, func(j int) bool { return slices.Contains(clique, j) })
	}
	slices.SortFunc(added, func(a, b Dummy) int { return a.Sus - b.Sus })
	return added, merged
}

// likeness returns what the cosine of the incoming weights of two neurons has to be for them
// to be copies of one: near that of copies after damage, which has put so much into the
// weights of each, and not nearer to that of neurons with other partners.
func (s *side) likeness(class *Class, made *making, m *Matching, damage float64) func(j, k int) float64 {
	var nearest []float64
	for j, i := range m.Ref {
		if i < 0 {
			continue
		}
		top := 0.0
		for k, o := range m.Ref {
			if o >= 0 && k != j {
				top = math.Max(top, math.Abs(made.cosine(j, k)))
			}
		}
		nearest = append(nearest, top)
	}
	slices.Sort(nearest)
	others := 0.9 // of few neurons
	if len(nearest) >= 8 {
		others = nearest[len(nearest)*9/10]
	}
	weights := s.rowsOf(class, func(p *Place) bool { return p.Role == Incoming })
	intact := make([]float64, len(weights)) // share of the squares
	for j, w := range weights {
		if l := inner(w, w); l > 0 {
			intact[j] = math.Max(0, 1-damage/l)
		}
	}
	return func(j, k int) float64 {
		copies := math.Sqrt(intact[j] * intact[k])
		if copies <= others {
			return alike // what damage has made unlike cannot be told; it may be older than the copy
		}
		return math.Min(alike, math.Max((copies+others)/2, copies-3*(1-copies)-(1-alike)))
	}
}

// norms are the places of a class that has one batch norm.
type norms struct{ incoming, variance, mean, gamma, beta *Place }

// normed returns the places of a class all of which one batch norm sees, and whether there
// is such a norm.
func (s *side) normed(class *Class) (n norms, ok bool) {
	count := [5]int{}
	for k := range class.Places {
		p := &class.Places[k]
		power2 := slices.ContainsFunc(p.Acts, func(a Act) bool { return a.Power == 2 })
		signs := slices.ContainsFunc(p.Acts, func(a Act) bool { return a.Power == 0 && a.Odd })
		switch {
		case p.Role == Incoming:
			n.incoming = p
			count[0]++
		case p.Role == Statistic && power2:
			n.variance = p
			count[1]++
		case p.Role == Statistic:
			n.mean = p
			count[2]++
		case p.Role == Parameter && signs:
			n.gamma = p
			count[3]++
		case p.Role == Parameter:
			n.beta = p
			count[4]++
		}
	}
	return n, count == [5]int{1, 1, 1, 1, 1}
}

// makers returns what makes each neuron of a class, as a row of numbers: weights and
// biases, seen through the batch norm if there is one for all of them.
func (s *side) makers(class *Class) [][]float32 {
	n, ok := s.normed(class)
	if !ok {
		return s.rowsOf(class, func(p *Place) bool { return p.Role == Incoming || p.Role == Parameter })
	}
	only := func(p *Place) [][]float32 { return s.rowsOf(class, func(q *Place) bool { return q == p }) }
	w, v, mu, g, b := only(n.incoming), only(n.variance), only(n.mean), only(n.gamma), only(n.beta)
	epsilon := 0.0
	if n.variance.Epsilon == 0 { // else it is in the numbers
		epsilon = 1e-5 // that of nearly all batch norms
	}
	for j := range w {
		if len(v[j]) != 1 || len(mu[j]) != 1 || len(g[j]) != 1 || len(b[j]) != 1 {
			continue
		}
		scale := float64(g[j][0]) / math.Sqrt(math.Max(0, float64(v[j][0]))+epsilon)
		for c := range w[j] {
			w[j][c] *= float32(scale)
		}
		w[j] = append(w[j], b[j][0]-float32(scale*float64(mu[j][0])))
	}
	return w
}

// rowsOf returns the numbers of each neuron at some places.
func (s *side) rowsOf(class *Class, which func(*Place) bool) [][]float32 {
	out := make([][]float32, class.Size)
	for k := range class.Places {
		p := &class.Places[k]
		if !which(p) {
			continue
		}
		x, dim := neurons(s.arrays[p.Tensor], p, class.Size)
		for j := range out {
			out[j] = append(out[j], x[j*dim:][:dim]...)
		}
	}
	return out
}

func inner(a, b []float32) float64 {
	sum := 0.0
	for k, x := range a {
		sum += float64(x) * float64(b[k])
	}
	return sum
}

// without returns the side with explained dummies left out and splits put together,
// its specification, and which neurons are left, by class.
func (s *side) without(spec *Spec, added [][]Dummy, merged [][]Merge) (*side, *Spec, [][]int, error) {
	out := &side{arrays: map[string]*array{}, owners: map[string][]layers{}}
	for name, a := range s.arrays {
		out.arrays[name] = a.clone()
	}
	small := &Spec{Classes: slices.Clone(spec.Classes)}
	keep := make([][]int, len(spec.Classes))
	gone := map[string][][]bool{} // by tensor and axis
	for c := range small.Classes {
		class := &small.Classes[c]
		class.Places = slices.Clone(class.Places)
		drop := make([]bool, class.Size)
		for _, d := range added[c] {
			drop[d.Sus] = d.Kind != Stranger
		}
		for j, x := range drop {
			if !x {
				keep[c] = append(keep[c], j)
			}
		}
		for k := range class.Places {
			p := &class.Places[k]
			if p.Role == Outgoing {
				out.merge(p, merged[c])
			}
			if gone[p.Tensor] == nil {
				for _, d := range s.arrays[p.Tensor].dims {
					gone[p.Tensor] = append(gone[p.Tensor], make([]bool, d))
				}
			}
			for j, x := range drop {
				for n := range max(1, p.Run) {
					if x {
						gone[p.Tensor][p.Axis][p.position(j, n)] = true
					}
				}
			}
		}
	}
	for c := range small.Classes {
		class := &small.Classes[c]
		for k := range class.Places {
			p := &class.Places[k]
			if p.At == nil {
				continue
			}
			at := make([]int, len(keep[c]))
			for i, j := range keep[c] {
				at[i] = p.At[j]
				for _, x := range gone[p.Tensor][p.Axis][:p.At[j]] {
					if x {
						at[i]--
					}
				}
			}
			p.At = at
		}
		class.Size = len(keep[c])
	}
	for name, axes := range gone {
		for axis, drop := range axes {
			out.arrays[name] = dropped(out.arrays[name], axis, drop)
		}
	}
	for c := range small.Classes {
		for p := range small.Classes[c].Places {
			if err := out.claim(nil, &small.Classes[c], c, p); err != nil { // all arrays are there
				return nil, nil, nil, err
			}
		}
	}
	out.number()
	return out, small, keep, nil
}

// merge adds outgoing weights to those of the neuron that they were split from.
func (s *side) merge(p *Place, merged []Merge) {
	a := s.arrays[p.Tensor]
	outer, inner := a.split(p.Axis)
	n := a.dims[p.Axis]
	for _, m := range merged {
		for k := range max(1, p.Run) {
			from, to := p.position(m.Neuron, k), p.position(m.Into, k)
			for o := range outer {
				src, dst := a.data[(o*n+from)*inner:][:inner], a.data[(o*n+to)*inner:][:inner]
				for c, x := range src {
					dst[c] += float32(m.Weight * float64(x))
				}
			}
		}
	}
}

// dropped returns a without some positions of an axis.
func dropped(a *array, axis int, drop []bool) *array {
	if !slices.Contains(drop, true) {
		return a
	}
	outer, inner := a.split(axis)
	out := &array{dims: slices.Clone(a.dims)}
	out.dims[axis] = 0
	for _, x := range drop {
		if !x {
			out.dims[axis]++
		}
	}
	out.data = make([]float32, 0, outer*out.dims[axis]*inner)
	for o := range outer {
		for at, x := range drop {
			if !x {
				out.data = append(out.data, a.data[(o*len(drop)+at)*inner:][:inner]...)
			}
		}
	}
	return out
}

// restored returns the result in the numbers that the suspect's neurons had before
// some were left out.
func (r *ClassResult) restored(keep []int, size int) {
	old := func(j int) int {
		if j < 0 {
			return -1
		}
		return keep[j]
	}
	ref := slices.Repeat([]int{-1}, size)
	for j, i := range r.Ref {
		ref[keep[j]] = i
	}
	r.Ref = ref
	for i, j := range r.Sus {
		r.Sus[i] = old(j)
	}
	for k := range r.Ambiguous {
		a := &r.Ambiguous[k]
		a.Sus, a.Other = old(a.Sus), old(a.Other)
	}
}
