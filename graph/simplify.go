package graph

// keeps reports whether the output, of the given type, is the first input as it is.
func (s *specializer) keeps(n *Node, in []*Operand, out Type) bool {
	if n.Domain != "" || len(in) == 0 || in[0] == nil || !in[0].Type.equal(out) {
		return false
	}
	switch n.Op {
	case "Cast", "CastLike", "Reshape", "Flatten", "Expand", "Squeeze", "Unsqueeze":
		return true
	case "Concat", "Sum", "Max", "Min", "Mean":
		return len(in) == 1
	}
	return false
}

// unflatten undoes what older files need for a Softmax along an axis that is not the
// last as they see it (Flatten, Softmax, Reshape), where one along an axis does the
// same: if at most one of the axes that go into a row is longer than 1. n is the
// Reshape; nil means that it stays.
func (s *specializer) unflatten(n *Node, out []*Operand) *Node {
	if n.Op != "Reshape" || n.Domain != "" {
		return nil
	}
	soft := s.maker[n.Inputs[0]]
	if soft == nil || soft.Domain != "" || soft.Op != "Softmax" && soft.Op != "LogSoftmax" && soft.Op != "Hardmax" || soft.Attributes["axis"] != int64(-1) {
		return nil
	}
	flat := s.maker[soft.Inputs[0]]
	if flat == nil || flat.Domain != "" || flat.Op != "Flatten" {
		return nil
	}
	x := flat.Inputs[0]
	t := s.known[x].Type
	if !t.equal(out[0].Type) {
		return nil
	}
	first := read(flat).int("axis", 1)
	if first < 0 {
		first += int64(len(t.Shape))
	}
	axis := int64(len(t.Shape) - 1)
	long := 0
	for i := int(first); i < len(t.Shape); i++ {
		if t.Shape[i] != 1 {
			axis = int64(i)
			long++
		}
	}
	if long > 1 || int(first) >= len(t.Shape) {
		return nil
	}
	return &Node{
		Name:       n.Name,
		Op:         soft.Op,
		Inputs:     []string{x},
		Outputs:    n.Outputs,
		Attributes: Attributes{"axis": axis},
		Opset:      n.Opset,
	}
}
