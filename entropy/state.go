package entropy

import (
	"bytes"
	"encoding/gob"
	"fmt"
)

// levelsState is what learned levels are, between two steps.
type levelsState struct {
	Values, Mean, Square, Gradient []float64
	Steps                          int
}

// quantizerState is what a [Quantizer] remembers.
type quantizerState struct {
	Levels []levelsState // of tensors with levels
	Frozen [][]bool      // nil where the support is free
	Held   []bool
}

// State returns what a run that is resumed needs to go on exactly: the levels
// with the moments of their optimizer, and which zeros are frozen. Symbols are
// those of the next Forward.
func (q *Quantizer) State() ([]byte, error) {
	var s quantizerState
	for _, t := range q.tensors {
		if l := t.levels; l != nil {
			s.Levels = append(s.Levels, levelsState{l.values, l.mean, l.square, l.Gradient, l.steps})
			s.Frozen = append(s.Frozen, t.frozen)
			s.Held = append(s.Held, t.held)
		}
	}
	return encodeState(&s)
}

// SetState goes on from a state of the same tensors. Levels keep their place, so
// that a [Rate] over them goes on, too.
func (q *Quantizer) SetState(b []byte) error {
	var s quantizerState
	if err := decodeState(b, &s); err != nil {
		return err
	}
	var all []*quantizerTensor
	for _, t := range q.tensors {
		if t.levels != nil {
			all = append(all, t)
		}
	}
	if len(s.Levels) != len(all) || len(s.Frozen) != len(all) || len(s.Held) != len(all) {
		return fmt.Errorf("entropy: a state of %d tensors with levels, want %d", len(s.Levels), len(all))
	}
	for i, t := range all {
		n, l, f := len(t.levels.values), &s.Levels[i], s.Frozen[i]
		if len(l.Values) != n || len(l.Mean) != n || len(l.Square) != n || len(l.Gradient) != n || checkLevels(l.Values) != nil ||
			t.levels.zero >= 0 && l.Values[t.levels.zero] != 0 || len(f) != 0 && len(f) != len(t.symbols) || l.Steps < 0 ||
			s.Held[i] && (t.levels.zero < 0 || n < 2 || len(f) == 0) {
			return fmt.Errorf("tensor %q: the state is of another one", t.Name)
		}
	}
	for i, t := range all {
		l := &s.Levels[i]
		t.levels.values, t.levels.mean, t.levels.square, t.levels.steps = l.Values, l.Mean, l.Square, l.Steps
		copy(t.levels.Gradient, l.Gradient)
		t.frozen, t.held, t.live = nil, false, nil
		if len(s.Frozen[i]) > 0 { // gob does not tell nil from empty
			t.restrict(s.Frozen[i], s.Held[i])
		}
	}
	return nil
}

// rateState is what a [Rate] remembers.
type rateState struct {
	Calls    int
	Row, Col [][]int // classes of each tensor
}

// State returns what a run that is resumed needs to go on exactly: the classes
// in use, and when they are found again. Levels are in the state of the
// [Quantizer].
func (r *Rate) State() ([]byte, error) {
	s := rateState{Calls: r.calls}
	for _, t := range r.tensors {
		s.Row, s.Col = append(s.Row, t.grid.row), append(s.Col, t.grid.col)
	}
	return encodeState(&s)
}

// SetState goes on from a state of the same tensors and model.
func (r *Rate) SetState(b []byte) error {
	var s rateState
	if err := decodeState(b, &s); err != nil {
		return err
	}
	if len(s.Row) != len(r.tensors) || len(s.Col) != len(r.tensors) || s.Calls < 0 {
		return fmt.Errorf("entropy: a state of %d tensors, want %d", len(s.Row), len(r.tensors))
	}
	for i, t := range r.tensors {
		if len(s.Row[i]) != len(t.grid.row) || len(s.Col[i]) != len(t.grid.col) || !areClasses(s.Row[i]) || !areClasses(s.Col[i]) {
			return fmt.Errorf("tensor %q: the state is of another one, or of another model", t.Name)
		}
	}
	for i, t := range r.tensors {
		copy(t.grid.row, s.Row[i])
		copy(t.grid.col, s.Col[i])
	}
	r.calls = s.Calls
	return nil
}

func areClasses(cs []int) bool {
	for _, c := range cs {
		if c < -scaleReach || c > scaleReach {
			return false
		}
	}
	return true
}

func encodeState(s any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(s)
	return b.Bytes(), err
}

func decodeState(b []byte, s any) error {
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(s); err != nil {
		return fmt.Errorf("entropy: state: %w", err)
	}
	return nil
}
