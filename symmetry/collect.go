package symmetry

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// An occurrence is a neuron at a position of a tensor.
type occurrence struct {
	place int32 // number of the tensor's axis
	at    int32
	acts  int32 // number of a list of acts
}

// A signature is what neurons have to have in common to change places: where they
// occur, in tensors and in all values on the way, in which order, how their factors
// act, and who else is there. It is a hash of 128 bits.
type signature [2]uint64

func (s *signature) add(x uint64) {
	for i, k := range [...]uint64{0x9e3779b97f4a7c15, 0xd6e8feb86659fd93} {
		hi, lo := bits.Mul64(s[i]^x, k)
		s[i] = bits.RotateLeft64(hi^lo, 29) + k*(x|1)
	}
}

// A collector makes a specification of what a deriver found.
type collector struct {
	*deriver
	places []place
	owner  []int32 // of each factor: the neuron whose it is, or -1
	// Networks of billions of weights have millions of slots, of which few are neurons of
	// their own, so what is known of these is in a list.
	number  []int32 // of each slot: 1 + that of the neuron in neurons, or 0
	neurons []neuron
	acts    [][]Act
	actIDs  map[string]int32
	key     []byte // of actIDs; scratch
	used    map[string]bool
}

// A neuron is what was found of one.
type neuron struct {
	occurs []occurrence
	local  []int32 // its own factors
	mark   signature
	copies uint64 // of its slots, so far
}

// of returns what is known of a neuron, until the next call.
func (c *collector) of(atom int32) *neuron {
	k := &c.number[atom]
	if *k == 0 {
		c.neurons = append(c.neurons, neuron{})
		*k = int32(len(c.neurons))
	}
	return &c.neurons[*k-1]
}

// collect returns the specification.
func (d *deriver) collect() (*Spec, error) {
	for {
		if s, err := d.collectOnce(); s != nil || err != nil {
			return s, err
		}
	}
}

// collectOnce is collect; it returns nil if it had to set factors to 1.
func (d *deriver) collectOnce() (*Spec, error) {
	c := &collector{
		deriver: d, number: make([]int32, len(d.parent)),
		acts: [][]Act{nil}, actIDs: map[string]int32{"": 0}, used: map[string]bool{},
	}
	for _, t := range d.set.All() {
		if v := d.weights[t.Name]; v != nil {
			for k := range v.axes {
				c.places = append(c.places, place{t.Name, k})
			}
		}
	}
	c.settle()
	for id := range c.places {
		c.note(int32(id))
	}
	c.mark()
	s := &Spec{}
	grouped := map[int32]bool{}
	classes := c.classes()
	before := c.scales.frozen
	for _, atoms := range classes {
		c.even(atoms)
	}
	if c.scales.frozen != before {
		return nil, nil
	}
	for _, atoms := range classes {
		g := c.group(atoms)
		if g.Size < 2 {
			continue
		}
		s.Groups = append(s.Groups, *g)
		for _, a := range atoms {
			grouped[a] = true
		}
	}
	c.name(s)
	s.Fixed = c.fixed(grouped)
	if err := s.Fits(d.set); err != nil {
		return nil, fmt.Errorf("symmetry: internal error: %w", err)
	}
	return s, nil
}

func (c *collector) axis(id int32) *axis {
	p := c.places[id]
	return &c.weights[p.tensor].axes[p.axis]
}

// settle finds out whose each factor is, and sets those to 1 that are not one neuron's:
// of positions that do not move, of several neurons, and of a place inside of a block
// that no other block shares, so that elements of groups that cross commute. Positions that belong to a
// neuron twice, as on an axis that was flattened with itself, stay.
func (c *collector) settle() {
	for again := true; again; {
		again = false
		c.owner = make([]int32, len(c.scales.is))
		candidates, seen := make([][]int32, len(c.owner)), make([]bool, len(c.owner))
		before := c.scales.frozen
		for id := range c.places {
			a := c.axis(int32(id))
			var buf []int32
			for i, l := range a.labels {
				in := c.parts(buf[:0], l, false)
				buf = in
				if repeats(in) {
					c.fix(l, c.reason("an axis that was flattened with itself"))
					again = true
				}
				for _, t := range c.scales.norm(a.scales[i]) {
					if t.p > 2 || t.p < -2 {
						c.scales.kill(t.v, true, true)
						continue
					}
					if !seen[t.v] {
						candidates[t.v], seen[t.v] = slices.Clone(in), true
						continue
					}
					candidates[t.v] = slices.DeleteFunc(candidates[t.v], func(x int32) bool { return !slices.Contains(in, x) })
				}
			}
		}
		for v := range c.owner {
			c.owner[v] = -1
			if in := candidates[v]; seen[v] {
				if len(in) != 1 {
					c.scales.kill(int32(v), true, true)
					continue
				}
				c.owner[v] = in[0]
			}
		}
		again = again || c.scales.frozen != before
	}
}

func repeats(in []int32) bool {
	for i, x := range in {
		if slices.Contains(in[:i], x) {
			return true
		}
	}
	return false
}

// note enters who occurs on an axis of a tensor.
func (c *collector) note(id int32) {
	a := c.axis(id)
	var buf []int32
	for i, l := range a.labels {
		buf = c.parts(buf[:0], l, false)
		m := c.scales.norm(a.scales[i])
		for _, atom := range buf {
			n := c.of(atom)
			n.occurs = append(n.occurs, occurrence{id, int32(i), c.actsOf(atom, n, m)})
		}
	}
}

// actsOf returns the number of the acts of a neuron's own factors in m.
func (c *collector) actsOf(atom int32, n *neuron, m mono) int32 {
	var acts []Act
	for _, t := range m {
		if c.owner[t.v] != atom {
			continue
		}
		k := slices.Index(n.local, t.v)
		if k < 0 {
			k = len(n.local)
			n.local = append(n.local, t.v)
		}
		acts = append(acts, Act{k, int(t.p), t.odd})
	}
	slices.SortFunc(acts, func(a, b Act) int { return a.Factor - b.Factor })
	c.key = c.key[:0]
	for _, a := range acts {
		c.key = binary.AppendVarint(binary.AppendVarint(c.key, int64(a.Factor)), int64(a.Power))
		c.key = strconv.AppendBool(c.key, a.Odd)
	}
	id, ok := c.actIDs[string(c.key)]
	if !ok {
		id = int32(len(c.acts))
		c.actIDs[string(c.key)] = id
		c.acts = append(c.acts, acts)
	}
	return id
}

// mark computes the signatures of all neurons that occur in a tensor.
//
// A neuron may be at several positions, made one by a sum, say. Which of them is at
// hand matters when others take its place, so slots are told apart by their numbers
// before they were made one: those of the neuron itself in the order in which they come,
// those of who else is there as they are.
func (c *collector) mark() {
	seen := map[*label]bool{}
	// Most are slots of the neuron at hand; those of tuples have several.
	type own struct {
		atom int32
		slot label
	}
	copies, shared := make([]uint64, len(c.parent)), map[own]uint64{}
	copyOf := func(n *neuron, k uint64) uint64 {
		if k == 0 {
			n.copies++
			k = n.copies
		}
		return k
	}
	enter := func(labels []label) {
		if len(labels) == 0 || seen[&labels[0]] {
			return // the same axis of another value
		}
		seen[&labels[0]] = true
		number := uint64(len(seen))
		var raw []label
		for _, l := range labels {
			raw = c.slots(raw[:0], l)
			for k, slot := range raw {
				atom := int32(c.resolve(slot))
				n := c.of(atom)
				s := &n.mark
				s.add(number)
				s.add(uint64(k))
				copies[slot] = copyOf(n, copies[slot])
				s.add(copies[slot])
				if l >= 0 && l != slot {
					shared[own{atom, l}] = copyOf(n, shared[own{atom, l}])
					s.add(shared[own{atom, l}])
				}
				for _, other := range raw {
					if other != slot {
						s.add(uint64(other))
					}
				}
			}
		}
	}
	for id := range c.places {
		enter(c.axis(int32(id)).labels)
	}
	for _, v := range c.order {
		for k := range v.axes {
			enter(v.axes[k].labels)
		}
	}
	for i := range c.neurons {
		n := &c.neurons[i]
		for _, o := range n.occurs {
			n.mark.add(uint64(o.place)<<32 | uint64(o.acts))
		}
		for _, v := range n.local {
			n.mark.add(uint64(c.gauge(v)))
		}
	}
}

// gauge returns what factor v may be; it is not 1.
func (c *collector) gauge(v int32) Gauge {
	switch {
	case !c.scales.sign[v]:
		return Positive
	case !c.scales.mag[v]:
		return Sign
	}
	return Nonzero
}

// classes returns the neurons that can change places, by where they come first.
func (c *collector) classes() [][]int32 {
	var out [][]int32
	index := map[signature]int{}
	listed := make([]bool, len(c.parent))
	for id := range c.places {
		var buf []int32
		for _, l := range c.axis(int32(id)).labels {
			buf = c.parts(buf[:0], l, false)
			for _, atom := range buf {
				if listed[atom] {
					continue
				}
				listed[atom] = true
				mark := c.of(atom).mark
				k, ok := index[mark]
				if !ok {
					k = len(out)
					index[mark] = k
					out = append(out, nil)
				}
				out[k] = append(out[k], atom)
			}
		}
	}
	return out
}

// group returns the group of neurons with the same signature.
func (c *collector) group(atoms []int32) *Group {
	g := &Group{Size: len(atoms)}
	for _, v := range c.of(atoms[0]).local {
		g.Factors = append(g.Factors, c.gauge(v))
	}
	if g.Size < 2 {
		return g
	}
	all := make([][]occurrence, len(atoms))
	for i, a := range atoms {
		all[i] = c.of(a).occurs
	}
	first := all[0]
	for k := 0; k < len(first); {
		// As many positions as all neurons have at one distance.
		run, stride := 1, 1
		for k+run < len(first) && first[k+run].place == first[k].place && first[k+run].acts == first[k].acts {
			step := int(first[k+run].at - first[k+run-1].at)
			if run > 1 && step != stride {
				break
			}
			if slices.ContainsFunc(all, func(o []occurrence) bool { return int(o[k+run].at-o[k+run-1].at) != step }) {
				break
			}
			run, stride = run+1, step
		}
		g.Places = append(g.Places, c.place(g.Factors, all, k, run, stride))
		k += run
	}
	g.upright()
	return g
}

// even sets factors to 1 by which neurons that cross others of a class do not act alike at
// the places of these: to exchange these would not commute with them.
func (c *collector) even(atoms []int32) {
	if len(atoms) < 2 {
		return
	}
	others := func(atom int32, o occurrence) mono {
		var out mono
		for _, t := range c.scales.norm(c.axis(o.place).scales[o.at]) {
			if c.owner[t.v] != atom {
				out = append(out, t)
			}
		}
		return out
	}
	first := c.of(atoms[0]).occurs
	for k, o := range first {
		want := others(atoms[0], o)
		for _, atom := range atoms[1:] {
			got := others(atom, c.of(atom).occurs[k])
			if slices.Equal(want, got) {
				continue
			}
			for _, t := range slices.Concat(want, got) {
				if !slices.Contains(want, t) || !slices.Contains(got, t) {
					c.scales.kill(t.v, true, true)
				}
			}
		}
	}
}

// upright turns factors over so that each multiplies where it comes first.
func (g *Group) upright() {
	turn := make([]int, len(g.Factors))
	for i := range g.Places {
		for k := range g.Places[i].Acts {
			a := &g.Places[i].Acts[k]
			if turn[a.Factor] == 0 && a.Power != 0 {
				turn[a.Factor] = 1
				if a.Power < 0 {
					turn[a.Factor] = -1
				}
			}
		}
	}
	for i := range g.Places {
		for k := range g.Places[i].Acts {
			a := &g.Places[i].Acts[k]
			a.Power *= turn[a.Factor]
		}
	}
}

func (c *collector) place(factors []Gauge, all [][]occurrence, k, run, stride int) Place {
	o := all[0][k]
	at := c.places[o.place]
	c.used[at.tensor] = true
	p := Place{Tensor: at.tensor, Axis: at.axis, Run: run, Stride: stride, Acts: plainActs(factors, c.acts[o.acts])}
	role, ok := c.roles[at]
	if !ok && len(c.set.Lookup(at.tensor).Shape) == 1 {
		role = Parameter
	}
	p.Role = role
	if len(p.Acts) > 0 {
		p.Epsilon = c.epsilon[at.tensor]
	}
	regular := true
	p.At = make([]int, len(all))
	for i := range all {
		p.At[i] = int(all[i][k].at)
		regular = regular && p.At[i] == i*run
	}
	if regular {
		p.At = nil
	}
	return p
}

// plainActs returns acts in the form that says most plainly what they do: the sign of
// a positive factor is nothing, and so is the size of a sign.
func plainActs(factors []Gauge, acts []Act) []Act {
	var out []Act
	for _, a := range acts {
		switch factors[a.Factor] {
		case Positive:
			a.Odd = a.Power%2 != 0
		case Sign:
			a.Power = 1
		}
		out = append(out, a)
	}
	return out
}

// name gives the groups names after the tensor that makes their neurons.
func (c *collector) name(s *Spec) {
	taken := map[string]int{}
	for i := range s.Groups {
		g := &s.Groups[i]
		at := slices.IndexFunc(g.Places, func(p Place) bool { return p.Role == Incoming })
		end := ".out"
		if at < 0 {
			at = max(0, slices.IndexFunc(g.Places, func(p Place) bool { return p.Role == Parameter }))
			if g.Places[at].Role == Outgoing {
				end = ".in"
			}
		}
		p := &g.Places[at]
		name := strings.TrimSuffix(p.Tensor, ".weight")
		if n := int(c.set.Lookup(p.Tensor).Shape[p.Axis]); p.Run*g.Size*c.placesOn(g, p) == n && p.Run > 1 {
			// A position has several neurons: blocks, and what is in them.
			end = ".blocks"
			if p.Stride > 1 {
				end = ".inside"
			}
		}
		name += end
		taken[name]++
		if n := taken[name]; n > 1 {
			name = fmt.Sprintf("%s.%d", name, n)
		}
		g.Name = name
	}
}

func (c *collector) placesOn(g *Group, p *Place) int {
	n := 0
	for i := range g.Places {
		if g.Places[i].Tensor == p.Tensor && g.Places[i].Axis == p.Axis {
			n++
		}
	}
	return n
}

// fixed lists what does not move, by reason.
func (c *collector) fixed(grouped map[int32]bool) []Fixed {
	var out []Fixed
	index := map[string]int{}
	enter := func(reason string, a Axis) {
		k, ok := index[reason]
		if !ok {
			k = len(out)
			index[reason] = k
			out = append(out, Fixed{Reason: reason})
		}
		out[k].Axes = append(out[k].Axes, a)
	}
	for id, p := range c.places {
		a := c.axis(int32(id))
		n := c.set.Lookup(p.tensor).Shape[p.axis]
		if n < 2 || c.weights[p.tensor].weight == "" {
			continue // not an axis, or no weights
		}
		if !a.moves() {
			if a.why != spatial {
				enter(c.reasons[a.why], Axis{Tensor: p.tensor, Axis: p.axis})
			}
			continue
		}
		byReason := map[int32][]int{}
		var order []int32
		for i, l := range a.labels {
			why, free := c.whyFixed(l, grouped)
			if free || why == spatial {
				continue
			}
			if byReason[why] == nil {
				order = append(order, why)
			}
			byReason[why] = append(byReason[why], i)
		}
		for _, why := range order {
			at := byReason[why]
			if len(at) == len(a.labels) {
				at = nil
			}
			enter(c.reasons[why], Axis{p.tensor, p.axis, at})
		}
	}
	for _, t := range c.set.All() {
		if c.weights[t.Name] == nil && t.DType.IsFloat() && t.Elems() > 1 {
			for k, n := range t.Shape {
				if n > 1 {
					enter("nothing is known of the tensor", Axis{Tensor: t.Name, Axis: k})
				}
			}
		}
	}
	return out
}

// whyFixed says why a position stays, or that it does not.
func (c *collector) whyFixed(l label, grouped map[int32]bool) (why int32, free bool) {
	parts := c.parts(nil, l, true)
	for _, p := range parts {
		if grouped[p] {
			return 0, true
		}
	}
	for _, p := range parts {
		if c.why[p] != 0 {
			return c.why[p], false
		}
	}
	return c.reason("no other position is like it"), false
}
