package symmetry

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/tensor"
)

// An Element is one way to shuffle and rescale a network: a move for each group that
// it touches, by name. Moves of groups inside of whole tensors that another group
// exchanges come first; all others commute.
type Element map[string]*Move

// A Move is what happens to the neurons of a group. First neuron j is multiplied by its
// factors, then neuron Order[i] comes to place i.
type Move struct {
	Order []int `json:"order"` // of all neurons; nil: they stay
	// Factors[f][j] is factor f of neuron j, by its old place; nil: all are 1.
	Factors [][]float64 `json:"factors,omitempty"`
}

// RandomOptions say how to draw an element.
type RandomOptions struct {
	// Seed chooses among the elements.
	Seed uint64
	// Stay has neurons stay where they are.
	Stay bool
	// Scale is the standard deviation of the natural logarithm of factors, whose
	// distribution is log-normal. 0 leaves magnitudes alone.
	Scale float64
	// Signs draws signs, + and - alike.
	Signs bool
	// Powers has magnitudes rounded to powers of 2: to multiply by them rounds
	// nothing.
	Powers bool
}

// Random draws an element, uniformly among the orders of each group. It depends on
// the seed, and the names and sizes of the groups, and on a group nothing else does.
func (s *Spec) Random(o *RandomOptions) Element {
	if o == nil {
		o = &RandomOptions{}
	}
	e := Element{}
	for i := range s.Groups {
		g := &s.Groups[i]
		r := rand.New(rand.NewPCG(o.Seed, hash(g.Name)))
		m := &Move{}
		order := r.Perm(g.Size) // drawn always, so that factors don't depend on Stay
		if !o.Stay {
			m.Order = order
		}
		for _, gauge := range g.Factors {
			f := make([]float64, g.Size)
			for j := range f {
				f[j] = 1
				x, flip := o.Scale*r.NormFloat64(), r.Uint64()&1 == 1
				if gauge.Scales() && o.Scale != 0 {
					if o.Powers {
						x = math.Ln2 * math.Round(x/math.Ln2)
					}
					f[j] = math.Exp(x)
					if o.Powers {
						f[j] = math.Ldexp(1, int(math.Round(x/math.Ln2)))
					}
				}
				if gauge.Flips() && o.Signs && flip {
					f[j] = -f[j]
				}
			}
			m.Factors = append(m.Factors, f)
		}
		if o.Scale == 0 && !o.Signs {
			m.Factors = nil
		}
		if m.Order != nil || m.Factors != nil {
			e[g.Name] = m
		}
	}
	return e
}

// hash is FNV-1a.
func hash(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return h
}

// from returns which old neuron comes to place i.
func (m *Move) from(i int) int {
	if m.Order == nil {
		return i
	}
	return m.Order[i]
}

// Inverse returns the element that undoes e. Errors are as of [Spec.Before].
func (s *Spec) Inverse(e Element) (Element, error) {
	to := map[string][]int{} // where whole tensors went: there they have to be undone
	for name, m := range e {
		if m.Order != nil {
			to[name] = inverse(m.Order)
		}
	}
	return s.carried(e.inverse(), func(group string, n int) int {
		if to[group] == nil {
			return n
		}
		return to[group][n]
	})
}

func inverse(order []int) []int {
	to := make([]int, len(order))
	for i, j := range order {
		to[j] = i
	}
	return to
}

// inverse undoes the moves of each group alone.
func (e Element) inverse() Element {
	out := make(Element, len(e))
	for name, m := range e {
		inv := &Move{}
		if m.Order != nil {
			inv.Order = inverse(m.Order)
		}
		for _, f := range m.Factors {
			g := make([]float64, len(f))
			for i := range g {
				g[i] = 1 / f[m.from(i)]
			}
			inv.Factors = append(inv.Factors, g)
		}
		out[name] = inv
	}
	return out
}

// Then returns the element that does e first, and then next. Errors are as of
// [Spec.Before].
func (s *Spec) Then(e, next Element) (Element, error) {
	next, err := s.Before(next, e)
	if err != nil {
		return nil, err
	}
	out := Element{}
	maps.Copy(out, e)
	for name, b := range next {
		a := e[name]
		if a == nil {
			out[name] = b
			continue
		}
		c := &Move{Order: a.Order}
		if b.Order != nil {
			c.Order = make([]int, len(b.Order))
			for i, j := range b.Order {
				c.Order[i] = a.from(j)
			}
		}
		c.Factors = slices.Clone(a.Factors)
		for f, factors := range b.Factors {
			g := make([]float64, len(factors))
			for i, x := range factors { // neuron i of the network between
				j := a.from(i)
				g[j] = x
				if a.Factors != nil {
					g[j] *= a.Factors[f][j]
				}
			}
			if a.Factors == nil {
				c.Factors = append(c.Factors, g)
			} else {
				c.Factors[f] = g
			}
		}
		out[name] = c
	}
	return out, nil
}

// check says what keeps e from being an element of s.
func (e Element) check(s *Spec) error {
	known := map[string]bool{}
	for i := range s.Groups {
		g := &s.Groups[i]
		known[g.Name] = true
		m := e[g.Name]
		if m == nil {
			continue
		}
		if err := m.check(g); err != nil {
			return fmt.Errorf("%w: group %s: %w", ErrSpec, g.Name, err)
		}
	}
	for name := range e {
		if !known[name] {
			return fmt.Errorf("%w: there is no group %s to move", ErrSpec, name)
		}
	}
	return nil
}

func (m *Move) check(g *Group) error {
	if m.Order != nil {
		if len(m.Order) != g.Size {
			return fmt.Errorf("an order of %d neurons for %d", len(m.Order), g.Size)
		}
		seen := make([]bool, g.Size)
		for _, j := range m.Order {
			if j < 0 || j >= g.Size || seen[j] {
				return fmt.Errorf("neuron %d is in the order twice, or is none of %d", j, g.Size)
			}
			seen[j] = true
		}
	}
	if m.Factors != nil && len(m.Factors) != len(g.Factors) {
		return fmt.Errorf("%d factors for each neuron, want %d", len(m.Factors), len(g.Factors))
	}
	for f, factors := range m.Factors {
		if len(factors) != g.Size {
			return fmt.Errorf("factor %s of %d neurons, want %d", factorName(f), len(factors), g.Size)
		}
		for j, x := range factors {
			gauge := g.Factors[f]
			if x == 0 || x-x != 0 || 1/x-1/x != 0 || x < 0 && !gauge.Flips() || x != 1 && x != -1 && !gauge.Scales() {
				return fmt.Errorf("neuron %d: factor %s is %g, which is no %v", j, factorName(f), x, gauge)
			}
		}
	}
	return nil
}

// factor returns what the numbers of old neuron j at a place are multiplied by.
func (m *Move) factor(p *Place, j int) float64 {
	x := 1.0
	for _, a := range p.Acts {
		if m.Factors == nil {
			break
		}
		s := m.Factors[a.Factor][j]
		f := 1.0
		switch a.Power {
		case 1:
			f = math.Abs(s)
		case 2:
			f = s * s
		case -1:
			f = 1 / math.Abs(s)
		case -2:
			f = 1 / (s * s)
		}
		if a.Odd && s < 0 {
			f = -f
		}
		x *= f
	}
	return x
}

// Fit returns e with factors of 1 for those neurons whose running variance would not
// stay positive: a channel that is constant cannot be made smaller, because its batch
// norm divides by √(variance + ε). Set holds the tensors that e is for.
func (s *Spec) Fit(set *tensor.Set, e Element) (Element, error) {
	if err := e.check(s); err != nil {
		return nil, err
	}
	out := Element{}
	maps.Copy(out, e)
	list, err := s.scaledVariances(set, out)
	if err != nil {
		return nil, err
	}
	for again := true; again; { // a factor may be in several variances
		again = false
		total := map[string][]float64{} // of all groups that cross there
		for _, v := range list {
			m := out[v.group.Name]
			if total[v.place.Tensor] == nil {
				total[v.place.Tensor] = slices.Repeat([]float64{1}, len(v.values))
			}
			for j := range v.group.Size {
				for r := range v.place.Run {
					total[v.place.Tensor][v.place.Position(j, r)] *= m.factor(v.place, j)
				}
			}
		}
		for _, v := range list {
			name := v.group.Name
			for j := range v.group.Size {
				for r := range v.place.Run {
					at := v.place.Position(j, r)
					f := total[v.place.Tensor][at]
					if f*(v.values[at]+v.place.Epsilon)-v.place.Epsilon > 0 || f >= 1 || out[name].factor(v.place, j) == 1 {
						continue
					}
					if out[name] == e[name] {
						out[name] = &Move{Order: e[name].Order}
						for _, f := range e[name].Factors {
							out[name].Factors = append(out[name].Factors, slices.Clone(f))
						}
					}
					again = true
					for _, a := range v.place.Acts {
						x := &out[name].Factors[a.Factor][j]
						*x = math.Copysign(1, *x)
					}
				}
			}
		}
	}
	return out, nil
}

// A scaledVariance is a place of variances that a group multiplies.
type scaledVariance struct {
	group  *Group
	place  *Place
	values []float64
}

func (s *Spec) scaledVariances(set *tensor.Set, e Element) ([]scaledVariance, error) {
	var list []scaledVariance
	for i := range s.Groups {
		g := &s.Groups[i]
		if m := e[g.Name]; m == nil || m.Factors == nil {
			continue
		}
		for k := range g.Places {
			p := &g.Places[k]
			if p.Epsilon == 0 || p.whole() {
				continue
			}
			v, err := variances(set, p)
			if err != nil {
				return nil, fmt.Errorf("group %s: %w", g.Name, err)
			}
			for j := range g.Size {
				for r := range p.Run {
					if at := p.Position(j, r); at >= len(v) {
						return nil, fmt.Errorf("%w: group %s, neuron %d is at %d of %s, which has %d", ErrSpec, g.Name, j, at, p.Tensor, len(v))
					}
				}
			}
			list = append(list, scaledVariance{g, p, v})
		}
	}
	return list, nil
}

func variances(set *tensor.Set, p *Place) ([]float64, error) {
	t := set.Lookup(p.Tensor)
	if t == nil || len(t.Shape) != 1 || !t.DType.Numeric() {
		return nil, fmt.Errorf("%w: %s should be a list of variances", ErrSpec, p.Tensor)
	}
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return appendFloat64s(nil, t.DType, raw), nil
}
