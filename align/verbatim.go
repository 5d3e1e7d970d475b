package align

import (
	"cmp"
	"math"
	"slices"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A neuron is in the suspect verbatim if one of the suspect's reads with its weights: all of
// them, in some order, up to one factor and rounding. That is seen without any matching, so it also
// shows where few neurons of many are the reference's, and all that the weights of the others
// say together drowns it.

const (
	// minVerbatim is how many different weights a neuron has to read with: of few levels, several
	// neurons have the same by chance.
	minVerbatim = 24
	// verbatimTolerance is how far weights may be off, as a share of the root of their mean square.
	verbatimTolerance = 1e-5
	// maxCounted is how many weights of a neuron are looked at for different ones, and maxSame how many
	// neurons may have the same sums: of more, none would be the only one.
	maxCounted = 256
	maxSame    = 8
	// maxScanned is how many may have the first of these sums.
	maxScanned = 4096
	// maxVerbatim bounds the elements of a tensor, which is read whole on both sides.
	maxVerbatim = 1 << 28
)

// Verbatim is which neurons of the reference are in the suspect verbatim.
type Verbatim struct {
	// Sus[c][i] is the suspect's neuron that neuron i of class c of a result is, -1 for none.
	Sus [][]int
	// Neurons is how many there are, and Tested how many of the reference's could have been found:
	// those that read with enough different weights.
	Neurons, Tested int
	// Log10P is the decimal logarithm of a bound on the probability that so many are found by
	// chance, if weights of the two are independent and Gaussian.
	Log10P float64
}

// FindVerbatim looks for neurons that are in the suspect verbatim; spec is of the reference, and
// the classes are those of r. A neuron counts only if no other of either side has its weights.
// It takes a time linear in the size of both networks. Tensors of more than 2^28 elements are left out, and
// networks whose tensors were exchanged.
func (r *NetworkResult) FindVerbatim(spec *symmetry.Spec, ref, sus *tensor.Set) (*Verbatim, error) {
	out := &Verbatim{}
	for c := range r.Classes {
		x := &r.Classes[c]
		partners := slices.Repeat([]int{-1}, len(x.Sus))
		out.Sus = append(out.Sus, partners)
		g := spec.Group(x.Name)
		if g == nil || len(r.Exchanged) > 0 { // tensors that were exchanged are in others' places
			continue
		}
		tested, taken := make([]bool, len(x.Sus)), make([]bool, len(x.Ref))
		for k := range g.Places {
			p := &g.Places[k]
			t, u := ref.Lookup(p.Tensor), sus.Lookup(p.Tensor)
			if p.Role != symmetry.Incoming || p.Tensors != nil || p.Run != 1 || t == nil || u == nil || len(t.Shape) < 2 || len(u.Shape) != len(t.Shape) || max(t.Elems(), u.Elems()) > maxVerbatim || !t.DType.Numeric() || !u.DType.Numeric() {
				continue
			}
			a, err := newReadings(p, t, len(x.Sus))
			if err != nil {
				return nil, err
			}
			b, err := newReadings(p, u, len(x.Ref))
			if err != nil {
				return nil, err
			}
			for i := range a.list {
				tested[i] = tested[i] || a.list[i] != nil
			}
			found, _ := mutual(a.alike(b), len(x.Ref))
			for i, j := range found {
				if j < 0 || partners[i] >= 0 || taken[j] {
					continue
				}
				partners[i], taken[j] = j, true
				out.Neurons++
				out.Log10P += chance(int(a.list[i][2]), len(a.list), len(b.list))
			}
		}
		for _, t := range tested {
			if t {
				out.Tested++
			}
		}
	}
	return out, nil
}

// chance is the decimal logarithm of a bound on the probability that one of n neurons of one side and
// one of m of the other have the same weights in some order: n·m·d! orders, each with a correlation
// that leaves d numbers no more room than the tolerance.
func chance(d, n, m int) float64 {
	orders, _ := math.Lgamma(float64(d) + 1)
	return min(0, (math.Log(float64(n))+math.Log(float64(m))+orders)/math.Ln10+float64(d-1)*math.Log10(verbatimTolerance))
}

// PutVerbatim gives neurons that are in the suspect verbatim their partners, with certainty, and has none for
// the others.
func (r *NetworkResult) PutVerbatim(v *Verbatim) {
	for c := range r.Classes {
		x := &r.Classes[c]
		x.Certainty = make([]float64, len(x.Sus))
		x.place(v.Sus[c])
	}
}

// readings are the weights with which the neurons of one tensor read.
type readings struct {
	place  *symmetry.Place
	shape  tensor.Shape
	values []float32
	// list has for each neuron what no order, no factor and no zeros change of its weights; nil
	// where there are too few.
	list [][]float64
}

func newReadings(p *symmetry.Place, t *tensor.Tensor, neurons int) (*readings, error) {
	values, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	r := &readings{p, t.Shape, values, make([][]float64, neurons)}
	if p.Axis >= len(t.Shape) {
		return r, nil
	}
	for i := range r.list {
		if at := p.Position(i, 0); at < 0 || int64(at) >= t.Shape[p.Axis] {
			r.list = make([][]float64, neurons)
			return r, nil
		}
		n, sum, square, fourth := 0.0, 0.0, 0.0, 0.0
		r.each(i, func(v float64) bool {
			n++
			sum, square, fourth = sum+math.Abs(v), square+v*v, fourth+v*v*v*v
			return true
		})
		if n >= minVerbatim && square > 0 && fourth-fourth == 0 && r.distinct(i) {
			r.list[i] = []float64{sum / math.Sqrt(n*square), math.Sqrt(math.Sqrt(fourth / (square * square))), n}
		}
	}
	return r, nil
}

// each calls f with the weights of a neuron that are not zero, until it returns false.
func (r *readings) each(i int, f func(v float64) bool) {
	inner := 1
	for _, n := range r.shape[r.place.Axis+1:] {
		inner *= int(n)
	}
	axis := int(r.shape[r.place.Axis])
	for at := r.place.Position(i, 0) * inner; at < len(r.values); at += axis * inner {
		for _, v := range r.values[at : at+inner] {
			if v != 0 && !f(float64(v)) {
				return
			}
		}
	}
}

// row returns at most so many weights of a neuron that are not zero, over the root of their mean square, in
// order, with the sign that makes their sum of cubes positive.
func (r *readings) row(i, most int) []float64 {
	var out []float64
	square, cube := 0.0, 0.0
	r.each(i, func(v float64) bool {
		out = append(out, v)
		square, cube = square+v*v, cube+v*v*v
		return len(out) < most
	})
	scale := math.Copysign(1/math.Sqrt(square/float64(len(out))), cube)
	for k := range out {
		out[k] *= scale
	}
	slices.Sort(out)
	return out
}

// distinct reports whether a neuron reads with enough weights that are not the same.
func (r *readings) distinct(i int) bool {
	n, row := 0, r.row(i, maxCounted)
	for k := range row {
		if k == 0 || row[k]-row[k-1] > 2*verbatimTolerance {
			n++
		}
	}
	return n >= minVerbatim
}

// alike returns for each neuron those of the other that read with the same weights.
func (r *readings) alike(o *readings) [][]int {
	var order []int
	for j, k := range o.list {
		if k != nil {
			order = append(order, j)
		}
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(o.list[i][0], o.list[j][0]) })
	out := make([][]int, len(r.list))
	for i, k := range r.list {
		if k == nil {
			continue
		}
		row, same := r.row(i, math.MaxInt), 0
		from, _ := slices.BinarySearchFunc(order, k[0]-verbatimTolerance, func(j int, v float64) int { return cmp.Compare(o.list[j][0], v) })
		for scanned, j := range order[from:] {
			l := o.list[j]
			if l[0] > k[0]+verbatimTolerance {
				break
			}
			if scanned == maxScanned {
				out[i] = nil
				break
			}
			if l[2] != k[2] || math.Abs(l[1]-k[1]) > verbatimTolerance {
				continue
			}
			if same++; same > maxSame {
				out[i] = nil
				break
			}
			if sameRows(row, o.row(j, math.MaxInt)) {
				out[i] = append(out[i], j)
			}
		}
	}
	return out
}

func sameRows(a, b []float64) bool {
	for k := range a {
		if math.Abs(a[k]-b[k]) > verbatimTolerance {
			return false
		}
	}
	return true
}
