package align

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// FromSymmetry returns what matching needs of a network's symmetries. Groups with more
// than 64 factors that flip signs, as streams of very deep networks, are matched as if
// their factors were positive: order and magnitudes are found, and signs are not looked
// for. Such groups of ±1 alone are refused. Errors are [ErrInput].
func FromSymmetry(s *symmetry.Spec) (*Spec, error) {
	out := &Spec{}
	for i := range s.Groups {
		g := &s.Groups[i]
		c := Class{Name: g.Name, Size: g.Size}
		flips := 0
		for _, f := range g.Factors {
			gauge, ok := map[symmetry.Gauge]Gauge{symmetry.Positive: Positive, symmetry.Nonzero: Nonzero, symmetry.Sign: Sign}[f]
			if !ok {
				return nil, fmt.Errorf("%w: group %s has a factor of %v", ErrInput, g.Name, f)
			}
			if gauge.flips() {
				flips++
			}
			c.Factors = append(c.Factors, gauge)
		}
		if flips > maxFlips { // see FromSymmetry
			for f := range c.Factors {
				if c.Factors[f] == Nonzero {
					c.Factors[f] = Positive
				}
			}
			if slices.Contains(c.Factors, Sign) {
				return nil, fmt.Errorf("%w: group %s has %d factors that flip signs, want at most %d", ErrInput, g.Name, flips, maxFlips)
			}
		}
		for k := range g.Places {
			p := &g.Places[k]
			if p.Tensors != nil {
				continue // of an exchange
			}
			q := Place{Tensor: p.Tensor, Axis: p.Axis, At: p.At, Run: p.Run, Stride: p.Stride, Epsilon: p.Epsilon}
			switch p.Role {
			case symmetry.Incoming:
				q.Role = Incoming
			case symmetry.Outgoing:
				q.Role = Outgoing
			case symmetry.Parameter:
				q.Role = Parameter
			case symmetry.Statistic:
				q.Role = Statistic
			default:
				return nil, fmt.Errorf("%w: group %s has a place of role %v", ErrInput, g.Name, p.Role)
			}
			for _, a := range p.Acts {
				q.Acts = append(q.Acts, Act{Factor: a.Factor, Power: a.Power, Odd: a.Odd})
			}
			c.Places = append(c.Places, q)
		}
		if !slices.ContainsFunc(g.Places, func(p symmetry.Place) bool { return p.Tensors != nil }) {
			out.Classes = append(out.Classes, c)
			continue
		}
		x, err := exchangeOf(g, c)
		if err != nil {
			return nil, err
		}
		out.Exchanges = append(out.Exchanges, x)
	}
	return out, nil
}

// Resize returns s for a network with the same layers, but other numbers of neurons:
// those that the tensors of set say. It is s itself if nothing differs. Where neurons
// are listed by position the number can't be told, and has to be the same; that of whole
// tensors is the same, too. Errors
// are [ErrInput], with all that does not fit.
func (s *Spec) Resize(set *tensor.Set) (*Spec, error) {
	tells := s.whole()
	out := &Spec{Exchanges: s.Exchanges}
	same := true
	for i := range s.Classes {
		c := s.Classes[i]
		size, err := s.size(i, set, tells)
		if err != nil {
			return nil, err
		}
		if size != c.Size {
			c.Size, same = size, false
		}
		out.Classes = append(out.Classes, c)
	}
	if same {
		return s, nil
	}
	return out, nil
}

// Unfit returns the names of the classes of which it can't be told how many neurons set
// has: those that [Spec.Resize] fails for.
func (s *Spec) Unfit(set *tensor.Set) []string {
	tells := s.whole()
	var names []string
	for i := range s.Classes {
		if _, err := s.size(i, set, tells); err != nil {
			names = append(names, s.Classes[i].Name)
		}
	}
	return names
}

// size returns how many neurons of class i set has. tells is [Spec.whole] of s.
func (s *Spec) size(i int, set *tensor.Set, tells func(class, place int) bool) (int, error) {
	c := &s.Classes[i]
	size := -1
	for k := range c.Places {
		p := &c.Places[k]
		t := set.Lookup(p.Tensor)
		if t == nil {
			return 0, fmt.Errorf("%w: there is no tensor %s", ErrInput, p.Tensor)
		}
		if p.Axis >= len(t.Shape) {
			return 0, fmt.Errorf("%w: tensor %s of shape %v has no axis %d", ErrInput, p.Tensor, t.Shape, p.Axis)
		}
		if !tells(i, k) {
			continue
		}
		length, run := t.Shape[p.Axis], int64(max(1, p.Run))
		n := length / run
		switch {
		case length%run != 0 || n > math.MaxInt32:
			return 0, fmt.Errorf("%w: axis %d of tensor %s has %d positions, %d for each neuron of class %s", ErrInput, p.Axis, p.Tensor, length, run, c.Name)
		case size < 0:
			size = int(n)
		case int(n) != size:
			return 0, fmt.Errorf("%w: class %s has %d neurons in tensor %s, and %d in %s", ErrInput, c.Name, size, c.Places[0].Tensor, n, p.Tensor)
		}
	}
	if size < 0 || size == c.Size {
		return c.Size, nil
	}
	for k := range c.Places {
		if p := &c.Places[k]; !tells(i, k) {
			return 0, fmt.Errorf("%w: class %s has %d neurons, and not %d, but which of axis %d of tensor %s they are cannot be told", ErrInput, c.Name, size, c.Size, p.Axis, p.Tensor)
		}
	}
	return size, nil
}

// whole returns a function that says whether a place of a class is all of its axis, so
// that the length of the axis tells how many neurons there are: the neurons follow one on
// the other, and nobody is behind them.
func (s *Spec) whole() func(class, place int) bool {
	type axis struct {
		tensor string
		axis   int
	}
	ends := map[axis]int{}
	end := func(c *Class, p *Place) int {
		last := c.Size - 1
		if p.At != nil {
			last = 0
			for i := range p.At {
				if p.At[i] > p.At[last] {
					last = i
				}
			}
		}
		return p.position(last, max(1, p.Run)-1) + 1
	}
	for i := range s.Classes {
		c := &s.Classes[i]
		for k := range c.Places {
			p := &c.Places[k]
			at := axis{p.Tensor, p.Axis}
			ends[at] = max(ends[at], end(c, p))
		}
	}
	return func(class, place int) bool {
		c := &s.Classes[class]
		p := &c.Places[place]
		return p.At == nil && p.Stride <= 1 && c.Size*max(1, p.Run) == ends[axis{p.Tensor, p.Axis}]
	}
}
