package align

import (
	"errors"
	"fmt"
	"math"
)

// ErrInput reports groups, specifications or tensors that do not fit together.
var ErrInput = errors.New("align: invalid input")

// A Gauge is what may have happened to a neuron beside moving, without a change
// of the network's function: it is multiplied by a factor, which is taken back
// elsewhere.
type Gauge uint8

// The gauges.
const (
	Positive Gauge = iota // any positive factor: ReLU and its kin, or in front of a batch norm
	Nonzero               // any factor but 0: linear units, gated units, channels with batch norm
	Sign                  // 1 or -1: odd activations such as tanh
)

// flips reports whether the factor may be negative.
func (g Gauge) flips() bool { return g != Positive }

// scales reports whether the magnitude of the factor is free.
func (g Gauge) scales() bool { return g != Sign }

// String returns the name of the gauge.
func (g Gauge) String() string {
	switch g {
	case Positive:
		return "positive scale"
	case Nonzero:
		return "nonzero scale"
	case Sign:
		return "sign"
	}
	return fmt.Sprintf("Gauge(%d)", uint8(g))
}

// An Act says how a factor s of a neuron changes its numbers in one view: they
// are multiplied by |s| to the Power, and by the sign of s if Odd. So incoming
// weights have {Power: 1, Odd: true}, outgoing ones {Power: -1, Odd: true}, and a
// running variance {Power: 2}.
type Act struct {
	Factor int // which of the group's factors
	Power  int // from -2 to 2
	Odd    bool
}

// A Role says what the numbers of a view are to their neuron.
type Role uint8

// The roles.
const (
	Incoming  Role = iota // weights that make the neuron; all that [Paper] looks at
	Outgoing              // weights that read it
	Parameter             // bias, scale and shift of a norm
	Statistic             // running mean and variance
)

// String returns the name of the role.
func (r Role) String() string {
	names := [...]string{"incoming", "outgoing", "parameter", "statistic"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// A View describes each neuron by a row of Dim numbers, in both networks. The
// columns mean the same on both sides: other axes of the tensor are in the same
// order already.
type View struct {
	Name string
	Role Role
	Dim  int
	Ref  []float32 // (reference neurons, Dim), row-major
	Sus  []float32 // (suspect neurons, Dim)
	Acts []Act     // of the group's factors; none if the view does not see them

	// imitated is Ref after what seems to have been done to the suspect's tensor,
	// or nil. See imitate.
	imitated []float32
	// refLength and susLength, if the rows are sketches, are the lengths of what they are of.
	refLength, susLength []float32
	// pruned says that much of the suspect's tensor is zeros.
	pruned bool
}

// A Group is a set of neurons to be matched: one free axis of a network.
type Group struct {
	Name     string
	Ref, Sus int     // number of neurons on either side
	Factors  []Gauge // of each neuron, beside its place; at most 64 that flip signs
	Views    []View
}

// maxNeurons bounds a group: its evidence is a matrix of their square.
const maxNeurons = 1 << 16

// check refuses groups that cannot be matched, and names the first number that
// is not finite.
func (g *Group) check() error {
	if g.Ref < 1 || g.Sus < 1 || g.Ref > maxNeurons || g.Sus > maxNeurons {
		return fmt.Errorf("%w: group %s has %d and %d neurons, want 1 to %d", ErrInput, g.Name, g.Ref, g.Sus, maxNeurons)
	}
	flips := 0
	for _, f := range g.Factors {
		if f > Sign {
			return fmt.Errorf("%w: group %s has %v", ErrInput, g.Name, f)
		}
		if f.flips() {
			flips++
		}
	}
	if flips > maxFlips {
		return fmt.Errorf("%w: group %s has %d factors that flip signs, want at most %d", ErrInput, g.Name, flips, maxFlips)
	}
	if len(g.Views) == 0 {
		return fmt.Errorf("%w: group %s has no views: nothing describes its neurons", ErrInput, g.Name)
	}
	for k := range g.Views {
		v := &g.Views[k]
		if v.Dim < 1 || v.Dim > math.MaxInt32 || len(v.Ref) != g.Ref*v.Dim || len(v.Sus) != g.Sus*v.Dim {
			return fmt.Errorf("%w: group %s, view %s: %d and %d numbers for %d and %d neurons of %d each",
				ErrInput, g.Name, v.Name, len(v.Ref), len(v.Sus), g.Ref, g.Sus, v.Dim)
		}
		if err := checkActs(v.Acts, len(g.Factors)); err != nil {
			return fmt.Errorf("group %s, view %s: %w", g.Name, v.Name, err)
		}
		for _, side := range []struct {
			name string
			x    []float32
		}{{"reference", v.Ref}, {"suspect", v.Sus}} {
			if i := notFinite(side.x); i >= 0 {
				return fmt.Errorf("%w: group %s, view %s: %s neuron %d has the weight %v; there is nothing to compare it by",
					ErrInput, g.Name, v.Name, side.name, i/v.Dim, side.x[i])
			}
		}
	}
	return nil
}

func checkActs(acts []Act, factors int) error {
	for _, a := range acts {
		if a.Factor < 0 || a.Factor >= factors || a.Power < -2 || a.Power > 2 {
			return fmt.Errorf("%w: act %+v of %d factors", ErrInput, a, factors)
		}
	}
	return nil
}

// notFinite returns the place of the first NaN or infinity in x, or -1.
func notFinite(x []float32) int {
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// A Matching says who is who, in both directions.
type Matching struct {
	Sus []int // Sus[i] is the suspect's neuron that is reference neuron i, or -1
	Ref []int // Ref[j] is the reference's neuron that suspect neuron j is, or -1
}

// NewMatching returns the matching in which reference neuron i is suspect neuron
// sus[i], of n; -1 for none. It keeps sus. Two neurons may have the same partner,
// as [Paper] allows: the inverse then names the first.
func NewMatching(sus []int, n int) (*Matching, error) {
	m := &Matching{Sus: sus, Ref: make([]int, n)}
	for j := range m.Ref {
		m.Ref[j] = -1
	}
	for i, j := range sus {
		if j < -1 || j >= n {
			return nil, fmt.Errorf("%w: reference neuron %d matched with %d of %d", ErrInput, i, j, n)
		}
		if j >= 0 && m.Ref[j] < 0 {
			m.Ref[j] = i
		}
	}
	return m, nil
}

// Inverse returns m with the sides exchanged.
func (m *Matching) Inverse() *Matching { return &Matching{Sus: m.Ref, Ref: m.Sus} }

// Duplicates returns how many reference neurons have a partner that another one
// before them has, too.
func (m *Matching) Duplicates() int {
	n := 0
	for i, j := range m.Sus {
		if j >= 0 && m.Ref[j] != i {
			n++
		}
	}
	return n
}

// Psi returns the paper's Ψ: the percentage of reference neurons whose partner
// is the true one. It is 0 for no neurons.
func Psi(found, truth *Matching) float64 {
	if len(found.Sus) == 0 || len(found.Sus) != len(truth.Sus) {
		return 0
	}
	n := 0
	for i, j := range found.Sus {
		if j == truth.Sus[i] {
			n++
		}
	}
	return 100 * float64(n) / float64(len(found.Sus))
}
