package compact

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"ropewalk/engine"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// A Network is what training left: symbols and levels. The symbols are those of the
// last forward pass.
type Network struct {
	r       *Recipe
	levels  [][]float32 // nil for a tensor that stays floats
	symbols [][]uint16
	floats  [][]float32
	origin  [][]int32 // of each tensor, where a weight was before sorting; nil if nobody asks
}

// Finish takes the network out of the weights of the program, whose values are the
// floats that training left. Levels are rounded to 16 bits; symbols are never found
// again from them.
func (r *Recipe) Finish(w []engine.Weight) (*Network, error) {
	if r.paper == nil && r.phase == floats {
		return nil, fmt.Errorf("compact: training ended before the levels were chosen, at %g of it", r.o.Start)
	}
	values := valuesOf(w)
	if r.paper == nil {
		r.q.Forward(r.shown, values)
	}
	return r.network(values), nil
}

// network returns what the symbols of the last forward pass are.
func (r *Recipe) network(values [][]float32) *Network {
	n := &Network{r: r, levels: make([][]float32, len(values)), symbols: make([][]uint16, len(values)), floats: make([][]float32, len(values))}
	for i, v := range values {
		var levels []float64
		switch {
		case r.paper != nil:
			if levels = r.paper.Levels(i); levels != nil {
				n.symbols[i] = r.paper.Symbols(nil, i, v)
			}
		case r.levels[i] != nil:
			levels = r.levels[i].Values()
			n.symbols[i] = slices.Clone(r.q.Symbols(i))
		}
		if levels == nil {
			n.floats[i] = slices.Clone(v)
			continue
		}
		n.levels[i] = rounded(levels)
	}
	n.clean()
	return n
}

// rounded returns levels as numbers of 16 bits, or, where two would become one, as
// they are.
func rounded(levels []float64) []float32 {
	half := make([]float32, len(levels))
	for i, l := range levels {
		half[i] = float32(l)
	}
	plain := slices.Clone(half)
	b := tensor.F16.AppendFloats(nil, half)
	half = tensor.F16.AppendFloat32s(half[:0], b)
	for i := 1; i < len(half); i++ {
		if !(half[i-1] < half[i]) || math.IsInf(float64(half[i]), 0) || math.IsInf(float64(half[0]), 0) {
			return plain
		}
	}
	return half
}

// clean makes the weights and the bias of units that nobody reads zero, but for those that
// carry a mark. It changes no output. Weights are in the order of training.
func (n *Network) clean() {
	if n.r.paper != nil {
		return
	}
	for _, l := range slices.Backward(n.r.links()) {
		zero, nextZero, held := n.zero(l.weight), n.zero(l.next), n.r.held(l.weight)
		for u := range l.a.outs {
			read := false
			l.b.reading(u, l.repeat, func(j int) { read = read || n.symbols[l.next][j] != nextZero })
			if read {
				continue
			}
			l.a.writing(u, func(j int) {
				if !held[j] {
					n.symbols[l.weight][j] = zero
				}
			})
			switch {
			case l.bias < 0:
			case n.symbols[l.bias] != nil:
				n.symbols[l.bias][u] = n.zero(l.bias)
			default:
				n.floats[l.bias][u] = 0
			}
		}
	}
}

// zero returns the symbol of the level 0.
func (n *Network) zero(i int) uint16 { return uint16(max(slices.Index(n.levels[i], 0), 0)) }

// Values returns the weights as floats, in the order of the program.
func (n *Network) Values() [][]float32 {
	all := make([][]float32, len(n.floats))
	for i, f := range n.floats {
		if f != nil {
			all[i] = slices.Clone(f)
			continue
		}
		all[i] = make([]float32, len(n.symbols[i]))
		for j, s := range n.symbols[i] {
			all[i][j] = n.levels[i][s]
		}
	}
	return all
}

// Nonzero returns how many quantized weights are not zero, and how many there are.
func (n *Network) Nonzero() (nonzero, all int) {
	for i, s := range n.symbols {
		if n.r.roles[i] != weight || s == nil {
			continue
		}
		all += len(s)
		for _, k := range s {
			nonzero += one(n.levels[i][k] != 0)
		}
	}
	return nonzero, all
}

// clone returns a copy that shares levels.
func (n *Network) clone() *Network {
	c := *n
	c.symbols, c.floats = make([][]uint16, len(n.symbols)), make([][]float32, len(n.floats))
	for i := range n.symbols {
		c.symbols[i], c.floats[i] = slices.Clone(n.symbols[i]), slices.Clone(n.floats[i])
	}
	if n.origin != nil {
		c.origin = make([][]int32, len(n.origin))
		for i := range n.origin {
			c.origin[i] = slices.Clone(n.origin[i])
		}
	}
	return &c
}

// keys are by what units are sorted: smallest first. own are the weights that make
// a unit, next those that read it.
var keys = []func(own, next int) int{
	func(own, next int) int { return -own - next },
	func(own, _ int) int { return -own },
	func(_, next int) int { return -next },
	func(own, _ int) int { return own },
}

// Sorted returns the network with its units in the order in which its file is
// smallest, of some that are tried, and the bytes of that. The outputs are the same,
// but for the order in which sums are made.
//
// After a mark was chosen it is the order of then: the mark is in places of that.
func (n *Network) Sorted() (*Network, int64, error) {
	if n.r.tools.Size == nil {
		return n.ordered(), 0, nil
	}
	best := n
	if n.r.mark != nil {
		best = n.arranged()
	}
	least, err := n.r.tools.Size(best.Values())
	if err != nil || n.r.mark != nil {
		return best, least, err
	}
	try := func(c *Network) error {
		size, err := c.r.tools.Size(c.Values())
		if err == nil && size < least {
			best, least = c, size
		}
		return err
	}
	if err := try(n.ordered()); err != nil {
		return nil, 0, err
	}
	for _, l := range n.sortable() {
		for _, key := range keys {
			c := best.clone()
			c.sort(l, key)
			if err := try(c); err != nil {
				return nil, 0, err
			}
		}
	}
	return best, least, nil
}

// sortable lists the links whose units can change places.
func (n *Network) sortable() []link {
	if n.r.paper != nil || n.r.o.InOrder {
		return nil
	}
	return n.r.links()
}

// ordered returns the network with the units of all layers by their weights, by the
// keys that were best when zeros froze.
func (n *Network) ordered() *Network {
	if n.r.mark != nil {
		return n.arranged()
	}
	links := n.sortable()
	if len(links) == 0 {
		return n
	}
	c := n.clone()
	for k, l := range links {
		key := 0
		if n.r.order != nil {
			key = n.r.order[k]
		}
		c.sort(l, keys[key])
	}
	return c
}

// arrange finds the keys for ordered, one layer after the other.
func (n *Network) arrange() error {
	links := n.sortable()
	if len(links) == 0 || n.r.tools.Size == nil {
		return nil
	}
	order, c := make([]int, len(links)), n.ordered()
	for k, l := range links {
		var best *Network
		least := int64(math.MaxInt64)
		for i, key := range keys {
			d := c.clone()
			d.sort(l, key)
			size, err := n.r.tools.Size(d.Values())
			if err != nil {
				return err
			}
			if size < least {
				best, least, order[k] = d, size, i
			}
		}
		c = best
	}
	n.r.order = order
	return nil
}

// sort orders the units of a link by a key.
func (n *Network) sort(l link, key func(own, next int) int) {
	zero, nextZero := n.zero(l.weight), n.zero(l.next)
	order, keys := make([]int, l.a.outs), make([]int, l.a.outs)
	for u := range order {
		own, next := 0, 0
		l.a.writing(u, func(j int) { own += one(n.symbols[l.weight][j] != zero) })
		l.b.reading(u, l.repeat, func(j int) { next += one(n.symbols[l.next][j] != nextZero) })
		order[u], keys[u] = u, key(own, next)
		if own == 0 && next == 0 {
			keys[u] = math.MaxInt
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(keys[a], keys[b]) })
	old := n.clone()
	for to, from := range order {
		permute(n.symbols[l.weight], old.symbols[l.weight], to, from, l.a.writing)
		read := func(u int, f func(int)) { l.b.reading(u, l.repeat, f) }
		permute(n.symbols[l.next], old.symbols[l.next], to, from, read)
		if n.origin != nil {
			permute(n.origin[l.weight], old.origin[l.weight], to, from, l.a.writing)
			permute(n.origin[l.next], old.origin[l.next], to, from, read)
			if l.bias >= 0 {
				n.origin[l.bias][to] = old.origin[l.bias][from]
			}
		}
		switch {
		case l.bias < 0:
		case n.symbols[l.bias] != nil:
			n.symbols[l.bias][to] = old.symbols[l.bias][from]
		default:
			n.floats[l.bias][to] = old.floats[l.bias][from]
		}
	}
}

func permute[T any](dst, src []T, to, from int, each func(u int, f func(j int))) {
	var places []int
	each(to, func(j int) { places = append(places, j) })
	i := 0
	each(from, func(j int) {
		dst[places[i]] = src[j]
		i++
	})
}

// Thinned returns the network without the weights whose loss costs less than the
// bits that they take, at so many nats per bit: what the loss grows by is about half
// the mean squared gradient of an example times the squared weight (Fisher's
// information), and the bits are those of the coder of effort max, given those that
// were taken out before.
func (n *Network) Thinned(ctx context.Context, lambda float64, batch int) *Network {
	c := n.clone()
	for i, f := range n.r.fisher {
		if f == nil || n.symbols[i] == nil || n.levels[i] == nil {
			continue
		}
		zero := int(n.zero(i))
		if n.levels[i][zero] != 0 {
			continue
		}
		own, levels, held := n.symbols[i], n.levels[i], n.r.held(i)
		// In a file they would follow the sorted order: the sensitivities do not, so
		// thinning comes before sorting.
		rope.Assign(ctx, n.r.tensors[i].Shape, levels, c.symbols[i], func(j int, cost func(sym int) uint32) int {
			s := int(own[j])
			if s == zero || held[j] {
				return s
			}
			bits := (float64(cost(s)) - float64(cost(zero))) / 65536
			v := float64(levels[s])
			if lambda*bits > 0.5*float64(batch)*float64(f[j])*v*v {
				return zero
			}
			return s
		})
	}
	c.clean()
	return c
}

// Towards returns how many weights are zero in c that are not in n, and the network without
// k of them: those on which the loss depends least go first. Both are of one training, as
// [Network.Thinned] returns them.
func (n *Network) Towards(c *Network) (most int, without func(k int) *Network) {
	gone := n.gone(c)
	return len(gone), func(k int) *Network {
		out := n.clone()
		for _, g := range gone[:k] {
			out.symbols[g.tensor][g.at] = n.zero(g.tensor)
		}
		out.clean()
		return out
	}
}

// A goneWeight is a weight that another network lacks.
type goneWeight struct {
	tensor, at int
	worth      float64 // about what its loss costs
}

// gone returns the weights that c lacks, the least worth first.
func (n *Network) gone(c *Network) []goneWeight {
	var list []goneWeight
	for i, own := range n.symbols {
		f := n.r.fisher[i]
		if f == nil || own == nil || n.levels[i] == nil { // biases go with their units
			continue
		}
		zero := n.zero(i)
		for j, s := range own {
			if s != zero && c.symbols[i][j] == zero {
				v := float64(n.levels[i][s])
				list = append(list, goneWeight{i, j, float64(f[j]) * v * v})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b goneWeight) int { return cmp.Compare(a.worth, b.worth) })
	return list
}
