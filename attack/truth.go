package attack

import (
	"encoding/json"
	"fmt"
	"slices"

	"ropewalk/symmetry"
)

// A Truth says what became of the neurons: what align looks for.
//
// Element[group].Order[i] is which neuron of the original network stands at place i,
// or -1 for one that was added; neurons that were removed are in no order. Factors
// are of the original neurons, by their original places. Groups inside of whole tensors
// that another group exchanges, as experts, go by the tensors that they were in.
type Truth struct {
	Schema string `json:"schema"`
	Attack string `json:"attack"`
	Seed   uint64 `json:"seed"`
	// Element has the groups that were touched.
	Element symmetry.Element `json:"element"`
	// Added are the dummy neurons, by group.
	Added map[string][]Added `json:"added,omitempty"`
	// Removed are the original neurons that are gone, by group.
	Removed map[string][]int `json:"removed,omitempty"`

	spec *symmetry.Spec // of the original network
}

// TruthSchema is the name and version of the JSON form of a [Truth].
const TruthSchema = "ropewalk/attack-map/1"

// Added is a neuron that was added.
type Added struct {
	Neuron int       `json:"neuron"` // its place in the attacked network
	Kind   DummyKind `json:"kind"`
	// Of is the place of the neuron that a split is a part of, or of the first of a
	// clique (for that one, its own); -1 for others.
	Of int `json:"of"`
}

// A DummyKind is a way to add neurons without a change of the function.
type DummyKind string

// The kinds of dummy neurons.
const (
	ZeroDummy   DummyKind = "zero"   // nobody reads it
	CliqueDummy DummyKind = "clique" // two of the same input, which cancel each other
	SplitDummy  DummyKind = "split"  // a neuron like another, of whose output it takes a share
)

func newTruth(s *symmetry.Spec) *Truth {
	return &Truth{Schema: TruthSchema, Element: symmetry.Element{}, spec: s}
}

// ParseTruth reads the JSON form. Only Element has to be there.
func ParseTruth(b []byte) (*Truth, error) {
	t := &Truth{}
	if err := json.Unmarshal(b, t); err != nil {
		return nil, err
	}
	if t.Element == nil {
		return nil, fmt.Errorf("it says of no group what happened to it")
	}
	for name, m := range t.Element {
		if m == nil {
			return nil, fmt.Errorf("it says of group %s only that it is null", name)
		}
	}
	return t, nil
}

// size returns how many neurons a group had.
func (t *Truth) size(name string) int { return t.spec.Group(name).Size }

// move enters an element of the network as it is now.
func (t *Truth) move(e symmetry.Element) error {
	e, err := t.spec.Before(e, t.Element)
	if err != nil {
		return err
	}
	for name, m := range e {
		old := t.Element[name]
		if old == nil {
			old = &symmetry.Move{}
		}
		was := func(i int) int { // the original neuron at place i
			if old.Order == nil {
				return i
			}
			return old.Order[i]
		}
		now := &symmetry.Move{Order: old.Order, Factors: old.Factors}
		if m.Order != nil {
			now.Order = make([]int, len(m.Order))
			to := make([]int, len(m.Order))
			for i, j := range m.Order {
				now.Order[i] = was(j)
				to[j] = i
			}
			for k := range t.Added[name] {
				a := &t.Added[name][k]
				a.Neuron = to[a.Neuron]
				if a.Of >= 0 {
					a.Of = to[a.Of]
				}
			}
		}
		for f, factors := range m.Factors {
			if old.Factors == nil {
				now.Factors = append(now.Factors, slices.Repeat([]float64{1}, t.size(name)))
			} else {
				now.Factors[f] = slices.Clone(old.Factors[f])
			}
			for j, x := range factors {
				if k := was(j); k >= 0 {
					now.Factors[f][k] *= x
				}
			}
		}
		t.Element[name] = now
	}
	return nil
}

// resize enters that neurons were added, or removed: place i has the neuron that was
// at from[i], or, if that is negative, a new one.
func (t *Truth) resize(name string, from []int, added []Added) error {
	was, err := t.spec.Before(symmetry.Element{name: nil}, t.Element)
	if err != nil {
		return err
	}
	for name = range was { // one: as it was called at first
	}
	old := t.Element[name]
	if old == nil {
		old = &symmetry.Move{}
	}
	now := &symmetry.Move{Order: make([]int, len(from)), Factors: old.Factors}
	to := map[int]int{}
	for i, j := range from {
		switch {
		case j < 0:
			now.Order[i] = -1
			continue
		case old.Order == nil:
			now.Order[i] = j
		default:
			now.Order[i] = old.Order[j]
		}
		to[j] = i
	}
	var list []Added
	for _, a := range t.Added[name] {
		i, ok := to[a.Neuron]
		if !ok {
			continue // it is gone again
		}
		a.Neuron = i
		if a.Of >= 0 {
			if a.Of, ok = to[a.Of]; !ok {
				a.Of = -1
			}
		}
		list = append(list, a)
	}
	if list = append(list, added...); list != nil {
		if t.Added == nil {
			t.Added = map[string][]Added{}
		}
		t.Added[name] = list
	}
	t.Element[name] = now
	return nil
}

// finished sorts, and lists what is gone.
func (t *Truth) finished() *Truth {
	for name, list := range t.Added {
		slices.SortFunc(list, func(a, b Added) int { return a.Neuron - b.Neuron })
		if len(list) == 0 {
			delete(t.Added, name)
		}
	}
	for name, m := range t.Element {
		if m.Order == nil {
			continue
		}
		there := make([]bool, t.size(name))
		for _, j := range m.Order {
			if j >= 0 {
				there[j] = true
			}
		}
		for j, is := range there {
			if is {
				continue
			}
			if t.Removed == nil {
				t.Removed = map[string][]int{}
			}
			t.Removed[name] = append(t.Removed[name], j)
		}
	}
	return t
}
