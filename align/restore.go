package align

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Element returns what brings the suspect into the order, and the gauge, of the
// reference: neuron Sus[i] comes to place i, and its factors are taken back. Whole
// tensors are taken to be in their places already ([NetworkResult.Exchanged]). Every
// class has to be matched one to one, with as many neurons on either side; errors
// are [ErrInput].
func (r *NetworkResult) Element() (symmetry.Element, error) {
	e := symmetry.Element{}
	for k := range r.Classes {
		c := &r.Classes[k]
		if !c.complete() {
			return nil, fmt.Errorf("%w: class %s is not matched one to one: %d and %d neurons, of which %d have a partner",
				ErrInput, c.Name, len(c.Sus), len(c.Ref), c.matched())
		}
		m := &symmetry.Move{Order: slices.Clone(c.Sus)}
		for _, scale := range c.Scale {
			f := make([]float64, len(scale))
			for i, x := range scale {
				f[c.Sus[i]] = 1 / x
			}
			m.Factors = append(m.Factors, f)
		}
		e[c.Name] = m
	}
	return e, nil
}

// complete reports whether each neuron of either side has a partner of its own.
func (r *Result) complete() bool {
	return len(r.Sus) == len(r.Ref) && r.matched() == len(r.Sus)
}

// matched returns how many neurons have a partner of their own.
func (m *Matching) matched() int {
	n := 0
	for i, j := range m.Sus {
		if j >= 0 && m.Ref[j] == i {
			n++
		}
	}
	return n
}

// Restore returns the suspect's tensors with its neurons in the order of the
// reference, and what they were multiplied by taken back. Nothing is computed before
// it is read; set has to stay open as long as the result is used. spec is that of
// the reference.
//
// Where all neurons have partners, tensors keep their shapes, what was only moved
// keeps its bits, whatever its type, and what is multiplied is rounded once (see
// [symmetry.Apply]). Where the suspect has other numbers of neurons, tensors get
// the reference's shapes: neurons that are gone are zeros, which is what a network
// without them computes with; those that were added are left out, after what
// r.Added says about splits was put together again. One such tensor is held in
// memory at a time.
func Restore(spec *symmetry.Spec, set *tensor.Set, r *NetworkResult) (*tensor.Set, error) {
	set, err := forgetfully(set)
	if err != nil {
		return nil, err
	}
	if len(r.Exchanged) > 0 {
		own, err := FromSymmetry(spec)
		if err != nil {
			return nil, err
		}
		if len(own.Exchanges) != len(r.Exchanged) {
			return nil, fmt.Errorf("%w: a result of %d exchanges for %d", ErrInput, len(r.Exchanged), len(own.Exchanges))
		}
		if set, err = exchanged(own.Exchanges, r.Exchanged, set); err != nil {
			return nil, err
		}
	}
	square := true
	for k := range r.Classes {
		square = square && r.Classes[k].complete()
	}
	if square {
		e, err := r.Element()
		if err != nil {
			return nil, err
		}
		// A variance that damage has left near zero cannot be made smaller.
		if e, err = spec.Fit(set, e); err != nil {
			return nil, err
		}
		return symmetry.Apply(spec, set, e)
	}
	return restoreShapes(spec, set, r)
}

// restoreShapes is Restore for networks of other sizes.
func restoreShapes(spec *symmetry.Spec, set *tensor.Set, r *NetworkResult) (*tensor.Set, error) {
	ref, err := FromSymmetry(spec)
	if err != nil {
		return nil, err
	}
	sus, err := ref.Resize(set)
	if err != nil {
		return nil, err
	}
	if len(r.Classes) != len(ref.Classes) {
		return nil, fmt.Errorf("%w: a result of %d classes for %d", ErrInput, len(r.Classes), len(ref.Classes))
	}
	re := map[string]*reshaped{}
	var names []string
	cache := &sourceCache{}
	for c := range ref.Classes {
		a, b, x := &ref.Classes[c], &sus.Classes[c], &r.Classes[c]
		if x.Name != a.Name || len(x.Sus) != a.Size || len(x.Ref) != b.Size {
			return nil, fmt.Errorf("%w: class %s of %d and %d neurons, for %s of %d and %d", ErrInput, x.Name, len(x.Sus), len(x.Ref), a.Name, a.Size, b.Size)
		}
		for k := range a.Places {
			p := &a.Places[k]
			t := re[p.Tensor]
			if t == nil {
				old := set.Lookup(p.Tensor)
				if old.DType.Bits()%8 != 0 {
					return nil, fmt.Errorf("%w: tensor %s of type %s cannot be given another shape", ErrInput, p.Tensor, old.DType)
				}
				t = &reshaped{old: old, cache: cache, shape: slices.Clone(old.Shape), axes: make([]axisSources, len(old.Shape))}
				re[p.Tensor] = t
				names = append(names, p.Tensor)
			}
			if err := t.add(a, b, k, x); err != nil {
				return nil, err
			}
		}
	}
	var changed []*tensor.Tensor
	for _, name := range names {
		t := re[name]
		for k := range t.axes {
			if t.axes[k].weight != nil && !t.old.DType.Numeric() {
				return nil, fmt.Errorf("%w: tensor %s is to be multiplied, but holds %s", ErrInput, name, t.old.DType)
			}
		}
		size, err := t.shape.Size(t.old.DType)
		if err != nil {
			return nil, err
		}
		t.size = size
		changed = append(changed, &tensor.Tensor{Name: name, DType: t.old.DType, Shape: t.shape, Data: t})
	}
	return tensor.Overlay(set, changed...)
}

// axisSources say which positions of the suspect's axis go into each of the
// reference's: those of from, each times its weight; nil weights are all 1. An
// axis that stays has no from.
type axisSources struct {
	from   [][]int
	weight [][]float64
}

// A reshaped is a tensor with the reference's shape.
type reshaped struct {
	old   *tensor.Tensor
	shape tensor.Shape
	axes  []axisSources
	// epsilon is what factors multiply together with the numbers; see [Place].
	epsilon float64
	size    int64
	cache   *sourceCache
}

// sourceCache keeps the one tensor that was made last.
type sourceCache struct {
	mu   sync.Mutex
	of   *reshaped
	data []byte
}

// add enters place k of a class: a in the reference, b in the suspect.
func (t *reshaped) add(a, b *Class, k int, x *ClassResult) error {
	p, q := &a.Places[k], &b.Places[k]
	t.epsilon = p.Epsilon
	g := &t.axes[p.Axis]
	length := int(t.old.Shape[p.Axis])
	if g.from == nil {
		n := length
		if a.Size != b.Size { // the class has the axis to itself, or Resize refused it
			n = a.Size * max(1, p.Run)
			if length != b.Size*max(1, p.Run) {
				return fmt.Errorf("%w: axis %d of tensor %s belongs to more than class %s, which changes its size", ErrInput, p.Axis, p.Tensor, a.Name)
			}
		}
		g.from = make([][]int, n)
		for at := range g.from {
			if at < length {
				g.from[at] = []int{at}
			}
		}
		t.shape[p.Axis] = int64(n)
	} else if a.Size != b.Size {
		return fmt.Errorf("%w: two classes are on axis %d of tensor %s, and class %s changes its size", ErrInput, p.Axis, p.Tensor, a.Name)
	}
	old := slices.Clone(g.from)
	var was [][]float64
	if g.weight != nil {
		was = slices.Clone(g.weight)
	}
	merge := map[int][]Merge{}
	for _, m := range x.Merged {
		merge[m.Into] = append(merge[m.Into], m)
	}
	for i, j := range x.Sus {
		w := 1.0
		for _, act := range p.Acts {
			if x.Scale == nil {
				break
			}
			s := 1 / x.Scale[act.Factor][i]
			w *= math.Pow(math.Abs(s), float64(act.Power))
			if act.Odd && s < 0 {
				w = -w
			}
		}
		for n := range max(1, p.Run) {
			at := p.position(i, n)
			if j < 0 {
				g.from[at] = nil
				continue
			}
			src := q.position(j, n)
			if a.Size == b.Size {
				g.from[at] = old[src]
				if was != nil {
					g.weight[at] = was[src]
				}
			} else {
				g.from[at] = []int{src}
			}
			if p.Role == Outgoing {
				for _, m := range merge[j] {
					g.scale(at, 1)
					g.from[at] = append(slices.Clone(g.from[at]), q.position(m.Neuron, n))
					g.weight[at] = append(slices.Clone(g.weight[at]), m.Weight)
				}
			}
			if w != 1 {
				g.scale(at, w)
			}
		}
	}
	return nil
}

// scale multiplies what goes into a position.
func (g *axisSources) scale(at int, w float64) {
	if g.weight == nil {
		g.weight = make([][]float64, len(g.from))
		for k := range g.from {
			g.weight[k] = slices.Repeat([]float64{1}, len(g.from[k]))
		}
	}
	if len(g.weight[at]) != len(g.from[at]) { // nothing was said of it yet
		g.weight[at] = slices.Repeat([]float64{1}, len(g.from[at]))
	}
	g.weight[at] = slices.Clone(g.weight[at])
	for k := range g.weight[at] {
		g.weight[at][k] *= w
	}
}

// Size returns the number of bytes.
func (t *reshaped) Size() int64 { return t.size }

// ReadAt implements [io.ReaderAt].
func (t *reshaped) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= t.size {
		return 0, io.EOF
	}
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	if t.cache.of != t {
		data, err := t.make()
		if err != nil {
			return 0, err
		}
		t.cache.of, t.cache.data = t, data
	}
	n := copy(p, t.cache.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// make computes the tensor, axis by axis.
func (t *reshaped) make() ([]byte, error) {
	data, err := t.old.Bytes()
	if err != nil {
		return nil, err
	}
	width := t.old.DType.Bits() / 8
	weighted := slices.ContainsFunc(t.axes, func(g axisSources) bool { return g.weight != nil })
	var values []float32
	if weighted {
		values = t.old.DType.AppendFloat32s(nil, data)
	}
	shape := slices.Clone(t.old.Shape)
	for k, g := range t.axes {
		if g.from == nil {
			continue
		}
		outer, inner := 1, 1
		for _, d := range shape[:k] {
			outer *= int(d)
		}
		for _, d := range shape[k+1:] {
			inner *= int(d)
		}
		n := int(shape[k])
		if weighted {
			values = mixed(values, outer, n, inner, &g, t.epsilon)
		} else {
			data = moved(data, outer, n, inner*width, &g)
		}
		shape[k] = int64(len(g.from))
	}
	if weighted {
		data = t.old.DType.AppendFloats(nil, values)
	}
	return data, nil
}

// moved copies (outer, n, inner) bytes.
func moved(data []byte, outer, n, inner int, g *axisSources) []byte {
	out := make([]byte, outer*len(g.from)*inner)
	for o := range outer {
		for at, from := range g.from {
			if len(from) > 0 {
				copy(out[(o*len(g.from)+at)*inner:][:inner], data[(o*n+from[0])*inner:])
			}
		}
	}
	return out
}

// mixed adds up (outer, n, inner) numbers, each multiplied together with epsilon.
func mixed(x []float32, outer, n, inner int, g *axisSources, epsilon float64) []float32 {
	out := make([]float32, outer*len(g.from)*inner)
	for o := range outer {
		for at, from := range g.from {
			dst := out[(o*len(g.from)+at)*inner:][:inner]
			for k, f := range from {
				w := 1.0
				if g.weight != nil && len(g.weight[at]) > k {
					w = g.weight[at][k]
				}
				src := x[(o*n+f)*inner:][:inner]
				for c, v := range src {
					dst[c] += float32(w*float64(v) + (w-1)*epsilon)
				}
			}
		}
	}
	return out
}
