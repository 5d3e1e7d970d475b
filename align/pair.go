package align

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/internal/kernel"
)

// A pair is two networks in one gauge, and what is known of their classes.
type pair struct {
	classes  []Class // of the reference
	suspects []Class
	ref, sus *side
	imitated map[string]*array // by tensor: the reference damaged like the suspect
	state    []state           // by class
	// Balancing factors that were taken from each side, by class, factor and neuron.
	refScale, susScale [][][]float64
	pool               *kernel.Pool

	// Where the reference is sketches: these, the suspect in its own gauge, signs by the
	// number of numbers, and which tensors are full of zeros.
	sketches *Sketches
	own      *side
	signs    map[int][]float32
	sparse   map[string]bool // by tensor: see pruned
}

// A state is what is believed of one class.
type state struct {
	of    []int    // suspect neuron of each reference neuron, -1 for none; nil: nothing known
	flips []uint64 // signs of each reference neuron: bit b for the b-th factor that flips
	// soft is the annealed belief (reference, suspect), or nil; signs are those of
	// flips for each pair.
	soft      []float32
	softFlips []uint64
}

func (s *state) known() bool { return s.of != nil || s.soft != nil }

// newPair brings both networks into the gauge in which neurons are comparable.
// With balanced false they are in one gauge already.
func newPair(ref, sus *Spec, r, s *side, pool *kernel.Pool, balanced bool) *pair {
	p := &pair{
		classes: ref.Classes, suspects: sus.Classes, imitated: map[string]*array{},
		state: make([]state, len(ref.Classes)), pool: pool,
	}
	like := &side{arrays: map[string]*array{}, owners: r.owners}
	for _, name := range sortedNames(r.arrays) {
		a := r.arrays[name]
		like.arrays[name] = a
		if x := imitate(a.data, s.arrays[name].data); x != nil {
			p.imitated[name] = &array{a.dims, x}
			like.arrays[name] = p.imitated[name]
		}
	}
	scaling := func(c Class) bool { return slices.ContainsFunc(c.Factors, Gauge.scales) }
	if !balanced || !slices.ContainsFunc(p.classes, scaling) {
		p.ref, p.sus = r, s
		p.refScale, p.susScale = ones(ref.Classes), ones(sus.Classes)
		return p
	}
	p.ref, p.refScale = r.balanced(ref.Classes)
	p.sus, p.susScale = s.balanced(sus.Classes)
	if len(p.imitated) > 0 {
		// Damage changes what balances a network, so the imitation finds its own.
		like, _ = like.balanced(ref.Classes)
		for name := range p.imitated {
			p.imitated[name] = like.arrays[name]
		}
	}
	return p
}

func ones(classes []Class) [][][]float64 {
	out := make([][][]float64, len(classes))
	for c := range classes {
		out[c] = make([][]float64, len(classes[c].Factors))
		for f := range out[c] {
			out[c][f] = slices.Repeat([]float64{1}, classes[c].Size)
		}
	}
	return out
}

// balanced returns a rescaled copy in which all classes are balanced, and the
// factors. Classes share tensors, so a few rounds are needed.
func (s *side) balanced(classes []Class) (*side, [][][]float64) {
	squares := s.reduced(func(name string) func(from, to int) float64 {
		data := s.arrays[name].data
		return func(from, to int) (sum float64) {
			for _, x := range data[from:to] {
				sum += float64(x) * float64(x)
			}
			return sum
		}
	})
	scales := ones(classes)
	for range 8 {
		change := 0.0
		for c := range classes {
			class := &classes[c]
			if !slices.ContainsFunc(class.Factors, Gauge.scales) {
				continue
			}
			var es []energy
			for p := range class.Places {
				sums, dim := squares.sums(class, &class.Places[p])
				es = append(es, energy{class.Places[p].Acts, dim, sums})
			}
			step := balance(class.Size, class.Factors, es)
			for f := range step {
				for i, x := range step[f] {
					// What is left of a pruned network may have no balance: two neurons
					// that hang on each other alone would grow without end.
					was := scales[c][f][i]
					scales[c][f][i] = min(max(was*x, 1e-4), 1e4)
					step[f][i] = scales[c][f][i] / was
					change = max(change, math.Abs(math.Log(step[f][i])))
				}
			}
			squares.rescale(class, step, 2)
		}
		if change < 1e-3 {
			break
		}
	}
	return s.rescaled(classes, scales), scales
}

// rescaled returns a copy with the factors of all classes put in.
func (s *side) rescaled(classes []Class, scales [][][]float64) *side {
	out := &side{arrays: map[string]*array{}, owners: s.owners}
	for name, a := range s.arrays {
		out.arrays[name] = a.clone()
	}
	for c := range classes {
		out.rescale(&classes[c], scales[c])
	}
	return out
}

// rescale multiplies the numbers of each neuron, wherever it appears, by what the
// factors s make of them; the signs of s count.
func (s *side) rescale(class *Class, scale [][]float64) {
	for p := range class.Places {
		place := &class.Places[p]
		a := s.arrays[place.Tensor]
		multiply(a.data, a.dims, class, place, scale, 1)
	}
}

// multiply multiplies the numbers x of each neuron at a place by what the factors
// make of them, to a power.
func multiply[F float32 | float64](x []F, dims []int, class *Class, place *Place, scale [][]float64, power int) {
	if len(place.Acts) == 0 {
		return
	}
	n := dims[place.Axis]
	gains := make([]F, n)
	all := true
	for i := range gains {
		gains[i] = 1
	}
	for i := range class.Size {
		g := 1.0
		for _, act := range place.Acts {
			x := scale[act.Factor][i]
			g *= math.Pow(math.Abs(x), float64(act.Power*power))
			if act.Odd && x < 0 && power%2 == 1 {
				g = -g
			}
		}
		all = all && g == 1
		for k := range max(1, place.Run) {
			gains[place.position(i, k)] = F(g)
		}
	}
	if all {
		return
	}
	outer, inner := (&array{dims: dims}).split(place.Axis)
	for o := range outer {
		if inner == 1 {
			row := x[o*n:][:n]
			for at, g := range gains {
				row[at] *= g
			}
			continue
		}
		for at, g := range gains {
			if g == 1 {
				continue
			}
			row := x[(o*n+at)*inner:][:inner]
			for c := range row {
				row[c] *= g
			}
		}
	}
}

// toReference returns the suspect's tensor with one axis in the reference's order,
// as far as that is known, and which positions of the axis are. The layer skip is left
// as it is.
func (p *pair) toReference(x *array, name string, axis, skip int) (out *array, known []bool) {
	out = x
	for k := range p.ref.owners[name][axis] {
		if k == skip {
			continue
		}
		y, now := p.layerToReference(out, name, axis, k)
		if known != nil && y != out {
			// Layers commute: a position is known if its sources are.
			was := known
			known = make([]bool, len(now))
			for at, f := range p.origin(name, axis, k) {
				known[at] = now[at] && (f < 0 || was[f])
			}
		} else if known != nil {
			for at := range known {
				known[at] = known[at] && now[at]
			}
		} else {
			known = now
		}
		out = y
	}
	return out, known
}

// origin returns where each position of a layer comes from, -1 if from several.
func (p *pair) origin(name string, axis, layer int) []int {
	from, start, _ := p.movement(name, axis, layer)
	out := make([]int, len(start)-1)
	for at := range out {
		out[at] = -1
		if start[at+1]-start[at] == 1 {
			out[at] = from[start[at]].at
		}
	}
	return out
}

// movement says for each position of a layer, in the reference's order, where the
// suspect has what belongs there: sources start[i] to start[i+1].
func (p *pair) movement(name string, axis, layer int) (from []source, start []int, known []bool) {
	owners := p.ref.owners[name][axis][layer]
	n := len(owners)
	known = make([]bool, n)
	var fixed []int // positions of the suspect that never move
	for at, o := range p.sus.owners[name][axis][layer] {
		if o.class < 0 {
			fixed = append(fixed, at)
		}
	}
	from = make([]source, 0, n)
	start = make([]int, 1, n+1)
	for at, o := range owners {
		from, known[at] = p.sources(from, o, fixed)
		start = append(start, len(from))
	}
	return from, start, known
}

// layerToReference moves one layer.
func (p *pair) layerToReference(x *array, name string, axis, layer int) (*array, []bool) {
	from, start, known := p.movement(name, axis, layer)
	_, inner := x.split(axis)
	n, m := len(known), x.dims[axis]
	still := n == m && len(from) == n
	for at := 0; at < n && still; at++ {
		still = from[at] == source{at, 1} && start[at] == at
	}
	if still {
		return x, known
	}
	out := &array{dims: slices.Clone(x.dims)}
	out.dims[axis] = n
	out.data = make([]float32, len(x.data)/m*n)
	if len(from) > 8*n && n*m <= 1<<24 { // beliefs: dense enough for a product of matrices
		p.mix(out.data, x.data, from, start, m, inner)
		return out, known
	}
	for o := range len(x.data) / (m * inner) {
		dst, src := out.data[o*n*inner:][:n*inner], x.data[o*m*inner:][:m*inner]
		for to := range n {
			for _, f := range from[start[to]:start[to+1]] {
				switch {
				case inner == 1:
					dst[to] += f.weight * src[f.at]
				case f.weight == 1 && start[to+1]-start[to] == 1:
					copy(dst[to*inner:][:inner], src[f.at*inner:])
				default:
					d, s := dst[to*inner:][:inner], src[f.at*inner:][:inner]
					for c, v := range s {
						d[c] += f.weight * v
					}
				}
			}
		}
	}
	return out, known
}

// A source is a position of the suspect and how much of it goes into one of the
// reference.
type source struct {
	at     int
	weight float32
}

// sources appends those of what belongs to o, and reports whether it is known.
func (p *pair) sources(from []source, o owner, fixed []int) ([]source, bool) {
	if o.class < 0 {
		return append(from, source{fixed[o.neuron], 1}), true
	}
	st := &p.state[o.class]
	place, class := &p.suspects[o.class].Places[o.place], &p.classes[o.class]
	switch {
	case st.soft != nil:
		size := p.suspects[o.class].Size
		for j, w := range st.soft[o.neuron*size:][:size] {
			if w < 1e-4 {
				continue
			}
			if odd(class.Factors, place.Acts, st.softFlips[o.neuron*size+j]) {
				w = -w
			}
			from = append(from, source{place.position(j, o.k), w})
		}
		return from, true
	case st.of != nil && st.of[o.neuron] >= 0:
		w := float32(1)
		if odd(class.Factors, place.Acts, st.flips[o.neuron]) {
			w = -1
		}
		return append(from, source{place.position(st.of[o.neuron], o.k), w}), true
	}
	return from, false
}

// mix computes (outer, n, inner) from (outer, m, inner): each slice is multiplied by
// the matrix of sources.
func (p *pair) mix(dst, src []float32, from []source, start []int, m, inner int) {
	n := len(start) - 1
	s := make([]float32, n*m)
	for to := range n {
		for _, f := range from[start[to]:start[to+1]] {
			s[to*m+f.at] += f.weight
		}
	}
	outer := len(src) / (m * inner)
	if inner == 1 {
		kernel.Gemm(p.pool, &kernel.GemmArgs{M: outer, N: n, K: m, A: src, B: s, TransB: true, C: dst})
		return
	}
	kernel.Gemm(p.pool, &kernel.GemmArgs{
		M: n, N: inner, K: m, A: s, B: src, C: dst,
		Batch: outer, StrideB: m * inner, StrideC: n * inner,
	})
}

// group makes the views of one class, with all other axes as they are known. more
// says that there are profiles which were not asked for.
func (p *pair) group(c int, profiled bool) (g *Group, more bool) {
	class := &p.classes[c]
	g = &Group{Name: class.Name, Ref: class.Size, Sus: p.suspects[c].Size, Factors: class.Factors}
	for k := range class.Places {
		v, ok, left := p.view(c, k, profiled)
		if ok {
			g.Views = append(g.Views, v)
		}
		more = more || left
	}
	return g, more
}

// view makes the view of one place. Where an axis is partly known, the rest is
// left out; where nothing of an axis is known, neurons are described by what
// does not depend on its order.
func (p *pair) view(c, k int, profiled bool) (v View, ok, left bool) {
	if p.sketches != nil {
		v, ok = p.sketchView(c, k)
		return v, ok, false
	}
	place := &p.classes[c].Places[k]
	name := place.Tensor
	x := p.sus.arrays[name]
	masks := make([][]bool, len(x.dims))
	own := p.ref.owners[name][place.Axis]
	layer := own.of(c, k, place.position(0, 0))
	unknown := -1
	for axis := range x.dims {
		skip := -1
		if axis == place.Axis {
			skip = layer
		}
		if !p.anyKnown(name, axis, skip) {
			if unknown >= 0 {
				return View{}, false, false // two unknown axes at once: there are no such tensors that matter
			}
			unknown = axis // as it is
		}
	}
	if unknown >= 0 && !profiled {
		return View{}, false, true
	}
	for axis := range x.dims {
		switch {
		case axis == unknown:
		case axis != place.Axis:
			x, masks[axis] = p.toReference(x, name, axis, -1)
		case len(own) > 1: // what crosses this class
			x, masks[axis] = p.toReference(x, name, axis, layer)
		}
	}
	v = View{Name: viewName(place), Role: place.Role, Acts: place.Acts}
	ref := masked(p.ref.arrays[name], masks)
	var like *array
	if a := p.imitated[name]; a != nil {
		like = masked(a, masks)
	}
	if unknown >= 0 {
		if parity(p.classes[c].Factors, place.Acts) != 0 {
			v.Acts = nil // profiles of magnitudes have no sign
		}
		folded := len(v.Acts) != len(place.Acts) || p.flipping(name, unknown)
		// Dummies of the unknown axis leave the two sides with other numbers of values.
		most := min(unordereds(ref, place, unknown), unordereds(x, &p.suspects[c].Places[k], unknown))
		v.Ref, v.Dim = profiles(ref, place, p.classes[c].Size, unknown, most, folded)
		v.Sus, _ = profiles(x, &p.suspects[c].Places[k], p.suspects[c].Size, unknown, most, folded)
		if like != nil {
			v.imitated, _ = profiles(like, place, p.classes[c].Size, unknown, most, folded)
		}
		return v, v.Dim > 0, false
	}
	v.Ref, v.Dim = neurons(ref, place, p.classes[c].Size)
	v.Sus, _ = neurons(x, &p.suspects[c].Places[k], p.suspects[c].Size)
	if like != nil {
		v.imitated, _ = neurons(like, place, p.classes[c].Size)
	}
	return v, v.Dim > 0, false
}

// anyKnown reports whether anything of an axis is known, in every layer but skip.
func (p *pair) anyKnown(name string, axis, skip int) bool {
	for k, layer := range p.ref.owners[name][axis] {
		if k != skip && !slices.ContainsFunc(layer, func(o owner) bool {
			if o.class < 0 {
				return true
			}
			st := &p.state[o.class]
			return st.soft != nil || st.of != nil && st.of[o.neuron] >= 0
		}) {
			return false
		}
	}
	return true
}

func viewName(p *Place) string { return fmt.Sprintf("%s[%d]", p.Tensor, p.Axis) }

// flipping reports whether signs can flip along an axis.
func (p *pair) flipping(name string, axis int) bool {
	for _, layer := range p.ref.owners[name][axis] {
		if slices.ContainsFunc(layer, func(o owner) bool {
			return o.class >= 0 && parity(p.classes[o.class].Factors, p.classes[o.class].Places[o.place].Acts) != 0
		}) {
			return true
		}
	}
	return false
}

// masked returns a with zeros where a mask says that nothing is known.
func masked(a *array, masks [][]bool) *array {
	copied := false
	for axis, mask := range masks {
		if mask == nil || !slices.Contains(mask, false) {
			continue
		}
		if !copied {
			a, copied = a.clone(), true
		}
		outer, inner := a.split(axis)
		for at, ok := range mask {
			if ok {
				continue
			}
			for o := range outer {
				clear(a.data[(o*len(mask)+at)*inner:][:inner])
			}
		}
	}
	return a
}

// neurons returns the numbers of each neuron at a place as rows: those of a itself,
// where they lie so.
func neurons(a *array, place *Place, size int) (rows []float32, dim int) {
	outer, inner := a.split(place.Axis)
	run := max(1, place.Run)
	dim = outer * inner * run
	n := a.dims[place.Axis]
	if outer == 1 && place.At == nil && place.Stride <= 1 {
		return a.data[: size*dim : size*dim], dim
	}
	rows = make([]float32, 0, size*dim)
	for i := range size {
		for k := range run {
			at := place.position(i, k)
			for o := range outer {
				rows = append(rows, a.data[(o*n+at)*inner:][:inner]...)
			}
		}
	}
	return rows, dim
}

// profiles describes each neuron by what does not depend on the order of one axis:
// for each position on the other axes, the quantiles of the numbers along that
// axis. If that is the neuron's own axis, it is the order of its run that is not
// known. Columns are standardized within the network: what all neurons have in
// common is gone, and so is a common change of size. There are at most 9 quantiles, and
// not more than most, which is the same for what is compared.
func profiles(a *array, place *Place, size, unknown, most int, folded bool) (rows []float32, dim int) {
	_, stride := a.split(place.Axis)
	var along []int // offsets of what is in no known order
	rest := []int{0}
	if unknown == place.Axis {
		for k := range max(1, place.Run) {
			along = append(along, (place.position(0, k)-place.position(0, 0))*stride)
		}
	} else {
		_, step := a.split(unknown)
		for k := range a.dims[unknown] {
			along = append(along, k*step)
		}
		rest = rest[:0]
		for k := range max(1, place.Run) {
			rest = append(rest, (place.position(0, k)-place.position(0, 0))*stride)
		}
	}
	n := len(along)
	quantiles := min(9, most)
	s := 1
	for axis, d := range slices.Backward(a.dims) {
		if axis != unknown && axis != place.Axis {
			var more []int
			for _, r := range rest {
				for k := range d {
					more = append(more, r+k*s)
				}
			}
			rest = more
		}
		s *= d
	}
	dim = quantiles * len(rest)
	rows = make([]float32, size*dim)
	col, spare := make([]uint32, n), make([]uint32, n)
	for i := range size {
		at := rows[i*dim:][:0]
		base := place.position(i, 0) * stride
		for _, r := range rest {
			for j, o := range along {
				x := a.data[base+r+o]
				if folded {
					x = max(x, -x)
				}
				col[j] = ordered(x)
			}
			sort32(col, spare)
			for q := range quantiles {
				at = append(at, unordered(col[quantileAt(q, quantiles, n)]))
			}
		}
	}
	for c := range dim { // standardize
		var sum, sq float64
		for i := range size {
			sum += float64(rows[i*dim+c])
		}
		mean := sum / float64(size)
		for i := range size {
			d := float64(rows[i*dim+c]) - mean
			sq += d * d
		}
		inv := 0.0
		if sq > 0 {
			inv = 1 / math.Sqrt(sq/float64(size))
		}
		for i := range size {
			rows[i*dim+c] = float32((float64(rows[i*dim+c]) - mean) * inv)
		}
	}
	return rows, dim
}

// unordereds is how many numbers of a neuron stand in no known order, at each of those that
// are known.
func unordereds(a *array, place *Place, unknown int) int {
	if unknown == place.Axis {
		return max(1, place.Run)
	}
	return a.dims[unknown]
}

// quantileAt returns the place of the q-th of count evenly spread quantiles among n
// sorted numbers.
func quantileAt(q, count, n int) int {
	if count == 1 {
		return n / 2
	}
	return q * (n - 1) / (count - 1)
}
