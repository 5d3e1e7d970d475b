package passport

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"ropewalk/align"
	"ropewalk/internal/kernel"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// MakeOptions say what to keep. Nil and the zero value are the default.
type MakeOptions struct {
	Name     string // of the network
	Numbers  int    // sums of a neuron's sketch: 32, 64 or 128; 0 is 128
	Seed     uint64 // of the signs of sketches
	Metadata map[string]string
	Threads  int
	Progress func(bytes int64) // is told how many bytes of tensors are done; nil is not
}

// pieceBytes is how much of a tensor is looked at at a time. It is fixed, so that
// sums do not depend on the number of threads.
const pieceBytes = 1 << 17

// manyNeurons is where a group is large: of such a group sketches are kept at fewPlaces,
// of others at manyPlaces.
const (
	manyNeurons = 1024
	fewPlaces   = 6
	manyPlaces  = 32
)

// Groups of less than fewNeurons keep more sums of each, up to mostTimes as many: they
// need as much evidence for being found at all, and cost less.
const (
	fewNeurons = 256
	mostTimes  = 4
)

// sumsOf returns how many sums a neuron of dim numbers keeps, in a group of n.
func sumsOf(numbers, n, dim int) int { return min(dim, numbers*max(1, min(mostTimes, fewNeurons/n))) }

// Make reads each tensor of a network once. It holds what it keeps, and, at places where
// the numbers of a neuron do not lie together, sums of four bytes for each number it keeps.
// What is signed later is not looked at. n.Files is kept if it is given.
func Make(ctx context.Context, n lineage.Network, o *MakeOptions) (*Passport, error) {
	if o == nil {
		o = &MakeOptions{}
	}
	p := &Passport{Name: o.Name, Metadata: maps.Clone(o.Metadata), Files: maps.Clone(n.Files), Numbers: o.Numbers, Seed: o.Seed, Spec: n.Spec}
	if p.Numbers == 0 {
		p.Numbers = 128
	}
	if p.Spec == nil {
		p.Spec = &symmetry.Spec{}
	}
	if !slices.Contains([]int{32, 64, 128}, p.Numbers) {
		return nil, fmt.Errorf("passport: sketches of %d numbers, want 32, 64 or 128", p.Numbers)
	}
	if n.Set.Len() == 0 {
		return nil, fmt.Errorf("passport: the network has no tensors, and so nothing to keep")
	}
	if err := p.Spec.Fits(n.Set); err != nil {
		return nil, err
	}
	if err := p.survey(ctx, n.Set, o); err != nil {
		return nil, err
	}
	body, err := p.encode()
	if err != nil {
		return nil, err
	}
	p.body = body
	return p, nil
}

// survey fills in tensors and groups.
func (p *Passport) survey(ctx context.Context, set *tensor.Set, o *MakeOptions) error {
	p.Tensors = make([]Tensor, set.Len())
	jobs := make([]surveyor, set.Len())
	for i, t := range set.All() {
		p.Tensors[i] = Tensor{Name: t.Name, DType: t.DType, Shape: slices.Clone(t.Shape)}
		jobs[i] = surveyor{t: t, digest: &p.Tensors[i], seed: p.Seed}
	}
	index := map[string]int{}
	for i := range p.Tensors {
		index[p.Tensors[i].Name] = i
	}
	p.Groups = make([]Group, len(p.Spec.Groups))
	kept := p.chosen()
	for g := range p.Spec.Groups {
		group := &p.Spec.Groups[g]
		p.Groups[g].Places = make([]Place, len(group.Places))
		for k := range group.Places {
			if !kept[[2]int{g, k}] {
				continue
			}
			i := index[group.Places[k].Tensor]
			jobs[i].places = append(jobs[i].places, newAccumulator(group, k, &p.Groups[g].Places[k], p.Tensors[i].Shape, p.Numbers))
		}
	}
	order := make([]int, len(jobs)) // the largest first, so that none is waited for at the end
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return jobs[order[a]].t.Data.Size() > jobs[order[b]].t.Data.Size() })
	pool := kernel.NewPool(o.Threads)
	defer pool.Close()
	errs := make([]error, len(jobs))
	pool.Run(len(jobs), func(_, k int) {
		job := &jobs[order[k]]
		errs[order[k]] = job.run(ctx)
		job.places = nil
		if o.Progress != nil && errs[order[k]] == nil {
			o.Progress(job.t.Data.Size())
		}
	})
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// chosen says at which places sketches are kept: all, but of large groups with many
// places some, those first whose other axes never move, as they tell an order when nothing
// is known, and then some all over the network.
func (p *Passport) chosen() map[[2]int]bool {
	shapes := map[string]*Tensor{}
	for i := range p.Tensors {
		shapes[p.Tensors[i].Name] = &p.Tensors[i]
	}
	type axis struct {
		tensor string
		axis   int
	}
	moving := map[axis]bool{}
	for g := range p.Spec.Groups {
		for k := range p.Spec.Groups[g].Places {
			place := &p.Spec.Groups[g].Places[k]
			for _, name := range place.Names() {
				moving[axis{name, place.Axis}] = true
			}
		}
	}
	out := map[[2]int]bool{}
	for g := range p.Spec.Groups {
		group := &p.Spec.Groups[g]
		var first, rest []int
		for k := range group.Places {
			place := &group.Places[k]
			t := shapes[place.Tensor]
			if place.Tensors != nil || !t.DType.Numeric() || slices.Contains(t.Shape, 0) {
				continue
			}
			if dimOf(t.Shape, place) == 1 {
				out[[2]int{g, k}] = true
				continue
			}
			still := true
			for a := range t.Shape {
				still = still && (a == place.Axis || !moving[axis{place.Tensor, a}])
			}
			if still {
				first = append(first, k)
			} else {
				rest = append(rest, k)
			}
		}
		most := manyPlaces
		if group.Size >= manyNeurons {
			most = fewPlaces
		}
		take := func(list []int, n int) {
			for i := range min(n, len(list)) {
				out[[2]int{g, list[i*len(list)/min(n, len(list))]}] = true
			}
		}
		take(first, most)
		take(rest, most-min(most, len(first)))
	}
	return out
}

// A surveyor reads one tensor.
type surveyor struct {
	t      *tensor.Tensor
	digest *Tensor
	seed   uint64
	places []*accumulator
}

func (s *surveyor) run(ctx context.Context) error {
	d := newDigester(s.digest)
	numeric := s.t.DType.Numeric()
	serial := kernel.NewPool(1)
	defer serial.Close()
	for _, a := range s.places {
		a.begin(s.seed)
	}
	var values []float32
	var buf []byte
	size := s.t.Data.Size()
	at := 0
	for off := int64(0); off < size; off += pieceBytes {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n := min(pieceBytes, size-off)
		raw, err := tensor.ReadRange(s.t.Data, off, n, buf)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", s.t.Name, err)
		}
		if _, lent := s.t.Data.(tensor.Slicer); !lent {
			buf = raw
		}
		values = values[:0]
		if numeric {
			values = s.t.DType.AppendFloat32s(values, raw)
		}
		d.write(raw, values)
		for _, a := range s.places {
			a.add(serial, at, values)
		}
		at += len(values)
	}
	if part, ok := s.t.Data.(tensor.Section); ok {
		if r, ok := part.Base.(interface{ Release(off, n int64) }); ok {
			r.Release(part.Off, part.Len)
		}
	}
	finite := d.finish()
	for _, a := range s.places {
		finite = a.finish(s.seed) && finite
	}
	if !finite {
		return notFinite(s.t)
	}
	return nil
}

// An accumulator makes the sketches of a group at one place.
type accumulator struct {
	place              *symmetry.Place
	out                *Place
	n                  int // neurons
	dim, numbers       int
	outer, axis, inner int

	// What follows is made when the tensor is read.
	owner   []int32 // by position: the neuron, or -1
	run     []int32 // by position: which of its run
	all     bool    // position i is neuron i
	columns bool    // sums are (numbers, neurons), else (neurons, numbers)
	signs   []float32
	sums    []float32
	squares []float64
	recent  []float32 // squares of columns that are not in squares yet
	since   int
	scratch []float32
}

func newAccumulator(g *symmetry.Group, k int, out *Place, shape tensor.Shape, numbers int) *accumulator {
	place := &g.Places[k]
	a := &accumulator{place: place, out: out, n: g.Size, dim: dimOf(shape, place), outer: 1, inner: 1, axis: int(shape[place.Axis])}
	for axis, d := range shape {
		switch {
		case axis < place.Axis:
			a.outer *= int(d)
		case axis > place.Axis:
			a.inner *= int(d)
		}
	}
	a.numbers = sumsOf(numbers, a.n, a.dim)
	return a
}

func (a *accumulator) begin(seed uint64) {
	a.owner, a.run = slices.Repeat([]int32{-1}, a.axis), make([]int32, a.axis)
	a.all = a.axis == a.n
	for i := range a.n {
		for r := range a.place.Run {
			at := a.place.Position(i, r)
			a.owner[at], a.run[at] = int32(i), int32(r)
			a.all = a.all && at == i
		}
	}
	a.signs = align.SketchSigns(seed, a.dim)
	a.columns = a.inner == 1
	a.sums = make([]float32, a.n*a.numbers)
	a.squares = make([]float64, a.n)
	if a.columns {
		a.recent = make([]float32, a.n)
	}
}

// shortSegment is how many numbers are added one by one.
const shortSegment = 32

// flushEach is how many columns of squares are added up as float32.
const flushEach = 32

// add takes in the numbers of the tensor from place at on.
func (a *accumulator) add(serial *kernel.Pool, at int, x []float32) {
	slab := a.axis * a.inner
	for len(x) > 0 {
		o, in := at/slab, at%slab
		n := min(len(x), slab-in)
		if a.columns {
			a.row(serial, o, in, x[:n])
		} else {
			a.segments(serial, o, in, x[:n])
		}
		at, x = at+n, x[n:]
	}
}

// row takes in numbers of different positions: those from pos on.
func (a *accumulator) row(serial *kernel.Pool, o, pos int, x []float32) {
	if a.all {
		sign := a.signs[o]
		to := a.sums[o%a.numbers*a.n+pos:][:len(x)]
		kernel.Axpy(serial, to, sign, x)
		a.scratch = grown(a.scratch, len(x))
		squares, recent := a.scratch[:len(x)], a.recent[pos:][:len(x)]
		kernel.Mul(serial, squares, x, x)
		kernel.Add(serial, recent, recent, squares)
	} else {
		base := o * a.place.Run
		for k, v := range x {
			i := a.owner[pos+k]
			if i < 0 {
				continue
			}
			c := base + int(a.run[pos+k])
			a.sums[c%a.numbers*a.n+int(i)] += a.signs[c] * v
			a.recent[i] += float32(v * v)
		}
	}
	if pos+len(x) == a.axis {
		if a.since++; a.since == flushEach {
			a.flush()
		}
	}
}

func (a *accumulator) flush() {
	for i, s := range a.recent {
		a.squares[i] += float64(s)
	}
	clear(a.recent)
	a.since = 0
}

// segments takes in numbers of positions that have several each.
func (a *accumulator) segments(serial *kernel.Pool, o, in int, x []float32) {
	for len(x) > 0 {
		pos, z := in/a.inner, in%a.inner
		n := min(len(x), a.inner-z)
		if i := a.owner[pos]; i >= 0 {
			a.segment(serial, int(i), (o*a.place.Run+int(a.run[pos]))*a.inner+z, x[:n])
		}
		in, x = in+n, x[n:]
	}
}

// segment takes in numbers of neuron i from number c on.
func (a *accumulator) segment(serial *kernel.Pool, i, c int, x []float32) {
	var s [4]float64 // products are exact, so that all machines round alike
	k := 0
	for ; k+4 <= len(x); k += 4 {
		for j, v := range (*[4]float32)(x[k:]) {
			s[j] += float64(v) * float64(v)
		}
	}
	for j, v := range x[k:] {
		s[j] += float64(v) * float64(v)
	}
	a.squares[i] += s[0] + s[1] + s[2] + s[3]
	row := a.sums[i*a.numbers:][:a.numbers]
	signs := a.signs[c:][:len(x)]
	phase := c % a.numbers
	if len(x) < shortSegment {
		for j, v := range x {
			row[phase] += signs[j] * v
			if phase++; phase == a.numbers {
				phase = 0
			}
		}
		return
	}
	n := phase + len(x)
	room := align.FoldedLength(n, a.numbers)
	a.scratch = grown(a.scratch, room+a.numbers)
	t, folded := a.scratch[:n], a.scratch[room:][:a.numbers]
	clear(t[:phase])
	kernel.Mul(serial, t[phase:], x, signs)
	align.Fold(serial, folded, t)
	kernel.Add(serial, row, row, folded)
}

func grown(x []float32, n int) []float32 {
	if cap(x) < n {
		return make([]float32, n)
	}
	return x[:cap(x)]
}

// finish rounds what was added up. It returns false if it is not finite.
func (a *accumulator) finish(seed uint64) bool {
	out := a.out
	out.Numbers = a.numbers
	if a.columns {
		a.flush()
	}
	row := func(i int) []float32 { return a.sums[i*a.numbers:][:a.numbers] }
	if a.columns {
		buf := make([]float32, a.numbers)
		row = func(i int) []float32 {
			for b := range buf {
				buf[b] = a.sums[b*a.n+i]
			}
			return buf
		}
	}
	if a.dim == 1 {
		out.Values = make([]float32, a.n)
		for i := range out.Values {
			x := row(i)[0] * a.signs[0]
			if x-x != 0 {
				return false
			}
			out.Values[i] = x + 0 // -0 is 0
		}
		return true
	}
	out.Lengths, out.Exponents, out.Sums = make([]float32, a.n), make([]uint8, a.n), make([]int8, a.n*a.numbers)
	whole := make([]float64, a.numbers)
	signs := wholeSigns(seed, a.n)
	for i := range a.n {
		l := float32(math.Sqrt(a.squares[i]))
		if l-l != 0 {
			return false
		}
		x := row(i)
		out.Lengths[i] = l
		out.Exponents[i] = round(out.Sums[i*a.numbers:][:a.numbers], x, l)
		for b, v := range x {
			whole[b] += float64(signs[i]) * float64(v)
		}
	}
	out.Whole = make([]float32, a.numbers)
	for b, v := range whole {
		out.Whole[b] = float32(v) + 0
	}
	a.sums = nil
	return true
}

// wholeSigns returns those of neurons in sums of all sketches.
func wholeSigns(seed uint64, n int) []float32 { return align.SketchSigns(seed^1<<63, n) }

// eighths are 2^(k/8).
var eighths = [8]float64{1, 0x1.172b83c7d517bp+00, 0x1.306fe0a31b715p+00, 0x1.4bfdad5362a27p+00, 0x1.6a09e667f3bcdp+00, 0x1.8ace5422aa0dbp+00, 0x1.ae89f995ad3adp+00, 0x1.d5818dcfba487p+00}

// stepOf returns the unit of the sums of a neuron: length · 2^(exponent/8 - 20).
func stepOf(length float32, exponent uint8) float64 {
	return math.Ldexp(float64(length)*eighths[exponent%8], int(exponent/8)-20)
}

// round puts sums in units of the least step in which they are at most 127.
func round(dst []int8, x []float32, length float32) uint8 {
	most := 0.0
	for _, v := range x {
		most = max(most, math.Abs(float64(v)))
	}
	if most == 0 || length == 0 {
		return 0
	}
	e := sort.Search(255, func(e int) bool { return stepOf(length, uint8(e))*127 >= most })
	step := stepOf(length, uint8(e))
	if step == 0 {
		return uint8(e)
	}
	for b, v := range x {
		dst[b] = int8(max(-127, min(127, math.RoundToEven(float64(v)/step))))
	}
	return uint8(e)
}

// Size returns how many bytes the passport of a network of these tensors has without a
// signature, of which no weights are read.
func Size(n lineage.Network, o *MakeOptions) (int64, error) {
	if o == nil {
		o = &MakeOptions{}
	}
	p := &Passport{Name: o.Name, Metadata: o.Metadata, Files: n.Files, Numbers: o.Numbers, Spec: n.Spec}
	if p.Numbers == 0 {
		p.Numbers = 128
	}
	if p.Spec == nil {
		p.Spec = &symmetry.Spec{}
	}
	if err := p.Spec.Fits(n.Set); err != nil {
		return 0, err
	}
	shapes := map[string]tensor.Shape{}
	for _, t := range n.Set.All() {
		p.Tensors = append(p.Tensors, Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape})
		shapes[t.Name] = t.Shape
	}
	for g := range p.Spec.Groups {
		p.Groups = append(p.Groups, Group{Places: make([]Place, len(p.Spec.Groups[g].Places))})
	}
	body, err := p.encode() // with nothing at all places
	if err != nil {
		return 0, err
	}
	size := int64(len(body)) + 32 + 1 + 2 + 2
	for at := range p.chosen() {
		group := &p.Spec.Groups[at[0]]
		place := &group.Places[at[1]]
		n, dim := int64(group.Size), dimOf(shapes[place.Tensor], place)
		if dim == 1 {
			size += 4 * n
			continue
		}
		b := int64(sumsOf(p.Numbers, group.Size, dim))
		size += n*(4+1+b) + 4*b
	}
	return size, nil
}
