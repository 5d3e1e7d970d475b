package mark

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// grid is for networks on the levels of a quantizer. It moves some weights to the next
// level, up or down as the key says, so the levels stay, and packing keeps the mark
// exactly. Which weights is free: those that cost least, in error and in bits.
//
//	cost = f·(error after - error before) / mean square + λ·(bits after - bits before)
//
// with bits by the ideal order-0 code of the tensor, and f the mean size of tensors over
// that of this one: outputs feel an error by its share of all of the tensor. Errors are towards the weights before
// they were quantized. If these are not known, bits that are gained do not count: else the
// rarest levels, the largest weights, would all be moved. Moves of equal cost are taken
// evenly. Read back, a weight counts by the
// direction in which its level differs from that of the reference.
type grid struct{}

// maxGrid is the largest number of levels of a grid, as of a codebook.
const maxGrid = 4096

// gridLambda is what a bit is worth: that of the quantizers by default.
const gridLambda = 0.0289

// Name implements [Scheme].
func (grid) Name() string { return "grid" }

// levelsOf returns the values of x in order, or nil if there are more than maxGrid.
func levelsOf(x []float32) []float32 {
	seen := make(map[uint32]struct{}, 256)
	last := uint32(0)
	for i, v := range x {
		b := math.Float32bits(v)
		if i > 0 && b == last {
			continue
		}
		last = b
		if _, ok := seen[b]; !ok {
			if len(seen) == maxGrid {
				return nil
			}
			seen[b] = struct{}{}
		}
	}
	levels := make([]float32, 0, len(seen))
	for b := range seen {
		levels = append(levels, math.Float32frombits(b))
	}
	slices.Sort(levels)
	return slices.Compact(levels) // 0 and -0
}

// gridded returns those tensors that lie on a grid: at most maxGrid levels, and on
// average several weights at each.
func gridded(list []*tensor.Tensor) ([]*tensor.Tensor, error) {
	is := make([]bool, len(list))
	err := inParallel(len(list), func(i int) error {
		x, err := floats(list[i])
		if err != nil {
			return err
		}
		l := levelsOf(x)
		is[i] = len(l) >= 2 && len(x) >= 4*len(l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var on []*tensor.Tensor
	for i, t := range list {
		if is[i] {
			on = append(on, t)
		}
	}
	if len(on) == 0 {
		return nil, fmt.Errorf("%w: no tensor lies on the levels of a quantizer; schemes keyed and payload are for continuous weights", ErrNetwork)
	}
	return on, nil
}

// Capacity implements [Scheme].
func (grid) Capacity(set *tensor.Set, o *Options) (int, error) {
	list, err := carriers(set, or(o))
	if err != nil {
		return 0, err
	}
	on, err := gridded(list)
	if err != nil {
		return 0, err
	}
	return gridCapacity(on), nil
}

// gridCapacity bounds the payload also by the moves it takes: at most one weight in 16.
func gridCapacity(on []*tensor.Tensor) int {
	n := int64(0)
	for _, t := range on {
		n += t.Elems()
	}
	for bits := capacityOf(on); bits > 0; bits -= 8 {
		if int64(movesFor(bits)) <= n/16 {
			return bits
		}
	}
	return 0
}

// movesFor returns how many moves read clearly. A reading of untouched moves has z = √moves.
// Without a payload z²/2 = 128 makes p = 10^-55; with one, p counts 2^bits messages, and
// each symbol of 8 bits needs about 16 moves to be told from 255 others, a third being
// spare.
func movesFor(bits int) int {
	if bits == 0 {
		return 256
	}
	return 256 + 12*codeFor(bits).symbols()
}

// Plan implements [Scheme].
func (s grid) Plan(set *tensor.Set, key *Key, o *Options) (*Parameters, error) {
	o = or(o)
	p, total, err := planMoves(set, key, o)
	if err != nil {
		return nil, err
	}
	p.original = o.Original
	most := o.MaxChange
	if most == 0 {
		most = GridMaxChange
	}
	for {
		c, err := s.Cost(set, p)
		if err != nil {
			return nil, err
		}
		switch fewer := p.Moves * 9 / 10; {
		case c.Output <= most:
			return p, nil
		case o.Moves != 0 || fewer < movesFor(p.Bits)/2:
			return nil, fmt.Errorf("%w: %d moves in %d weights change outputs by about %.3g, and %.3g is allowed; fewer moves do less, and fewer bits need fewer", ErrBound, p.Moves, total, c.Output, most)
		default:
			p.Moves = fewer
		}
	}
}

// planMoves chooses tensors, payload and how many weights are moved, and returns how many
// there are. What that does to the network is not looked at.
func planMoves(set *tensor.Set, key *Key, o *Options) (*Parameters, int64, error) {
	list, err := carriers(set, o)
	if err != nil {
		return nil, 0, err
	}
	on, err := gridded(list)
	if err != nil {
		return nil, 0, err
	}
	p := &Parameters{Scheme: grid{}.Name(), Tensors: names(on)}
	if o.Payload != nil || key.Payload != nil {
		if err := p.takePayload(key, o, gridCapacity(on)); err != nil {
			return nil, 0, err
		}
	}
	total := int64(0)
	for _, t := range on {
		total += t.Elems()
	}
	p.Moves = o.Moves
	if p.Moves == 0 {
		p.Moves = int(min(int64(movesFor(p.Bits)), total/16))
	}
	if p.Moves < 1 || int64(p.Moves) > total/4 {
		return nil, 0, fmt.Errorf("%w: %d moves in %d weights on a grid, want 1 to one in four", ErrOptions, p.Moves, total)
	}
	return p, total, nil
}

// A move is a weight that can go to the next level.
type move struct {
	tensor, index int
	to            uint16
	cost          float64
	tie           uint64
	bits, change  float64 // of the code; squared, as a share of the tensor's squares
}

// moves returns the cheapest moves. sign gives the directions of a tensor.
func (grid) moves(set *tensor.Set, p *Parameters, sign func(i int, name string, d []float32) error) ([]move, []*tensor.Tensor, [][]float32, error) {
	list, err := lookup(set, p)
	if err != nil {
		return nil, nil, nil, err
	}
	all := make([][]move, len(list))
	total := 0.0
	for _, t := range list {
		total += float64(t.Elems())
	}
	levels := make([][]float32, len(list))
	err = inParallel(len(list), func(i int) error {
		x, err := floats(list[i])
		if err != nil {
			return err
		}
		if levels[i] = levelsOf(x); levels[i] == nil {
			return fmt.Errorf("%w: %s lies on no grid", ErrNetwork, list[i].Name)
		}
		var original []float32
		if p.original != nil {
			if t := p.original.Lookup(list[i].Name); t != nil && t.DType.Numeric() && t.Shape.Equal(list[i].Shape) {
				if original, err = floats(t); err != nil {
					return err
				}
			}
		}
		d := make([]float32, len(x))
		if err := sign(i, list[i].Name, d); err != nil {
			return err
		}
		all[i] = cheapest(i, x, original, d, levels[i], p.Moves, total/float64(len(list)*len(x)))
		return nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	list2 := slices.Concat(all...)
	slices.SortStableFunc(list2, byCost)
	return list2[:min(len(list2), p.Moves)], list, levels, nil
}

func byCost(a, b move) int {
	switch {
	case a.cost < b.cost:
		return -1
	case a.cost > b.cost:
		return 1
	case a.tie < b.tie:
		return -1
	case a.tie > b.tie:
		return 1
	}
	return 0
}

// scatter maps places to numbers without order (the finalizer of splitmix64).
func scatter(tensor, index int) uint64 {
	x := uint64(tensor)<<40 ^ uint64(index) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// cheapest returns the most cheapest moves of a tensor in the directions d. factor is that
// of errors.
func cheapest(at int, x, original, d, levels []float32, most int, factor float64) []move {
	index := make([]uint16, len(x))
	count := make([]float64, len(levels))
	squares := 0.0
	for i, v := range x {
		index[i] = nearest(levels, v)
		count[index[i]]++
		squares += float64(v) * float64(v)
	}
	bits := make([]float64, len(levels))
	for k, c := range count {
		bits[k] = math.Log2(float64(len(x)) / math.Max(c, 0.5))
	}
	mean := squares / float64(len(x)) / factor
	var list []move
	for i, v := range x {
		k := int(index[i])
		to := k + 1
		if d[i] < 0 {
			to = k - 1
		}
		if to < 0 || to >= len(levels) {
			continue
		}
		want := v
		if original != nil {
			want = original[i]
		}
		was, is := float64(v-want), float64(levels[to]-want)
		m := move{tensor: at, index: i, to: uint16(to), bits: bits[to] - bits[k], tie: scatter(at, i)}
		m.change = float64(levels[to]-v) * float64(levels[to]-v) / squares
		m.cost = (is*is-was*was)/mean + gridLambda*m.bits
		if original == nil {
			m.cost = is*is/mean + gridLambda*math.Max(m.bits, 0)
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, byCost)
	return list[:min(len(list), most)]
}

// nearest returns the level nearest to v; a tie goes to the lower one.
func nearest(levels []float32, v float32) uint16 {
	k, found := slices.BinarySearch(levels, v)
	switch {
	case found || k == 0:
	case k == len(levels), v-levels[k-1] <= levels[k]-v:
		k--
	}
	return uint16(k)
}

// Cost implements [Scheme]. It is that of a key with alternating signs: the directions
// are those of a coin, so another key costs about the same.
func (s grid) Cost(set *tensor.Set, p *Parameters) (*Cost, error) {
	moves, list, _, err := s.moves(set, p, func(i int, _ string, d []float32) error {
		l := LayerKey{secret: [secretSize]byte{byte(i), byte(i >> 8)}}
		newCarrier(&l, 0).fill(d, 0, 1, nil)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return costOf(moves, list), nil
}

func costOf(moves []move, list []*tensor.Tensor) *Cost {
	c := &Cost{Tensors: len(list), Changed: int64(len(moves))}
	shares := make([]float64, len(list))
	for _, m := range moves {
		c.Bits += m.bits
		shares[m.tensor] += m.change
	}
	output, change := 0.0, 0.0
	for i, t := range list {
		c.Weights += t.Elems()
		output += shares[i]
		change += shares[i] * float64(t.Elems())
	}
	c.Output = math.Sqrt(output)
	c.Change = math.Sqrt(change / math.Max(1, float64(c.Weights)))
	return c
}

// Embed implements [Scheme].
func (s grid) Embed(set *tensor.Set, key *Key, p *Parameters) (*Embedded, error) {
	var code []int8
	if p.Bits > 0 {
		var err error
		if code, err = p.chips(key); err != nil {
			return nil, err
		}
	}
	moves, list, levels, err := s.moves(set, p, func(_ int, name string, d []float32) error {
		l, err := key.Layer(p.Scheme, name)
		if err != nil {
			return err
		}
		newCarrier(&l, len(code)).fill(d, 0, 1, code)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(moves) < p.Moves {
		return nil, fmt.Errorf("%w: %d weights can be moved, and %d should be", ErrCapacity, len(moves), p.Moves)
	}
	per := make([][]move, len(list))
	for _, m := range moves {
		per[m.tensor] = append(per[m.tensor], m)
	}
	var changed []*tensor.Tensor
	for i, t := range list {
		if len(per[i]) == 0 {
			continue
		}
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		raw = slices.Clone(raw)
		for _, m := range per[i] {
			put(t.DType, raw, m.index, levels[i][m.to])
		}
		changed = append(changed, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(raw)})
	}
	e := &Embedded{Parameters: p, Cost: costOf(moves, list)}
	e.Set, err = tensor.Overlay(set, changed...)
	return e, err
}

// put sets a number to a level, which its type holds exactly: it is one of its values.
func put(dt tensor.DType, raw []byte, i int, v float32) {
	size := dt.Bits() / 8
	if dt == tensor.F64 {
		binary.LittleEndian.PutUint64(raw[8*i:], math.Float64bits(float64(v)))
		return
	}
	copy(raw[size*i:][:size], dt.AppendFloats(nil, []float32{v}))
}

// Extract implements [Scheme].
func (grid) Extract(suspect, reference *tensor.Set, s Secrets, p *Parameters) (*Reading, error) {
	if reference == nil {
		return nil, fmt.Errorf("%w: scheme grid is read against the unmarked reference", ErrNetwork)
	}
	y := against(reference, p, steps)
	if p.Bits > 0 {
		return readPayload(suspect, s, p, y)
	}
	r, _, err := readSigns(suspect, s, p, 0, y)
	return r, err
}

// steps is the score of scheme grid: by the direction in which the level of a weight
// differs from that of the reference. What lies off the levels counts as the nearest one,
// and a weight that is 0 now was pruned, unless it was moved by one level.
func steps(suspect, ref []float32, _ tensor.Shape, _ *Parameters) []float32 {
	y := make([]float32, len(suspect))
	levels := levelsOf(ref)
	if levels == nil {
		return y
	}
	for i, v := range suspect {
		if v == ref[i] {
			continue
		}
		was, is := int(nearest(levels, ref[i])), int(nearest(levels, v))
		switch is - was {
		case 1:
			y[i] = 1
		case -1:
			y[i] = -1
		}
	}
	return y
}
