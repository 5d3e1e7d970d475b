package mark

import (
	"errors"
	"fmt"
	"math"

	"ropewalk/tensor"
)

// keyed adds ± ε·σ to each weight of the chosen tensors, with σ the standard deviation
// of the tensor and signs from the key. It needs no training, and its reading is exact:
// see [Bound].
type keyed struct{}

// Name implements [Scheme].
func (keyed) Name() string { return "keyed" }

// Capacity implements [Scheme]: it only says whose the network is.
func (keyed) Capacity(set *tensor.Set, o *Options) (int, error) {
	_, err := carriers(set, or(o))
	return 0, err
}

// Plan implements [Scheme].
func (k keyed) Plan(set *tensor.Set, _ *Key, o *Options) (*Parameters, error) {
	o = or(o)
	list, err := carriers(set, o)
	if err != nil {
		return nil, err
	}
	p := &Parameters{Scheme: k.Name(), Tensors: names(list)}
	return p, planStrength(p, list, o)
}

func or(o *Options) *Options {
	if o == nil {
		return &Options{}
	}
	return o
}

// planStrength chooses ε.
func planStrength(p *Parameters, list []*tensor.Tensor, o *Options) error {
	most := o.MaxChange
	if most == 0 {
		most = DefaultMaxChange
	}
	if !(most > 0 && most <= 1) {
		return fmt.Errorf("%w: the largest change of outputs is %g, want more than 0, up to 1", ErrOptions, most)
	}
	if !(o.Epsilon >= 0 && o.Epsilon <= 1) {
		return fmt.Errorf("%w: epsilon is %g, want more than 0, up to 1", ErrOptions, o.Epsilon)
	}
	shares, grids := make([]float64, len(list)), make([]int, len(list))
	err := inParallel(len(list), func(i int) error {
		x, err := floats(list[i])
		if err != nil {
			return err
		}
		m := momentsOf(x)
		if m.norm > 0 {
			shares[i] = m.deviation * math.Sqrt(m.n) / m.norm
		}
		grids[i] = len(levelsOf(x))
		return nil
	})
	if err != nil {
		return err
	}
	sum, gridded := 0.0, 0
	for i, s := range shares {
		sum += s * s
		if grids[i] > 0 && list[i].Elems() > 4*int64(grids[i]) {
			gridded++
		}
	}
	if sum == 0 {
		return fmt.Errorf("%w: in each tensor all values are equal, and a mark of a share of their deviation is none", ErrNetwork)
	}
	if gridded == len(list) && o.Epsilon == 0 {
		return fmt.Errorf("%w: the weights lie on the levels of a quantizer (%s has %d values), and would not any more; quantizing them again would take the mark away. Scheme grid keeps them",
			ErrOptions, list[0].Name, grids[0])
	}
	limit := most / math.Sqrt(sum)
	p.Epsilon = o.Epsilon
	if p.Epsilon == 0 {
		p.Epsilon = round2(math.Min(MaxEpsilon, limit))
	}
	if p.Epsilon > limit {
		return fmt.Errorf("%w: epsilon %.3g changes outputs by about %.3g, and %.3g is allowed: epsilon may be up to %.3g", ErrBound, p.Epsilon, p.Epsilon*math.Sqrt(sum), most, round2(limit))
	}
	return nil
}

// round2 rounds down to two digits, so that what is printed is what was done.
func round2(x float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(x))-1)
	return math.Round(math.Floor(x/unit*(1+1e-12))*unit*1e12) / 1e12
}

// Cost implements [Scheme].
func (keyed) Cost(set *tensor.Set, p *Parameters) (*Cost, error) { return additiveCost(set, p) }

// additiveCost is that of a mark of ± ε·σ.
func additiveCost(set *tensor.Set, p *Parameters) (*Cost, error) {
	list, err := lookup(set, p)
	if err != nil {
		return nil, err
	}
	moments := make([]moments, len(list))
	err = inParallel(len(list), func(i int) error {
		x, err := floats(list[i])
		if err == nil {
			moments[i] = momentsOf(x)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c := &Cost{Tensors: len(list)}
	var change, norm, output float64
	for _, m := range moments {
		c.Weights += int64(m.n)
		d := p.Epsilon * p.Epsilon * m.deviation * m.deviation * m.n
		change += d
		norm += m.norm * m.norm
		if m.norm > 0 {
			output += d / (m.norm * m.norm)
		}
	}
	c.Change, c.Output = math.Sqrt(change/math.Max(norm, math.SmallestNonzeroFloat64)), math.Sqrt(output)
	return c, nil
}

// Embed implements [Scheme].
func (keyed) Embed(set *tensor.Set, key *Key, p *Parameters) (*Embedded, error) {
	return embedAdditive(set, key, p, nil)
}

// embedAdditive adds the signs of a key, times the chips of a code if there is one. The
// tensors are computed when they are read.
func embedAdditive(set *tensor.Set, key *Key, p *Parameters, code []int8) (*Embedded, error) {
	list, err := lookup(set, p)
	if err != nil {
		return nil, err
	}
	if !(p.Epsilon > 0 && p.Epsilon <= 1) {
		return nil, fmt.Errorf("%w: epsilon is %g, want more than 0, up to 1", ErrOptions, p.Epsilon)
	}
	changed := make([]*tensor.Tensor, len(list))
	all := make([]moments, len(list))
	counts := make([]int64, len(list))
	err = inParallel(len(list), func(i int) error {
		t := list[i]
		x, err := floats(t)
		if err != nil {
			return err
		}
		all[i] = momentsOf(x)
		l, err := key.Layer(p.Scheme, t.Name)
		if err != nil {
			return err
		}
		c := newCarrier(&l, len(code))
		amplitude := float32(p.Epsilon * all[i].deviation)
		d := &added{t, func(d []float32, start int64) { c.fill(d, start, amplitude, code) }}
		changed[i] = &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: d}
		counts[i], err = countChanged(t, changed[i], x)
		return err
	})
	if err != nil {
		return nil, err
	}
	c, err := additiveCost(set, p)
	if err != nil {
		return nil, err
	}
	for _, n := range counts {
		c.Changed += n
	}
	e := &Embedded{Parameters: p, Cost: c}
	e.Set, err = tensor.Overlay(set, changed...)
	return e, err
}

// countChanged returns how many numbers differ from x, and an error if one is not finite.
func countChanged(t, changed *tensor.Tensor, x []float32) (int64, error) {
	size := int64(t.DType.Bits() / 8)
	raw := make([]byte, chunk*size)
	var y []float32
	n := int64(0)
	for start := int64(0); start < int64(len(x)); start += chunk {
		b := raw[:min(chunk, int64(len(x))-start)*size]
		if _, err := changed.Data.ReadAt(b, start*size); err != nil {
			return 0, err
		}
		y = t.DType.AppendFloat32s(y[:0], b)
		for i, v := range y {
			if v-v != 0 {
				return 0, fmt.Errorf("%w: value %d of %s would be %v", ErrNetwork, start+int64(i), t.Name, v)
			}
			if v != x[start+int64(i)] {
				n++
			}
		}
	}
	return n, nil
}

// Extract implements [Scheme].
func (k keyed) Extract(suspect, reference *tensor.Set, s Secrets, p *Parameters) (*Reading, error) {
	r, _, err := readSigns(suspect, s, p, 0, against(reference, p, additive))
	return blind(r, reference == nil), err
}

// blind says whether a reading had no reference.
func blind(r *Reading, is bool) *Reading {
	if r != nil {
		r.Blind = is
	}
	return r
}

// against returns the residuals of a suspect against a reference, by a score.
func against(reference *tensor.Set, p *Parameters, f score) Residuals {
	return func(t *tensor.Tensor) ([]float32, error) { return scoreOf(t, reference, p, f) }
}

// A score is how suspect and reference become the numbers that are held against the signs.
type score func(suspect, ref []float32, shape tensor.Shape, p *Parameters) []float32

// additive is the score of marks of ± ε·σ.
func additive(suspect, ref []float32, shape tensor.Shape, p *Parameters) []float32 {
	whole := ref
	if ref == nil {
		whole = suspect
	}
	inner := 1
	for _, d := range shape[2:] {
		inner *= int(d)
	}
	return residual(suspect, ref, int(shape[0]), inner, p.Epsilon*momentsOf(whole).deviation, nil)
}

// readSigns holds the signs of a key against what score makes of each tensor. With
// chips of a code, readings are left to who knows the code: sums of all layers, and of
// each.
func readSigns(suspect *tensor.Set, s Secrets, p *Parameters, chips int, residuals Residuals) (*Reading, []*sums, error) {
	list, err := lookup(suspect, p)
	if err != nil {
		return nil, nil, err
	}
	if l, ok := s.(LayerKey); ok { // which reads its own alone
		list = only(list, l.Tensor)
		if len(list) == 0 || l.Scheme != p.Scheme {
			return nil, nil, fmt.Errorf("%w: %s is not one of this mark", ErrKey, l)
		}
	}
	r := &Reading{Scheme: p.Scheme, Layers: make([]LayerReading, len(list))}
	parts := make([]*sums, len(list))
	skipped := make([]string, len(list))
	err = inParallel(len(list), func(i int) error {
		t := list[i]
		y, err := residuals(t)
		if skip, ok := errors.AsType[*SkipError](err); ok {
			skipped[i], parts[i] = skip.Reason, &sums{}
			r.Layers[i] = LayerReading{Tensor: t.Name}
			return nil
		}
		if err != nil {
			return err
		}
		if int64(len(y)) != t.Elems() {
			return fmt.Errorf("%w: %d residuals of %s, which has %d numbers", ErrOptions, len(y), t.Name, t.Elems())
		}
		l, err := s.Layer(p.Scheme, t.Name)
		if err != nil {
			return err
		}
		parts[i] = newCarrier(&l, chips).read(y)
		r.Layers[i] = LayerReading{Tensor: t.Name, Weights: t.Elems()}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	all := &sums{}
	for i, part := range parts {
		if skipped[i] != "" {
			r.Skipped = append(r.Skipped, Skipped{list[i].Name, skipped[i]})
		}
		l := &r.Layers[i]
		l.Z = part.z()
		l.Log10P = Bound(l.Z)
		all.merge(part)
	}
	r.Z = all.z()
	r.Log10P = Bound(r.Z)
	return r, parts, nil
}

func only(list []*tensor.Tensor, name string) []*tensor.Tensor {
	for _, t := range list {
		if t.Name == name {
			return []*tensor.Tensor{t}
		}
	}
	return nil
}
