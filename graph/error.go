package graph

import (
	"fmt"
	"strings"
)

// An UnsupportedError reports everything in a graph that cannot be done.
type UnsupportedError struct {
	// What says what was wanted: "evaluate", "train".
	What    string
	Missing []Missing
}

// Missing is an operator that is not known, or not in that form.
type Missing struct {
	Node   string
	Op     string
	Domain string
	Opset  int64
	// Why is empty if the operator is not known at all.
	Why string
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	parts := make([]string, len(e.Missing))
	for i, m := range e.Missing {
		parts[i] = m.String()
	}
	return fmt.Sprintf("cannot %s: %s", e.What, strings.Join(parts, "; "))
}

// String returns the operator as "Conv (opset 13) of node "conv1": why".
func (m Missing) String() string {
	op := m.Op
	if m.Domain != "" {
		op = m.Domain + "." + op
	}
	if m.Opset > 0 {
		op += fmt.Sprintf(" (opset %d)", m.Opset)
	}
	s := fmt.Sprintf("%s of node %q", op, m.Node)
	if m.Why != "" {
		s += ": " + m.Why
	}
	return s
}
