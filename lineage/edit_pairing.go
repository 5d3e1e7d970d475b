package lineage

import (
	"context"
	"fmt"
	"math"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A pairing reads two networks side by side: the numbers of the reference, and those of the
// suspect in the same order, with factors taken back. It does what [align.Restore] does, but
// in float64 and without an end at variances that would become negative, and knows of each
// number where it is in the suspect's file.
type pairing struct {
	ctx      context.Context // when it is over, nobody waits for an answer
	spec     *symmetry.Spec
	ref, sus *tensor.Set
	match    *align.NetworkResult
	classes  []pairedGroup
	axes     map[string][]axis
	source   map[string]string // of tensors that exchanged places: the suspect's name
	epsilon  map[string]float64
	// restored is what numbers are read from if neurons were added or removed; nil if each
	// has its partner, and numbers are read from sus.
	restored *tensor.Set
}

// A pairedGroup is a group with what is known of its neurons.
type pairedGroup struct {
	*symmetry.Group
	result *align.ClassResult
	merged map[int]bool // reference neurons that were put together
}

// An axis says who is where on one axis of a tensor of the reference.
type axis struct {
	own   []int     // position in the suspect's file, -1 for none; nil: the same
	gain  []float64 // what the suspect's numbers were multiplied by; nil: 1
	fuzzy []bool    // positions that are sums of several; nil: none
	seats [][]seat  // who owns each position
}

// A seat is a place of a neuron.
type seat struct{ class, place, neuron int }

// newPairing makes the pairing of a match.
func newPairing(ctx context.Context, spec *symmetry.Spec, ref, sus *tensor.Set, match *align.NetworkResult) (*pairing, error) {
	p := &pairing{ctx: ctx, spec: spec, ref: ref, sus: sus, match: match, axes: map[string][]axis{}, source: map[string]string{}, epsilon: map[string]float64{}}
	results := map[string]*align.ClassResult{}
	for k := range match.Classes {
		results[match.Classes[k].Name] = &match.Classes[k]
	}
	exchanged := map[string]*align.ClassResult{}
	for k := range match.Exchanged {
		exchanged[match.Exchanged[k].Name] = &match.Exchanged[k]
	}
	square := true
	for i := range spec.Groups {
		g := &spec.Groups[i]
		if r := exchanged[g.Name]; r != nil {
			if err := p.exchange(g, r); err != nil {
				return nil, err
			}
			continue
		}
		r := results[g.Name]
		if r == nil || len(r.Sus) != g.Size {
			return nil, fmt.Errorf("%w: the match says nothing of the %d neurons of group %s", align.ErrInput, g.Size, g.Name)
		}
		if len(r.Scale) != 0 && len(r.Scale) != len(g.Factors) {
			return nil, fmt.Errorf("%w: the match has %d factors of group %s, want %d", align.ErrInput, len(r.Scale), g.Name, len(g.Factors))
		}
		c := pairedGroup{Group: g, result: r, merged: map[int]bool{}}
		for _, m := range r.Merged {
			if m.Into >= 0 && m.Into < len(r.Ref) && r.Ref[m.Into] >= 0 {
				c.merged[r.Ref[m.Into]] = true
			}
		}
		p.classes = append(p.classes, c)
		square = square && oneToOne(r)
	}
	if !square {
		var err error
		if p.restored, err = align.Restore(spec, sus, match); err != nil {
			return nil, err
		}
	}
	for c := range p.classes {
		for k := range p.classes[c].Places {
			if err := p.enter(c, k); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// oneToOne reports whether each neuron of either side has a partner of its own.
func oneToOne(r *align.ClassResult) bool {
	if len(r.Sus) != len(r.Ref) {
		return false
	}
	for i, j := range r.Sus {
		if j < 0 || j >= len(r.Ref) || r.Ref[j] != i {
			return false
		}
	}
	return true
}

// exchange enters whole tensors that have exchanged places, and their places on axes.
func (p *pairing) exchange(g *symmetry.Group, r *align.ClassResult) error {
	if len(r.Sus) != g.Size {
		return fmt.Errorf("%w: the match says nothing of the %d neurons of group %s", align.ErrInput, g.Size, g.Name)
	}
	c := pairedGroup{Group: g, result: r}
	if oneToOne(r) {
		for k := range g.Places {
			for n, name := range g.Places[k].Tensors {
				p.source[name] = g.Places[k].Tensors[r.Sus[n]]
			}
		}
	} else { // they stay, as Restore has it
		stay := &align.ClassResult{Name: r.Name}
		for n := range g.Size {
			stay.Sus, stay.Ref = append(stay.Sus, n), append(stay.Ref, n)
		}
		c.result = stay
	}
	p.classes = append(p.classes, c)
	return nil
}

// enter adds a place to the axis that it is on.
func (p *pairing) enter(c, k int) error {
	x, place := &p.classes[c], &p.classes[c].Places[k]
	if place.Tensors != nil {
		return nil
	}
	t := p.ref.Lookup(place.Tensor)
	if t == nil || place.Axis >= len(t.Shape) {
		return fmt.Errorf("%w: group %s is on axis %d of tensor %s, which the reference does not have", align.ErrInput, x.Name, place.Axis, place.Tensor)
	}
	if p.axes[place.Tensor] == nil {
		p.axes[place.Tensor] = make([]axis, len(t.Shape))
	}
	if place.Epsilon > 0 {
		p.epsilon[place.Tensor] = place.Epsilon
	}
	a := &p.axes[place.Tensor][place.Axis]
	n := int(t.Shape[place.Axis])
	if a.own == nil {
		a.own, a.gain, a.seats = make([]int, n), make([]float64, n), make([][]seat, n)
		for i := range n {
			a.own[i], a.gain[i] = i, 1
		}
	}
	old := append([]int(nil), a.own...)
	for i, j := range x.result.Sus {
		g := multiplier(place, x.result.Scale, i)
		for r := range place.Run {
			at := place.Position(i, r)
			if at >= n {
				return fmt.Errorf("%w: neuron %d of group %s is at %d of axis %d of tensor %s, which has %d", align.ErrInput, i, x.Name, at, place.Axis, place.Tensor, n)
			}
			a.seats[at] = append(a.seats[at], seat{c, k, i})
			a.gain[at] *= g
			if j < 0 {
				a.own[at] = -1
				continue
			}
			from := place.Position(j, r)
			if len(x.result.Ref) == x.Size && from < n {
				from = old[from]
			}
			a.own[at] = from
			if x.merged[i] && place.Role == symmetry.Outgoing {
				if a.fuzzy == nil {
					a.fuzzy = make([]bool, n)
				}
				a.fuzzy[at] = true
			}
		}
	}
	return nil
}

// multiplier is what numbers at a place were multiplied by, if scale are the factors.
func multiplier(p *symmetry.Place, scale [][]float64, i int) float64 {
	g := 1.0
	for _, a := range p.Acts {
		if a.Factor >= len(scale) {
			continue
		}
		s := scale[a.Factor][i]
		switch m := math.Abs(s); a.Power {
		case 1:
			g *= m
		case 2:
			g *= m * m
		case -1:
			g /= m
		case -2:
			g /= m * m
		}
		if a.Odd && s < 0 {
			g = -g
		}
	}
	return g
}

// sourceOf returns the name of the suspect's tensor that is a tensor of the reference.
func (p *pairing) sourceOf(name string) string {
	if s, ok := p.source[name]; ok {
		return s
	}
	return name
}

// suspect returns the tensor that is read for one of the reference, or nil.
func (p *pairing) suspect(name string) *tensor.Tensor {
	if p.restored != nil {
		return p.restored.Lookup(name) // exchanges are undone there
	}
	return p.sus.Lookup(p.sourceOf(name))
}

// A pairedTensor holds the numbers of one tensor on both sides, row-major in the order of the reference.
type pairedTensor struct {
	name  string
	dims  []int
	x, y  []float64
	dtype tensor.DType // in which both are compared: the suspect's
	gains [][]float64  // by axis, nil: 1
	fuzzy [][]bool     // by axis and position: compared to rounding in any case; nil: not
	axes  []axis       // nil: no neuron is in it
	size  float64      // root of the mean of squares of x
	eps   float64
}

// read returns the numbers of a tensor, nil if they cannot be compared one by one: the suspect
// lacks it, or has it in another shape, or one of them holds no floats.
func (p *pairing) read(name string) (*pairedTensor, error) {
	ref, from := p.ref.Lookup(name), p.suspect(name)
	if ref == nil || from == nil || !ref.DType.Numeric() || !from.DType.Numeric() || !ref.Shape.Equal(from.Shape) {
		return nil, nil
	}
	n := &pairedTensor{name: name, dtype: from.DType, axes: p.axes[name], eps: p.epsilon[name]}
	for _, d := range ref.Shape {
		n.dims = append(n.dims, int(d))
	}
	n.gains, n.fuzzy = make([][]float64, len(n.dims)), make([][]bool, len(n.dims))
	for k := range n.axes {
		n.gains[k], n.fuzzy[k] = n.axes[k].gain, n.axes[k].fuzzy
	}
	var err error
	if n.x, err = float64s(ref); err != nil {
		return nil, err
	}
	y, err := float64s(from)
	if err != nil {
		return nil, err
	}
	if ref.DType != from.DType && from.DType != tensor.F64 {
		n.x = roundTo(from.DType, n.x)
	}
	for _, v := range n.x {
		n.size += v * v / float64(len(n.x))
	}
	n.size = math.Sqrt(n.size)
	n.gather(y, p.restored != nil)
	return n, nil
}

// gather puts the suspect's numbers in the order of the reference, and takes factors back.
func (n *pairedTensor) gather(y []float64, restored bool) {
	if n.axes == nil {
		n.y = y
		return
	}
	n.y = make([]float64, len(n.x))
	n.each(func(k int, index []int) {
		from, g, gone := 0, 1.0, false
		for a, i := range index {
			own := i
			if n.axes[a].own != nil {
				own = n.axes[a].own[i]
				g *= n.axes[a].gain[i]
			}
			gone = gone || own < 0
			if restored {
				own = i
			}
			from = from*n.dims[a] + max(own, 0)
		}
		if gone {
			n.x[k] = 0 // of a neuron that is gone: nothing to compare
			return
		}
		v := y[from]
		switch {
		case g == 1 || restored: // there, factors were taken back
		case n.eps > 0:
			v = (v+n.eps)/g - n.eps
		default:
			v /= g
		}
		n.y[k] = v
	})
}

// each calls f with each number and its index, which f must not keep.
func (n *pairedTensor) each(f func(k int, index []int)) {
	index := make([]int, len(n.dims))
	for k := range n.x {
		f(k, index)
		for a := len(index) - 1; a >= 0; a-- {
			if index[a]++; index[a] < n.dims[a] {
				break
			}
			index[a] = 0
		}
	}
}

// index returns the index of number k.
func (n *pairedTensor) index(k int) []int {
	index := make([]int, len(n.dims))
	for a := len(index) - 1; a >= 0; a-- {
		index[a] = k % n.dims[a]
		k /= n.dims[a]
	}
	return index
}

// own returns the same place in the suspect's file.
func (n *pairedTensor) own(index []int) []int {
	out := append([]int(nil), index...)
	for a := range n.axes {
		if n.axes[a].own != nil && index[a] >= 0 {
			out[a] = n.axes[a].own[index[a]]
		}
	}
	return out
}

// taken returns what was taken back from a number, and whether it is compared to rounding
// whatever that was.
func (n *pairedTensor) taken(index []int) (g float64, fuzzy bool) {
	g = 1
	for a := range n.axes {
		if n.gains[a] != nil {
			g *= n.gains[a][index[a]]
		}
		fuzzy = fuzzy || n.fuzzy[a] != nil && n.fuzzy[a][index[a]]
	}
	return g, fuzzy
}

// differs reports whether the two numbers at k are not the same: bit for bit where nothing
// was multiplied, or by a power of two, and to rounding elsewhere.
func (n *pairedTensor) differs(k int, index []int) bool {
	x, y := n.x[k], n.y[k]
	if x != x || y != y {
		return x == x || y == y
	}
	g, fuzzy := n.taken(index)
	if x == y {
		// -0 for 0 shows only where no sign was turned.
		return x == 0 && g == 1 && !fuzzy && math.Signbit(x) != math.Signbit(y)
	}
	switch {
	case g == 1 && !fuzzy:
		return true
	case powerOfTwo(g) && !fuzzy && n.eps == 0:
		return math.Abs(x-y) > smallest(n.dtype)/math.Abs(g)
	}
	return !n.close(x, y)
}

// rounds is how far two numbers may be apart, as a share, that were multiplied and rounded.
func rounds(d tensor.DType) float64 {
	switch d {
	case tensor.F16:
		return 0x1p-9
	case tensor.BF16:
		return 0x1p-6
	}
	return 0x1p-18
}

// close reports whether y is x but for rounding.
func (n *pairedTensor) close(x, y float64) bool {
	r := rounds(n.dtype)
	return math.Abs(y-x) <= r*math.Abs(x)+r/16*n.size
}

// smallest returns the smallest positive number of a type: below, bits are lost.
func smallest(d tensor.DType) float64 {
	switch d {
	case tensor.F16:
		return 0x1p-24
	case tensor.BF16:
		return 0x1p-133
	case tensor.F32:
		return 0x1p-149
	}
	return math.SmallestNonzeroFloat64
}

// powerOfTwo reports whether multiplying by g rounds nothing.
func powerOfTwo(g float64) bool {
	m, _ := math.Frexp(math.Abs(g))
	return m == 0.5
}

// float64s reads all numbers of a tensor.
func float64s(t *tensor.Tensor) ([]float64, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return appendFloat64s(make([]float64, 0, t.Elems()), t.DType, raw), nil
}

// roundTo returns values as they are in another type.
func roundTo(d tensor.DType, values []float64) []float64 {
	single := make([]float32, len(values))
	for i, v := range values {
		single[i] = float32(v)
	}
	return appendFloat64s(make([]float64, 0, len(values)), d, d.AppendFloats(nil, single))
}

// of reports whether any of the classes is in the tensor.
func (n *pairedTensor) of(classes map[int]bool) bool {
	for a := range n.axes {
		for _, seats := range n.axes[a].seats {
			for _, s := range seats {
				if classes[s.class] {
					return true
				}
			}
		}
	}
	return false
}
