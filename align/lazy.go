package align

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A lazyView is a view whose numbers are read when they are needed: the neurons of a
// class at one place, with the suspect's other axes brought into the reference's
// order and gauge.
type lazyView struct {
	name     string
	role     Role
	acts     []Act
	parity   uint64
	dim      int // numbers of a neuron
	ref, sus lazySide
}

// A lazySide is one network's part of a view. Its tensor is (outer, axis, inner); neuron
// i has the inner numbers at run positions of the axis, outer times.
type lazySide struct {
	t                    *tensor.Tensor
	n, run               int // neurons, and positions of each
	outer, axis, inner   int
	at                   []int32 // position by neuron and number of its run
	gain                 []float32
	outerAt, innerAt     []int32 // where the reference's number is; nil: in the same place
	outerGain, innerGain []float32
	raw                  []byte // all of the tensor, where its file cannot lend parts
	read                 *atomic.Int64
	straight             bool // one position each, in order, of gain 1
}

// An axisMap says where each position of an axis comes from in the suspect, and what
// it has to be multiplied by.
type axisMap struct {
	from []int32
	gain []float32
	same bool // each position comes from itself, times 1
}

// axisMap returns that of an axis without the layer skip; all others must be known.
// scales are the factors of the classes, as found so far.
func (p *pair) axisMap(name string, axis, skip int, scales [][][]float64) axisMap {
	n := p.ref.arrays[name].dims[axis]
	m := axisMap{make([]int32, n), make([]float32, n), true}
	for at := range n {
		m.from[at], m.gain[at] = int32(at), 1
	}
	for k, layer := range p.ref.owners[name][axis] {
		if k == skip {
			continue
		}
		from, start, _ := p.movement(name, axis, k)
		was := axisMap{append([]int32(nil), m.from...), append([]float32(nil), m.gain...), false}
		for at, o := range layer {
			f := from[start[at]]
			m.from[at], m.gain[at] = was.from[f.at], was.gain[f.at]
			if o.class >= 0 {
				g := gainOf(p.classes[o.class].Places[o.place].Acts, scales[o.class], o.neuron)
				m.gain[at] *= float32(1 / g)
			}
		}
	}
	for at := range n {
		m.same = m.same && int(m.from[at]) == at && m.gain[at] == 1
	}
	return m
}

// gainOf returns what the factors of neuron i do to its numbers at a place.
func gainOf(acts []Act, scale [][]float64, i int) float64 {
	g := 1.0
	for _, a := range acts {
		x := scale[a.Factor][i]
		g *= math.Pow(math.Abs(x), float64(a.Power))
		if a.Odd && x < 0 {
			g = -g
		}
	}
	return g
}

// product combines the maps of several axes to one of all their positions, the last
// one densest; nil where nothing moves, or nothing is multiplied.
func product(maps []axisMap) ([]int32, []float32) {
	same, n := true, 1
	for _, m := range maps {
		same = same && m.same
		n *= len(m.from)
	}
	if same {
		return nil, nil
	}
	from, gain := []int32{0}, []float32{1}
	for _, m := range maps {
		f, g := make([]int32, 0, n), make([]float32, 0, n)
		for k, base := range from {
			for at, x := range m.from {
				f = append(f, base*int32(len(m.from))+x)
				g = append(g, gain[k]*m.gain[at])
			}
		}
		from, gain = f, g
	}
	if !slices.ContainsFunc(gain, func(g float32) bool { return g != 1 }) {
		gain = nil
	}
	return from, gain
}

// available reports whether the orders of all other axes of a place are known.
func (p *pair) available(c, k int) bool {
	place := &p.classes[c].Places[k]
	own := p.ref.owners[place.Tensor][place.Axis]
	skip := own.of(c, k, place.position(0, 0))
	for axis, ls := range p.ref.owners[place.Tensor] {
		for l, layer := range ls {
			if axis == place.Axis && l == skip {
				continue
			}
			for _, o := range layer {
				if o.class >= 0 && !p.state[o.class].known() {
					return false
				}
			}
		}
	}
	return true
}

// lazyView makes the view of a place that is available.
func (p *pair) lazyView(c, k int, ref, sus *tensor.Set, scales [][][]float64, read *atomic.Int64) *lazyView {
	class, place := &p.classes[c], &p.classes[c].Places[k]
	dims := p.ref.arrays[place.Tensor].dims
	v := &lazyView{name: viewName(place), role: place.Role, acts: place.Acts, parity: parity(class.Factors, place.Acts)}
	own := p.ref.owners[place.Tensor][place.Axis]
	var maps []axisMap
	for axis := range dims {
		skip := -1
		if axis == place.Axis {
			skip = own.of(c, k, place.position(0, 0))
		}
		maps = append(maps, p.axisMap(place.Tensor, axis, skip, scales))
	}
	side := func(t *tensor.Tensor, at *Place) lazySide {
		s := lazySide{t: t, n: class.Size, run: max(1, at.Run), outer: 1, inner: 1, axis: dims[place.Axis], read: read}
		for axis, d := range dims {
			switch {
			case axis < place.Axis:
				s.outer *= d
			case axis > place.Axis:
				s.inner *= d
			}
		}
		s.at, s.gain = make([]int32, s.n*s.run), make([]float32, s.n*s.run)
		return s
	}
	v.ref, v.sus = side(ref.Lookup(place.Tensor), place), side(sus.Lookup(place.Tensor), &p.suspects[c].Places[k])
	for i := range v.ref.n {
		for r := range v.ref.run {
			v.ref.at[i*v.ref.run+r], v.ref.gain[i*v.ref.run+r] = int32(place.position(i, r)), 1
			at := p.suspects[c].Places[k].position(i, r)
			v.sus.at[i*v.ref.run+r], v.sus.gain[i*v.ref.run+r] = maps[place.Axis].from[at], maps[place.Axis].gain[at]
		}
	}
	v.sus.outerAt, v.sus.outerGain = product(maps[:place.Axis])
	v.sus.innerAt, v.sus.innerGain = product(maps[place.Axis+1:])
	for _, s := range []*lazySide{&v.ref, &v.sus} {
		s.straight = s.run == 1
		for i, at := range s.at {
			s.straight = s.straight && int(at) == i && s.gain[i] == 1
		}
	}
	v.dim = v.ref.outer * v.ref.run * v.ref.inner
	return v
}

// rows reports whether the numbers of a neuron lie together, so that it can be read
// alone. Else those of all neurons are read column by column.
func (v *lazyView) rows() bool { return v.ref.outer == 1 }

// open makes sure that the bytes can be had in any order.
func (s *lazySide) open() error {
	if _, ok := lent(s.t.Data, 0, min(1, s.t.Size())); ok {
		return nil
	}
	raw, err := s.t.Bytes()
	if err != nil {
		return fmt.Errorf("tensor %s: %w", s.t.Name, err)
	}
	s.raw = raw
	return nil
}

// close gives back what is not needed now.
func (s *lazySide) close() {
	s.raw = nil
	if part, ok := s.t.Data.(tensor.Section); ok {
		if r, ok := part.Base.(interface{ Release(off, n int64) }); ok {
			r.Release(part.Off, part.Len)
		}
	}
}

func lent(d tensor.Data, off, n int64) ([]byte, bool) {
	if s, ok := d.(tensor.Slicer); ok {
		return s.Slice(off, n)
	}
	return nil, false
}

// A scratch is the memory of one worker.
type scratch struct {
	serial     *kernel.Pool // of one goroutine: for vectors
	x, y, z, w []float32
	values     []float32
}

func newScratch(workers int) []scratch {
	s := make([]scratch, workers)
	for i := range s {
		s[i].serial = kernel.NewPool(1)
	}
	return s
}

func sized(x *[]float32, n int) []float32 {
	if cap(*x) < n {
		*x = make([]float32, n)
	}
	return (*x)[:n]
}

// numbers returns count numbers from place at on, as they are in the tensor. They are
// valid until the next call with the same scratch.
func (s *lazySide) numbers(at, count int, w *scratch) ([]float32, error) {
	x := sized(&w.values, count)
	return x, s.fill(x, at)
}

// fill puts the numbers from place at on into dst.
func (s *lazySide) fill(dst []float32, at int) error {
	width := int64(s.t.DType.Bits() / 8)
	off, n := int64(at)*width, int64(len(dst))*width
	var b []byte
	if s.raw != nil {
		b = s.raw[off : off+n]
	} else {
		var ok bool
		if b, ok = lent(s.t.Data, off, n); !ok {
			return fmt.Errorf("tensor %s: bytes %d to %d cannot be read", s.t.Name, off, off+n)
		}
	}
	s.read.Add(n)
	if s.t.DType == tensor.BF16 { // networks of billions of weights are
		kernel.BFloat16s(dst, b)
	} else {
		s.t.DType.AppendFloat32s(dst[:0], b)
	}
	return nil
}

// row puts the numbers of a neuron into dst.
func (s *lazySide) row(i int, dst []float32, w *scratch) error {
	for r := range s.run {
		k := i*s.run + r
		to := dst[r*s.inner:][:s.inner]
		if s.innerAt == nil {
			if err := s.fill(to, int(s.at[k])*s.inner); err != nil {
				return err
			}
		} else {
			x, err := s.numbers(int(s.at[k])*s.inner, s.inner, w)
			if err != nil {
				return err
			}
			for c, at := range s.innerAt[:len(to)] {
				to[c] = x[at]
			}
			if s.innerGain != nil {
				for c, g := range s.innerGain[:len(to)] {
					to[c] *= g
				}
			}
		}
		if g := s.gain[k]; g != 1 {
			for c := range to {
				to[c] *= g
			}
		}
	}
	return nil
}

// slab returns the numbers of all positions in one of the outer rows of the reference.
func (s *lazySide) slab(o int, w *scratch) ([]float32, float32, error) {
	g := float32(1)
	if s.outerAt != nil {
		if s.outerGain != nil {
			g = s.outerGain[o]
		}
		o = int(s.outerAt[o])
	}
	x, err := s.numbers(o*s.axis*s.inner, s.axis*s.inner, w)
	return x, g, err
}

// column returns one number of each neuron from a slab: number z of those at number r of
// its run. It may be part of the slab.
func (s *lazySide) column(slab []float32, g float32, r, z int, buf []float32) []float32 {
	if s.straight && s.inner == 1 && s.innerAt == nil {
		if g == 1 {
			return slab[:s.n]
		}
		for i, x := range slab[:s.n] {
			buf[i] = x * g
		}
		return buf
	}
	if s.innerAt != nil {
		if s.innerGain != nil {
			g *= s.innerGain[z]
		}
		z = int(s.innerAt[z])
	}
	for i := range s.n {
		k := i*s.run + r
		buf[i] = slab[int(s.at[k])*s.inner+z] * s.gain[k] * g
	}
	return buf
}

// errNotFinite is replaced by an error that names the number.
var errNotFinite = errors.New("a number is not finite")

// notFinite returns an error that names the first number that is not finite.
func (v *lazyView) notFinite(which string, s *lazySide) error {
	const piece = 1 << 16
	var w scratch
	total := s.outer * s.axis * s.inner
	for at := 0; at < total; at += piece {
		x, err := s.numbers(at, min(piece, total-at), &w)
		if err != nil {
			return err
		}
		if i := notFinite(x); i >= 0 {
			return fmt.Errorf("%w: the %s's tensor %s has %v at %d; there is nothing to compare it by", ErrInput, which, s.t.Name, x[i], at+i)
		}
	}
	return fmt.Errorf("%w: numbers of tensor %s of the %s are too large to be squared", ErrInput, s.t.Name, which)
}
