package attack

import (
	"fmt"
	"math"
	"math/rand/v2"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A Mark is a mark that overwrite wrote.
type Mark struct {
	Tensor string `json:"tensor"`
	Axis   int    `json:"axis" about:"of the output filters"` // of the output filters
	Bits   int    `json:"bits"`
	// Wrong are the bits that read otherwise before.
	Wrong int `json:"wrong_before" about:"bits that read otherwise before"`
	// Change is the norm of the change as a share of the norm of the tensor.
	Change float64 `json:"change" about:"its norm, as a share of that of the tensor"`
}

// overwrite writes a mark of T random bits with a secret of its own into a tensor:
// that of the option tensor, else one by the seed, of those that are large enough. It
// is a mark of Uchida and others, in closed form: the mean over the output filters is
// changed as little as makes all bits readable by the margin, which is by default the
// usual size of a projection, so that the bits look as others do.
func (r *run) overwrite(s *Step, rep *Report) error {
	bits := int(s.Strength)
	list, err := r.weights()
	if err != nil {
		return err
	}
	t, axis, err := r.carrier(s, list, bits)
	if err != nil {
		return err
	}
	if err := finite(t); err != nil {
		return err
	}
	raw, err := t.Bytes()
	if err != nil {
		return err
	}
	random := source(r.seed(), t.Name)()
	mark := &Mark{Tensor: t.Name, Axis: axis, Bits: bits}
	margin, err := s.number("margin", 0, 1e6)
	if err != nil {
		return err
	}
	x := values(t, raw)
	d, err := foreignMark(x, t.Shape, axis, margin, mark, random)
	if err != nil {
		return err
	}
	k := t.Shape
	e := edit{
		func(x []float32) error { addAlong(x, k, axis, d); return nil },
		func(x []float64) error { addAlong(x, k, axis, d); return nil },
	}
	rep.Mark = mark
	rep.counted([]*tensor.Tensor{t})
	return r.change(r.changed(t, e))
}

// values returns the numbers of a tensor.
func values(t *tensor.Tensor, raw []byte) []float64 {
	if t.DType == tensor.F64 {
		return doubles(raw)
	}
	single := t.DType.AppendFloat32s(nil, raw)
	x := make([]float64, len(single))
	for i, v := range single {
		x[i] = float64(v)
	}
	return x
}

// carrier returns the tensor that a mark goes into, and the axis of its output filters.
func (r *run) carrier(s *Step, list []*tensor.Tensor, bits int) (*tensor.Tensor, int, error) {
	axes := map[string]int{}
	if r.Spec != nil {
		for i := range r.Spec.Groups {
			for k := range r.Spec.Groups[i].Places {
				if p := &r.Spec.Groups[i].Places[k]; p.Role == symmetry.Incoming {
					axes[p.Tensor] = p.Axis
				}
			}
		}
	}
	room := func(t *tensor.Tensor) int { return int(t.Elems() / t.Shape[axes[t.Name]]) }
	if name := s.setting("tensor"); name != "" {
		for _, t := range list {
			if t.Name == name && room(t) >= bits {
				return t, axes[name], nil
			}
			if t.Name == name {
				return nil, 0, fmt.Errorf("%w: tensor %s has room for %d bits, and the mark has %d", ErrNetwork, name, room(t), bits)
			}
		}
		return nil, 0, fmt.Errorf("%w: there are no weights %q that could carry a mark", ErrNetwork, name)
	}
	var fit []*tensor.Tensor
	most := 0
	for _, t := range list {
		if most = max(most, room(t)); room(t) >= bits {
			fit = append(fit, t)
		}
	}
	if len(fit) == 0 {
		return nil, 0, fmt.Errorf("%w: a mark of %d bits has no room: the largest that has is %d", ErrNetwork, bits, most)
	}
	t := fit[source(r.seed(), "carrier")().IntN(len(fit))]
	return t, axes[t.Name], nil
}

// foreignMark returns what has to be added to each output filter.
func foreignMark(x []float64, shape tensor.Shape, axis int, margin float64, mark *Mark, r *rand.Rand) ([]float64, error) {
	n := int(shape[axis])
	mean := meanAlong(x, shape, axis)
	key := secret(mark.Bits, len(mean), r)
	bits := make([]bool, mark.Bits)
	for i := range bits {
		bits[i] = r.Uint64()&1 == 1
	}
	before := project(key, mean)
	usual := 0.0
	for i, y := range before {
		usual += y * y
		if y > 0 != bits[i] {
			mark.Wrong++
		}
	}
	if margin == 0 {
		margin = math.Sqrt(usual / float64(len(before)))
	}
	if margin == 0 {
		margin = 1 // of a tensor of zeros
	}
	d, err := leastChange(key, mean, bits, margin)
	if err != nil {
		return nil, err
	}
	change, norm := 0.0, 0.0
	for _, v := range d {
		change += v * v
	}
	for _, v := range x {
		norm += v * v
	}
	if norm > 0 {
		mark.Change = math.Sqrt(float64(n) * change / norm)
	}
	return d, nil
}

// meanAlong returns the mean over an axis.
func meanAlong(x []float64, shape tensor.Shape, axis int) []float64 {
	n := int(shape[axis])
	mean := make([]float64, len(x)/n)
	each(len(x), shape, axis, func(i, k int) { mean[k] += x[i] / float64(n) })
	return mean
}

// addAlong adds d to each index of an axis.
func addAlong[F floating](x []F, shape tensor.Shape, axis int, d []float64) {
	each(len(x), shape, axis, func(i, k int) { x[i] = F(float64(x[i]) + d[k]) })
}

// each calls f with each index of a tensor, and the index that it has without an axis.
func each(total int, shape tensor.Shape, axis int, f func(i, k int)) {
	inner, n := 1, int(shape[axis])
	for _, d := range shape[axis+1:] {
		inner *= int(d)
	}
	for i := range total {
		f(i, i/inner/n*inner+i%inner)
	}
}
