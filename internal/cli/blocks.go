package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/entropy"
	"ropewalk/quant"
	"ropewalk/tensor"
)

// blockOptions say which entropies of blocks inspect shows.
type blockOptions struct {
	show   bool
	order  string
	levels int
}

const (
	// maxOrder is more than any tensor has blocks for.
	maxOrder = 32
	// weightsPerLevel is how many weights a tensor has for each of its values, if
	// these are levels: the paper's rule for which tensors are quantized.
	weightsPerLevel = 10
	// heldBlocks is how many different blocks a counter holds at a time.
	heldBlocks = 1 << 20
)

// blockEntropy is the entropy of one order.
type blockEntropy struct {
	Order    int     `json:"order" about:"n, the weights in a block"`
	Bits     float64 `json:"bits_per_weight" about:"H_n/n"`
	Blocks   int64   `json:"blocks"`
	Distinct int64   `json:"distinct_blocks"`
}

// pooledEntropy is that of several tensors with one pmf, as the paper has it.
type pooledEntropy struct {
	Tensors int            `json:"tensors"`
	Weights int64          `json:"weights"`
	Stored  *float64       `json:"stored_bits,omitempty" about:"in a .rope, bits per weight of these tensors"`
	Entropy []blockEntropy `json:"entropy"`
}

// orders returns the numbers of "3" or "1..4".
func (o *blockOptions) orders() ([]int, error) {
	first, last, isRange := strings.Cut(o.order, "..")
	if !isRange {
		last = first
	}
	lo, err := strconv.Atoi(first)
	hi, err2 := strconv.Atoi(last)
	if err != nil || err2 != nil || lo < 1 || hi < lo || hi > maxOrder {
		return nil, usagef("--order is %q, want a number or a range such as 1..4, from 1 to %d", o.order, maxOrder)
	}
	var all []int
	for n := lo; n <= hi; n++ {
		all = append(all, n)
	}
	return all, nil
}

// check says what is wrong with the options, if anything.
func (o *blockOptions) check() error {
	_, err := o.orders()
	switch {
	case err != nil:
		return err
	case o.levels < 0 || o.levels > quant.MaxLevels:
		return usagef("--levels is %d, want 1 to %d", o.levels, quant.MaxLevels)
	}
	return nil
}

// blocksOf adds the entropies of blocks to those of the picked tensors that have
// few values, and the pooled ones to r.
func (e *env) blocksOf(ctx context.Context, c *checkpoint.Checkpoint, o *blockOptions, picked []int, r *inspectResult) error {
	orders, err := o.orders()
	if err != nil {
		return err
	}
	total := int64(0)
	for _, i := range picked {
		total += c.Tensors.At(i).Size()
	}
	p := e.progress("entropy", total*int64(2+len(orders)))
	defer p.stop()
	sources := make([]*symbolSource, len(picked))
	err = parallel(ctx, len(picked), func(j int) error {
		s, err := newSymbolSource(ctx, c, picked[j], o.levels, func(n int64) { p.done.Add(n) })
		if err != nil || s == nil {
			return err
		}
		r.Tensors[j].Levels = s.levels
		r.Tensors[j].Entropy, err = measureBlocks(orders, []*symbolSource{s})
		sources[j] = s
		return err
	})
	if err != nil {
		return err
	}
	pool := &pooledEntropy{Entropy: make([]blockEntropy, len(orders))}
	var all []*symbolSource
	stored := 0.0
	for j, s := range sources {
		if s == nil {
			continue
		}
		all = append(all, s)
		n := c.Tensors.At(picked[j]).Elems()
		pool.Weights += n
		if b := r.Tensors[j].Stored; b != nil {
			stored += *b * float64(n)
		}
	}
	pool.Tensors = len(all)
	if c.Rope != nil && pool.Weights > 0 {
		stored /= float64(pool.Weights)
		pool.Stored = &stored
	}
	err = parallel(ctx, len(orders), func(k int) error {
		one, err := measureBlocks(orders[k:k+1], all)
		if err == nil {
			pool.Entropy[k] = one[0]
		}
		return err
	})
	r.Pooled = pool
	return err
}

// measureBlocks returns the entropies of these orders, pooled over sources.
func measureBlocks(orders []int, sources []*symbolSource) ([]blockEntropy, error) {
	counters := make([]*entropy.Counter, len(orders))
	for k, n := range orders {
		counters[k] = entropy.NewCounter(&entropy.CounterOptions{Order: n, MaxDistinct: heldBlocks})
	}
	for {
		var due []*entropy.Counter
		for _, c := range counters {
			if c.Next() {
				due = append(due, c)
			}
		}
		if len(due) == 0 {
			break
		}
		counters := due
		for _, s := range sources {
			err := s.each(func(symbols []uint16) {
				for _, c := range counters {
					c.Add(symbols)
				}
			})
			if err != nil {
				return nil, err
			}
			for _, c := range counters {
				c.EndTensor()
			}
		}
	}
	out := make([]blockEntropy, len(orders))
	for k, c := range counters {
		e, err := c.Entropy()
		if err != nil {
			return nil, err
		}
		out[k] = blockEntropy{Order: e.Order, Bits: e.PerWeight(), Blocks: e.Blocks, Distinct: e.Distinct}
	}
	return out, nil
}

// A symbolSource gives the values of a tensor as indices of its levels, as often
// as they are asked for.
type symbolSource struct {
	ctx      context.Context
	c        *checkpoint.Checkpoint
	tensor   int
	part     tensor.DType
	progress func(n int64)
	levels   int

	// One of them says which symbol a value is.
	values *valueCounts
	ranks  []uint16  // of each place in values
	limits []float32 // a value beyond k of them is symbol k
}

// newSymbolSource returns the source of a tensor that has few values, or, if
// levels is not 0, of one that can be given as many Gaussian levels; else nil.
func newSymbolSource(ctx context.Context, c *checkpoint.Checkpoint, i, levels int, progress func(n int64)) (*symbolSource, error) {
	t := c.Tensors.At(i)
	s := &symbolSource{ctx: ctx, c: c, tensor: i, part: partOf(t.DType), progress: progress}
	if s.part != t.DType || t.Elems() == 0 {
		return nil, nil
	}
	s.values = newValueCounts()
	few := true
	err := s.bits(func(v []uint64) bool {
		for _, x := range v {
			if !s.values.add(x) || s.values.used > quant.MaxLevels {
				few = false
				return false
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if few && t.Elems() > weightsPerLevel*int64(s.values.used) {
		s.levels = s.values.used
		s.rank()
		return s, nil
	}
	s.values = nil
	if levels == 0 || !t.DType.Numeric() || t.Elems() <= weightsPerLevel*int64(levels) {
		return nil, nil
	}
	return s, s.quantize(t, levels)
}

// rank gives each value its place in their order.
func (s *symbolSource) rank() {
	v := s.values
	number := floatOf(s.part)
	var used []int
	for at, n := range v.n {
		if n > 0 {
			used = append(used, at)
		}
	}
	slices.SortFunc(used, func(a, b int) int {
		return cmp.Or(cmp.Compare(number(v.keys[a]), number(v.keys[b])), cmp.Compare(v.keys[a], v.keys[b]))
	})
	s.ranks = make([]uint16, len(v.keys))
	for k, at := range used {
		s.ranks[at] = uint16(k)
	}
}

// quantize chooses Gaussian levels.
func (s *symbolSource) quantize(t *tensor.Tensor, levels int) error {
	w := make([]float32, 0, t.Elems())
	number := floatOf(s.part)
	err := s.bits(func(v []uint64) bool {
		for _, x := range v {
			w = append(w, float32(number(x)))
		}
		return true
	})
	if err != nil {
		return err
	}
	l, err := entropy.GaussianLevels(w, levels, nil)
	if err != nil {
		v := &verdict{status: exitRefused, err: fmt.Errorf("%s: tensor %q: %w", s.c.Path, t.Name, err)}
		return v.withHint("--tensors PATTERN chooses others")
	}
	for k := 1; k < len(l); k++ {
		s.limits = append(s.limits, float32((l[k-1]+l[k])/2))
	}
	s.levels = levels
	return nil
}

// bits reads the bit patterns of all values, until more says no.
func (s *symbolSource) bits(more func(v []uint64) bool) error {
	t := s.c.Tensors.At(s.tensor)
	var v []uint64
	for _, k := range chunks(s.c, s.tensor) {
		if s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		b, err := k.read(s.c)
		if err != nil {
			return err
		}
		v = appendBits(v[:0], s.part, b, numbersIn(t, s.part, k))
		k.release(s.c)
		s.progress(k.n)
		if !more(v) {
			return nil
		}
	}
	return nil
}

// each calls f for all symbols, piece by piece.
func (s *symbolSource) each(f func(symbols []uint16)) error {
	number := floatOf(s.part)
	var symbols []uint16
	return s.bits(func(v []uint64) bool {
		symbols = symbols[:0]
		for _, x := range v {
			if s.ranks != nil {
				symbols = append(symbols, s.ranks[s.values.slot(x)])
				continue
			}
			k, _ := slices.BinarySearch(s.limits, float32(number(x)))
			symbols = append(symbols, uint16(k))
		}
		f(symbols)
		return true
	})
}

// blocks prints the entropies of blocks beside what is stored.
func (r *inspectText) blocks(w *bufio.Writer) {
	if r.Pooled == nil {
		return
	}
	w.WriteString("\n")
	if r.Pooled.Tensors == 0 {
		w.WriteString("  no tensor has few enough values for the entropy of blocks; --levels N gives them levels\n")
		return
	}
	head := []string{"bits per weight", "levels"}
	if r.Holds != "" {
		head = append(head, "stored")
	}
	for _, b := range r.Pooled.Entropy {
		name := fmt.Sprintf("H_%d", b.Order)
		if b.Order > 1 {
			name += fmt.Sprintf("/%d", b.Order)
		}
		head = append(head, name)
	}
	t := &table{}
	t.row(head...)
	row := func(name, levels, stored string, es []blockEntropy) {
		cells := []string{name, levels}
		if r.Holds != "" {
			cells = append(cells, stored)
		}
		for _, b := range es {
			cells = append(cells, fmt.Sprintf("%.3f", b.Bits))
		}
		t.row(cells...)
	}
	for i := range r.Tensors {
		if in := &r.Tensors[i]; in.Entropy != nil {
			row(shorten(in.Name, r.verbose), commas(int64(in.Levels)), storedText(in), in.Entropy)
		}
	}
	stored := ""
	if r.Pooled.Stored != nil {
		stored = fmt.Sprintf("%.2f", *r.Pooled.Stored)
	}
	row("pooled, "+commas(r.Pooled.Weights)+" weights", "", stored, r.Pooled.Entropy)
	t.write(w, "  ")
	if n := len(r.Tensors) - r.Pooled.Tensors; n > 0 {
		fmt.Fprintf(w, "  %s with too many values are not counted\n", count(n, "tensor"))
	}
}
