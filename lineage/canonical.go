package lineage

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// ErrNoCanonical reports a network for which no order can be called the canonical one:
// whole tensors exchange places in it, as experts do.
var ErrNoCanonical = errors.New("lineage: whole tensors exchange places, and have no canonical order")

// Canonical returns an order of the neurons of every group that follows from the bits of
// the weights alone, and not from how the neurons stand; and the SHA-256 of the tensors
// in that order, by name, with types and shapes. If the digests of two networks are
// equal, one is the other bit for bit, but for the order of its neurons: the two elements
// say which. The reverse holds unless neurons differ that no round of the search tells
// apart, which takes weights of a regular pattern.
//
// It is the colour refinement of graphs (Weisfeiler and Leman 1968): the colour of a neuron
// is a sum of hashes of all numbers that it has part in, each with the colours of the other
// neurons that have; rounds go on until no more colours appear. Colours are of 64 bits
// and only choose the order, so that what is proved rests on SHA-256 alone. It reads the
// network rounds + 1 times, mostly three, and takes O(1) for each number.
//
// Errors are [ErrNoCanonical], and those of reading.
func Canonical(spec *symmetry.Spec, set *tensor.Set) (digest [sha256.Size]byte, order symmetry.Element, err error) {
	if spec == nil {
		spec = &symmetry.Spec{}
	}
	if err := spec.Fits(set); err != nil {
		return digest, nil, err
	}
	p, err := newPalette(spec)
	if err != nil {
		return digest, nil, err
	}
	for round, before := 0, -1; round < maxRounds; round++ {
		if err := p.refine(set); err != nil {
			return digest, nil, err
		}
		n := p.distinct()
		if n == p.neurons || n <= before {
			break
		}
		before = n
	}
	order = p.order()
	sorted, err := symmetry.Apply(spec, set, order)
	if err != nil {
		return digest, nil, err
	}
	digest, err = digestOf(sorted)
	return digest, order, err
}

// maxRounds bounds the rounds of a refinement. Weights that were learned need one or two.
const maxRounds = 8

// digestOf returns the SHA-256 of all tensors, by name.
func digestOf(set *tensor.Set) (digest [sha256.Size]byte, err error) {
	var names []string
	for _, t := range set.All() {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		t := set.Lookup(name)
		h.Write(fmt.Appendf(nil, "%q %s %v\n", t.Name, t.DType, []int64(t.Shape)))
		if _, err := t.WriteTo(h); err != nil {
			return digest, fmt.Errorf("tensor %s: %w", name, err)
		}
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// A palette holds the colours of all neurons during a refinement.
type palette struct {
	spec    *symmetry.Spec
	colours [][]uint64 // of each group
	next    [][]uint64
	neurons int
	places  map[string][]placeOf // by tensor
}

// A placeOf is a place, of which group.
type placeOf struct {
	*symmetry.Place
	group, place int
	size         int // neurons
}

func newPalette(spec *symmetry.Spec) (*palette, error) {
	p := &palette{spec: spec, places: map[string][]placeOf{}}
	for g := range spec.Groups {
		group := &spec.Groups[g]
		p.neurons += group.Size
		p.colours = append(p.colours, make([]uint64, group.Size))
		p.next = append(p.next, make([]uint64, group.Size))
		for k := range group.Places {
			if group.Places[k].Tensors != nil {
				return nil, ErrNoCanonical
			}
			p.places[group.Places[k].Tensor] = append(p.places[group.Places[k].Tensor], placeOf{&group.Places[k], g, k, group.Size})
		}
	}
	return p, nil
}

// refine gives all neurons new colours, of the old ones and of all numbers.
func (p *palette) refine(set *tensor.Set) error {
	for g := range p.next {
		clear(p.next[g])
	}
	for _, t := range set.All() {
		if places := p.places[t.Name]; len(places) > 0 {
			if err := p.look(t, places); err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
		}
	}
	for g, of := range p.next {
		for i, sum := range of {
			p.colours[g][i] = mix(p.colours[g][i], sum)
		}
	}
	return nil
}

// look adds what the numbers of a tensor say of its neurons.
func (p *palette) look(t *tensor.Tensor, places []placeOf) error {
	rank := len(t.Shape)
	at := make([][]uint64, rank)   // the colour of each position of each axis
	sums := make([][]uint64, rank) // and what its numbers add up to
	for a, n := range t.Shape {
		at[a] = make([]uint64, n)
		if slices.ContainsFunc(places, func(x placeOf) bool { return x.Axis == a }) {
			sums[a] = make([]uint64, n)
		} else {
			for i := range at[a] {
				at[a][i] = mix(uint64(a), uint64(i))
			}
		}
	}
	crossed := crossings(t, places)
	// Which of the numbers of a neuron one is, is told by place and number, unless another
	// group moves these: heads, and what is in each of them.
	which := func(x placeOf, at, k int) uint64 {
		if crossed[x.Axis][at] {
			return math.MaxUint64
		}
		return uint64(x.place)<<32 | uint64(k)
	}
	for _, x := range places {
		for i, c := range p.colours[x.group] {
			for k := range x.Run {
				pos := x.Position(i, k)
				at[x.Axis][pos] = mix(at[x.Axis][pos], mix(mix(uint64(x.group), c), which(x, pos, k)))
			}
		}
	}
	for a, n := range t.Shape {
		if sums[a] == nil {
			continue
		}
		for i := range n { // positions that nobody has stay where they are
			if at[a][i] == 0 {
				at[a][i] = mix(uint64(a), uint64(i))
			}
		}
	}
	if err := sumUp(t, at, sums); err != nil {
		return err
	}
	for _, x := range places {
		for i := range p.next[x.group] {
			for k := range x.Run {
				pos := x.Position(i, k)
				p.next[x.group][i] += mix(which(x, pos, k), sums[x.Axis][pos])
			}
		}
	}
	return nil
}

// crossings says, for each axis, which positions belong to several groups.
func crossings(t *tensor.Tensor, places []placeOf) [][]bool {
	owner := make([][]int, len(t.Shape)) // a group + 1
	out := make([][]bool, len(t.Shape))
	for a, n := range t.Shape {
		owner[a], out[a] = make([]int, n), make([]bool, n)
	}
	for _, x := range places {
		for i := range x.size {
			for k := range x.Run {
				pos := x.Position(i, k)
				if o := owner[x.Axis][pos]; o != 0 && o != x.group+1 {
					out[x.Axis][pos] = true
				}
				owner[x.Axis][pos] = x.group + 1
			}
		}
	}
	return out
}

// sumUp adds a hash of each number, with the colours of its position on each axis, to the
// sums of these positions.
func sumUp(t *tensor.Tensor, at, sums [][]uint64) error {
	const chunk = 1 << 16
	size := int64(t.DType.Bits() / 8)
	if size == 0 {
		return fmt.Errorf("type %s has no whole bytes", t.DType)
	}
	rank := len(t.Shape)
	inner := t.Shape[rank-1]
	index := make([]int64, rank)
	var prefix uint64
	var buf []byte
	total := t.Elems()
	for done := int64(0); done < total; {
		// One run along the last axis, or a part of it.
		if index[rank-1] == 0 {
			prefix = 0
			for a := range rank - 1 {
				prefix = mix(prefix, at[a][index[a]])
			}
		}
		n := min(inner-index[rank-1], chunk)
		raw, err := tensor.ReadRange(t.Data, done*size, n*size, buf)
		if err != nil {
			return err
		}
		own, last := uint64(0), index[rank-1]
		for i := range n {
			h := mix(prefix^at[rank-1][last+i], number(raw[i*size:], size))
			own += h
			if sums[rank-1] != nil {
				sums[rank-1][last+i] += h
			}
		}
		for a := range rank - 1 {
			if sums[a] != nil {
				sums[a][index[a]] += own
			}
		}
		done += n
		if index[rank-1] += n; index[rank-1] == inner {
			index[rank-1] = 0
			for a := rank - 2; a >= 0; a-- {
				if index[a]++; index[a] < t.Shape[a] {
					break
				}
				index[a] = 0
			}
		}
	}
	return nil
}

// number returns the bits of a number of that many bytes.
func number(b []byte, size int64) uint64 {
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		return binary.LittleEndian.Uint64(b)
	}
	h := uint64(0)
	for _, c := range b[:size] {
		h = mix(h, uint64(c))
	}
	return h
}

// mix hashes two numbers to one: the 128 bits of a product, folded, as in wyhash.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	hi2, lo2 := bits.Mul64(hi^lo^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return hi2 ^ lo2
}

func (p *palette) distinct() int {
	n := 0
	for _, of := range p.colours {
		s := slices.Clone(of)
		slices.Sort(s)
		n += len(slices.Compact(s))
	}
	return n
}

// order returns the neurons of each group by their colours.
func (p *palette) order() symmetry.Element {
	e := symmetry.Element{}
	for g, of := range p.colours {
		order := make([]int, len(of))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(of[i], of[j]) })
		e[p.spec.Groups[g].Name] = &symmetry.Move{Order: order}
	}
	return e
}
