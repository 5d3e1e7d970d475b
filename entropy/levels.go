package entropy

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/internal/kernel"
)

// Levels are the learned levels of one tensor: increasing numbers, of which one
// may be an exact 0 that never moves. Derivatives by levels are added up in
// Gradient: the [Quantizer] adds those of the task, the [Rate] those of the bits.
type Levels struct {
	values []float64
	zero   int // index of the 0, -1 if there is none
	// Gradient is the derivative of the loss by each level; [Levels.Step] takes
	// and clears it.
	Gradient []float64

	least        float64   // distance of two levels
	mean, square []float64 // moments of Adam
	steps        int
}

// NewLevels returns levels with these values, which increase.
func NewLevels(values []float64) (*Levels, error) {
	if err := checkLevels(values); err != nil {
		return nil, err
	}
	n := len(values)
	l := &Levels{values: slices.Clone(values), zero: slices.Index(values, 0), Gradient: make([]float64, n)}
	l.mean, l.square = make([]float64, n), make([]float64, n)
	if n > 1 {
		const closest = 0.01
		l.least = closest * (values[n-1] - values[0]) / float64(n-1)
	}
	return l, nil
}

// Symmetric returns levels at 0 and at ±step, …, ±k·step: ternary for k = 1.
func Symmetric(step float64, k int) (*Levels, error) {
	var values []float64
	for i := -k; i <= k; i++ {
		values = append(values, float64(i)*step)
	}
	return NewLevels(values)
}

// Values returns the levels. The caller must not change them.
func (l *Levels) Values() []float64 { return l.values }

// Zero returns the index of the level that is 0, or -1.
func (l *Levels) Zero() int { return l.zero }

// Step moves the levels with Adam (0.9, 0.999) along Gradient, and clears it.
// Zero stays; the others keep their order and so their sign: two levels come no
// closer than a hundredth of the mean distance of the first ones. Allocates nothing.
func (l *Levels) Step(rate float64) {
	const b1, b2, tiny = 0.9, 0.999, 1e-12
	l.steps++
	c1, c2 := 1-math.Pow(b1, float64(l.steps)), 1-math.Pow(b2, float64(l.steps))
	for i, g := range l.Gradient {
		l.Gradient[i] = 0
		if i == l.zero {
			continue
		}
		l.mean[i] = b1*l.mean[i] + (1-b1)*g
		l.square[i] = b2*l.square[i] + (1-b2)*g*g
		l.values[i] -= rate * (l.mean[i] / c1) / (math.Sqrt(l.square[i]/c2) + tiny)
	}
	start := max(l.zero, 0)
	for i := start + 1; i < len(l.values); i++ {
		l.values[i] = max(l.values[i], l.values[i-1]+l.least)
	}
	for i := start - 1; i >= 0; i-- {
		l.values[i] = min(l.values[i], l.values[i+1]-l.least)
	}
}

// Round makes each level what a function says, such as the nearest number of 16
// bits, and reports whether they still increase; if not, nothing is changed.
// Symbols stay what they are.
func (l *Levels) Round(to func(float64) float64) bool {
	r := make([]float64, len(l.values))
	for i, x := range l.values {
		r[i] = to(x)
	}
	if checkLevels(r) != nil || l.zero >= 0 && r[l.zero] != 0 {
		return false
	}
	l.values = r
	return true
}

// QuantizerOptions are the settings of a [Quantizer].
type QuantizerOptions struct {
	// DeadZone is where the cell of zero ends, as a part of the way to the next
	// level: 0.5, the default, takes the nearest level. Below 1.
	DeadZone float64 `json:"deadZone,omitempty"`
	// Threads bounds the goroutines; 0 is all processors.
	Threads int `json:"-"`
}

// A Quantizer has a network compute with quantized weights while other floats,
// the latents, are trained ("straight-through": the derivative by a quantized
// weight is taken for that by its latent).
//
//	q.Forward(values, latents)     // before the forward pass
//	…                              // forward, backward
//	q.Backward(gradients)          // adds the derivatives by levels
//	optimizer; levels.Step(rate)
//
// The symbols of the last forward pass are the network. They are what is
// stored: to derive them again from latents and rounded levels changes them,
// because latents crowd at the thresholds. It is not safe for concurrent use.
type Quantizer struct {
	o       QuantizerOptions
	tensors []*quantizerTensor
	crew    *crew
	strips  []kernel.Strip // of each worker
	dst, w  [][]float32
	forward func(worker, job int)
}

type quantizerTensor struct {
	Layer
	levels  *Levels
	symbols []uint16
	cells   Centers
	few     []float32 // thresholds, if there are few
	values  []float32
	frozen  []bool    // stays zero; nil if the support is free
	live    []int32   // the others, if it is not
	kept    []float32 // their latents
	shown   []float32 // of three levels: what Forward made
	stale   bool      // symbols are older than shown
	held    bool      // all else stays different from zero
}

// NewQuantizer returns a quantizer; levels[i] nil leaves tensor i alone.
func NewQuantizer(layers []Layer, levels []*Levels, o *QuantizerOptions) (*Quantizer, error) {
	q := &Quantizer{crew: newCrew(0)}
	if o != nil {
		q.o = *o
		q.crew = newCrew(o.Threads)
	}
	if q.o.DeadZone == 0 {
		q.o.DeadZone = 0.5
	}
	if !(q.o.DeadZone > 0 && q.o.DeadZone < 1) {
		return nil, fmt.Errorf("entropy: a dead zone of %g, want one between 0 and 1", q.o.DeadZone)
	}
	if len(levels) != len(layers) {
		return nil, fmt.Errorf("entropy: levels of %d tensors, want %d", len(levels), len(layers))
	}
	for i, l := range layers {
		n, err := l.Shape.Elems()
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", l.Name, err)
		}
		t := &quantizerTensor{Layer: l, levels: levels[i]}
		if t.levels != nil {
			t.symbols = make([]uint16, n)
		}
		q.tensors = append(q.tensors, t)
	}
	q.strips = make([]kernel.Strip, q.crew.workers)
	q.forward = q.forwardTensor
	return q, nil
}

// Forward sets the symbols from the latents, and dst to the levels that they
// stand for. dst may be the latents. Tensors without levels are not touched.
func (q *Quantizer) Forward(dst, latents [][]float32) {
	q.dst, q.w = dst, latents
	q.crew.run(len(q.tensors), q.forward)
	q.dst, q.w = nil, nil
}

func (q *Quantizer) forwardTensor(worker, job int) {
	t := q.tensors[job]
	if t.levels == nil {
		return
	}
	v, zero := t.levels.values, t.levels.zero
	t.cells.at = t.cells.at[:0]
	for i := 1; i < len(v); i++ {
		part := 0.5 // of the way up
		switch zero {
		case i - 1:
			part = q.o.DeadZone
		case i:
			part = 1 - q.o.DeadZone
		}
		t.cells.at = append(t.cells.at, v[i-1]+part*(v[i]-v[i-1]))
	}
	if len(t.cells.at) > fewThresholds {
		t.cells.build()
	}
	dst, w := q.dst[job], q.w[job]
	if t.frozen != nil {
		t.forwardLive(dst, w)
		return
	}
	if len(t.cells.at) <= fewThresholds {
		t.forwardFew(&q.strips[worker], dst, w)
		return
	}
	for j, x := range w[:len(t.symbols)] {
		k := below(&t.cells, float64(x))
		t.symbols[j] = uint16(k)
		dst[j] = float32(v[k])
	}
}

// forwardLive is forwardTensor where most weights stay zero: it looks at the others
// only.
func (t *quantizerTensor) forwardLive(dst, w []float32) {
	kept := t.kept[:0]
	for _, j := range t.live { // dst may be w
		kept = append(kept, w[j])
	}
	t.kept = kept
	clear(dst[:len(t.symbols)])
	if len(t.cells.at) > fewThresholds {
		v := t.levels.values
		for i, j := range t.live {
			x := kept[i]
			k := t.bind(below(&t.cells, float64(x)), x)
			t.symbols[j] = uint16(k)
			dst[j] = float32(v[k])
		}
		return
	}
	t.narrow()
	few, values, symbols := t.few, t.values, t.symbols
	for i, j := range t.live {
		x, k := kept[i], 0
		for _, f := range few {
			if x > f {
				k++
			}
		}
		if t.held {
			k = t.bind(k, x)
		}
		symbols[j] = uint16(k)
		dst[j] = values[k]
	}
}

// narrow sets few and values, the thresholds and levels as numbers of 32 bits: such a
// number is above a threshold if it is above the last one that is not above it.
func (t *quantizerTensor) narrow() {
	t.few, t.values = t.few[:0], t.values[:0]
	for _, x := range t.cells.at {
		t.few = append(t.few, notAbove(x))
	}
	for _, x := range t.levels.values {
		t.values = append(t.values, float32(x))
	}
}

// fewThresholds is up to how many are compared one by one.
const fewThresholds = 8

// notAbove returns the largest number of 32 bits that is not above x.
func notAbove(x float64) float32 {
	f := float32(x)
	if float64(f) > x {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

// forwardFew does the same as the loop of forwardTensor, see narrow.
func (t *quantizerTensor) forwardFew(s *kernel.Strip, dst, w []float32) {
	t.narrow()
	values, symbols := t.values, t.symbols
	dst, w = dst[:len(symbols)], w[:len(symbols)]
	if t.ternary() {
		// Not above the first threshold is below the number after it.
		if t.shown == nil {
			t.shown = make([]float32, len(dst))
		}
		below := math.Nextafter32(t.few[0], float32(math.Inf(1)))
		for lo := 0; lo < len(dst); lo += ternaryChunk { // what was written is near
			hi := min(lo+ternaryChunk, len(dst))
			s.Ternary(dst[lo:hi], w[lo:hi], below, t.few[1], values[0], values[2])
			copy(t.shown[lo:hi], dst[lo:hi])
		}
		t.stale = true
		return
	}
	for j, x := range w {
		k := 0
		for _, f := range t.few {
			if x > f {
				k++
			}
		}
		symbols[j] = uint16(k)
		dst[j] = values[k]
	}
}

// ternaryChunk is how many weights stay in the nearest cache.
const ternaryChunk = 1 << 11

// ternary reports whether the middle one of three levels is zero: then the values
// that the network saw say all, and symbols are found when somebody asks for them.
func (t *quantizerTensor) ternary() bool { return len(t.levels.values) == 3 && t.levels.zero == 1 }

// fresh returns the symbols.
func (t *quantizerTensor) fresh() []uint16 {
	if !t.stale {
		return t.symbols
	}
	symbols := t.symbols[:len(t.shown)]
	for j, x := range t.shown {
		k := uint16(1)
		if x != 0 { // hardly ever
			k = 0
			if x > 0 {
				k = 2
			}
		}
		symbols[j] = k
	}
	t.stale = false
	return t.symbols
}

// bind returns the symbol of a weight that does not stay zero, which would be k if
// it were free.
func (t *quantizerTensor) bind(k int, x float32) int {
	zero := t.levels.zero
	switch {
	case !t.held || k != zero:
		return k
	case x < 0 && zero > 0 || zero == len(t.levels.values)-1:
		return zero - 1
	}
	return zero + 1
}

// restrict has the support be what frozen says.
func (t *quantizerTensor) restrict(frozen []bool, held bool) {
	t.fresh()
	t.frozen, t.held, t.live = frozen, held, t.live[:0]
	for j, stays := range frozen {
		if stays {
			t.symbols[j] = uint16(t.levels.zero)
		} else {
			t.live = append(t.live, int32(j))
		}
	}
}

// Backward adds to the gradient of each level the derivatives by the weights
// that it stands for.
func (q *Quantizer) Backward(gradients [][]float32) {
	for i, t := range q.tensors {
		if t.levels == nil {
			continue
		}
		zero, sums := uint16(0xffff), t.levels.Gradient // there are fewer levels
		if t.levels.zero >= 0 {
			zero = uint16(t.levels.zero)
			sums[zero] = 0
		}
		symbols, g := t.symbols, gradients[i][:len(t.symbols)]
		if t.frozen != nil {
			for _, j := range t.live {
				if s := symbols[j]; s != zero {
					sums[s] += float64(g[j])
				}
			}
			continue
		}
		if t.stale {
			// Beyond 32 bits only in sums of many.
			lo, hi := q.strips[0].Sides(g, t.shown)
			sums[0] += lo
			sums[2] += hi
			continue
		}
		for ; len(symbols) >= 4 && len(g) >= 4; symbols, g = symbols[4:], g[4:] {
			if (symbols[0]^zero)|(symbols[1]^zero)|(symbols[2]^zero)|(symbols[3]^zero) == 0 {
				continue // nearly always
			}
			for j, s := range symbols[:4] {
				if s != zero {
					sums[s] += float64(g[j])
				}
			}
		}
		for j, s := range symbols {
			if s != zero {
				sums[s] += float64(g[j])
			}
		}
	}
}

// Live returns the weights of tensor i that may be other than zero, in order, and
// nil, false if that is all of them. The caller must not change it.
func (q *Quantizer) Live(i int) (live []int32, some bool) {
	t := q.tensors[i]
	return t.live, t.frozen != nil
}

// Symbols returns those of the last Forward, nil for a tensor without levels.
// They are overwritten by the next one.
func (q *Quantizer) Symbols(i int) []uint16 { return q.tensors[i].fresh() }

// Freeze has every weight whose symbol is zero now stay zero, whatever its
// latent does. Free undoes it.
func (q *Quantizer) Freeze() {
	for _, t := range q.tensors {
		if t.levels == nil || t.levels.zero < 0 {
			continue
		}
		frozen := make([]bool, len(t.symbols))
		for j, k := range t.fresh() {
			frozen[j] = int(k) == t.levels.zero
		}
		t.restrict(frozen, false)
	}
}

// Hold has the weights of tensor i be zero exactly where support, which it copies,
// is false; the others take the level next to zero, on their side, where they would
// be zero. The tensor has a level of zero and another one. Free undoes it.
func (q *Quantizer) Hold(i int, support []bool) {
	t := q.tensors[i]
	if t.levels == nil || t.levels.zero < 0 || len(t.levels.values) < 2 || len(support) != len(t.symbols) {
		panic(fmt.Sprintf("entropy: tensor %q of %d weights has no zero, or no other level, to hold a support of %d", t.Name, len(t.symbols), len(support)))
	}
	frozen := make([]bool, len(support))
	for j, s := range support {
		frozen[j] = !s
	}
	t.restrict(frozen, true)
}

// Free lets zeros be what their latents say.
func (q *Quantizer) Free() {
	for _, t := range q.tensors {
		t.frozen, t.held, t.live = nil, false, nil
	}
}

// Clamp bounds latents to reach times the outer levels, so that they can come
// back; 1.4 is a good reach. Levels that are all of one sign bound that side only.
// Latents of weights that stay zero may be left as they are.
func (q *Quantizer) Clamp(latents [][]float32, reach float64) {
	q.ClampLive(latents, reach)
	for i, t := range q.tensors {
		if t.levels != nil && t.frozen == nil {
			q.ClampRange(&q.strips[0], i, latents[i], reach)
		}
	}
}

// ClampLive is Clamp for the tensors of which some weights stay zero.
func (q *Quantizer) ClampLive(latents [][]float32, reach float64) {
	for i, t := range q.tensors {
		if t.levels == nil || t.frozen == nil {
			continue
		}
		lo, hi := t.bounds(reach)
		w := latents[i]
		for _, j := range t.live {
			w[j] = min(max(w[j], lo), hi)
		}
	}
}

// ClampRange is Clamp for some of the weights of tensor i, unless ClampLive does it.
func (q *Quantizer) ClampRange(s *kernel.Strip, i int, latents []float32, reach float64) {
	if t := q.tensors[i]; t.levels != nil && t.frozen == nil {
		lo, hi := t.bounds(reach)
		s.Clamp(latents, lo, hi)
	}
}

// bounds returns where latents are clamped.
func (t *quantizerTensor) bounds(reach float64) (lo, hi float32) {
	v := t.levels.values
	lo, hi = float32(reach*min(v[0], 0)), float32(reach*max(v[len(v)-1], 0))
	if v[0] >= 0 {
		lo = float32(math.Inf(-1))
	}
	if v[len(v)-1] <= 0 {
		hi = float32(math.Inf(1))
	}
	return lo, hi
}
