package align

import (
	"fmt"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// A Spec says which axes of which tensors of a network move together. It is what
// this package needs to know of a network's symmetries, and no more.
type Spec struct {
	Classes []Class
}

// A Class is a set of neurons that can be put in any order, and the places where
// each of them appears. Classes are best listed from the network's input to its
// output: a cold start goes through them in this order first.
type Class struct {
	Name    string
	Size    int     // neurons
	Factors []Gauge // of each neuron; at most 2 that flip signs
	Places  []Place
}

// A Place is where a class appears on one axis of one tensor. Neuron i is at the
// Run positions At[i], At[i]+Stride, …; a convolution that is flattened into a
// linear layer has a Run of height × width there.
type Place struct {
	Tensor string
	Axis   int
	At     []int // one for each neuron; nil: neuron i is at i·Run
	Run    int   // 0 means 1
	Stride int   // 0 means 1
	Role   Role
	Acts   []Act // of the class's factors
}

// position returns where number k of neuron i is on the axis.
func (p *Place) position(i, k int) int {
	run, stride := max(1, p.Run), max(1, p.Stride)
	if p.At == nil {
		return i*run + k*stride
	}
	return p.At[i] + k*stride
}

// A Network is a set of weights and its symmetries.
type Network struct {
	Set  *tensor.Set
	Spec *Spec
}

// An array is a tensor's values in memory, row-major.
type array struct {
	dims []int
	data []float32
}

func (a *array) clone() *array { return &array{slices.Clone(a.dims), slices.Clone(a.data)} }

// split returns how the axis cuts the array: into outer × dims[axis] × inner.
func (a *array) split(axis int) (outer, inner int) {
	outer, inner = 1, 1
	for k, d := range a.dims {
		switch {
		case k < axis:
			outer *= d
		case k > axis:
			inner *= d
		}
	}
	return outer, inner
}

// owner says what is at a position of an axis: number k of neuron i at a place
// of a class, or, if class is -1, the i-th position that never moves.
type owner struct{ class, place, neuron, k int }

// A side is one network, ready for matching.
type side struct {
	arrays map[string]*array
	owners map[string][][]owner // by tensor and axis
}

// maxElements bounds a tensor that is read whole.
const maxElements = 1 << 31

// load reads the tensors that the specification names, and checks it against them.
func load(n Network, which string) (*side, error) {
	s := &side{arrays: map[string]*array{}, owners: map[string][][]owner{}}
	if n.Spec == nil || len(n.Spec.Classes) == 0 {
		return nil, fmt.Errorf("%w: the %s has no classes of neurons to match", ErrInput, which)
	}
	for c := range n.Spec.Classes {
		class := &n.Spec.Classes[c]
		if class.Size < 1 || class.Size > maxNeurons {
			return nil, fmt.Errorf("%w: %s, class %s has %d neurons, want 1 to %d", ErrInput, which, class.Name, class.Size, maxNeurons)
		}
		for p := range class.Places {
			if err := s.claim(n.Set, class, c, p); err != nil {
				return nil, fmt.Errorf("%s, class %s: %w", which, class.Name, err)
			}
		}
	}
	for _, axes := range s.owners { // number what does not move
		for _, axis := range axes {
			fixed := 0
			for k := range axis {
				if axis[k].class < 0 {
					axis[k].neuron = fixed
					fixed++
				}
			}
		}
	}
	return s, nil
}

// claim enters the positions of one place.
func (s *side) claim(set *tensor.Set, class *Class, c, p int) error {
	place := &class.Places[p]
	a := s.arrays[place.Tensor]
	if a == nil {
		var err error
		if a, err = read(set, place.Tensor); err != nil {
			return err
		}
		s.arrays[place.Tensor] = a
		axes := make([][]owner, len(a.dims))
		for k, d := range a.dims {
			axes[k] = make([]owner, d)
			for i := range axes[k] {
				axes[k][i].class = -1
			}
		}
		s.owners[place.Tensor] = axes
	}
	if place.Axis < 0 || place.Axis >= len(a.dims) {
		return fmt.Errorf("%w: tensor %s has no axis %d", ErrInput, place.Tensor, place.Axis)
	}
	if place.At != nil && len(place.At) != class.Size || place.Run < 0 || place.Stride < 0 || place.Run > maxElements {
		return fmt.Errorf("%w: tensor %s, axis %d: %d positions for %d neurons, run %d, stride %d",
			ErrInput, place.Tensor, place.Axis, len(place.At), class.Size, place.Run, place.Stride)
	}
	if err := checkActs(place.Acts, len(class.Factors)); err != nil {
		return fmt.Errorf("tensor %s: %w", place.Tensor, err)
	}
	axis := s.owners[place.Tensor][place.Axis]
	for i := range class.Size {
		for k := range max(1, place.Run) {
			at := place.position(i, k)
			if at < 0 || at >= len(axis) {
				return fmt.Errorf("%w: neuron %d is at %d of axis %d of tensor %s, which has %d", ErrInput, i, at, place.Axis, place.Tensor, len(axis))
			}
			if axis[at].class >= 0 {
				return fmt.Errorf("%w: position %d of axis %d of tensor %s belongs to two neurons", ErrInput, at, place.Axis, place.Tensor)
			}
			axis[at] = owner{c, p, i, k}
		}
	}
	return nil
}

func read(set *tensor.Set, name string) (*array, error) {
	t := set.Lookup(name)
	if t == nil {
		return nil, fmt.Errorf("%w: there is no tensor %s", ErrInput, name)
	}
	if !t.DType.Numeric() {
		return nil, fmt.Errorf("%w: tensor %s holds %s, not real numbers", ErrInput, name, t.DType)
	}
	if n := t.Elems(); n < 1 || n > maxElements {
		return nil, fmt.Errorf("%w: tensor %s has %d numbers, want 1 to %d", ErrInput, name, n, maxElements)
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	a := &array{data: t.DType.AppendFloat32s(make([]float32, 0, t.Elems()), raw)}
	for _, d := range t.Shape {
		a.dims = append(a.dims, int(d))
	}
	if i := notFinite(a.data); i >= 0 {
		return nil, fmt.Errorf("%w: tensor %s has %v at %d; there is nothing to compare it by", ErrInput, name, a.data[i], i)
	}
	return a, nil
}

// fitTogether checks that two networks can be compared: same classes, same places, and
// the same sizes wherever neurons can't be added or removed. It lists all that
// differs.
func fitTogether(ref, sus *Spec, r, s *side) error {
	var diffs []string
	note := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	if len(ref.Classes) != len(sus.Classes) {
		note("%d and %d classes", len(ref.Classes), len(sus.Classes))
	}
	for c := range min(len(ref.Classes), len(sus.Classes)) {
		a, b := &ref.Classes[c], &sus.Classes[c]
		if a.Name != b.Name || !slices.Equal(a.Factors, b.Factors) || len(a.Places) != len(b.Places) {
			note("class %s %v with %d places, and %s %v with %d", a.Name, a.Factors, len(a.Places), b.Name, b.Factors, len(b.Places))
			continue
		}
		for p := range a.Places {
			x, y := &a.Places[p], &b.Places[p]
			if x.Tensor != y.Tensor || x.Axis != y.Axis || max(1, x.Run) != max(1, y.Run) {
				note("class %s: place %d is axis %d of %s (run %d), and axis %d of %s (run %d)", a.Name, p, x.Axis, x.Tensor, max(1, x.Run), y.Axis, y.Tensor, max(1, y.Run))
			}
		}
	}
	if len(diffs) == 0 {
		for _, name := range sortedNames(r.arrays) {
			x, y := r.arrays[name], s.arrays[name]
			if len(x.dims) != len(y.dims) {
				note("tensor %s has shapes %v and %v", name, x.dims, y.dims)
				continue
			}
			for k := range x.dims {
				if f, g := fixedCount(r.owners[name][k]), fixedCount(s.owners[name][k]); f != g {
					note("tensor %s has %d and %d positions on axis %d that belong to no neuron", name, f, g, k)
				}
			}
		}
	}
	if len(diffs) > 0 {
		const most = 5
		extra := ""
		if len(diffs) > most {
			extra = fmt.Sprintf("; and %d more", len(diffs)-most)
			diffs = diffs[:most]
		}
		return fmt.Errorf("%w: the networks do not fit each other (reference, and suspect): %s%s", ErrInput, strings.Join(diffs, "; "), extra)
	}
	return nil
}

func fixedCount(axis []owner) int {
	n := 0
	for _, o := range axis {
		if o.class < 0 {
			n++
		}
	}
	return n
}

func sortedNames(m map[string]*array) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
