package attack

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"ropewalk/graph"
	"ropewalk/symmetry"
)

// remove takes the share R of the neurons out of each group: those whose incoming
// weights have the smallest sum of magnitudes, or, with the option random, any. Two
// stay at least. All tensors that a group is in get other shapes. A group is left
// alone where its places are not in a row on axes of their own, or where the graph
// cannot be computed without them.
func (r *run) remove(s *Step, rep *Report) error {
	seats := map[string][]seat{}
	var names []string
	for i := range r.Spec.Groups {
		g := &r.Spec.Groups[i]
		if !r.chosen(g) {
			continue
		}
		count := min(int(math.Round(s.Strength*float64(g.Size))), g.Size-2)
		why := r.rigid(g)
		if why == "" && count < 1 {
			why = fmt.Sprintf("it has only %d neurons", g.Size)
		}
		if why != "" {
			rep.Left = append(rep.Left, Left{g.Name, why})
			continue
		}
		order := source(r.seed(), g.Name)().Perm(g.Size)
		if !s.has("random") {
			sums, err := r.magnitudes(g)
			if err != nil {
				return err
			}
			slices.Sort(order)
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sums[a], sums[b]) })
		}
		keep := slices.Sorted(slices.Values(order[count:]))
		for _, j := range keep {
			seats[g.Name] = append(seats[g.Name], seat{from: j, out: 1})
		}
		names = append(names, g.Name)
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: it has no group with which that can be done: %s: %s", ErrNetwork, rep.Left[0].Group, rep.Left[0].Reason)
	}
	return r.attempt(rep, [][]string{names}, seats, func(*graph.Graph, []string) error {
		_, err := symmetry.Derive(r.Graph, &r.o.Verify.DeriveOptions) // follows all shapes
		return err
	})
}

// magnitudes returns the sum of the magnitudes of each neuron's incoming weights.
func (r *run) magnitudes(g *symmetry.Group) ([]float64, error) {
	sums := make([]float64, g.Size)
	for k := range g.Places {
		p := &g.Places[k]
		if p.Role != symmetry.Incoming {
			continue
		}
		t := r.Set.Lookup(p.Tensor)
		if err := finite(t); err != nil {
			return nil, err
		}
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		width := t.DType.Bits() / 8
		inner := 1
		for _, n := range t.Shape[p.Axis+1:] {
			inner *= int(n)
		}
		for i := 0; i < len(raw); i += width {
			at := i / width / inner % int(t.Shape[p.Axis])
			sums[at/p.Run] += math.Abs(valueAt(t.DType, raw[i:i+width]))
		}
	}
	return sums, nil
}
