package compact_test

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"ropewalk/compact"
	"ropewalk/dataset"
	"ropewalk/train"
)

// cheapest asks for n moves of each tensor, every second weight up and the others down.
func cheapest(n int) func(*compact.Proposal) ([]compact.Move, []byte, error) {
	return func(p *compact.Proposal) ([]compact.Move, []byte, error) {
		var moves []compact.Move
		for i, t := range p.Tensors {
			if t.Up == nil {
				continue
			}
			price := func(j int) float32 {
				if j%2 == 0 {
					return t.Up[j]
				}
				return t.Down[j]
			}
			var list []int
			for j := range t.Up {
				if !math.IsInf(float64(price(j)), 0) {
					list = append(list, j)
				}
			}
			slices.SortStableFunc(list, func(a, b int) int {
				switch x, y := price(a), price(b); {
				case x < y:
					return -1
				case x > y:
					return 1
				}
				return 0
			})
			for _, j := range list[:min(n, len(t.Up)/64)] {
				moves = append(moves, compact.Move{Tensor: i, Index: j, Up: j%2 == 0})
			}
		}
		return moves, []byte("kept"), nil
	}
}

// markedValues are those of the file, without units that do nothing if these are left out.
type markedValues struct {
	unmarked, with, last, thinned [][]float32
	packed                        []byte // last
}

// marked trains with a mark, stopped every so many steps.
func marked(t *testing.T, o compact.Options, narrow bool, every int) *markedValues {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot")
	var unmarked, with *compact.Network // as they are when they are chosen
	for resume := false; ; resume = true {
		l := newLab(t, "lenet-300-100", small)
		l.fit.Data = dataset.First(l.fit.Data, 512)
		tools := l.tools()
		tools.Batch, tools.Narrow = 64, narrow
		choose := cheapest(40)
		tools.Mark = func(p *compact.Proposal) ([]compact.Move, []byte, error) {
			moves, keep, err := choose(p)
			if err == nil {
				unmarked = p.Unmarked
				with, err = p.With(moves)
			}
			return moves, keep, err
		}
		o.Threads = 1
		r, err := compact.New(l.trained(), l.layers, o, tools)
		if err != nil {
			t.Fatal(err)
		}
		to := l.options(r, 3)
		to.Snapshot, to.Resume = path, resume
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		to.Progress = func(train.Progress) {
			if steps++; steps == every {
				cancel()
			}
		}
		_, err = train.Fit(ctx, l.program, l.fit, to)
		stopped := ctx.Err() != nil
		cancel()
		if stopped {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Kept()) != "kept" {
			t.Errorf("%q was kept", r.Kept())
		}
		n, err := r.Finish(l.trained())
		if err != nil {
			t.Fatal(err)
		}
		last, _, err := n.Sorted()
		if err != nil {
			t.Fatal(err)
		}
		thin, _, err := n.Thinned(t.Context(), 1e-4, 64).Sorted()
		if err != nil {
			t.Fatal(err)
		}
		v := &markedValues{unmarked.Values(), with.Values(), last.Values(), thin.Values(), nil}
		if v.packed, err = l.pack(v.last); err != nil {
			t.Fatal(err)
		}
		if !narrow {
			return v
		}
		want, _, err := r.Narrow(v.unmarked)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []*[][]float32{&v.unmarked, &v.with, &v.last, &v.thinned} {
			got, values, err := r.Narrow(*x)
			if err != nil {
				t.Fatal(err)
			}
			*x = values
			for i := range want { // the file has the shapes of the one before the mark
				if !got[i].Equal(want[i]) {
					t.Errorf("tensor %d is %s, and %s before the mark", i, got[i], want[i])
				}
			}
		}
		return v
	}
}

// What was moved is where it was moved to in the end, also if weights are taken out; all
// others are zero where they were; and a run that is stopped comes to the same.
func TestMark(t *testing.T) {
	for _, o := range []compact.Options{{Start: 0.2, Lambda: 3e-5, FloatBiases: true}, {Target: 7000}} {
		narrow := o.Target > 0
		v := marked(t, o, narrow, 0)
		before, moved, after, thinned := v.unmarked, v.with, v.last, v.thinned
		gone := 0
		for i := range before {
			if i%2 == 1 { // a bias
				continue
			}
			moves := 0
			for j, x := range before[i] {
				was, is := sign(x), sign(moved[i][j])
				if after[i][j] != 0 && thinned[i][j] == 0 {
					gone++
				}
				switch {
				case was != is:
					moves++
					if sign(after[i][j]) != is || sign(thinned[i][j]) != is {
						t.Errorf("%+v: weight %d of tensor %d went from %v to %v, and is %v in the end, %v if it is thinned", o, j, i, x, moved[i][j], after[i][j], thinned[i][j])
					}
				case (was == 0) != (after[i][j] == 0):
					t.Errorf("%+v: weight %d of tensor %d was %v, and is %v", o, j, i, x, after[i][j])
				}
			}
			if moves != min(40, len(before[i])/64) {
				t.Errorf("%+v: %d moves in tensor %d", o, moves, i)
			}
		}
		if gone == 0 {
			t.Errorf("%+v: nothing was thinned", o)
		}
		if narrow {
			if again := marked(t, o, narrow, 17); !bytes.Equal(again.packed, v.packed) {
				t.Errorf("%+v: a run that was stopped gives %d bytes that differ from %d", o, len(again.packed), len(v.packed))
			}
		}
	}
}

func sign(x float32) int {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// The paper's method has no time for it, and wrong moves are no panic.
func TestMarkRefusals(t *testing.T) {
	l := newLab(t, "lenet-300-100", small)
	tools := l.tools()
	tools.Mark = cheapest(1)
	if _, err := compact.New(l.trained(), l.layers, compact.Options{Method: compact.Paper}, tools); err == nil {
		t.Error("a mark was taken with the paper's method")
	}
	for _, m := range []compact.Move{{Tensor: -1}, {Tensor: 99}, {Tensor: 1}, {Index: -1}, {Index: 1 << 30}} {
		l := newLab(t, "lenet-300-100", small)
		l.fit.Data = dataset.First(l.fit.Data, 256)
		tools.Mark = func(*compact.Proposal) ([]compact.Move, []byte, error) { return []compact.Move{m}, nil, nil }
		r, err := compact.New(l.trained(), l.layers, compact.Options{}, tools)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := train.Fit(t.Context(), l.program, l.fit, l.options(r, 1)); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}

// Units that have to stay in order do.
func TestInOrder(t *testing.T) {
	l := newLab(t, "lenet-300-100", small)
	n, _, _ := l.train(t, compact.Options{Start: 0.3, Lambda: 1e-4, InOrder: true}, 2)
	sorted, _, err := n.Sorted()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range sorted.Values() {
		if !slices.Equal(v, n.Values()[i]) {
			t.Errorf("tensor %d was sorted", i)
		}
	}
}
