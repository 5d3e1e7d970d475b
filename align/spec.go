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
	Classes   []Class
	Exchanges []Exchange // of whole tensors
}

// A Class is a set of neurons that can be put in any order, and the places where
// each of them appears. Classes are best listed from the network's input to its
// output: a cold start goes through them in this order first.
type Class struct {
	Name    string
	Size    int     // neurons
	Factors []Gauge // of each neuron; at most 64 that flip signs
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
	// Epsilon, not negative, is that of the batch norm whose running variance this is: it
	// is the variance and Epsilon together that factors multiply. 0 elsewhere. All
	// places in a tensor have the same.
	Epsilon float64
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

// layers say who owns the positions of one axis. There is one layer, unless classes
// cross there: a position in the fifth of some blocks, which can be exchanged, and
// third in its block, where places can be exchanged in all blocks alike, belongs to
// two neurons, one in each layer. Moves of different layers commute.
type layers [][]owner

// fixed counts the positions of a layer that never move.
func (l layers) fixed(layer int) int {
	n := 0
	for _, o := range l[layer] {
		if o.class < 0 {
			n++
		}
	}
	return n
}

// free reports whether no neuron is on the axis.
func (l layers) free() bool {
	for k := range l {
		if l.fixed(k) < len(l[k]) {
			return false
		}
	}
	return true
}

// clash returns a position where layers do not commute, or -1: where the blocks that
// one moves are not alike in the other. Blocks are alike if the same neurons of the other
// layer are at the same positions of each, and either at the same locations (places of
// their class, and numbers there) or each block at locations of its own, as heads that
// share keys have: the second of each is one neuron, with as many places as there are keys.
func (l layers) clash(classes []Class) int {
	type spot struct{ class, place, k int }
	type location struct{ place, k int }
	type turn struct {
		spot  // class and place of the block, and its neuron
		class int
		was   location
	}
	type holder struct {
		class, place int // of blocks
		other        int
		at           location
	}
	for a := range l {
		for b := range l {
			if a == b {
				continue
			}
			first := map[spot]owner{}     // what the first block has
			turned := map[turn]location{} // where others have the same neurons
			in := map[holder]int{}        // the block that a location is in
			own := map[[2]int]bool{}      // blocks with locations of their own
			shared := map[[2]int]int{}    // where blocks share a location
			for at, o := range l[a] {
				if o.class < 0 {
					continue
				}
				x := l[b][at]
				if x.class < 0 {
					x = owner{class: -1}
				}
				was, ok := first[spot{o.class, o.place, o.k}]
				if !ok {
					was = x
					first[spot{o.class, o.place, o.k}] = x
				}
				if was.class != x.class || was.neuron != x.neuron {
					return at
				}
				if x.class < 0 {
					continue
				}
				from, to := location{was.place, was.k}, location{x.place, x.k}
				t := turn{spot{o.class, o.place, o.neuron}, x.class, from}
				if old, ok := turned[t]; ok && old != to || !slices.Equal(classes[x.class].Places[was.place].Acts, classes[x.class].Places[x.place].Acts) {
					return at
				}
				turned[t] = to
				blocks := [2]int{o.class, o.place}
				own[blocks] = own[blocks] || from != to
				h := holder{o.class, o.place, x.class, to}
				if n, ok := in[h]; ok && n != o.neuron {
					shared[blocks] = at
				}
				in[h] = o.neuron
			}
			for blocks, at := range shared {
				if own[blocks] {
					return at
				}
			}
		}
	}
	return -1
}

// of returns the layer that a place of class c is in.
func (l layers) of(c, place, at int) int {
	return slices.IndexFunc(l, func(layer []owner) bool { return layer[at].class == c && layer[at].place == place })
}

// A side is one network, ready for matching.
type side struct {
	arrays map[string]*array
	owners map[string][]layers // by tensor and axis
}

// maxElements bounds a tensor that is read whole.
const maxElements = 1 << 31

// load reads the tensors that the specification names, and checks it against them.
func load(n Network, which string) (*side, error) { return loadBy(read, n, which) }

// outline is load without the numbers.
func outline(n Network, which string) (*side, error) { return loadBy(shapeOnly, n, which) }

func loadBy(read arrayReader, n Network, which string) (*side, error) {
	s := &side{arrays: map[string]*array{}, owners: map[string][]layers{}}
	err := s.claims(func(name string) (*array, error) { return read(n.Set, name) }, n.Spec, which)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// claims enters the places of all classes.
func (s *side) claims(read func(name string) (*array, error), spec *Spec, which string) error {
	if spec == nil || len(spec.Classes) == 0 {
		return fmt.Errorf("%w: the %s has no classes of neurons to match", ErrInput, which)
	}
	for c := range spec.Classes {
		class := &spec.Classes[c]
		if class.Size < 1 || class.Size > maxNeurons {
			return fmt.Errorf("%w: %s, class %s has %d neurons, want 1 to %d", ErrInput, which, class.Name, class.Size, maxNeurons)
		}
		for p := range class.Places {
			if err := s.claim(read, class, c, p); err != nil {
				return fmt.Errorf("%s, class %s: %w", which, class.Name, err)
			}
		}
	}
	for name, axes := range s.owners {
		for k, axis := range axes {
			if at := axis.clash(spec.Classes); at >= 0 {
				return fmt.Errorf("%w: %s: position %d of axis %d of tensor %s belongs to two neurons, which cannot move one without the other",
					ErrInput, which, at, k, name)
			}
		}
	}
	s.number()
	return nil
}

// number numbers what does not move.
func (s *side) number() {
	for _, axes := range s.owners {
		for _, axis := range axes {
			for _, layer := range axis {
				fixed := 0
				for k := range layer {
					if layer[k].class < 0 {
						layer[k].neuron = fixed
						fixed++
					}
				}
			}
		}
	}
}

// claim enters the positions of one place.
func (s *side) claim(read func(name string) (*array, error), class *Class, c, p int) error {
	place := &class.Places[p]
	a := s.arrays[place.Tensor]
	if a == nil {
		var err error
		if a, err = read(place.Tensor); err != nil {
			return err
		}
		if place.Epsilon > 0 {
			for k := range a.data {
				a.data[k] += float32(place.Epsilon)
			}
		}
		s.arrays[place.Tensor] = a
	}
	if s.owners[place.Tensor] == nil {
		axes := make([]layers, len(a.dims))
		for k, d := range a.dims {
			axes[k] = layers{nobody(d)}
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
	layer := 0
	for i := range class.Size {
		for k := range max(1, place.Run) {
			at := place.position(i, k)
			if at < 0 || at >= len(axis[0]) {
				return fmt.Errorf("%w: neuron %d is at %d of axis %d of tensor %s, which has %d", ErrInput, i, at, place.Axis, place.Tensor, len(axis[0]))
			}
			for layer < len(axis) && axis[layer][at].class >= 0 {
				if axis[layer][at].class == c {
					return fmt.Errorf("%w: position %d of axis %d of tensor %s belongs to two neurons of a class", ErrInput, at, place.Axis, place.Tensor)
				}
				layer++
			}
		}
	}
	if layer > maxLayers {
		return fmt.Errorf("%w: positions of axis %d of tensor %s belong to %d neurons, want at most %d", ErrInput, place.Axis, place.Tensor, layer+1, maxLayers+1)
	}
	if layer == len(axis) {
		axis = append(axis, nobody(len(axis[0])))
		s.owners[place.Tensor][place.Axis] = axis
	}
	for i := range class.Size {
		for k := range max(1, place.Run) {
			at := place.position(i, k)
			if axis[layer][at].class >= 0 {
				return fmt.Errorf("%w: position %d of axis %d of tensor %s belongs to two neurons of a class", ErrInput, at, place.Axis, place.Tensor)
			}
			axis[layer][at] = owner{c, p, i, k}
		}
	}
	return nil
}

// maxLayers bounds how many classes cross; heads, and what is in them, are two.
const maxLayers = 3

// nobody returns an axis that no neuron is on.
func nobody(n int) []owner {
	layer := make([]owner, n)
	for i := range layer {
		layer[i].class = -1
	}
	return layer
}

// An arrayReader makes an array of a tensor.
type arrayReader func(set *tensor.Set, name string) (*array, error)

// shapeOnly makes an array that has no numbers.
func shapeOnly(set *tensor.Set, name string) (*array, error) {
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
	a := &array{}
	for _, d := range t.Shape {
		a.dims = append(a.dims, int(d))
	}
	return a, nil
}

func read(set *tensor.Set, name string) (*array, error) {
	a, err := shapeOnly(set, name)
	if err != nil {
		return nil, err
	}
	if a.data, err = set.Lookup(name).Float32s(); err != nil {
		return nil, err
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
				f, g := r.owners[name][k], s.owners[name][k]
				switch {
				case len(f) != len(g):
					note("axis %d of tensor %s belongs to %d and to %d classes at once", k, name, len(f), len(g))
				case len(f) > 1 && x.dims[k] != y.dims[k]:
					note("tensor %s has %d and %d positions on axis %d, where classes cross: only equal numbers can be matched there", name, x.dims[k], y.dims[k], k)
				default:
					for l := range f {
						if m, n := f.fixed(l), g.fixed(l); m != n {
							note("tensor %s has %d and %d positions on axis %d that belong to no neuron", name, m, n, k)
						}
					}
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

func sortedNames(m map[string]*array) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
