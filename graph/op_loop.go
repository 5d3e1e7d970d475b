package graph

import (
	"errors"
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// A Loop has a count (or none), a condition (or none), and values that go from one
// turn to the next. Its body gets the number of the turn, the condition and the
// values; it gives the next condition, the next values, and elements of scans,
// which are stacked.
type loop struct {
	body      *Graph
	carried   int
	scans     int
	count     *Operand
	condition *Operand
	initial   []*Operand
}

func loopOf(n *Node, in []*Operand) (*loop, error) {
	r := read(n)
	body := r.graph("body")
	if r.err != nil {
		return nil, r.err
	}
	if len(in) < 2 {
		return nil, fmt.Errorf("it has %d inputs, want a count and a condition at least", len(in))
	}
	l := &loop{body: body, carried: len(in) - 2, count: in[0], condition: in[1], initial: in[2:]}
	if len(body.Inputs) != 2+l.carried || len(body.Outputs) < 1+l.carried {
		return nil, fmt.Errorf("its body has %d inputs and %d outputs, which do not fit %d values", len(body.Inputs), len(body.Outputs), l.carried)
	}
	l.scans = len(body.Outputs) - 1 - l.carried
	if l.count != nil {
		if k, err := l.count.Type.Shape.Elems(); err != nil || k != 1 || l.count.Type.DType != tensor.I64 {
			return nil, fmt.Errorf("the count is %v, want one I64", l.count.Type)
		}
	}
	if l.condition != nil {
		if err := oneTruth(l.condition); err != nil {
			return nil, err
		}
	}
	for i, o := range l.initial {
		if o == nil {
			return nil, fmt.Errorf("value %d is missing", i)
		}
	}
	return l, nil
}

// inferLoop knows the types if no turn changes those of the values; the number of turns
// must be constant if there are scans.
func inferLoop(c *context, n *Node, in []*Operand) ([]Type, error) {
	l, err := loopOf(n, in)
	if err != nil {
		return nil, err
	}
	on := &Value{Type: tensor.Bool, Shape: tensor.Shape{}, Int: []int64{1}}
	args := []*Operand{{Type: Type{tensor.I64, tensor.Shape{}}}, {on.typ(), on}}
	for _, o := range l.initial {
		args = append(args, &Operand{Type: o.Type})
	}
	out, err := c.knowNested(l.body, args)
	if err != nil {
		return nil, err
	}
	types := typesOf(out[1:])
	for i, o := range l.initial {
		if !types[i].equal(o.Type) {
			return nil, fmt.Errorf("value %d is %v before a turn and %v behind it", i, o.Type, types[i])
		}
	}
	if l.scans == 0 {
		return types, nil
	}
	// The number of turns is the count if the condition is true at first and always.
	isCount := l.count != nil && l.count.Value != nil
	always := out[0].Value != nil && out[0].Value.Int[0] == 1 && (l.condition == nil || l.condition.Value != nil && l.condition.Value.Int[0] == 1)
	var turns int64
	switch {
	case isCount && l.count.Value.Int[0] <= 0, l.condition != nil && l.condition.Value != nil && l.condition.Value.Int[0] == 0:
	case isCount && always:
		turns = l.count.Value.Int[0]
	default:
		return nil, &neededError{"the number of turns"}
	}
	for i := range l.scans {
		t := &types[l.carried+i]
		t.Shape = append(tensor.Shape{turns}, t.Shape...)
	}
	return types, nil
}

func evaluateLoop(c *context, n *Node, in []*Value) ([]*Value, error) {
	l, err := loopOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	turns, on := int64(-1), true
	if l.count != nil {
		turns = max(l.count.Value.Int[0], 0)
	}
	if l.condition != nil {
		on = l.condition.Value.Int[0] == 1
	}
	carried := slices.Clone(in[2:])
	stacks := make([]*stack, l.scans)
	for i := range stacks {
		stacks[i] = &stack{}
	}
	defer func() {
		for _, s := range stacks {
			c.release(s.held)
		}
	}()
	for turn := int64(0); on && turn != turns; turn++ {
		if err := c.spend(nodeSteps); err != nil {
			return nil, err
		}
		args := append([]*Value{
			{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{turn}},
			{Type: tensor.Bool, Shape: tensor.Shape{}, Int: []int64{truth(on)}},
		}, carried...)
		out, err := c.runNested(l.body, args)
		if err != nil {
			return nil, fmt.Errorf("turn %d: %w", turn, err)
		}
		if err := oneTruth(&Operand{out[0].typ(), nil}); err != nil {
			return nil, err
		}
		on = out[0].Int[0] == 1
		carried = out[1 : 1+l.carried]
		for i, s := range stacks {
			if err := s.push(c, out[1+l.carried+i]); err != nil {
				return nil, fmt.Errorf("scan %d in turn %d: %w", i, turn, err)
			}
		}
	}
	results := slices.Clone(carried)
	for i, s := range stacks {
		v, err := s.value(false)
		if err != nil { // no turn: the types are those that the body would give
			types, inferErr := inferLoop(c, n, operandsOf(in))
			if inferErr != nil {
				return nil, errors.Join(err, inferErr)
			}
			v = newValue(types[l.carried+i])
		}
		results = append(results, v)
	}
	return results, nil
}

// A stack puts arrays of one type on top of each other.
type stack struct {
	list []*Value
	held int64
}

func (s *stack) push(c *context, v *Value) error {
	if len(s.list) > 0 && !v.typ().equal(s.list[0].typ()) {
		return fmt.Errorf("it is %v, and was %v before", v.typ(), s.list[0].typ())
	}
	size := int64(v.elems()) + 1
	if err := c.hold(size); err != nil {
		return err
	}
	s.held += size
	s.list = append(s.list, v)
	return nil
}

// value returns the arrays as one with a new first axis, from the last if reversed.
func (s *stack) value(reversed bool) (*Value, error) {
	if len(s.list) == 0 {
		return nil, errors.New("nothing was scanned")
	}
	v := s.list[0]
	out := newValue(Type{v.Type, append(tensor.Shape{int64(len(s.list))}, v.Shape...)})
	size := v.elems()
	for i, v := range s.list {
		if reversed {
			i = len(s.list) - 1 - i
		}
		for k := range size {
			out.set(i*size+k, v, k)
		}
	}
	return out, nil
}
