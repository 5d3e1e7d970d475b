package symmetry

import (
	"errors"
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// ErrSpec reports a specification, an element or a text that does not fit: to
// itself, or to the tensors that it is for.
var ErrSpec = errors.New("symmetry: invalid specification")

const (
	// maxNeurons bounds a group: it is more than the rows of any embedding.
	maxNeurons = 1 << 24
	// maxPositions bounds an axis.
	maxPositions = 1 << 31
)

// A Spec says which axes of which tensors of a network move together. It is
// immutable once made, and safe for concurrent use.
type Spec struct {
	Groups []Group
	Fixed  []Fixed // what does not move, by reason
}

// A Group is a set of neurons that can be put in any order without a change of the
// network's function, and all places where each of them appears.
type Group struct {
	Name    string
	Size    int     // neurons, at least 2
	Factors []Gauge // of each neuron, beside its place
	Places  []Place
}

// A Gauge is what a neuron may be multiplied by, when it is taken back elsewhere.
type Gauge uint8

// The gauges.
const (
	Positive Gauge = iota // any positive factor: around ReLU and its kin
	Nonzero               // any factor but 0: between linear operators, before a batch norm
	Sign                  // 1 or -1: around odd functions such as tanh
)

// Flips reports whether a factor may be negative.
func (g Gauge) Flips() bool { return g != Positive }

// Scales reports whether the magnitude of a factor is free.
func (g Gauge) Scales() bool { return g != Sign }

var gaugeNames = [...]string{"scale", "nonzero", "sign"}

// String returns the word for the gauge in the text form.
func (g Gauge) String() string {
	if int(g) < len(gaugeNames) {
		return gaugeNames[g]
	}
	return fmt.Sprintf("Gauge(%d)", uint8(g))
}

// A Place is where a group appears on one axis of one tensor. Neuron i is at the
// Run positions At[i], At[i]+Stride, …: a convolution that is flattened into a
// linear layer has a Run of height × width there. A neuron may have several places
// on an axis, as the heads of attention have in a matrix of queries, keys and values.
//
// Or neuron i is the whole of tensor Tensors[i], and has no axis: so are experts, of which
// each is some tensors, and a row of the router.
type Place struct {
	Tensor string
	// Tensors are whole tensors, of one type and shape, one for each neuron; then all else
	// but the role is as in Place{Run: 1, Stride: 1}. Nil for a place on an axis.
	Tensors []string
	Axis    int
	At      []int // one for each neuron; nil: neuron i is at i·Run
	Run     int   // at least 1
	Stride  int   // at least 1
	Role    Role
	Acts    []Act
	// Epsilon is that of the batch norm whose running variance this is: a factor f of
	// the channel makes f²·(variance + Epsilon) - Epsilon of it. 0 elsewhere.
	Epsilon float64
}

// An Act says how a neuron's factor s changes the numbers at a place: they are
// multiplied by |s| to the Power, and by the sign of s if Odd. So weights that make
// the neuron have {Power: 1, Odd: true}, those that read it {Power: -1, Odd: true},
// a running variance {Power: 2}, and what does not see the factor has no Act.
type Act struct {
	Factor int // which of the group's factors
	Power  int // from -2 to 2
	Odd    bool
}

// A Role says what numbers are to their neuron.
type Role uint8

// The roles.
const (
	Incoming  Role = iota // weights that make the neuron
	Outgoing              // weights that read it
	Parameter             // bias, scale and shift of a norm, a kernel for the channel alone
	Statistic             // running mean and variance
)

var roleNames = [...]string{"in", "out", "param", "stat"}

// String returns the word for the role in the text form.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// Fixed are positions that do not move, and why.
type Fixed struct {
	Reason string
	Axes   []Axis
}

// An Axis is one axis of a tensor, or a part of it.
type Axis struct {
	Tensor string
	Axis   int
	At     []int // positions; nil: all
}

// Position returns where number k, 0 <= k < Run, of neuron i is on the axis.
func (p *Place) Position(i, k int) int {
	if p.At == nil {
		return i*p.Run + k*p.Stride
	}
	return p.At[i] + k*p.Stride
}

// Group returns the group of that name, or nil.
func (s *Spec) Group(name string) *Group {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	return nil
}

// Only returns the specification of the groups that keep chooses, with nothing said
// of what is fixed.
func (s *Spec) Only(keep func(*Group) bool) *Spec {
	out := &Spec{}
	for i := range s.Groups {
		if keep(&s.Groups[i]) {
			out.Groups = append(out.Groups, s.Groups[i])
		}
	}
	return out
}

// Check says what is wrong with s by itself.
func (s *Spec) Check() error {
	names := map[string]bool{}
	for i := range s.Groups {
		g := &s.Groups[i]
		if g.Name == "" || names[g.Name] {
			return fmt.Errorf("%w: a second group is named %q, or one has no name", ErrSpec, g.Name)
		}
		names[g.Name] = true
		if err := g.check(); err != nil {
			return fmt.Errorf("group %s: %w", g.Name, err)
		}
	}
	return nil
}

func (g *Group) check() error {
	if g.Size < 2 || g.Size > maxNeurons {
		return fmt.Errorf("%w: it has %d neurons, want 2 to %d", ErrSpec, g.Size, maxNeurons)
	}
	for _, f := range g.Factors {
		if f > Sign {
			return fmt.Errorf("%w: it has a factor of %v", ErrSpec, f)
		}
	}
	if len(g.Places) == 0 {
		return fmt.Errorf("%w: it has no places", ErrSpec)
	}
	for i := range g.Places {
		p := &g.Places[i]
		if p.whole() {
			if err := p.checkWhole(g); err != nil {
				return err
			}
			continue
		}
		if err := p.check(g); err != nil {
			return fmt.Errorf("%w: %s axis %d: %w", ErrSpec, p.Tensor, p.Axis, err)
		}
	}
	return nil
}

func (p *Place) check(g *Group) error {
	switch {
	case p.Axis < 0 || p.Axis >= tensor.MaxRank:
		return fmt.Errorf("no tensor has such an axis")
	case p.At != nil && len(p.At) != g.Size:
		return fmt.Errorf("%d positions for %d neurons", len(p.At), g.Size)
	case p.Run < 1 || p.Run > maxPositions || p.Stride < 1 || p.Stride > maxPositions:
		return fmt.Errorf("%d numbers at distances of %d for a neuron, want 1 to %d", p.Run, p.Stride, maxPositions)
	case !(p.Epsilon >= 0 && p.Epsilon < 1):
		return fmt.Errorf("an epsilon of %g, want 0 to 1", p.Epsilon)
	case p.Role > Statistic:
		return fmt.Errorf("%v", p.Role)
	}
	for _, at := range p.At {
		if at < 0 || at > maxPositions {
			return fmt.Errorf("position %d, want 0 to %d", at, maxPositions)
		}
	}
	for k, a := range p.Acts {
		same := func(b Act) bool { return a.Factor == b.Factor }
		if a.Factor < 0 || a.Factor >= len(g.Factors) || a.Power < -2 || a.Power > 2 || a.Power == 0 && !a.Odd || slices.ContainsFunc(p.Acts[:k], same) {
			return fmt.Errorf("act %+v of %d factors", a, len(g.Factors))
		}
	}
	return nil
}

// Fits says what keeps s from being applied to the tensors of set: those that are
// not there, and places outside of them or of which two groups, or two neurons of one,
// both want a position for themselves. Groups may cross, as heads and what is in
// them do.
func (s *Spec) Fits(set *tensor.Set) error {
	if err := s.Check(); err != nil {
		return err
	}
	whole := map[string]bool{}
	for i := range s.Groups {
		g := &s.Groups[i]
		taken := map[[2]int][]uint64{} // by tensor and axis: a bit for each position
		index := map[string]int{}
		for k := range g.Places {
			p := &g.Places[k]
			if p.whole() {
				if err := p.fitsWhole(g, set, whole); err != nil {
					return err
				}
				continue
			}
			t := set.Lookup(p.Tensor)
			switch {
			case t == nil:
				return fmt.Errorf("%w: group %s is in %s, but there is no such tensor", ErrSpec, g.Name, p.Tensor)
			case p.Axis >= len(t.Shape):
				return fmt.Errorf("%w: group %s is on axis %d of %s, which is %v", ErrSpec, g.Name, p.Axis, p.Tensor, t.Shape)
			}
			length := t.Shape[p.Axis]
			id, ok := index[p.Tensor]
			if !ok {
				id = len(index)
				index[p.Tensor] = id
			}
			bits := taken[[2]int{id, p.Axis}]
			if bits == nil {
				if length > maxPositions {
					return fmt.Errorf("%w: axis %d of %s has %d positions, want at most %d", ErrSpec, p.Axis, p.Tensor, length, maxPositions)
				}
				bits = make([]uint64, length/64+1)
				taken[[2]int{id, p.Axis}] = bits
			}
			for n := range g.Size {
				for r := range p.Run {
					at := p.Position(n, r)
					if int64(at) >= length {
						return fmt.Errorf("%w: group %s, neuron %d is at %d of axis %d of %s, which has %d", ErrSpec, g.Name, n, at, p.Axis, p.Tensor, length)
					}
					if bits[at/64]>>(at%64)&1 != 0 {
						return fmt.Errorf("%w: group %s has position %d of axis %d of %s twice", ErrSpec, g.Name, at, p.Axis, p.Tensor)
					}
					bits[at/64] |= 1 << (at % 64)
				}
			}
		}
	}
	return nil
}
