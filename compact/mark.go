package compact

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ropewalk/rope"
	"ropewalk/tensor"
)

// A Proposal is what [Tools.Mark] is asked with: a network as the file will have it, with
// its units in their final order, and what moves cost there.
type Proposal struct {
	// Unmarked is the network before: key-independent, what readings are held against.
	Unmarked *Network
	Tensors  []Marking // in the order of the recipe; without prices where nothing moves

	places [][]int32 // of each tensor, by index in the file: place in Unmarked
}

// With returns the network with moves, which have to be possible.
func (p *Proposal) With(moves []Move) (*Network, error) {
	n := p.Unmarked.clone()
	for _, v := range moves {
		if v.Tensor < 0 || v.Tensor >= len(p.places) || v.Index < 0 || v.Index >= len(p.places[v.Tensor]) {
			return nil, fmt.Errorf("compact: internal error: move of weight %d in tensor %d", v.Index, v.Tensor)
		}
		k := p.places[v.Tensor][v.Index]
		to := int(p.Unmarked.symbols[v.Tensor][k]) - 1
		if v.Up {
			to += 2
		}
		if to < 0 || to >= len(n.levels[v.Tensor]) {
			return nil, fmt.Errorf("compact: internal error: weight %d of %q has no level %d", v.Index, n.r.names[v.Tensor], to)
		}
		n.symbols[v.Tensor][k] = uint16(to)
	}
	return n, nil
}

// A Marking is what it costs to move each weight of a tensor to the level above or below,
// in nats: half the Fisher information of the weight times the squared step, and what more
// bits it takes in the file, at the price that they had in training. Bits that are saved do
// not count: that price shrinks a network in thousands of steps, and is too high for one.
// It is infinite where there is no such level, or the weight does nothing. Weights are
// those of the file, row-major in its shape.
type Marking struct {
	Name     string
	Shape    tensor.Shape
	Up, Down []float32
}

// A Move is a weight of a [Proposal] that goes to the next level.
type Move struct {
	Tensor int // of Tensors
	Index  int
	Up     bool
}

// marked is what remains of a proposal: the state of a recipe from then on.
type marked struct {
	Origin [][]int32 // of each tensor, by place in the file's order: the weight in training
	Gone   [][]bool  // by place: left out of the file. nil if nothing is
	Shapes []tensor.Shape
	Zeros  [][]int32  // weights in training that stay zero, as those of units that are gone
	Moved  [][]int32  // weights in training that were moved, of each tensor
	To     [][]uint16 // and the symbols that they hold
	Keep   []byte     // the caller's
}

// markAt is the part of the frozen phase at which a mark is chosen: what is left on both
// sides is time to come to rest before, and to make up for the moves afterwards.
const markAt = 0.5

// Kept returns what [Tools.Mark] wanted to be kept; nil if it was not asked yet.
func (r *Recipe) Kept() []byte {
	if r.mark == nil {
		return nil
	}
	return r.mark.Keep
}

// markNow asks for the moves that write a mark, and holds them from now on, together with
// the support.
func (r *Recipe) markNow(values [][]float32) error {
	r.q.Forward(r.shown, values)
	n := r.network(values)
	n.origin = make([][]int32, len(values))
	for i, v := range values {
		n.origin[i] = make([]int32, len(v))
		for j := range v {
			n.origin[i][j] = int32(j)
		}
	}
	n, _, err := n.Sorted()
	if err != nil {
		return err
	}
	m := &marked{Origin: n.origin, Zeros: make([][]int32, len(values)), Moved: make([][]int32, len(values)), To: make([][]uint16, len(values))}
	n.origin = nil
	var shapes []tensor.Shape
	var gone [][]bool
	if r.tools.Narrow && r.CanNarrow() {
		shapes, gone = r.idle(n.Values())
	}
	for i, g := range gone {
		for k, out := range g {
			if out {
				m.Zeros[i] = append(m.Zeros[i], m.Origin[i][k])
			}
		}
	}
	m.Shapes, m.Gone = shapes, gone
	r.mark = m
	p := &Proposal{Unmarked: n, Tensors: make([]Marking, len(values)), places: make([][]int32, len(values))}
	unread, rare := n.needed()
	for i := range values {
		if r.roles[i] == weight {
			p.Tensors[i], p.places[i] = r.marking(n, i, unread[i], rare[i])
		}
	}
	moves, keep, err := r.tools.Mark(p)
	if err != nil {
		return err
	}
	with, err := p.With(moves)
	if err != nil {
		return err
	}
	m.Keep = slices.Clone(keep)
	for _, v := range moves {
		k := p.places[v.Tensor][v.Index]
		m.Moved[v.Tensor] = append(m.Moved[v.Tensor], m.Origin[v.Tensor][k])
		m.To[v.Tensor] = append(m.To[v.Tensor], with.symbols[v.Tensor][k])
	}
	support := r.support()
	for i := range support {
		if support[i] == nil {
			continue
		}
		for _, j := range m.Zeros[i] {
			support[i][j] = false
		}
		for k, j := range m.Moved[i] {
			support[i][j] = int(m.To[i][k]) != r.levels[i].Zero()
		}
		r.q.Hold(i, support[i])
	}
	r.holdMark(values)
	r.q.Forward(r.shown, values)
	return nil
}

// holdMark puts the latents of moved weights where their levels are, and has what is gone
// stay zero.
func (r *Recipe) holdMark(values [][]float32) {
	for i, list := range r.mark.Zeros {
		for _, j := range list {
			values[i][j] = 0
		}
	}
	for i, list := range r.mark.Moved {
		if len(list) == 0 {
			continue
		}
		v := r.levels[i].Values()
		for k, j := range list {
			values[i][j] = float32(v[r.mark.To[i][k]])
		}
	}
}

// held reports which weights of tensor i the mark holds.
func (r *Recipe) held(i int) map[int]bool {
	if r.mark == nil || len(r.mark.Moved[i]) == 0 {
		return nil
	}
	h := make(map[int]bool, len(r.mark.Moved[i]))
	for _, j := range r.mark.Moved[i] {
		h[int(j)] = true
	}
	return h
}

// fewReaders is from how few on the weights that read a unit do not become zero: the unit
// would go with the last one, and the marked weights of it.
const fewReaders = 4

// needed returns, by tensor and place, the weights of units that nobody reads, which
// [Network.clean] makes zero, and those that read a unit with few others.
func (n *Network) needed() (unread, rare [][]bool) {
	unread, rare = make([][]bool, len(n.symbols)), make([][]bool, len(n.symbols))
	for i, s := range n.symbols {
		unread[i], rare[i] = make([]bool, len(s)), make([]bool, len(s))
	}
	for _, l := range n.r.links() {
		zero := n.zero(l.next)
		for u := range l.a.outs {
			readers := 0
			l.b.reading(u, l.repeat, func(j int) { readers += one(n.symbols[l.next][j] != zero) })
			switch {
			case readers == 0:
				l.a.writing(u, func(j int) { unread[l.weight][j] = true })
			case readers <= fewReaders:
				l.b.reading(u, l.repeat, func(j int) { rare[l.next][j] = true })
			}
		}
	}
	return unread, rare
}

// marking returns the prices of tensor i of a network in the order of the file, and the
// place of each weight of the file in that order. Those of unread cannot move, and those of
// rare not to zero.
func (r *Recipe) marking(n *Network, i int, unread, rare []bool) (Marking, []int32) {
	m := Marking{Name: r.names[i], Shape: r.tensors[i].Shape}
	var places []int32
	var symbols []uint16
	for k, s := range n.symbols[i] {
		if r.mark.out(i, k) {
			continue
		}
		places, symbols = append(places, int32(k)), append(symbols, s)
	}
	if r.mark.Shapes != nil {
		m.Shape = r.mark.Shapes[i]
	}
	never := float32(math.Inf(1))
	m.Up, m.Down = slices.Repeat([]float32{never}, len(places)), slices.Repeat([]float32{never}, len(places))
	levels := n.levels[i]
	half := 0.5 * float64(max(r.tools.Batch, 1))
	// The context is for interruption, which comes with the next step.
	rope.Assign(context.Background(), m.Shape, levels, symbols, func(at int, cost func(sym int) uint32) int {
		own := int(symbols[at])
		k := int(places[at])
		if unread[k] {
			return own
		}
		sensitivity := half * float64(r.fisher[i][r.mark.Origin[i][k]])
		price := func(to int) float32 {
			if levels[to] == 0 && rare[k] {
				return never
			}
			step := float64(levels[to] - levels[own])
			bits := (float64(cost(to)) - float64(cost(own))) / 65536
			return float32(sensitivity*step*step + r.lambda*max(bits, 0))
		}
		if own+1 < len(levels) {
			m.Up[at] = price(own + 1)
		}
		if own > 0 {
			m.Down[at] = price(own - 1)
		}
		return own
	})
	return m, places
}

// out reports whether the file leaves the weight at a place out.
func (m *marked) out(i, place int) bool { return m.Gone != nil && m.Gone[i][place] }

// arranged returns the network with its units in the order that they had when the mark was
// chosen.
func (n *Network) arranged() *Network {
	c := n.clone()
	for i, origin := range n.r.mark.Origin {
		for k, j := range origin {
			if c.symbols[i] != nil {
				c.symbols[i][k] = n.symbols[i][j]
			} else {
				c.floats[i][k] = n.floats[i][j]
			}
		}
	}
	return c
}

// fits checks a state that was read for the tensors of a recipe.
func (m *marked) fits(r *Recipe) error {
	bad := fmt.Errorf("compact: the mark is in another network")
	n := len(r.shown)
	if len(m.Origin) != n || len(m.Zeros) != n || len(m.Moved) != n || len(m.To) != n || m.Gone != nil && (len(m.Gone) != n || len(m.Shapes) != n) {
		return bad
	}
	for i := range n {
		size := len(r.shown[i])
		if len(m.Origin[i]) != size || len(m.Moved[i]) != len(m.To[i]) || m.Gone != nil && len(m.Gone[i]) != size {
			return bad
		}
		for _, list := range [][]int32{m.Origin[i], m.Zeros[i], m.Moved[i]} {
			if slices.ContainsFunc(list, func(j int32) bool { return j < 0 || int(j) >= size }) {
				return bad
			}
		}
		if len(m.Moved[i]) > 0 && r.levels[i] == nil {
			return bad
		}
		for _, s := range m.To[i] {
			if int(s) >= len(r.levels[i].Values()) {
				return bad
			}
		}
	}
	return nil
}
