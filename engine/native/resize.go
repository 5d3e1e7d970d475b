package native

import (
	"math"
	"slices"

	"ropewalk/internal/kernel"
)

// A resize is Resize: along one axis after the other, the last one first, each element
// is a weighted sum of some elements before (the taps).
type resize struct {
	pool   *kernel.Pool
	x      *operand
	y      *site
	passes []*resizePass
	// With tf_crop_and_resize, what is outside of x gets a value of its own.
	outside  []bool
	replaced float32
	whole    *memory // x or y as floats, if they are integers
	wholeY   *memory
}

// A resizePass goes along one axis. Arrays are outer × length × inner.
type resizePass struct {
	outer, inner int
	from, to     int       // lengths
	starts       []int     // of the taps of each element, and of what is behind the last
	at           []int     // places of taps
	weight       []float32 // of taps
	copies       bool      // each element is one tap of weight 1
	out          *memory   // nil for the last pass, which writes to y
	dst, src     []float32
	pieces       int
	forth, back  func(worker, i int)
}

// A resizeRule says how to sample.
type resizeRule struct {
	mode, coordinates, nearest string
	cubic                      float64
	exclude, antialias         bool
}

func makeResize(n *node) (operator, error) {
	o := &resize{pool: n.pool, x: n.in[0], y: n.out[0]}
	rule := resizeRule{
		mode: n.text("mode", "nearest"), coordinates: n.text("coordinate_transformation_mode", "half_pixel"),
		nearest: n.text("nearest_mode", "round_prefer_floor"), cubic: n.number("cubic_coeff_a", -0.75),
		exclude: n.integer("exclude_outside", 0) != 0, antialias: n.integer("antialias", 0) != 0,
	}
	scale, region, err := n.resizeScales()
	if err != nil {
		return nil, err
	}
	crop := rule.coordinates == "tf_crop_and_resize"
	if crop {
		o.outside, o.replaced = make([]bool, o.y.size), float32(n.number("extrapolation_value", 0))
	}
	shape := dims(o.x.shape)
	if o.y.size == 0 || o.x.size == 0 {
		return o, nil
	}
	for a := len(shape) - 1; a >= 0; a-- {
		to := int(o.y.shape[a])
		if shape[a] == to && scale[a] == 1 && region[a] == [2]float64{0, 1} {
			continue
		}
		p := &resizePass{outer: product(shape[:a]), inner: product(shape[a+1:]), from: shape[a], to: to}
		p.forth, p.back = p.piece, p.pieceBack
		p.pieces = max(1, min(p.outer*p.to, p.outer*p.to*p.inner/(grainOf/4)))
		for i := range to {
			at := rule.place(float64(i), scale[a], float64(p.from), float64(to), region[a])
			if math.IsNaN(at) || math.IsInf(at, 0) {
				return nil, n.lacks("a sample at %g of axis %d", at, a)
			}
			p.starts = append(p.starts, len(p.at))
			if err := rule.taps(n, p, at, scale[a]); err != nil {
				return nil, err
			}
			if crop && (at < 0 || at > float64(p.from-1)) {
				inner := product(o.y.shape[a+1:])
				for k := range o.outside {
					if k/inner%to == i {
						o.outside[k] = true
					}
				}
			}
		}
		p.starts = append(p.starts, len(p.at))
		p.copies = len(p.at) == to && !slices.ContainsFunc(p.weight, func(w float32) bool { return w != 1 })
		if p.inner == 1 {
			p.forth = p.line
			p.pieces = max(1, min(p.outer, p.outer*p.to/(grainOf/4)))
		}
		shape[a] = to
		if k := len(o.passes); k > 0 {
			last := o.passes[k-1]
			last.out = n.scratch(last.outer * last.to * last.inner)
		}
		o.passes = append(o.passes, p)
	}
	if o.x.ints {
		o.whole, o.wholeY = n.scratch(o.x.size), n.scratch(o.y.size)
	}
	return o, nil
}

// resizeScales returns the scale of each axis and the region of the input to sample.
func (n *node) resizeScales() (scale []float64, region [][2]float64, err error) {
	x, y := n.in[0].shape, n.out[0].shape
	rank := len(x)
	axes := n.integers("axes")
	if axes == nil {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	scale, region = make([]float64, rank), make([][2]float64, rank)
	for i := range scale {
		scale[i], region[i] = 1, [2]float64{0, 1}
	}
	for _, i := range []int{1, 2, 3} {
		if o := n.operand(i); o != nil && o.kind != constant && o.kind != held {
			return nil, nil, n.lacks("scales, sizes or a region that are known only when it runs")
		}
	}
	given := func(i int) *operand {
		if o := n.operand(i); o != nil && o.size > 0 {
			return o
		}
		return nil
	}
	if roi := given(1); roi != nil && n.text("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		for i, a := range axes {
			region[axis(a, rank)] = [2]float64{roi.number(i), roi.number(len(axes) + i)}
		}
	}
	scales := given(2)
	for i, a := range axes {
		k := axis(a, rank)
		if scales != nil {
			scale[k] = scales.number(i)
		} else {
			scale[k] = float64(y[k]) / float64(max(1, x[k]))
		}
	}
	sizes, policy := given(3), n.text("keep_aspect_ratio_policy", "stretch")
	if sizes == nil || policy == "stretch" {
		return scale, region, nil
	}
	common := math.NaN()
	for i, a := range axes {
		s := sizes.number(i) / float64(max(1, x[axis(a, rank)]))
		if common != common || policy == "not_larger" && s < common || policy == "not_smaller" && s > common {
			common = s
		}
	}
	for _, a := range axes {
		scale[axis(a, rank)] = common
	}
	return scale, region, nil
}

// place returns where in an axis of length from element i of the result lies.
func (r *resizeRule) place(i, scale, from, to float64, region [2]float64) float64 {
	length := scale * from // before it was rounded
	switch r.coordinates {
	case "align_corners":
		if length == 1 {
			return 0
		}
		return i * (from - 1) / (length - 1)
	case "asymmetric":
		return i / scale
	case "tf_crop_and_resize":
		if length == 1 {
			return (region[0] + region[1]) / 2 * (from - 1)
		}
		return i*(region[1]-region[0])*(from-1)/(length-1) + region[0]*(from-1)
	case "pytorch_half_pixel":
		if length == 1 {
			return -0.5
		}
	case "half_pixel_symmetric":
		return from/2*(1-to/length) + (i+0.5)/scale - 0.5
	}
	return (i+0.5)/scale - 0.5
}

// maxTaps bounds how many elements go into one.
const maxTaps = 1 << 16

// taps appends the taps of a sample at a place.
func (r *resizeRule) taps(n *node, p *resizePass, at, scale float64) error {
	inside := func(i float64) int { return int(min(max(i, 0), float64(p.from-1))) }
	if r.mode == "nearest" {
		switch r.nearest {
		case "round_prefer_ceil":
			at = math.Floor(at + 0.5)
		case "floor":
			at = math.Floor(at)
		case "ceil":
			at = math.Ceil(at)
		default:
			at = math.Ceil(at - 0.5)
		}
		p.at, p.weight = append(p.at, inside(at)), append(p.weight, 1)
		return nil
	}
	narrow, radius := 1.0, 1.0
	if r.antialias { // a wider kernel where it shrinks
		narrow = min(scale, 1)
	}
	if r.mode == "cubic" {
		radius = 2
	}
	left := math.Ceil(at) - 1
	reach := math.Floor(radius / narrow)
	if !(reach < maxTaps/2) {
		return n.lacks("a scale of %g with antialias", scale)
	}
	var weights []float64
	sum := 0.0
	for k := -reach; k <= reach+1; k++ {
		w := r.weight(math.Abs(left+k-at) * narrow)
		if q := left + k; r.exclude && (q < 0 || q >= float64(p.from)) {
			w = 0
		}
		sum += w
		weights = append(weights, w)
		p.at = append(p.at, inside(left+k))
	}
	for _, w := range weights {
		p.weight = append(p.weight, float32(w/sum))
	}
	return nil
}

// weight is the kernel at a distance: a triangle, or the cubic one of Keys (1981).
func (r *resizeRule) weight(d float64) float64 {
	a := r.cubic
	switch {
	case r.mode != "cubic":
		return max(0, 1-d)
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

// piece computes some rows of inner elements.
func (p *resizePass) piece(_, k int) {
	rows := p.outer * p.to
	for row := k * rows / p.pieces; row < (k+1)*rows/p.pieces; row++ {
		o, i := row/p.to, row%p.to
		src := p.src[o*p.from*p.inner:][:p.from*p.inner]
		dst := p.dst[row*p.inner:][:p.inner]
		lo, hi := p.starts[i], p.starts[i+1]
		if hi == lo+1 && p.weight[lo] == 1 {
			copy(dst, src[p.at[lo]*p.inner:])
			continue
		}
		clear(dst)
		for t := lo; t < hi; t++ {
			w := p.weight[t]
			if w == 0 {
				continue
			}
			for j, v := range src[p.at[t]*p.inner:][:p.inner] {
				dst[j] += w * v
			}
		}
	}
}

// line computes some outer parts, where an element of the axis is a number.
func (p *resizePass) line(_, k int) {
	for o := k * p.outer / p.pieces; o < (k+1)*p.outer/p.pieces; o++ {
		src, dst := p.src[o*p.from:][:p.from], p.dst[o*p.to:][:p.to]
		if p.copies {
			for i, at := range p.at[:len(dst)] {
				dst[i] = src[at]
			}
			continue
		}
		for i := range dst {
			sum := float32(0)
			for t := p.starts[i]; t < p.starts[i+1]; t++ {
				if w := p.weight[t]; w != 0 {
					sum += w * src[p.at[t]]
				}
			}
			dst[i] = sum
		}
	}
}

// pieceBack adds the gradient of one outer part; its rows share elements.
func (p *resizePass) pieceBack(_, o int) {
	dst := p.dst[o*p.from*p.inner:][:p.from*p.inner]
	for i := range p.to {
		src := p.src[(o*p.to+i)*p.inner:][:p.inner]
		for t := p.starts[i]; t < p.starts[i+1]; t++ {
			w := p.weight[t]
			if w == 0 {
				continue
			}
			d := dst[p.at[t]*p.inner:][:p.inner]
			for j, v := range src {
				d[j] += w * v
			}
		}
	}
}

func (o *resize) forward() {
	if o.y.size == 0 {
		return
	}
	if o.x.size == 0 {
		clear(o.y.float)
		clear(o.y.int)
		return
	}
	src, y := o.x.float, o.y.float
	if o.x.ints {
		src, y = o.whole.float, o.wholeY.float
		for i, v := range o.x.int {
			src[i] = float32(asFloat(o.x.dtype, v))
		}
	}
	if len(o.passes) == 0 {
		copy(y, src)
	}
	for i, p := range o.passes {
		p.src, p.dst = src, y
		if i < len(o.passes)-1 {
			p.dst = p.out.float
		}
		o.pool.Run(p.pieces, p.forth)
		src = p.dst
	}
	for i, out := range o.outside {
		if out {
			y[i] = o.replaced
		}
	}
	if o.x.ints {
		for i, v := range y {
			o.y.int[i] = saturate(o.y.dtype, math.Trunc(float64(v)))
		}
	}
}

func (o *resize) backward() {
	if o.y.size == 0 || o.x.size == 0 {
		return
	}
	for i, out := range o.outside {
		if out {
			o.y.grad[i] = 0
		}
	}
	src := o.y.grad
	if len(o.passes) == 0 {
		kernel.Add(o.pool, o.x.into, o.x.into, src)
	}
	for i, p := range slices.Backward(o.passes) {
		p.src, p.dst = src, o.x.into
		if i > 0 {
			p.dst = o.passes[i-1].out.float
			clear(p.dst)
		}
		o.pool.Run(p.outer, p.back)
		src = p.dst
	}
}
