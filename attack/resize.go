package attack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"ropewalk/graph"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A seat says what stands at a place of a group that gets another size: the numbers of
// an old neuron, or what is made of them.
type seat struct {
	from int
	// out multiplies what the neuron gives to those that read it.
	out float64
	// mixed has the weights be those of from in another order, which follows from
	// seed: a neuron of its own, with the distribution of a real one.
	mixed bool
	seed  uint64
	kind  DummyKind // "" for neurons that were there
	of    int       // as in [Added], in the new order
}

// rigid says why a group cannot get another size, or "".
func (r *run) rigid(g *symmetry.Group) string {
	for k := range g.Places {
		p := &g.Places[k]
		if p.Tensors != nil {
			return fmt.Sprintf("each of its neurons is tensors of its own, such as %s", p.Tensors[0])
		}
		t := r.Set.Lookup(p.Tensor)
		switch {
		case p.At != nil || p.Run > 1 && p.Stride != 1:
			return fmt.Sprintf("its places on axis %d of %s are not in a row", p.Axis, p.Tensor)
		case t.Shape[p.Axis] != int64(g.Size)*int64(p.Run):
			return fmt.Sprintf("axis %d of %s has more than this group on it", p.Axis, p.Tensor)
		case !t.DType.Numeric():
			return fmt.Sprintf("%s holds %s", p.Tensor, t.DType)
		}
		for i := range r.Spec.Groups {
			h := &r.Spec.Groups[i]
			for l := range h.Places {
				q := &h.Places[l]
				if q.Tensor == p.Tensor && q.Axis == p.Axis && (h.Name != g.Name || l != k) {
					return fmt.Sprintf("another group is on axis %d of %s, too", p.Axis, p.Tensor)
				}
			}
		}
	}
	return ""
}

// resize gives groups other sizes. It changes the network, but not the truth.
func (r *run) resize(seats map[string][]seat) error {
	spec := &symmetry.Spec{Groups: slices.Clone(r.Spec.Groups), Fixed: r.Spec.Fixed}
	changed := map[string]*tensor.Tensor{}
	var names []string
	for i := range spec.Groups {
		g := &spec.Groups[i]
		list := seats[g.Name]
		if list == nil {
			continue
		}
		for k := range g.Places {
			p := &g.Places[k]
			t := changed[p.Tensor]
			if t == nil {
				t = r.Set.Lookup(p.Tensor)
				names = append(names, p.Tensor)
			}
			var err error
			if t, err = r.seated(t, p, list); err != nil {
				return err
			}
			changed[p.Tensor] = t
		}
		g.Size = len(list)
	}
	var all []*tensor.Tensor
	for _, name := range names {
		all = append(all, changed[name])
	}
	before := r.Graph
	if err := r.change(all...); err != nil {
		return err
	}
	// Whole tensors that have other shapes now exchange places no more.
	spec.Groups = slices.DeleteFunc(spec.Groups, func(g symmetry.Group) bool {
		return slices.ContainsFunc(g.Places, func(p symmetry.Place) bool {
			return slices.ContainsFunc(p.Tensors, func(name string) bool {
				return !r.Set.Lookup(name).Shape.Equal(r.Set.Lookup(p.Tensors[0]).Shape)
			})
		})
	})
	r.Spec, r.reshaped = spec, true
	if before == nil {
		return nil
	}
	return r.repair(before)
}

// seated returns a tensor with other neurons on the axis of a place.
func (r *run) seated(t *tensor.Tensor, p *symmetry.Place, list []seat) (*tensor.Tensor, error) {
	shape := slices.Clone(t.Shape)
	shape[p.Axis] = int64(len(list) * p.Run)
	size, err := shape.Size(t.DType)
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
	}
	if size > maxResized {
		return nil, fmt.Errorf("%w: tensor %s would have %d bytes, want at most %d", ErrNetwork, t.Name, size, int64(maxResized))
	}
	outer, inner := 1, p.Run
	for k, n := range t.Shape {
		if k < p.Axis {
			outer *= int(n)
		} else if k > p.Axis {
			inner *= int(n)
		}
	}
	old := int(t.Shape[p.Axis]) / p.Run
	b := block{outer, old, inner, p.Role}
	d := &computed{size, func() ([]byte, error) {
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		if t.DType == tensor.F64 {
			return appendDoubles(make([]byte, 0, size), seatAll(doubles(raw), b, list)), nil
		}
		x := t.DType.AppendFloat32s(make([]float32, 0, t.Elems()), raw)
		return t.DType.AppendFloats(make([]byte, 0, size), seatAll(x, b, list)), nil
	}, r.last}
	return &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: shape, Data: d}, nil
}

// maxResized bounds a tensor that gets another shape, which is made in memory.
const maxResized = 1 << 34

// A block is a tensor as outer × neurons × inner numbers.
type block struct {
	outer, neurons, inner int
	role                  symmetry.Role
}

// seatAll returns the numbers of all seats.
func seatAll[F floating](x []F, b block, list []seat) []F {
	out := make([]F, b.outer*len(list)*b.inner)
	var order []int
	for i := range list {
		s := &list[i]
		mixed := s.mixed && (b.role == symmetry.Incoming || b.role == symmetry.Outgoing)
		if mixed {
			order = rand.New(rand.NewPCG(s.seed, uint64(b.role))).Perm(b.outer * b.inner)
		}
		f := 1.0
		if b.role == symmetry.Outgoing {
			f = s.out
		}
		for o := range b.outer {
			dst := out[(o*len(list)+i)*b.inner:][:b.inner]
			for k := range dst {
				from := o*b.inner + k
				if mixed {
					from = order[from]
				}
				v := x[(from/b.inner*b.neurons+s.from)*b.inner+from%b.inner]
				switch f {
				case 1:
					dst[k] = v
				case 0: // not 0·v, which may be -0
				default:
					dst[k] = F(f * float64(v))
				}
			}
		}
	}
	return out
}

// A state is what an attempt may have to give back.
type state struct {
	Network
	reshaped, regraphed bool
}

func (r *run) state() state { return state{r.Network, r.reshaped, r.regraphed} }

func (r *run) restore(s state) {
	r.Network, r.reshaped, r.regraphed = s.Network, s.reshaped, s.regraphed
}

// attempt gives groups other sizes: those of each list at once and, if that fails, its
// halves, down to single groups, which are then left as they are. good says whether the
// network, which was before, is still as it should be.
func (r *run) attempt(rep *Report, lists [][]string, seats map[string][]seat, good func(before *graph.Graph, names []string) error) error {
	start := r.state()
	done := map[string]bool{}
	var try func(names []string) error
	try = func(names []string) error {
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		was := r.state()
		some := map[string][]seat{}
		for _, name := range names {
			some[name] = seats[name]
		}
		err := r.resize(some)
		if err == nil && r.Graph != nil {
			err = good(was.Graph, names)
		}
		if err == nil {
			for _, name := range names {
				done[name] = true
			}
			return nil
		}
		r.restore(was)
		if n := len(names); n > 1 {
			if err := try(names[:n/2]); err != nil {
				return err
			}
			return try(names[n/2:])
		}
		why := err.Error()
		if errors.Is(err, symmetry.ErrChanged) {
			why = "the function would change"
		}
		rep.Left = append(rep.Left, Left{names[0], why})
		return nil
	}
	for _, names := range lists {
		if len(names) == 0 {
			continue
		}
		if err := try(names); err != nil {
			return err
		}
	}
	if len(done) == 0 {
		return fmt.Errorf("%w: it has no group with which that can be done: %s: %s", ErrNetwork, rep.Left[0].Group, rep.Left[0].Reason)
	}
	for i := range r.Spec.Groups {
		name := r.Spec.Groups[i].Name
		if !done[name] {
			continue
		}
		rep.Groups++
		var from []int
		var added []Added
		for k, s := range seats[name] {
			if s.kind == "" {
				from = append(from, s.from)
				continue
			}
			from = append(from, -1)
			added = append(added, Added{k, s.kind, s.of})
		}
		if err := r.truth.resize(name, from, added); err != nil {
			return err
		}
		rep.Neurons += max(len(added), start.Spec.Group(name).Size-len(from))
	}
	return nil
}
