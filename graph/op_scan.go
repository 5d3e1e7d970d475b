package graph

import (
	"errors"
	"fmt"
	"slices"
)

// A Scan has values that go from one turn to the next, and arrays of which each turn
// sees one slice.
type scan struct {
	body                    *Graph
	states, inputs, outputs int
	inAxes, outAxes         []int64
	inReversed, outReversed []bool
	length                  int64
	slices                  []Type // of the arrays
}

func scanOf(n *Node, in []*Operand) (*scan, error) {
	r := read(n)
	s := &scan{body: r.graph("body"), inputs: int(r.int("num_scan_inputs", 0))}
	if r.err != nil {
		return nil, r.err
	}
	s.states = len(in) - s.inputs
	s.outputs = len(s.body.Outputs) - s.states
	if s.inputs < 1 || s.states < 0 || s.outputs < 0 || len(s.body.Inputs) != len(in) {
		return nil, fmt.Errorf("its body has %d inputs and %d outputs, which do not fit %d inputs of which %d are scanned",
			len(s.body.Inputs), len(s.body.Outputs), len(in), s.inputs)
	}
	list := func(name string, count int) []int64 {
		v := r.ints(name)
		if v == nil {
			v = make([]int64, count)
		}
		if len(v) != count {
			r.fail("attribute %s has %d numbers, want %d", name, len(v), count)
			v = make([]int64, count)
		}
		return v
	}
	flags := func(name string, count int) []bool {
		set := make([]bool, count)
		for i, x := range list(name, count) {
			set[i] = x == 1
		}
		return set
	}
	s.inAxes, s.outAxes = list("scan_input_axes", s.inputs), list("scan_output_axes", s.outputs)
	s.inReversed, s.outReversed = flags("scan_input_directions", s.inputs), flags("scan_output_directions", s.outputs)
	if r.err != nil {
		return nil, r.err
	}
	for i, o := range in {
		if o == nil {
			return nil, fmt.Errorf("input %d is missing", i)
		}
		if i < s.states {
			continue
		}
		k := i - s.states
		axis, err := axisOf(s.inAxes[k], len(o.Type.Shape))
		if err != nil {
			return nil, err
		}
		s.inAxes[k] = int64(axis)
		if k > 0 && o.Type.Shape[axis] != s.length {
			return nil, fmt.Errorf("scans of %d and of %d turns", s.length, o.Type.Shape[axis])
		}
		s.length = o.Type.Shape[axis]
		s.slices = append(s.slices, Type{o.Type.DType, slices.Delete(slices.Clone(o.Type.Shape), axis, axis+1)})
	}
	return s, nil
}

func inferScan(c *context, n *Node, in []*Operand) ([]Type, error) {
	s, err := scanOf(n, in)
	if err != nil {
		return nil, err
	}
	var args []*Operand
	for _, o := range in[:s.states] {
		args = append(args, &Operand{Type: o.Type})
	}
	for _, t := range s.slices {
		args = append(args, &Operand{Type: t})
	}
	out, err := c.knowNested(s.body, args)
	if err != nil {
		return nil, err
	}
	types := typesOf(out)
	for i := range s.states {
		if !types[i].equal(in[i].Type) {
			return nil, fmt.Errorf("value %d is %v before a turn and %v behind it", i, in[i].Type, types[i])
		}
	}
	for i := range s.outputs {
		t := &types[s.states+i]
		axis, err := axisOf(s.outAxes[i], len(t.Shape)+1)
		if err != nil {
			return nil, err
		}
		t.Shape = slices.Insert(slices.Clone(t.Shape), axis, s.length)
	}
	return types, nil
}

func evaluateScan(c *context, n *Node, in []*Value) ([]*Value, error) {
	s, err := scanOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	states := slices.Clone(in[:s.states])
	stacks := make([]*stack, s.outputs)
	for i := range stacks {
		stacks[i] = &stack{}
	}
	defer func() {
		for _, s := range stacks {
			c.release(s.held)
		}
	}()
	for turn := range s.length {
		if err := c.spend(nodeSteps); err != nil {
			return nil, err
		}
		args := slices.Clone(states)
		for k, t := range s.slices {
			v, axis := in[s.states+k], int(s.inAxes[k])
			at := turn
			if s.inReversed[k] {
				at = s.length - 1 - turn
			}
			own := stridesOf(v.Shape)
			first := int(at) * own[axis]
			args = append(args, gatherWith(v, t.Shape, first, slices.Delete(own, axis, axis+1)))
			if err := c.spend(int64(product(t.Shape))); err != nil {
				return nil, err
			}
		}
		out, err := c.runNested(s.body, args)
		if err != nil {
			return nil, fmt.Errorf("turn %d: %w", turn, err)
		}
		states = out[:s.states]
		for i, k := range stacks {
			if err := k.push(c, out[s.states+i]); err != nil {
				return nil, fmt.Errorf("scan %d in turn %d: %w", i, turn, err)
			}
		}
	}
	results := slices.Clone(states)
	for i, k := range stacks {
		v, err := k.value(s.outReversed[i])
		if err != nil {
			types, inferErr := inferScan(c, n, operandsOf(in))
			if inferErr != nil {
				return nil, errors.Join(err, inferErr)
			}
			results = append(results, newValue(types[s.states+i]))
			continue
		}
		axis, err := axisOf(s.outAxes[i], len(v.Shape))
		if err != nil {
			return nil, err
		}
		var perm []int
		for a := 1; a < len(v.Shape); a++ {
			perm = append(perm, a)
		}
		results = append(results, transpose(v, slices.Insert(perm, axis, 0)))
	}
	return results, nil
}
