package symmetry

import "slices"

// Groups may cross on an axis: heads that can be exchanged, say, and places inside of
// heads, which move alike in all of them. A factor of a place inside, that is not in all
// heads alike, would follow them when they are exchanged; then what two elements do one
// after the other would be none of these elements.

// commute takes factors away until elements of groups that cross commute.
func (s *Spec) commute() {
	axes := s.crossings()
	for again := true; again; {
		again = false
		for _, places := range axes {
			for _, x := range places {
				for _, y := range places {
					if x.group == y.group {
						continue
					}
					if uneven := s.uneven(x, y.group, places); len(uneven) > 0 {
						s.Groups[y.group].drop(uneven)
						again = true
					}
				}
			}
		}
	}
}

// A crossing is a place of a group on an axis where others have some, too.
type crossing struct {
	group int
	place *Place
}

// crossings returns the places on each axis on which several groups are, one of them with
// factors.
func (s *Spec) crossings() [][]crossing {
	type axis struct {
		tensor string
		axis   int
	}
	index := map[axis]int{}
	var all [][]crossing
	for i := range s.Groups {
		g := &s.Groups[i]
		for k := range g.Places {
			p := &g.Places[k]
			if p.whole() {
				continue
			}
			a := axis{p.Tensor, p.Axis}
			at, ok := index[a]
			if !ok {
				at = len(all)
				index[a] = at
				all = append(all, nil)
			}
			all[at] = append(all[at], crossing{i, p})
		}
	}
	return slices.DeleteFunc(all, func(list []crossing) bool {
		several := slices.ContainsFunc(list, func(c crossing) bool { return c.group != list[0].group })
		return !several || !slices.ContainsFunc(list, func(c crossing) bool { return len(s.Groups[c.group].Factors) > 0 })
	})
}

// uneven returns the factors of group y that do not act alike at the positions that x
// exchanges.
func (s *Spec) uneven(x crossing, y int, places []crossing) (factors []int) {
	if len(s.Groups[y].Factors) == 0 {
		return nil
	}
	var at []int32 // by position: 1 more than the place of y there
	for n, c := range places {
		if c.group != y {
			continue
		}
		for i := range s.Groups[y].Size {
			for k := range c.place.Run {
				pos := c.place.Position(i, k)
				if pos >= len(at) {
					at = append(at, make([]int32, pos+1-len(at)+pos/2)...)
				}
				at[pos] = int32(n + 1)
			}
		}
	}
	of := func(pos int) int32 {
		if pos < len(at) {
			return at[pos]
		}
		return 0
	}
	acts := func(n int32) []Act {
		if n == 0 {
			return nil
		}
		return places[n-1].place.Acts
	}
	for k := range x.place.Run {
		one := of(x.place.Position(0, k))
		for i := range s.Groups[x.group].Size {
			two := of(x.place.Position(i, k))
			if one == two {
				continue
			}
			first, other := acts(one), acts(two)
			for _, a := range first {
				if !slices.Contains(other, a) {
					factors = append(factors, a.Factor)
				}
			}
			for _, a := range other {
				if !slices.Contains(first, a) {
					factors = append(factors, a.Factor)
				}
			}
		}
	}
	slices.Sort(factors)
	return slices.Compact(factors)
}

// drop sets factors to 1 for good.
func (g *Group) drop(factors []int) {
	number := make([]int, len(g.Factors))
	var kept []Gauge
	for f, gauge := range g.Factors {
		if number[f] = -1; !slices.Contains(factors, f) {
			number[f] = len(kept)
			kept = append(kept, gauge)
		}
	}
	g.Factors = kept
	for k := range g.Places {
		p := &g.Places[k]
		var acts []Act
		for _, a := range p.Acts {
			if a.Factor = number[a.Factor]; a.Factor >= 0 {
				acts = append(acts, a)
			}
		}
		p.Acts = acts
	}
}
