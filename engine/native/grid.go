package native

import (
	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A grid goes over the elements of a shape for up to three arrays at a time, each
// with its own distances between neighbours: 0 along an axis that is broadcast, in
// another order for a transposed array, larger for a part of an array.
type grid struct {
	shape   []int
	strides [3][]int
	split   int // the axis along which work is cut
	pieces  int
}

// grainOf is how many elements make a piece of work.
const grainOf = 1 << 14

// newGrid returns the grid over shape. Axes that lie in all arrays as one are put
// together. Work is cut along the longest axis on which array owner has a distance
// other than 0, so that pieces write to different elements of it.
func newGrid(shape []int, owner int, strides ...[]int) *grid {
	g := &grid{}
	all := make([][]int, 3)
	copy(all, strides)
	for k := range all {
		if all[k] == nil {
			all[k] = make([]int, len(shape))
		}
	}
	for i, n := range shape {
		if n == 1 {
			continue
		}
		last := len(g.shape) - 1
		join := last >= 0
		for k := range all {
			join = join && g.strides[k][last] == all[k][i]*n
		}
		if join {
			g.shape[last] *= n
			for k := range all {
				g.strides[k][last] = all[k][i]
			}
			continue
		}
		g.shape = append(g.shape, n)
		for k := range all {
			g.strides[k] = append(g.strides[k], all[k][i])
		}
	}
	if len(g.shape) == 0 {
		g.shape = []int{1}
		for k := range all {
			g.strides[k] = []int{0}
		}
	}
	total := product(g.shape)
	g.split = -1
	for i, n := range g.shape {
		if g.strides[owner][i] != 0 && (g.split < 0 || n > g.shape[g.split]) {
			g.split = i
		}
	}
	g.pieces = 1
	if g.split >= 0 {
		g.pieces = max(1, min(g.shape[g.split], total/grainOf))
	}
	return g
}

// run calls f for all runs along the last axis, on all threads: f(a, b, c, n) has
// the places in the arrays of the first of n elements. do is what body has made of
// f.
func (g *grid) run(p *kernel.Pool, do func(worker, piece int)) {
	if g.pieces == 1 {
		do(0, 0)
		return
	}
	p.Run(g.pieces, do)
}

// body returns what run takes. It is made once, since making it allocates.
func (g *grid) body(f func(a, b, c, n int)) func(worker, piece int) {
	return func(_, piece int) { g.walk(piece, f) }
}

func (g *grid) walk(piece int, f func(a, b, c, n int)) {
	var lo, at [tensor.MaxRank]int
	var off [3]int
	rank := len(g.shape)
	shape := [tensor.MaxRank]int{}
	copy(shape[:], g.shape)
	if g.split >= 0 {
		n := g.shape[g.split]
		lo[g.split] = piece * n / g.pieces
		shape[g.split] = (piece+1)*n/g.pieces - lo[g.split]
		for k := range off {
			off[k] = lo[g.split] * g.strides[k][g.split]
		}
	}
	for i := range rank {
		if shape[i] == 0 {
			return
		}
	}
	for {
		f(off[0], off[1], off[2], shape[rank-1])
		i := rank - 2
		for ; i >= 0; i-- {
			at[i]++
			for k := range off {
				off[k] += g.strides[k][i]
			}
			if at[i] < shape[i] {
				break
			}
			for k := range off {
				off[k] -= shape[i] * g.strides[k][i]
			}
			at[i] = 0
		}
		if i < 0 {
			return
		}
	}
}

// last returns the distances of neighbours along the last axis.
func (g *grid) last() (a, b, c int) {
	i := len(g.shape) - 1
	return g.strides[0][i], g.strides[1][i], g.strides[2][i]
}

// dense returns the distances of a row-major array.
func dense(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// broadcast returns the distances of a row-major array of the given shape as it is
// read along the axes of to.
func broadcast(shape, to []int) []int {
	d := dense(shape)
	s := make([]int, len(to))
	for i := range shape {
		if shape[i] != 1 {
			s[len(to)-len(shape)+i] = d[i]
		}
	}
	return s
}
