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
}

// A state is what is believed of one class.
type state struct {
	of    []int   // suspect neuron of each reference neuron, -1 for none; nil: nothing known
	flips []uint8 // signs of each reference neuron: bit b for the b-th factor that flips
	// soft is the annealed belief (reference, suspect), or nil; signs are those of
	// flips for each pair.
	soft      []float32
	softFlips []uint8
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
	if !balanced {
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
	out := &side{arrays: map[string]*array{}, owners: s.owners}
	for name, a := range s.arrays {
		out.arrays[name] = a.clone()
	}
	scales := ones(classes)
	for range 8 {
		for c := range classes {
			class := &classes[c]
			if !slices.ContainsFunc(class.Factors, Gauge.scales) {
				continue
			}
			var es []energy
			for p := range class.Places {
				es = append(es, out.energy(class, p))
			}
			step := balance(class.Size, class.Factors, es)
			for f := range step {
				for i, x := range step[f] {
					// What is left of a pruned network may have no balance: two neurons
					// that hang on each other alone would grow without end.
					was := scales[c][f][i]
					scales[c][f][i] = min(max(was*x, 1e-4), 1e4)
					step[f][i] = scales[c][f][i] / was
				}
			}
			out.rescale(class, step)
		}
	}
	return out, scales
}

// energy sums squares over each neuron's numbers at a place.
func (s *side) energy(class *Class, p int) energy {
	place := &class.Places[p]
	a := s.arrays[place.Tensor]
	outer, inner := a.split(place.Axis)
	e := energy{place.Acts, outer * inner * max(1, place.Run), make([]float64, class.Size)}
	n := a.dims[place.Axis]
	for i := range class.Size {
		for k := range max(1, place.Run) {
			at := place.position(i, k)
			for o := range outer {
				for _, x := range a.data[(o*n+at)*inner:][:inner] {
					e.sum[i] += float64(x) * float64(x)
				}
			}
		}
	}
	return e
}

// rescale multiplies the numbers of each neuron, wherever it appears, by what the
// factors s make of them; the signs of s count.
func (s *side) rescale(class *Class, scale [][]float64) {
	for p := range class.Places {
		place := &class.Places[p]
		a := s.arrays[place.Tensor]
		outer, inner := a.split(place.Axis)
		n := a.dims[place.Axis]
		for i := range class.Size {
			g := 1.0
			for _, act := range place.Acts {
				x := scale[act.Factor][i]
				g *= math.Pow(math.Abs(x), float64(act.Power))
				if act.Odd && x < 0 {
					g = -g
				}
			}
			if g == 1 {
				continue
			}
			for k := range max(1, place.Run) {
				at := place.position(i, k)
				for o := range outer {
					row := a.data[(o*n+at)*inner:][:inner]
					for c := range row {
						row[c] *= float32(g)
					}
				}
			}
		}
	}
}

// odd reports whether the given flips change the sign of what is at a place.
func odd(factors []Gauge, acts []Act, flips uint8) bool {
	bits := flips & uint8(parity(factors, acts))
	return (bits^bits>>1)&1 == 1
}

// toReference returns the suspect's tensor with one axis in the reference's order,
// as far as that is known, and which positions of the axis are.
func (p *pair) toReference(x *array, name string, axis int) (*array, []bool) {
	owners := p.ref.owners[name][axis]
	outer, inner := x.split(axis)
	out := &array{dims: slices.Clone(x.dims)}
	n, m := len(owners), x.dims[axis]
	out.dims[axis] = n
	out.data = make([]float32, outer*n*inner)
	known := make([]bool, n)
	var fixed []int // positions of the suspect that never move
	for at, o := range p.sus.owners[name][axis] {
		if o.class < 0 {
			fixed = append(fixed, at)
		}
	}
	add := func(to, from int, w float32) {
		for o := range outer {
			dst, src := out.data[(o*n+to)*inner:][:inner], x.data[(o*m+from)*inner:][:inner]
			for c, v := range src {
				dst[c] += w * v
			}
		}
	}
	for at, o := range owners {
		if o.class < 0 {
			known[at] = true
			add(at, fixed[o.neuron], 1)
			continue
		}
		st := &p.state[o.class]
		place, class := &p.suspects[o.class].Places[o.place], &p.classes[o.class]
		switch {
		case st.soft != nil:
			known[at] = true
			size := p.suspects[o.class].Size
			for j, w := range st.soft[o.neuron*size:][:size] {
				if w < 1e-4 {
					continue
				}
				if odd(class.Factors, place.Acts, st.softFlips[o.neuron*size+j]) {
					w = -w
				}
				add(at, place.position(j, o.k), w)
			}
		case st.of != nil && st.of[o.neuron] >= 0:
			known[at] = true
			w := float32(1)
			if odd(class.Factors, place.Acts, st.flips[o.neuron]) {
				w = -1
			}
			add(at, place.position(st.of[o.neuron], o.k), w)
		}
	}
	return out, known
}

// group makes the views of one class, with all other axes as they are known.
func (p *pair) group(c int) *Group {
	class := &p.classes[c]
	g := &Group{Name: class.Name, Ref: class.Size, Sus: p.suspects[c].Size, Factors: class.Factors}
	for k := range class.Places {
		if v, ok := p.view(c, k); ok {
			g.Views = append(g.Views, v)
		}
	}
	return g
}

// view makes the view of one place. Where an axis is partly known, the rest is
// left out; where nothing of an axis is known, neurons are described by what
// does not depend on its order.
func (p *pair) view(c, k int) (View, bool) {
	place := &p.classes[c].Places[k]
	name := place.Tensor
	x := p.sus.arrays[name]
	masks := make([][]bool, len(x.dims))
	unknown := -1
	for axis := range x.dims {
		if axis == place.Axis {
			continue
		}
		y, known := p.toReference(x, name, axis)
		if !slices.Contains(known, true) {
			if unknown >= 0 {
				return View{}, false // two unknown axes at once: there are no such tensors that matter
			}
			unknown = axis
			continue // as it is
		}
		x, masks[axis] = y, known
	}
	v := View{Name: fmt.Sprintf("%s[%d]", name, place.Axis), Role: place.Role, Acts: place.Acts}
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
		v.Ref, v.Dim = profiles(ref, place, p.classes[c].Size, unknown, folded)
		v.Sus, _ = profiles(x, &p.suspects[c].Places[k], p.suspects[c].Size, unknown, folded)
		if like != nil {
			v.imitated, _ = profiles(like, place, p.classes[c].Size, unknown, folded)
		}
		return v, v.Dim > 0
	}
	v.Ref, v.Dim = neurons(ref, place, p.classes[c].Size)
	v.Sus, _ = neurons(x, &p.suspects[c].Places[k], p.suspects[c].Size)
	if like != nil {
		v.imitated, _ = neurons(like, place, p.classes[c].Size)
	}
	return v, v.Dim > 0
}

// flipping reports whether signs can flip along an axis.
func (p *pair) flipping(name string, axis int) bool {
	return slices.ContainsFunc(p.ref.owners[name][axis], func(o owner) bool {
		return o.class >= 0 && parity(p.classes[o.class].Factors, p.classes[o.class].Places[o.place].Acts) != 0
	})
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

// neurons returns the numbers of each neuron at a place as rows.
func neurons(a *array, place *Place, size int) (rows []float32, dim int) {
	outer, inner := a.split(place.Axis)
	run := max(1, place.Run)
	dim = outer * inner * run
	n := a.dims[place.Axis]
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
// axis. Columns are standardized within the network: what all neurons have in
// common is gone, and so is a common change of size.
func profiles(a *array, place *Place, size, unknown int, folded bool) (rows []float32, dim int) {
	n := a.dims[unknown]
	quantiles := min(9, n)
	_, step := a.split(unknown)
	_, stride := a.split(place.Axis)
	// The other positions: all but the two axes.
	rest := []int{0}
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
	run := max(1, place.Run)
	dim = quantiles * len(rest) * run
	rows = make([]float32, size*dim)
	col := make([]float32, n)
	for i := range size {
		at := rows[i*dim:][:0]
		for k := range run {
			base := place.position(i, k) * stride
			for _, r := range rest {
				for j := range col {
					col[j] = a.data[base+r+j*step]
					if folded {
						col[j] = max(col[j], -col[j])
					}
				}
				slices.Sort(col)
				for q := range quantiles {
					at = append(at, col[quantileAt(q, quantiles, n)])
				}
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

// quantileAt returns the place of the q-th of count evenly spread quantiles among n
// sorted numbers.
func quantileAt(q, count, n int) int {
	if count == 1 {
		return n / 2
	}
	return q * (n - 1) / (count - 1)
}
