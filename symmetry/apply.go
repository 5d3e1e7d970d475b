package symmetry

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"ropewalk/tensor"
)

// Apply returns set with e done to it, which stays as it is. Tensors are computed when
// they are read, a few rows at a time, each from the old one; so the result takes no
// memory, and set has to stay open as long as it is used. What is only moved keeps its
// bits, whatever its type; what is multiplied is rounded once to its type. It is safe
// for concurrent use.
//
// It is an error if s or e does not fit the tensors; if one that is multiplied holds no
// floats; and, on reading, if a variance would become negative (see [Spec.Fit]) or a
// number too large for its type.
func Apply(s *Spec, set *tensor.Set, e Element) (*tensor.Set, error) {
	if err := s.Fits(set); err != nil {
		return nil, err
	}
	if err := e.check(s); err != nil {
		return nil, err
	}
	moved := map[string]*movedData{}
	var order []string
	for i := range s.Groups {
		g := &s.Groups[i]
		m := e[g.Name]
		if m == nil {
			continue
		}
		for k := range g.Places {
			p := &g.Places[k]
			if p.whole() {
				continue // behind what happens inside
			}
			d := moved[p.Tensor]
			if d == nil {
				t := set.Lookup(p.Tensor)
				if t.DType.Bits() == 0 {
					return nil, fmt.Errorf("%w: group %s moves %s, whose type %s is not known", ErrSpec, g.Name, p.Tensor, t.DType)
				}
				d = &movedData{t: t, axes: make([]movedAxis, len(t.Shape))}
				moved[p.Tensor] = d
				order = append(order, p.Tensor)
			}
			if err := d.add(g, m, p); err != nil {
				return nil, fmt.Errorf("group %s: %w", g.Name, err)
			}
		}
	}
	var changed []*tensor.Tensor
	for _, name := range order {
		d := moved[name]
		d.plan()
		changed = append(changed, &tensor.Tensor{Name: name, DType: d.t.DType, Shape: d.t.Shape, Data: d})
	}
	return tensor.Overlay(set, exchange(s, set, e, changed)...)
}

// A movedAxis says where the positions of an axis come from, and what they were
// multiplied by: both by new position, nil for the identity.
type movedAxis struct {
	from    []int
	factors []float64
}

// movedData is a tensor that is computed from another when it is read.
type movedData struct {
	t       *tensor.Tensor
	axes    []movedAxis
	epsilon float64
	scaled  bool
	packed  bool // elements of fewer than 8 bits
	lead    int  // axes over which rows are looked up one by one
	rows    int64
	row     int64 // elements of a row: all axes behind lead
}

// rowElems is how long a row should be at most, so that it is cheap to hold; maxRow is
// where even the last axis is read number by number.
const (
	rowElems = 1 << 18
	maxRow   = 1 << 24
)

// add enters a place. Groups that cross on an axis commute, so the order is the same.
func (d *movedData) add(g *Group, m *Move, p *Place) error {
	a := &d.axes[p.Axis]
	n := int(d.t.Shape[p.Axis])
	if m.Order != nil {
		old := a.from
		if old == nil {
			old = identity(n)
		}
		from := append([]int(nil), old...)
		for i, j := range m.Order {
			for r := range p.Run {
				from[p.Position(i, r)] = old[p.Position(j, r)]
			}
		}
		a.from = from
	}
	if len(p.Acts) == 0 || m.Factors == nil {
		if m.Order != nil && a.factors != nil {
			a.factors = permuted(a.factors, m, p)
		}
		return nil
	}
	factors := make([]float64, n)
	for i := range factors {
		factors[i] = 1
	}
	if a.factors != nil {
		copy(factors, a.factors)
	}
	used := false
	for j := range g.Size {
		f := m.factor(p, j)
		used = used || f != 1
		for r := range p.Run {
			factors[p.Position(j, r)] *= f
		}
	}
	if used {
		if !d.t.DType.Numeric() {
			return fmt.Errorf("%w: %s is to be multiplied, but holds %s", ErrSpec, d.t.Name, d.t.DType)
		}
		if p.Epsilon != 0 && (d.epsilon != 0 && d.epsilon != p.Epsilon || len(d.t.Shape) != 1) {
			return fmt.Errorf("%w: %s has an epsilon of %g, which it can't have", ErrSpec, d.t.Name, p.Epsilon)
		}
		d.scaled = true
		if p.Epsilon != 0 {
			d.epsilon = p.Epsilon
		}
	}
	a.factors = factors
	if m.Order != nil {
		a.factors = permuted(factors, m, p)
	}
	return nil
}

func identity(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func permuted(old []float64, m *Move, p *Place) []float64 {
	out := append([]float64(nil), old...)
	for i, j := range m.Order {
		for r := range p.Run {
			out[p.Position(i, r)] = old[p.Position(j, r)]
		}
	}
	return out
}

// plan chooses the rows.
func (d *movedData) plan() {
	for i := range d.axes {
		if !d.scaled {
			d.axes[i].factors = nil
		}
	}
	shape := d.t.Shape
	d.packed = d.t.DType.Bits()%8 != 0
	d.row, d.rows = 1, 1
	for _, n := range shape {
		d.row *= n
	}
	for last := len(shape) - 1; !d.packed && (d.lead < last && (d.lead == 0 || d.row > rowElems) || d.lead == last && d.row > maxRow); {
		n := max(shape[d.lead], 1)
		d.row /= n
		d.rows *= n
		d.lead++
	}
}

// Size returns the number of bytes.
func (d *movedData) Size() int64 { return d.t.Data.Size() }

// ReadAt implements [io.ReaderAt].
func (d *movedData) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= d.Size() {
		return 0, io.EOF
	}
	var end error
	if int64(len(p)) > d.Size()-off {
		p, end = p[:d.Size()-off], io.EOF
	}
	if d.packed {
		all, err := d.packedBytes()
		if err != nil {
			return 0, err
		}
		return copy(p, all[off:]), end
	}
	size := d.row * int64(d.t.DType.Bits()/8)
	var in, out []byte
	for n := 0; n < len(p); {
		at := off + int64(n)
		b, err := d.readRow(at/size, &in, &out)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[at%size:])
	}
	return len(p), end
}

// readRow computes a row, in memory of its own or lent.
func (d *movedData) readRow(row int64, in, out *[]byte) ([]byte, error) {
	shape, width := d.t.Shape, int64(d.t.DType.Bits()/8)
	old, step, factor := int64(0), int64(1), 1.0
	rest := row
	for k := d.lead - 1; k >= 0; k-- {
		n := shape[k]
		i := rest % n
		rest /= n
		a := &d.axes[k]
		if a.factors != nil {
			factor *= a.factors[i]
		}
		if a.from != nil {
			i = int64(a.from[i])
		}
		old += i * step
		step *= n
	}
	raw, err := tensor.ReadRange(d.t.Data, old*d.row*width, d.row*width, *in)
	if err != nil {
		return nil, err
	}
	if *in == nil {
		*in = make([]byte, 0, d.row*width) // what was lent must not be read into
	}
	inner := d.axes[d.lead:]
	same := factor == 1
	for k := range inner {
		same = same && inner[k].from == nil && inner[k].factors == nil
	}
	if same {
		return raw, nil
	}
	if *out == nil {
		*out = make([]byte, d.row*width)
	}
	d.gather(*out, raw, inner, shape[d.lead:], width, factor)
	if !d.scaled {
		return *out, nil
	}
	return *out, d.check(*out, raw, row)
}

// gather copies a row to dst in its new order, and multiplies it.
func (d *movedData) gather(dst, raw []byte, axes []movedAxis, shape tensor.Shape, width int64, factor float64) {
	// Axes behind the last that moves are copied in one piece.
	n := 0
	for k := range axes {
		if axes[k].from != nil || axes[k].factors != nil {
			n = k + 1
		}
	}
	piece := width
	for _, s := range shape[n:] {
		piece *= s
	}
	if n == 0 {
		d.multiply(dst, raw, factor)
		return
	}
	var walk func(k int, to, from int64, f float64) int64
	walk = func(k int, to, from int64, f float64) int64 {
		if k == n {
			d.multiply(dst[to:to+piece], raw[from:from+piece], f)
			return to + piece
		}
		stride := piece
		for _, s := range shape[k+1 : n] {
			stride *= s
		}
		a := &axes[k]
		for i := range shape[k] {
			j, g := i, f
			if a.from != nil {
				j = int64(a.from[i])
			}
			if a.factors != nil {
				g *= a.factors[i]
			}
			to = walk(k+1, to, from+j*stride, g)
		}
		return to
	}
	walk(0, 0, 0, factor)
}

// multiply copies numbers, and multiplies them unless f is 1.
func (d *movedData) multiply(dst, src []byte, f float64) {
	if f == 1 {
		copy(dst, src)
		return
	}
	le := binary.LittleEndian
	one := func(x float64) float64 { return f*(x+d.epsilon) - d.epsilon }
	if d.epsilon == 0 {
		one = func(x float64) float64 { return f * x } // -0 + 0 is 0
	}
	switch t := d.t.DType; t {
	case tensor.F64:
		for i := 0; i < len(src); i += 8 {
			le.PutUint64(dst[i:], math.Float64bits(one(math.Float64frombits(le.Uint64(src[i:])))))
		}
	case tensor.F32:
		for i := 0; i < len(src); i += 4 {
			le.PutUint32(dst[i:], math.Float32bits(float32(one(float64(math.Float32frombits(le.Uint32(src[i:])))))))
		}
	default:
		for i := 0; i < len(src); i += 2 {
			v := float64(t.AppendFloat32s(make([]float32, 0, 1), src[i:i+2])[0])
			x := float32(one(v)) // of 16 bits times a factor: the second rounding is that of the type
			if t == tensor.BF16 {
				le.PutUint16(dst[i:], tensor.BFloat16Bits(x))
			} else {
				le.PutUint16(dst[i:], tensor.Float16Bits(x))
			}
		}
	}
}

// check refuses numbers that became infinite, and variances that became negative.
func (d *movedData) check(out, raw []byte, row int64) error {
	was := appendFloat64s(nil, d.t.DType, raw)
	infinite := false
	for _, x := range was {
		infinite = infinite || x-x != 0
	}
	for i, x := range appendFloat64s(nil, d.t.DType, out) {
		if x-x != 0 && !infinite {
			return &tensor.RangeError{Index: row*d.row + int64(i), Value: x, To: d.t.DType}
		}
		if d.epsilon != 0 && x < 0 {
			return fmt.Errorf("%w: variance %d would become %g: the channel is all but constant, and its factor too small", ErrSpec, row*d.row+int64(i), x)
		}
	}
	return nil
}

// appendFloat64s appends the numbers of raw.
func appendFloat64s(dst []float64, t tensor.DType, raw []byte) []float64 {
	if t == tensor.F64 {
		for ; len(raw) >= 8; raw = raw[8:] {
			dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		}
		return dst
	}
	for _, x := range t.AppendFloat32s(nil, raw) {
		dst = append(dst, float64(x))
	}
	return dst
}

// packedBytes moves elements of fewer than 8 bits, all at once.
func (d *movedData) packedBytes() ([]byte, error) {
	raw, err := d.t.Bytes()
	if err != nil {
		return nil, err
	}
	width := int64(d.t.DType.Bits())
	out := make([]byte, len(raw))
	shape := d.t.Shape
	index := make([]int64, len(shape))
	for to := range d.t.Elems() {
		from := int64(0)
		for k, i := range index {
			if f := d.axes[k].from; f != nil {
				i = int64(f[i])
			}
			from = from*shape[k] + i
		}
		for b := range width {
			src, dst := from*width+b, to*width+b
			out[dst/8] |= raw[src/8] >> (src % 8) & 1 << (dst % 8)
		}
		for k := len(shape) - 1; k >= 0; k-- {
			if index[k]++; index[k] < shape[k] {
				break
			}
			index[k] = 0
		}
	}
	return out, nil
}
