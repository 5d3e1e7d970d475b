package attack

import (
	"fmt"

	"ropewalk/symmetry"
)

// permute puts the neurons of each group in a random order.
func (r *run) permute(_ *Step, rep *Report) error {
	return r.move(rep, &symmetry.RandomOptions{}, func(*symmetry.Group) string { return "" })
}

// scale multiplies neurons by log-normal factors, and takes these back where the
// neurons are read.
func (r *run) scale(s *Step, rep *Report) error {
	o := &symmetry.RandomOptions{Stay: true, Scale: s.Strength, Powers: s.has("powers")}
	return r.move(rep, o, func(g *symmetry.Group) string {
		for _, f := range g.Factors {
			if f.Scales() {
				return ""
			}
		}
		return "nothing lets a factor through"
	})
}

// sign turns the signs of neurons, each or not by a coin.
func (r *run) sign(_ *Step, rep *Report) error {
	return r.move(rep, &symmetry.RandomOptions{Stay: true, Signs: true}, func(g *symmetry.Group) string {
		for _, f := range g.Factors {
			if f.Flips() {
				return ""
			}
		}
		return "nothing lets a sign through"
	})
}

// move does a random element to the chosen groups, but those that cannot says why.
func (r *run) move(rep *Report, o *symmetry.RandomOptions, cannot func(*symmetry.Group) string) error {
	part := r.Spec.Only(func(g *symmetry.Group) bool {
		if !r.chosen(g) {
			return false
		}
		if why := cannot(g); why != "" {
			rep.Left = append(rep.Left, Left{g.Name, why})
			return false
		}
		return true
	})
	if len(part.Groups) == 0 {
		return fmt.Errorf("%w: it has no group with which that can be done: %s", ErrNetwork, rep.Left[0].Reason)
	}
	o.Seed = r.seed()
	e := part.Random(o)
	if o.Scale != 0 {
		if err := r.finite(part); err != nil {
			return err
		}
		var err error
		if e, err = part.Fit(r.Set, e); err != nil {
			return err
		}
	}
	for i := range part.Groups {
		rep.Groups++
		rep.Neurons += part.Groups[i].Size
	}
	return r.proved(rep, o.Scale != 0 && !o.Powers, func() error { return r.apply(part, e) })
}

// apply does an element to the network.
func (r *run) apply(part *symmetry.Spec, e symmetry.Element) error {
	set, err := symmetry.Apply(part, r.Set, e)
	if err != nil {
		return err
	}
	if err := r.replace(set); err != nil {
		return err
	}
	return r.truth.move(e)
}

// finite looks that all numbers that are multiplied are finite.
func (r *run) finite(part *symmetry.Spec) error {
	seen := map[string]bool{}
	for i := range part.Groups {
		for k := range part.Groups[i].Places {
			for _, name := range part.Groups[i].Places[k].Names() {
				if t := r.Set.Lookup(name); !seen[name] && t.DType.Numeric() {
					if err := finite(t); err != nil {
						return err
					}
				}
				seen[name] = true
			}
		}
	}
	return nil
}
