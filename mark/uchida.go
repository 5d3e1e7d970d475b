package mark

import (
	"encoding/hex"
	"fmt"
	"math"

	"ropewalk/tensor"
)

// uchida is the mark of Uchida and others (Embedding Watermarks into Deep Neural
// Networks, 2017), as Find the Lady (arXiv 2312.14182) uses it: T bits in one layer.
// With w̄ the mean of the kernel over its output filters, M numbers, and a secret T × M
// matrix X of independent standard normal numbers, bit j reads as 1 if X[j]·w̄ > 0.
//
// Embed writes it in closed form: to each output filter the same d is added, of least
// norm such that every bit reads with the margin. [NewPenalty] writes it in training.
//
// Because of the mean, the order of the layer's own output filters does not matter to it,
// and that of the layer before does.
type uchida struct{}

// Name implements [Scheme].
func (uchida) Name() string { return "uchida" }

// defaultBits is T of the paper, defaultMargin is clear at noise of one deviation.
const (
	defaultBits   = 64
	defaultMargin = 4
	leastMargin   = 0.3     // below that, rounding to 8 bits would do harm
	maxMatrix     = 1 << 26 // numbers of X
)

// split returns how the axis of output filters cuts a tensor: (outer, filters, inner).
func split(shape tensor.Shape, axis int) (outer, filters, inner int) {
	outer, filters, inner = 1, int(shape[axis]), 1
	for k, d := range shape {
		switch {
		case k < axis:
			outer *= int(d)
		case k > axis:
			inner *= int(d)
		}
	}
	return outer, filters, inner
}

// carrierOf returns the one tensor, and the axis of its output filters.
func carrierOf(set *tensor.Set, p *Parameters) (*tensor.Tensor, int, error) {
	list, err := lookup(set, p)
	if err != nil {
		return nil, 0, err
	}
	if len(list) != 1 {
		return nil, 0, fmt.Errorf("%w: scheme uchida is in one tensor, and not in %d", ErrOptions, len(list))
	}
	t, axis := list[0], p.Axes[list[0].Name]
	if axis < 0 || axis >= len(t.Shape) || t.Shape[axis] == 0 {
		return nil, 0, fmt.Errorf("%w: %s of %s has no output filters on axis %d", ErrNetwork, t.Name, t.Shape, axis)
	}
	return t, axis, nil
}

// room is how many bits fit: half the numbers of the mean, so that there are many more
// unknowns than conditions.
func room(t *tensor.Tensor, axis int) int {
	return int(min(t.Elems()/t.Shape[axis]/2, maxBits))
}

// Capacity implements [Scheme]: that of the tensor where most fits.
func (uchida) Capacity(set *tensor.Set, o *Options) (int, error) {
	o = or(o)
	list, err := carriers(set, o)
	if err != nil {
		return 0, err
	}
	most := 0
	for _, t := range list {
		if axis := o.Axes[t.Name]; axis < len(t.Shape) {
			most = max(most, room(t, axis))
		}
	}
	return most, nil
}

// Plan implements [Scheme]. Of several tensors that could carry it, it takes the one
// where most bits fit and most filters are averaged.
func (s uchida) Plan(set *tensor.Set, key *Key, o *Options) (*Parameters, error) {
	o = or(o)
	p, most, err := assumeUchida(set, o)
	if err != nil {
		return nil, err
	}
	if p.Margin == 0 {
		p.Margin = defaultMargin
	}
	if !(p.Margin > 0 && p.Margin <= 1000) {
		return nil, fmt.Errorf("%w: the margin is %g, want more than 0, up to 1000", ErrOptions, o.Margin)
	}
	if o.Payload != nil || key.Payload != nil && o.Bits == 0 {
		if err := p.takePayload(key, o, most); err != nil {
			return nil, err
		}
	} else if p.Bits = o.Bits; p.Bits == 0 {
		p.Bits = min(defaultBits, most)
	}
	if p.Bits < 1 || p.Bits > most {
		return nil, fmt.Errorf("%w: %d bits, and %d fit into %s", ErrCapacity, p.Bits, most, p.Tensors[0])
	}
	limit := o.MaxChange
	if limit == 0 {
		limit = UchidaMaxChange
	}
	// A smaller margin is a smaller change, nearly in proportion.
	for {
		e, err := s.Embed(set, key, p)
		if err != nil {
			return nil, err
		}
		switch {
		case e.Cost.Output <= limit:
			return p, nil
		case o.Margin != 0 || p.Margin < leastMargin:
			return nil, fmt.Errorf("%w: %d bits with a margin of %.3g change outputs by about %.3g, and %.3g is allowed; fewer bits do less", ErrBound, p.Bits, p.Margin, e.Cost.Output, limit)
		}
		p.Margin = round2(p.Margin * math.Min(0.9, limit/e.Cost.Output))
	}
}

// assumeUchida chooses the tensor, and says how many bits fit.
func assumeUchida(set *tensor.Set, o *Options) (*Parameters, int, error) {
	list, err := carriers(set, o)
	if err != nil {
		return nil, 0, err
	}
	var best *tensor.Tensor
	most, filters := 0, int64(0)
	for _, t := range list {
		axis := o.Axes[t.Name]
		if axis < 0 || axis >= len(t.Shape) {
			return nil, 0, fmt.Errorf("%w: %s of %s has no axis %d", ErrOptions, t.Name, t.Shape, axis)
		}
		if r := room(t, axis); best == nil || r > most || r == most && t.Shape[axis] > filters {
			best, most, filters = t, r, t.Shape[axis]
		}
	}
	p := &Parameters{Scheme: uchida{}.Name(), Tensors: []string{best.Name}, Margin: o.Margin}
	if axis := o.Axes[best.Name]; axis != 0 {
		p.Axes = map[string]int{best.Name: axis}
	}
	return p, most, nil
}

// bitsOf returns what is to be written: the payload, or fair coins of the layer's key.
func (p *Parameters) bitsOf(s Secrets) ([]bool, error) {
	b := p.payload
	if k, ok := s.(*Key); ok && b == nil && 8*len(k.Payload) == p.Bits {
		b = k.Payload
	}
	if b == nil {
		l, err := s.Layer("uchida", p.Tensors[0])
		if err != nil {
			return nil, err
		}
		b = make([]byte, (p.Bits+7)/8)
		newStream(derive(l.secret[:], "bits")).bytes(b, 0)
	}
	bits := make([]bool, p.Bits)
	for i := range bits {
		bits[i] = b[i/8]>>(7-i%8)&1 == 1
	}
	return bits, nil
}

// secretMatrix returns X, (bits, m), row-major.
func secretMatrix(s Secrets, p *Parameters, m int) ([]float32, error) {
	if p.Bits < 1 || p.Bits > maxBits || p.Bits*m > maxMatrix {
		return nil, fmt.Errorf("%w: %d bits of %d numbers each, want 1 to %d bits and at most %d numbers", ErrOptions, p.Bits, m, maxBits, maxMatrix)
	}
	l, err := s.Layer("uchida", p.Tensors[0])
	if err != nil {
		return nil, err
	}
	x := make([]float32, p.Bits*m)
	l.matrix().normals(x, 0)
	return x, nil
}

// meanKernel returns the mean over output filters, (outer, inner).
func meanKernel(w []float32, outer, filters, inner int) []float64 {
	mean := make([]float64, outer*inner)
	for o := range outer {
		sum := mean[o*inner:][:inner]
		for f := range filters {
			for k, v := range w[(o*filters+f)*inner:][:inner] {
				sum[k] += float64(v)
			}
		}
		for k := range sum {
			sum[k] /= float64(filters)
		}
	}
	return mean
}

func project(x []float32, mean []float64) []float64 {
	m := len(mean)
	y := make([]float64, len(x)/m)
	for j := range y {
		for k, v := range x[j*m:][:m] {
			y[j] += float64(v) * mean[k]
		}
	}
	return y
}

// Cost implements [Scheme]: of a mark of the same size with another key.
func (s uchida) Cost(set *tensor.Set, p *Parameters) (*Cost, error) {
	key := &Key{}
	own := *p
	own.payload = nil
	e, err := s.Embed(set, key, &own)
	if err != nil {
		return nil, err
	}
	return e.Cost, nil
}

// A projection is what a mark is read from: X·w̄ of one tensor.
type projection struct {
	tensor         *tensor.Tensor
	w              []float32
	filters, inner int       // of its shape: output filters, and what is behind that axis
	mean           []float64 // w̄
	x              []float32 // X, row by row
}

func projectionOf(set *tensor.Set, s Secrets, p *Parameters) (*projection, error) {
	t, axis, err := carrierOf(set, p)
	if err != nil {
		return nil, err
	}
	outer, filters, inner := split(t.Shape, axis)
	r := &projection{tensor: t, filters: filters, inner: inner}
	if r.w, err = floats(t); err != nil {
		return nil, err
	}
	r.mean = meanKernel(r.w, outer, filters, inner)
	r.x, err = secretMatrix(s, p, len(r.mean))
	return r, err
}

// Embed implements [Scheme].
func (uchida) Embed(set *tensor.Set, key *Key, p *Parameters) (*Embedded, error) {
	from, err := projectionOf(set, key, p)
	if err != nil {
		return nil, err
	}
	t, filters, inner := from.tensor, from.filters, from.inner
	bits, err := p.bitsOf(key)
	if err != nil {
		return nil, err
	}
	margin := 0.0 // that of a random direction: the deviation of X·w̄ over X
	for _, v := range from.mean {
		margin += v * v
	}
	if margin == 0 {
		margin = momentsOf(from.w).norm / math.Sqrt(float64(filters))
	}
	margin = p.Margin * math.Sqrt(margin)
	if p.Margin == 0 {
		margin = 0
	}
	d, err := leastChange(from.x, from.mean, bits, marginOr(margin))
	if err != nil {
		return nil, err
	}
	delta := func(dst []float32, start int64) {
		for i := range dst {
			at := int(start) + i
			dst[i] = float32(d[at/(filters*inner)*inner+at%inner])
		}
	}
	changed := &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: &added{t, delta}}
	c := &Cost{Tensors: 1, Weights: t.Elems()}
	if c.Changed, err = countChanged(t, changed, from.w); err != nil {
		return nil, err
	}
	norm := 0.0
	for _, v := range d {
		norm += v * v
	}
	c.Change = math.Sqrt(norm*float64(filters)) / math.Max(momentsOf(from.w).norm, math.SmallestNonzeroFloat64)
	c.Output = c.Change
	e := &Embedded{Parameters: p, Cost: c}
	e.Set, err = tensor.Overlay(set, changed)
	return e, err
}

// marginOr keeps a margin above rounding.
func marginOr(m float64) float64 { return math.Max(m, 1e-30) }

// leastChange returns the d of least norm with s[j]·X[j]·(w̄+d) >= margin for all bits,
// where s is ±1: the projection of w̄ onto these half spaces. Its dual is to maximize
// Σ λ·rest - ½·λᵀGλ over λ >= 0, with G = (s X)(s X)ᵀ; ascent by coordinates (Hildreth
// 1957) converges fast, because rows of X are nearly orthogonal. d = Σ λ[j]·s[j]·X[j].
func leastChange(x []float32, mean []float64, bits []bool, margin float64) ([]float64, error) {
	m, n := len(mean), len(bits)
	rest := project(x, mean)
	sign := make([]float64, n)
	for j, b := range bits {
		sign[j] = -1
		if b {
			sign[j] = 1
		}
		rest[j] = margin - sign[j]*rest[j]
	}
	gram := make([]float64, n*n)
	err := inParallel(n, func(i int) error {
		for j := range i + 1 {
			sum := 0.0
			for k, v := range x[i*m:][:m] {
				sum += float64(v) * float64(x[j*m+k])
			}
			gram[i*n+j] = sum * sign[i] * sign[j]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range n {
		for j := range i {
			gram[j*n+i] = gram[i*n+j]
		}
	}
	// slack[j] = rest[j] - (Gλ)[j]: what is still missing for bit j.
	lambda, slack := make([]float64, n), rest
	const most = 10000
	for range most {
		worst := 0.0
		for j := range n {
			step := math.Max(slack[j]/gram[j*n+j], -lambda[j])
			if step == 0 {
				continue
			}
			worst = math.Max(worst, math.Abs(step)*gram[j*n+j])
			lambda[j] += step
			for i := range n {
				slack[i] -= step * gram[j*n+i]
			}
		}
		if worst <= 1e-9*margin {
			d := make([]float64, m)
			for j, l := range lambda {
				if l == 0 {
					continue
				}
				for k, v := range x[j*m:][:m] {
					d[k] += l * sign[j] * float64(v)
				}
			}
			return d, nil
		}
	}
	return nil, fmt.Errorf("%w: no change makes all %d bits readable; fewer bits are easier", ErrCapacity, n)
}

// Extract implements [Scheme]. The reference is not needed, and not looked at.
func (uchida) Extract(suspect, _ *tensor.Set, s Secrets, p *Parameters) (*Reading, error) {
	from, err := projectionOf(suspect, s, p)
	if err != nil {
		return nil, err
	}
	t, y := from.tensor, project(from.x, from.mean)
	r := &Reading{Scheme: "uchida", Bits: p.Bits, Blind: true}
	r.Layers = []LayerReading{{Tensor: t.Name, Weights: t.Elems()}}
	read := make([]byte, (p.Bits+7)/8)
	for j, v := range y {
		if v > 0 {
			read[j/8] |= 0x80 >> (j % 8)
		}
	}
	bits, err := p.bitsOf(s)
	if err != nil {
		return nil, err
	}
	wrong := 0
	for j, v := range y {
		if v == 0 || v > 0 != bits[j] {
			wrong++
		}
	}
	ber := float64(wrong) / float64(p.Bits)
	r.Wrong, r.BER = &wrong, &ber
	r.Log10P = Binomial(p.Bits-wrong, p.Bits)
	r.Layers[0].Log10P = r.Log10P
	if k, ok := s.(*Key); ok && 8*len(k.Payload) == p.Bits && r.Log10P <= ThresholdCommitted {
		r.Payload = hex.EncodeToString(read)
	}
	return r, nil
}
