package entropy

import (
	"fmt"
	"math"
	"slices"
)

// A Model is how the bits of a tensor are estimated.
type Model string

// The models, each of one tensor alone: a pmf for the whole network costs up to
// twice the bits.
const (
	// PerTensor is the entropy of order 0 of each tensor.
	PerTensor Model = "tensor"
	// RowColumn has a pmf for each scale of weights: rows (output channels) and
	// columns (input channels) have classes, half octaves of their mean magnitude
	// over that of the tensor, and the sum of both says which pmf it is. So
	// do the coders, lanes with exactly these classes.
	RowColumn Model = "row-column"
	// Blocks is the entropy of blocks of n weights, as the paper's, per tensor.
	Blocks Model = "blocks"
)

// RateOptions are the settings of a [Rate].
type RateOptions struct {
	Model Model `json:"model,omitempty"` // default PerTensor
	// Order is n of Blocks; default 2.
	Order int `json:"order,omitempty"`
	// Sliding is for Blocks: see [ProxyOptions].
	Sliding bool `json:"sliding,omitempty"`
	// Every is after how many calls the classes of RowColumn are found again;
	// default 20. In between they are constants.
	Every int `json:"every,omitempty"`
	// Beyond pulls weights that lie beyond the outer levels back, with so much of
	// the slope of the bits just inside; 0.3 has worked. It is not a derivative of
	// the value. Default 0: there the derivative is 0. Not for Blocks.
	Beyond float64 `json:"beyond,omitempty"`
	// Threads bounds the goroutines; 0 is all processors. The result does not
	// depend on it.
	Threads int `json:"-"`
}

// A Rate is the number of bits that the quantized weights take, as a function
// of the latents, by the soft assignment of the paper between learned levels:
//
//	R = Σ_tensors Σ_contexts n_k · H(p_k)        p_k(j) = Σ u_j(w) / n_k
//
// with one context for a tensor, or one for each scale of [RowColumn]. Its
// derivative by a weight between levels b-1 and b is the difference of their code
// lengths over that of the levels,
//
//	∂R/∂w = (log2 p_k(b-1) - log2 p_k(b)) / (c_b - c_{b-1})
//
// and the derivatives by the levels follow from ∂u/∂c. There are no dummy
// centers: beyond the outer levels the assignment is hard. A weight exactly on a
// level stays if the bits grow on both sides, so that zeros are stable.
//
// When every weight is on a level, R is the entropy of the symbols. It is not
// safe for concurrent use.
type Rate struct {
	o       RateOptions
	lambda  float64
	calls   int
	tensors []*rateTensor
	crew    *crew
	pieces  []ratePiece

	// Arguments of the call in work.
	w, dst            [][]float32
	countJob, gradJob func(worker, job int)
	bits              []float64 // of each tensor
	one, oneDst       [1][]float32
	oneLevels         [1][]float64
	locateBins        []uint16
	locateShares      []float64
}

type rateTensor struct {
	Layer
	levels   *Levels
	centers  Centers
	n        int
	at       int // where its weights begin in bins and shares
	grid     grid
	contexts int
	counts   []float64 // of each context: soft counts of the levels
	lengths  []float64 // and code lengths in bits, +Inf if the count is 0
	proxy    *Proxy[float32]
	pieces   [2]int
}

// A ratePiece is a run of weights of one tensor, and what is summed up there.
type ratePiece struct {
	tensor, from, to int
	counts           []float64
	levels           []float64
}

// NewRate returns the rate of tensors with learned levels; one whose levels are
// nil is left out.
func NewRate(layers []Layer, levels []*Levels, o *RateOptions) (*Rate, error) {
	r := &Rate{lambda: 1}
	if o != nil {
		r.o = *o
	}
	if r.o.Model == "" {
		r.o.Model = PerTensor
	}
	if r.o.Order == 0 {
		r.o.Order = 2
	}
	if r.o.Every == 0 {
		r.o.Every = 20
	}
	switch {
	case !slices.Contains([]Model{PerTensor, RowColumn, Blocks}, r.o.Model):
		return nil, fmt.Errorf("entropy: there is no model %q", r.o.Model)
	case r.o.Every < 1 || !(r.o.Beyond >= 0) || math.IsInf(r.o.Beyond, 0):
		return nil, fmt.Errorf("entropy: classes every %d steps, %g beyond the levels: want positive numbers", r.o.Every, r.o.Beyond)
	case len(levels) != len(layers):
		return nil, fmt.Errorf("entropy: levels of %d tensors, want %d", len(levels), len(layers))
	}
	at := 0
	for i, l := range layers {
		n, err := l.Shape.Elems()
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", l.Name, err)
		}
		t := &rateTensor{Layer: l, levels: levels[i], n: int(n), at: at, contexts: 1}
		r.tensors = append(r.tensors, t)
		if t.levels == nil {
			continue
		}
		if r.o.Model == Blocks {
			t.proxy, err = NewProxy[float32]([]Layer{l}, &ProxyOptions{Order: r.o.Order, Sliding: r.o.Sliding, Settle: true, Threads: r.o.Threads})
			if err != nil {
				return nil, err
			}
			continue
		}
		at += t.n
		if r.o.Model == RowColumn {
			t.grid = newGrid(l.Shape)
			t.contexts = scaleContexts
		}
		size := t.contexts * max(len(t.levels.values), 2)
		t.counts, t.lengths = make([]float64, size), make([]float64, size)
		t.pieces[0] = len(r.pieces)
		for from := 0; from < t.n; from += pieceWeights {
			r.pieces = append(r.pieces, ratePiece{
				tensor: i, from: from, to: min(from+pieceWeights, t.n),
				counts: make([]float64, size), levels: make([]float64, max(len(t.levels.values), 2)),
			})
		}
		t.pieces[1] = len(r.pieces)
	}
	r.locateBins, r.locateShares = make([]uint16, at), make([]float64, at)
	r.crew = newCrew(r.o.Threads)
	r.bits = make([]float64, len(layers))
	r.countJob, r.gradJob = r.count, r.grad
	return r, nil
}

// Name implements [Penalty].
func (r *Rate) Name() string { return "rate" }

// SetLambda sets what a bit costs, in units of the loss; 1 at first.
func (r *Rate) SetLambda(lambda float64) { r.lambda = lambda }

// Bits returns the soft bits of all tensors in the last call of AddGrad, and of
// tensor i BitsOf.
func (r *Rate) Bits() float64 {
	sum := 0.0
	for _, b := range r.bits {
		sum += b
	}
	return sum
}

// BitsOf returns the soft bits of a tensor in the last call of AddGrad.
func (r *Rate) BitsOf(i int) float64 { return r.bits[i] }

// AddGrad implements [Penalty]: it returns λ·R, adds its derivative by the
// latents to gradients, and those by the levels to their Gradient.
func (r *Rate) AddGrad(weights, gradients [][]float32) float64 {
	if len(weights) != len(r.tensors) || len(gradients) != len(r.tensors) {
		panic(fmt.Sprintf("entropy: weights of %d tensors, gradients of %d, want %d", len(weights), len(gradients), len(r.tensors)))
	}
	for i, t := range r.tensors {
		if t.levels == nil {
			continue
		}
		if len(weights[i]) != t.n || len(gradients[i]) != t.n {
			panic(fmt.Sprintf("entropy: tensor %q of shape %v has %d weights and %d derivatives, want %d", t.Name, t.Shape, len(weights[i]), len(gradients[i]), t.n))
		}
		t.centers.at = append(t.centers.at[:0], t.levels.values...)
		t.centers.levels = len(t.levels.values)
		t.centers.build()
		switch {
		case r.o.Model == Blocks:
			r.blocks(i, weights[i], gradients[i])
		case r.o.Model == RowColumn && r.calls%r.o.Every == 0:
			t.grid.classify(t.n, func(j int) float64 { return t.magnitude(weights[i][j]) })
		}
	}
	r.calls++
	if r.o.Model != Blocks {
		r.w, r.dst = weights, gradients
		r.crew.run(len(r.pieces), r.countJob)
		for i, t := range r.tensors {
			if t.levels != nil {
				r.bits[i] = r.sum(t)
			}
		}
		r.crew.run(len(r.pieces), r.gradJob)
		r.w, r.dst = nil, nil
		for i := range r.pieces {
			pc := &r.pieces[i]
			l := r.tensors[pc.tensor].levels
			for j := range l.values {
				if j != l.zero {
					l.Gradient[j] += pc.levels[j]
				}
			}
		}
	}
	return r.lambda * r.Bits()
}

// blocks adds the block entropy of one tensor. What is left behind the last
// block counts as much as the others, but has no derivative.
func (r *Rate) blocks(i int, w, dst []float32) {
	t := r.tensors[i]
	r.bits[i] = 0
	if t.proxy.Blocks() == 0 {
		return
	}
	if err := t.proxy.SetCenters(0, &t.centers); err != nil {
		panic("entropy: internal error: " + err.Error()) // the number of levels does not change
	}
	factor := float64(t.n) / float64(r.o.Order) // bits per block to bits
	zero := 0.0
	if t.levels.zero >= 0 {
		zero = t.levels.Gradient[t.levels.zero]
	}
	r.one[0], r.oneDst[0], r.oneLevels[0] = w, dst, t.levels.Gradient
	h := t.proxy.AddLevelGradient(r.oneDst[:], r.oneLevels[:], r.one[:], r.lambda*factor)
	if t.levels.zero >= 0 {
		t.levels.Gradient[t.levels.zero] = zero
	}
	r.bits[i] = h * factor
}

// magnitude returns how far the level nearest to a weight is from zero, or from
// the level nearest to zero.
func (t *rateTensor) magnitude(w float32) float64 {
	b, u := t.centers.share(float64(w))
	k := t.centers.bins[b].low
	if u > 0.5 {
		k++
	}
	return math.Abs(t.levels.values[k] - t.levels.origin())
}

// origin returns the level 0, or the nearest to it.
func (l *Levels) origin() float64 {
	if l.zero >= 0 {
		return 0
	}
	best := l.values[0]
	for _, x := range l.values {
		if math.Abs(x) < math.Abs(best) {
			best = x
		}
	}
	return best
}

// count adds up the soft counts of a piece.
func (r *Rate) count(_, job int) {
	pc := &r.pieces[job]
	t := r.tensors[pc.tensor]
	clear(pc.counts)
	k := t.centers.alphabet()
	bins, shares := r.locateBins[t.at:t.at+t.n], r.locateShares[t.at:t.at+t.n]
	walk := t.grid.walk(pc.from)
	for j := pc.from; j < pc.to; j++ {
		b, u := t.centers.share(float64(r.w[pc.tensor][j]))
		bins[j], shares[j] = uint16(b), u
		c := walk.next() * k
		low := t.centers.bins[b].low
		pc.counts[c+low] += 1 - u
		pc.counts[c+low+1] += u
	}
}

// sum adds up the counts of a tensor and returns its bits.
func (r *Rate) sum(t *rateTensor) float64 {
	clear(t.counts)
	for i := t.pieces[0]; i < t.pieces[1]; i++ {
		for j, x := range r.pieces[i].counts {
			t.counts[j] += x
		}
	}
	bits := 0.0
	k := t.centers.alphabet()
	for c := 0; c < len(t.counts); c += k {
		n := 0.0
		for _, x := range t.counts[c : c+k] {
			n += x
		}
		for j, x := range t.counts[c : c+k] {
			t.lengths[c+j] = math.Inf(1)
			if x > 0 {
				t.lengths[c+j] = math.Log2(n / x)
				bits += x * t.lengths[c+j]
			}
		}
	}
	return bits
}

// grad adds the derivatives of a piece.
func (r *Rate) grad(_, job int) {
	pc := &r.pieces[job]
	t := r.tensors[pc.tensor]
	clear(pc.levels)
	k := t.centers.alphabet()
	bins, shares := r.locateBins[t.at:t.at+t.n], r.locateShares[t.at:t.at+t.n]
	dst := r.dst[pc.tensor]
	walk := t.grid.walk(pc.from)
	last := len(t.centers.at)
	for j := pc.from; j < pc.to; j++ {
		b, u := int(bins[j]), shares[j]
		lengths := t.lengths[walk.next()*k:][:k]
		in := &t.centers.bins[b]
		if in.inv == 0 {
			if r.o.Beyond > 0 && last > 1 {
				dst[j] += float32(r.lambda * r.o.Beyond * t.edge(lengths, b))
			}
			continue
		}
		slope := (lengths[in.low+1] - lengths[in.low]) * in.inv
		if u == 0 {
			slope = t.settle(lengths, b)
		}
		g := r.lambda * slope
		dst[j] += float32(g)
		pc.levels[in.low] -= (1 - u) * g
		pc.levels[in.low+1] -= u * g
	}
}

// settle returns the slope of the bits for a weight on the level below bin b: 0
// if they grow on both sides.
func (t *rateTensor) settle(lengths []float64, b int) float64 {
	in := &t.centers.bins[b]
	here := lengths[in.low]
	right := (lengths[in.low+1] - here) * in.inv
	if right < 0 {
		return right
	}
	if b >= 2 {
		before := &t.centers.bins[b-1]
		if left := (here - lengths[before.low]) * before.inv; left > 0 {
			return left
		}
	}
	return 0
}

// edge returns the slope just inside of the outer level beyond which bin b is,
// if it leads back.
func (t *rateTensor) edge(lengths []float64, b int) float64 {
	slope := func(in *bin) float64 {
		s := (lengths[in.low+1] - lengths[in.low]) * in.inv
		if math.IsInf(s, 0) || math.IsNaN(s) {
			return 0
		}
		return s
	}
	if b == 0 {
		return min(slope(&t.centers.bins[1]), 0)
	}
	return max(slope(&t.centers.bins[len(t.centers.at)-1]), 0)
}
