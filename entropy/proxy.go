package entropy

import (
	"fmt"

	"ropewalk/tensor"
)

// MaxOrder bounds the order of a [Proxy]: each block has 2^n cells.
const MaxOrder = 16

// A Layer is a tensor of weights as the proxy sees it.
type Layer struct {
	Name  string
	Shape tensor.Shape
	Scan  Scan
}

// ProxyOptions say how blocks are made and differentiated. The zero value, or
// nil, is the paper's pmf with its exact gradient.
type ProxyOptions struct {
	// Order is n, the number of weights in a block, 1 to [MaxOrder]; default 1.
	// Time is 2^n/n for each weight.
	Order int
	// Sliding makes blocks begin at every weight, so that nothing is tied to a
	// grid of blocks; it takes n times as long. The paper's do not overlap.
	Sliding bool
	// ClosedForm uses the published explicit derivation for n = 2, in which
	// the other weight of a block is half and half between its two centers. It
	// is within 6 % of the gradient on Gaussian weights, and not faster.
	ClosedForm bool
	// Settle gives a weight exactly on a center the derivative 0 if the entropy
	// rises on both sides; the paper takes the derivative to the right.
	Settle bool
	// Threads bounds the goroutines; 0 is all processors. The result does not
	// depend on it.
	Threads int
}

// A Proxy is the differentiable entropy of section 1.2 of the paper's notes
// (see the package comment), over the blocks of all its layers together. It
// keeps 10 bytes for each weight and 8 for each cell and allocates only in its
// first call. It is not safe for concurrent use.
type Proxy[T Float] struct {
	o      ProxyOptions
	layers []*proxyLayer
	crew   *crew
	code   cellCode
	ready  bool

	pieces []piece
	phases []int // pieces of phase i are pieces[phases[i]:phases[i+1]]
	lanes  []lane
	blocks float64

	lows   []uint16  // center below each weight, in the order of the scan
	shares []float64 // u, likewise

	table massTable // sparse: all cells
	mass  []float64 // dense: lane after lane
	logs  []float64 // log2 p of each cell, or entry of the table
	parts []float64 // of the entropy, of each piece of the table

	scratch [][]float64 // of each worker
	byBin   [][]float64 // of each worker: a number for each bin
	levels  []float64   // of each piece: derivative by each center

	// Arguments of the call in work.
	w, dst       [][]T
	scale        float64
	from         int // first piece of the phase
	scatterJob   func(worker, job int)
	informJob    func(worker, job int)
	gatherJob    func(worker, job int)
	locateJob    func(worker, job int)
	levelsWanted bool
}

type proxyLayer struct {
	Layer
	n       int
	at      int     // where its weights begin in lows and shares
	order   []int32 // of the scan; nil if as in memory
	centers *Centers
}

// A piece is a run of blocks of one layer.
type piece struct {
	layer  int
	from   int // position of the first weight, in the layer
	blocks int
	fresh  bool // no other piece has its weights
}

// A lane is a run of pieces whose masses are summed up on their own. There are
// as many as the size of the layers wants, whatever the threads.
type lane struct {
	from, to int
	table    massTable
}

const (
	pieceWeights = 8192  // that a piece has
	laneWeights  = 16384 // that a lane has at least
	maxLanes     = 16
	tablePiece   = 4096 // cells that a job turns into logarithms
)

// NewProxy returns the proxy of some layers. Their centers are set before the
// first use, see [Proxy.SetCenters].
func NewProxy[T Float](layers []Layer, o *ProxyOptions) (*Proxy[T], error) {
	p := &Proxy[T]{}
	if o != nil {
		p.o = *o
	}
	if p.o.Order == 0 {
		p.o.Order = 1
	}
	if p.o.Order < 1 || p.o.Order > MaxOrder {
		return nil, fmt.Errorf("entropy: order %d, want 1 to %d", p.o.Order, MaxOrder)
	}
	if p.o.ClosedForm && p.o.Order != 2 {
		return nil, fmt.Errorf("entropy: the closed form is for order 2, not %d", p.o.Order)
	}
	at := 0
	for _, l := range layers {
		n, err := l.Shape.Elems()
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", l.Name, err)
		}
		order, err := l.Scan.Order(l.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", l.Name, err)
		}
		p.layers = append(p.layers, &proxyLayer{Layer: l, n: int(n), at: at, order: order})
		at += int(n)
	}
	p.lows, p.shares = make([]uint16, at), make([]float64, at)
	p.crew = newCrew(p.o.Threads)
	p.plan()
	for range p.crew.workers {
		p.scratch = append(p.scratch, make([]float64, 4<<p.o.Order))
	}
	p.scatterJob, p.informJob, p.gatherJob, p.locateJob = p.scatter, p.inform, p.gather, p.locate
	return p, nil
}

// plan cuts the layers into pieces.
func (p *Proxy[T]) plan() {
	n := p.o.Order
	phases := 1
	if p.o.Sliding {
		phases = n
	}
	per := max(pieceWeights/n, 1)
	p.phases = []int{0}
	for phase := range phases {
		for i, l := range p.layers {
			for b, all := 0, (l.n-phase)/n; b < all; b += per {
				k := min(per, all-b)
				p.pieces = append(p.pieces, piece{layer: i, from: phase + b*n, blocks: k, fresh: phases == 1})
				p.blocks += float64(k)
			}
		}
		p.phases = append(p.phases, len(p.pieces))
	}
}

// SetCenters sets the centers of a layer. All layers need some before the
// entropy can be computed; tuples of indices are pooled over layers, whatever
// their centers are. An error says that there are too many for the order.
func (p *Proxy[T]) SetCenters(layer int, c *Centers) error {
	p.layers[layer].centers = c
	alphabet := 2
	for _, l := range p.layers {
		if l.centers == nil {
			return nil
		}
		alphabet = max(alphabet, l.centers.alphabet())
	}
	if p.ready && p.code.alphabet == alphabet {
		return nil
	}
	return p.resize(alphabet)
}

// resize makes tables for an alphabet.
func (p *Proxy[T]) resize(alphabet int) error {
	weights := len(p.lows)
	code, ok := newCellCode(p.o.Order, alphabet, max(1<<16, 8*weights))
	if !ok {
		return fmt.Errorf("entropy: blocks of %d weights, each with %d centers, have too many cells; choose a lower order or fewer levels", p.o.Order, alphabet)
	}
	p.code = code
	lanes := min(maxLanes, max(1, weights*(len(p.phases)-1)/laneWeights))
	if code.dense {
		lanes = min(lanes, max(2, 4*weights/code.cells))
		p.mass = make([]float64, lanes*code.cells)
		p.logs = make([]float64, code.cells)
	} else {
		lanes = min(lanes, 4)
	}
	p.lanes = make([]lane, lanes)
	for i := range p.lanes {
		p.lanes[i].from = len(p.pieces) * i / lanes
		p.lanes[i].to = len(p.pieces) * (i + 1) / lanes
	}
	p.levels = make([]float64, len(p.pieces)*alphabet)
	p.byBin = make([][]float64, p.crew.workers)
	for i := range p.byBin {
		p.byBin[i] = make([]float64, 0, alphabet)
	}
	p.ready = true
	return nil
}

// Blocks returns the number of blocks of all layers, M.
func (p *Proxy[T]) Blocks() int64 { return int64(p.blocks) }

// Value returns H_n of the weights in bits per block; w[i] has those of layer i
// in the order of memory.
func (p *Proxy[T]) Value(w [][]T) float64 {
	p.check(w)
	p.w = w
	h := p.count()
	p.w = nil
	return h
}

// AddGradient adds scale times the gradient of H_n to dst, and returns H_n
// itself, both in bits per block. dst[i] and w[i] have one number for each
// weight of layer i; a nil dst[i] is left out.
func (p *Proxy[T]) AddGradient(dst, w [][]T, scale float64) float64 {
	p.check(w)
	for i, l := range p.layers {
		if dst[i] != nil && len(dst[i]) != l.n {
			panic(fmt.Sprintf("entropy: tensor %q has %d weights, its gradient %d", l.Name, l.n, len(dst[i])))
		}
	}
	p.w, p.dst, p.scale = w, dst, scale
	h := p.count()
	if p.blocks > 0 {
		// Pieces of one phase have no weight in common.
		for i := range len(p.phases) - 1 {
			p.from = p.phases[i]
			p.crew.run(p.phases[i+1]-p.from, p.gatherJob)
		}
	}
	p.w, p.dst = nil, nil
	return h
}

// AddLevelGradient is AddGradient and adds, for each layer, scale times the
// derivative of H_n by each level to levels[i], which has as many numbers as
// there are levels. Dummy centers are constants.
func (p *Proxy[T]) AddLevelGradient(dst [][]T, levels [][]float64, w [][]T, scale float64) float64 {
	p.levelsWanted = true
	clear(p.levels)
	h := p.AddGradient(dst, w, scale)
	p.levelsWanted = false
	k := p.code.alphabet
	for i := range p.pieces { // in order, so that the sum is the same for any threads
		l := p.layers[p.pieces[i].layer]
		out := levels[p.pieces[i].layer]
		for j := range l.centers.levels {
			out[j] += p.levels[i*k+l.centers.first+j]
		}
	}
	return h
}

func (p *Proxy[T]) check(w [][]T) {
	if len(w) != len(p.layers) {
		panic(fmt.Sprintf("entropy: weights of %d tensors, want %d", len(w), len(p.layers)))
	}
	for i, l := range p.layers {
		if len(w[i]) != l.n {
			panic(fmt.Sprintf("entropy: tensor %q of shape %v has %d weights, want %d", l.Name, l.Shape, len(w[i]), l.n))
		}
		if l.centers == nil {
			panic(fmt.Sprintf("entropy: tensor %q has no centers yet", l.Name))
		}
	}
}

// count finds the mass of all cells, and returns the entropy.
func (p *Proxy[T]) count() float64 {
	if p.blocks == 0 {
		return 0
	}
	if p.o.Sliding {
		p.crew.run(len(p.layers), p.locateJob)
	}
	p.crew.run(len(p.lanes), p.scatterJob)
	cells := p.code.cells
	if !p.code.dense {
		p.table.clear()
		for i := range p.lanes {
			t := &p.lanes[i].table
			for e, k := range t.keys {
				p.table.add(k, t.mass[e])
			}
		}
		cells = len(p.table.keys)
		if cap(p.logs) < cells {
			p.logs = make([]float64, cells+cells/4)
		}
		p.logs = p.logs[:cells]
	}
	jobs := (cells + tablePiece - 1) / tablePiece
	if cap(p.parts) < jobs {
		p.parts = make([]float64, jobs+jobs/4)
	}
	p.parts = p.parts[:jobs]
	p.crew.run(jobs, p.informJob)
	h := 0.0
	for _, x := range p.parts {
		h += x
	}
	return max(h, 0)
}

// inform turns a piece of the table into logarithms.
func (p *Proxy[T]) inform(_, job int) {
	from, to := job*tablePiece, min((job+1)*tablePiece, len(p.logs))
	if !p.code.dense {
		p.parts[job] = information(p.logs[from:to], p.table.mass[from:to], p.blocks)
		return
	}
	sum := p.mass[from:to]
	for l := 1; l < len(p.lanes); l++ {
		for i, x := range p.mass[l*p.code.cells+from : l*p.code.cells+to] {
			sum[i] += x
		}
	}
	p.parts[job] = information(p.logs[from:to], sum, p.blocks)
}

// locate finds the shares of all weights of a layer.
func (p *Proxy[T]) locate(_, job int) { p.locateRange(job, 0, p.layers[job].n) }

func (p *Proxy[T]) locateRange(layer, from, to int) {
	l := p.layers[layer]
	w := p.w[layer]
	lows, shares := p.lows[l.at+from:l.at+to], p.shares[l.at+from:l.at+to]
	if l.order == nil {
		locate(l.centers, lows, shares, w[from:to])
		return
	}
	for i, at := range l.order[from:to] {
		locate(l.centers, lows[i:i+1], shares[i:i+1], w[at:at+1])
	}
}
