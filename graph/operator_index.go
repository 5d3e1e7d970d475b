package graph

import (
	"fmt"

	"ropewalk/tensor"
)

// broadcast returns the shape that all shapes extend to: axes are matched from the
// last, and one of length 1 takes any length.
func broadcast(shapes ...tensor.Shape) (tensor.Shape, error) {
	rank := 0
	for _, s := range shapes {
		rank = max(rank, len(s))
	}
	out := make(tensor.Shape, rank)
	for i := range out {
		out[i] = 1
	}
	for _, s := range shapes {
		for i, d := range s {
			switch o := &out[rank-len(s)+i]; {
			case *o == 1:
				*o = d
			case d != 1 && d != *o:
				return nil, fmt.Errorf("shapes %v do not broadcast: axis %d from the end is %d and %d", shapes, len(s)-i, *o, d)
			}
		}
	}
	return out, nil
}

// stridesOf returns how far apart neighbours along each axis are.
func stridesOf(s tensor.Shape) []int {
	strides := make([]int, len(s))
	n := 1
	for i := len(s) - 1; i >= 0; i-- {
		strides[i] = n
		n *= int(s[i])
	}
	return strides
}

// stretched returns the strides of an array of shape from when it is broadcast to
// shape to: zero along axes that are repeated.
func stretched(from, to tensor.Shape) []int {
	strides := make([]int, len(to))
	own := stridesOf(from)
	for i, d := range from {
		if d != 1 {
			strides[len(to)-len(from)+i] = own[i]
		}
	}
	return strides
}

// A walker visits the places of a shape in row-major order and keeps offsets
// into arrays with strides of their own.
type walker struct {
	shape   tensor.Shape
	strides [][]int
	at      []int64
	off     []int
}

func newWalker(shape tensor.Shape, strides ...[]int) *walker {
	return &walker{shape, strides, make([]int64, len(shape)), make([]int, len(strides))}
}

// next goes to the next place; after the last it is at the first again.
func (w *walker) next() {
	for i := len(w.shape) - 1; i >= 0; i-- {
		w.at[i]++
		for k, s := range w.strides {
			w.off[k] += s[i]
		}
		if w.at[i] < w.shape[i] {
			return
		}
		for k, s := range w.strides {
			w.off[k] -= s[i] * int(w.at[i])
		}
		w.at[i] = 0
	}
}

// eachBroadcast calls f for each element i of an array of shape out, with the
// elements a and b of arrays that are broadcast to it.
func eachBroadcast(out tensor.Shape, f func(i, a, b int), x, y tensor.Shape) {
	w := newWalker(out, stretched(x, out), stretched(y, out))
	for i := range product(out) {
		f(i, w.off[0], w.off[1])
		w.next()
	}
}

// set makes element i of v element j of from, which is of the same type.
func (v *Value) set(i int, from *Value, j int) {
	switch {
	case v.Float != nil:
		v.Float[i] = from.Float[j]
	case v.Int != nil:
		v.Int[i] = from.Int[j]
	default:
		v.Text[i] = from.Text[j]
	}
}

// reshaped returns v under another shape of as many elements. It shares the elements.
func (v *Value) reshaped(s tensor.Shape) *Value {
	u := *v
	u.Shape = s
	return &u
}
