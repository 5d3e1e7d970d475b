package passport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// ErrNothingKept reports a tensor of which a passport has no sketches.
var ErrNothingKept = errors.New("passport: nothing is kept")

// Restore returns a suspect in the order of the passport's network, with what its neurons
// were multiplied by taken back if that fits better, and how its neurons were matched; or
// the suspect as it is, if nothing in it is related. Errors are those of [Match].
func Restore(ctx context.Context, p *Passport, sus *tensor.Set, o *align.NetworkOptions) (*tensor.Set, *align.NetworkResult, error) {
	found, err := Match(ctx, p, sus, o)
	if err != nil || !found.Related {
		return sus, found, err
	}
	found = settled(found)
	var best *tensor.Set
	least := math.Inf(1)
	for _, r := range []*align.NetworkResult{found.WithoutFactors(), found} {
		set, err := align.Restore(p.Spec, sus, r)
		if err != nil {
			return nil, nil, err
		}
		d, err := p.misfit(set)
		if err != nil {
			return nil, nil, err
		}
		if best == nil || d < least {
			best, least = set, d
		}
	}
	return best, found, nil
}

// misfit is how far the sketches of a set are from those of the passport: of each tensor
// the squared distance as a share of the passport's, times its numbers.
func (p *Passport) misfit(set *tensor.Set) (float64, error) {
	sum := 0.0
	for i := range p.Tensors {
		t := set.Lookup(p.Tensors[i].Name)
		d, err := p.differencesOf(t)
		if errors.Is(err, ErrNothingKept) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, _ := t.Shape.Elems() // checked
		distance, norm := 0.0, 0.0
		for _, v := range d[0].sums {
			distance += float64(v) * float64(v)
		}
		for _, l := range d[0].own.Lengths {
			norm += float64(l) * float64(l)
		}
		if norm > 0 {
			sum += float64(n) * distance / norm
		}
	}
	return sum, nil
}

// Residual returns what a passport tells of the difference between a tensor of a restored
// suspect and that of its own network: a number for each number of the tensor, of which the
// sum with any weights estimates that of the true difference. amplitude is the size of what
// one looks for, in units of the tensor: it decides how tensors are weighed against each
// other.
//
// A sum of a sketch is T[b] = Σ sign(c)·x(c) over the numbers c ≡ b mod B of a neuron, so
// sign(c)·T[c mod B] is x(c), and noise of all others in the sum: the variance is d/B times
// that of x, and a correlation falls by √(B/d). Sums are of 8 bits, which is noise of about
// 0.7 % of the weights' deviation. Neurons whose sums differ more from the passport's count
// less, and sums are cut at three deviations of the neuron's own.
//
// It depends on the suspect and the passport alone. The error wraps [ErrNothingKept] if
// there are no sketches of the tensor, and [ErrMisfit] if it does not fit.
func (p *Passport) Residual(t *tensor.Tensor, amplitude float64) ([]float32, error) {
	list, err := p.differencesOf(t)
	if err != nil {
		return nil, err
	}
	n, _ := t.Shape.Elems() // checked
	y := make([]float32, n)
	for _, d := range list {
		d.spread(y, amplitude)
	}
	return y, nil
}

// Share returns which part of a difference in a tensor the sketches tell: about the square
// of what a correlation falls by; 0 if nothing is kept.
func (p *Passport) Share(name string) float64 {
	share := 0.0
	for g := range p.Spec.Groups {
		for k := range p.Spec.Groups[g].Places {
			place := &p.Spec.Groups[g].Places[k]
			if place.Tensor != name || p.Groups[g].Places[k].Numbers == 0 {
				continue
			}
			if d, err := p.dim(place); err == nil {
				share += float64(p.Groups[g].Places[k].Numbers) / float64(max(d, 1))
			}
		}
	}
	return min(share, 1)
}

// A sketched difference is that of a suspect's tensor from the passport's, at one place.
type sketchedDifference struct {
	own          *Place
	place        *symmetry.Place
	neurons      int
	outer, axis  int       // of the tensor's shape: outer × axis × inner
	inner, width int       // width numbers of a neuron
	sums         []float32 // (neurons, own.Numbers)
	signs        []float32 // (width)
}

// differencesOf returns the differences at all places of a tensor; at least one.
func (p *Passport) differencesOf(t *tensor.Tensor) ([]*sketchedDifference, error) {
	if t == nil {
		return nil, fmt.Errorf("%w of a tensor that the suspect does not have", ErrNothingKept)
	}
	u := p.Tensor(t.Name)
	switch {
	case u == nil:
		return nil, fmt.Errorf("%w of tensor %q", ErrNothingKept, t.Name)
	case !slices.Equal(u.Shape, t.Shape) || !t.DType.Numeric():
		return nil, fmt.Errorf("%w: %s is %s of %s, and %s of %s in the passport", ErrMisfit, t.Name, t.DType, t.Shape, u.DType, u.Shape)
	}
	x, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	for i, v := range x {
		if v-v != 0 {
			return nil, fmt.Errorf("%w: value %d of %s is %v", ErrMisfit, i, t.Name, v)
		}
	}
	var list []*sketchedDifference
	for g := range p.Spec.Groups {
		group := &p.Spec.Groups[g]
		for k := range group.Places {
			place, own := &group.Places[k], &p.Groups[g].Places[k]
			if place.Tensor != t.Name || place.Tensors != nil || own.Numbers == 0 || own.Values != nil {
				continue
			}
			d := &sketchedDifference{own: own, place: place, neurons: group.Size, outer: 1, inner: 1, axis: int(t.Shape[place.Axis])}
			for j, n := range t.Shape {
				switch {
				case j < place.Axis:
					d.outer *= int(n)
				case j > place.Axis:
					d.inner *= int(n)
				}
			}
			d.width = d.outer * place.Run * d.inner
			d.signs = align.SketchSigns(p.Seed, d.width)
			d.subtract(x)
			list = append(list, d)
		}
	}
	if list == nil {
		return nil, fmt.Errorf("%w of the weights of tensor %q", ErrNothingKept, t.Name)
	}
	return list, nil
}

// each calls f with the stretches of a neuron's numbers: where they are in the tensor, and
// in the neuron's order.
func (d *sketchedDifference) each(neuron int, f func(at, c, n int)) {
	for o := range d.outer {
		for r := range d.place.Run {
			f((o*d.axis+d.place.Position(neuron, r))*d.inner, (o*d.place.Run+r)*d.inner, d.inner)
		}
	}
}

// enough sums are there for a factor of their own, of which each neuron has one: of weight
// decay, or what is left of a rescaling. It takes 1 of so many degrees of freedom.
const enough = 12

// subtract sets the sums: the suspect's sketches less the passport's.
func (d *sketchedDifference) subtract(x []float32) {
	b := d.own.Numbers
	d.sums = make([]float32, d.neurons*b)
	steps := d.own.steps()
	sums, refs := make([]float64, b), make([]float64, b)
	for i := range d.neurons {
		clear(sums)
		d.each(i, func(at, c, n int) {
			k := c % b
			for j := range n {
				sums[k] += float64(d.signs[c+j]) * float64(x[at+j])
				if k++; k == b {
					k = 0
				}
			}
		})
		xy, xx := 0.0, 0.0
		for k, q := range d.own.Sums[i*b:][:b] {
			refs[k] = float64(q) * float64(steps[i])
			xy += sums[k] * refs[k]
			xx += refs[k] * refs[k]
		}
		beta := 1.0
		if b >= enough && xx > 0 {
			beta = xy / xx
		}
		for k := range sums {
			d.sums[i*b+k] = float32(sums[k] - beta*refs[k])
		}
	}
}

// spread adds to y what the sums tell of each number.
func (d *sketchedDifference) spread(y []float32, amplitude float64) {
	const few, cut = 8, 3
	b := d.own.Numbers
	total := 0.0
	energy := make([]float64, d.neurons)
	for i := range energy {
		for _, v := range d.sums[i*b:][:b] {
			energy[i] += float64(v) * float64(v)
		}
		total += energy[i]
	}
	mean := total / float64(max(1, len(d.sums)))
	if mean == 0 {
		return
	}
	// There is no less noise than half of what one looks for.
	floor := amplitude * amplitude / 4 * float64(d.width) / float64(b)
	weighed := make([]float32, b)
	for i, e := range energy {
		variance := max((e+few*mean)/float64(b+few), floor)
		most := cut * math.Sqrt(variance)
		for k, v := range d.sums[i*b:][:b] {
			weighed[k] = float32(amplitude * min(max(float64(v), -most), most) / variance)
		}
		d.each(i, func(at, c, n int) {
			k := c % b
			for j := range n {
				y[at+j] += d.signs[c+j] * weighed[k]
				if k++; k == b {
					k = 0
				}
			}
		})
	}
}
