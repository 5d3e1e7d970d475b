package attack

import (
	"errors"
	"fmt"

	"ropewalk/graph"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// proved does a step, and looks that the outputs of the network stay the same.
// rounds says that the step rounds weights to their type.
func (r *run) proved(rep *Report, rounds bool, do func() error) error {
	before := r.Graph
	if err := do(); err != nil {
		return err
	}
	return r.compare(rep, before, rounds)
}

// compare runs the network as it was and as it is.
func (r *run) compare(rep *Report, before *graph.Graph, rounds bool) error {
	switch {
	case r.o.Unproved:
		rep.Unproved = "not asked for"
		return nil
	case before == nil:
		rep.Unproved = "how the network is computed is not known"
		return nil
	}
	o := r.o.Verify
	o.Seed, o.Element = r.o.Seed, nil
	o.Tolerance = r.o.Precision
	if o.Tolerance == 0 {
		o.Tolerance = 1e-6
	}
	if rounds {
		o.Tolerance = max(o.Tolerance, r.rounding())
	}
	run, telling := o.Run, false
	if run == nil {
		run = symmetry.Evaluate
	}
	o.Run = func(g *graph.Graph, inputs map[string]*graph.Value) (map[string]*graph.Value, error) {
		out, err := run(g, inputs)
		telling = telling || symmetry.Tells(out)
		return out, err
	}
	diffs, err := symmetry.Compare(before, r.Graph, &o)
	if unable, ok := errors.AsType[*graph.UnsupportedError](err); ok {
		rep.Unproved = fmt.Sprintf("the network cannot be computed: %v", unable)
		return nil
	}
	if err == nil && !telling {
		rep.Unproved = "all outputs are 0 or no numbers, and show nothing"
		return nil
	}
	if errors.Is(err, symmetry.ErrChanged) && r.o.Verify.Run != nil && nearly(diffs) {
		// A network may be so sensitive that what Run rounds shows.
		o.Run, o.Tolerance = nil, 1e-6
		if rounds {
			o.Tolerance = max(o.Tolerance, r.rounding())
		}
		diffs, err = symmetry.Compare(before, r.Graph, &o)
	}
	rep.Proof = diffs
	return err
}

// nearly reports whether differences are such that they may come of rounding.
func nearly(diffs []symmetry.Difference) bool {
	for _, d := range diffs {
		if !(d.Largest < 0.05) {
			return false
		}
	}
	return true
}

// rounding returns how far outputs may be apart, relative to the largest, if each weight
// is rounded once more: some hundred units of the coarsest type. A wrong order, factor
// or sign is off by about 1.
func (r *run) rounding() float64 {
	units := map[tensor.DType]float64{tensor.F32: 0x1p-24, tensor.F16: 0x1p-11, tensor.BF16: 0x1p-8}
	worst := 0.0
	for i := range r.Spec.Groups {
		for k := range r.Spec.Groups[i].Places {
			for _, name := range r.Spec.Groups[i].Places[k].Names() {
				worst = max(worst, units[r.Set.Lookup(name).DType])
			}
		}
	}
	const factor = 256
	return min(factor*worst, 0.25)
}

// replace has all tensors of the network be those of set.
func (r *run) replace(set *tensor.Set) error {
	var changed []*tensor.Tensor
	for i, t := range set.All() {
		if t != r.Set.At(i) {
			changed = append(changed, t)
		}
	}
	return r.change(changed...)
}
