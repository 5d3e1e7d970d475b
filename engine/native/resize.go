package native

import (
	"math"
	"slices"

	"ropewalk/internal/kernel"
)

// A resize is Resize, nearest or linear: along one axis after the other, each element
// of the result is a sum of one or two of the operand.
type resize struct {
	x      *operand
	y      *site
	passes []*resizePass
}

// A resizePass goes along one axis. Arrays are outer × length × inner.
type resizePass struct {
	pool         *kernel.Pool
	outer, inner int
	from, to     int // lengths
	at           [][2]int
	weight       [][2]float32
	out          *memory // nil for the last pass, which writes to y
	slope        *memory // gradient of out
	dst, src     []float32
	forth, back  func(worker, i int)
}

func makeResize(n *node) (operator, error) {
	o := &resize{x: n.in[0], y: n.out[0]}
	modeOf, coordinates := n.text("mode", "nearest"), n.text("coordinate_transformation_mode", "half_pixel")
	nearest := n.text("nearest_mode", "round_prefer_floor")
	switch {
	case o.x.ints:
		return nil, n.lacks("integers")
	case modeOf != "nearest" && modeOf != "linear":
		return nil, n.lacks("mode %s", modeOf)
	case coordinates == "tf_crop_and_resize":
		return nil, n.lacks("coordinate_transformation_mode %s", coordinates)
	case n.integer("antialias", 0) != 0:
		return nil, n.lacks("antialias")
	case n.text("keep_aspect_ratio_policy", "stretch") != "stretch":
		return nil, n.lacks("keep_aspect_ratio_policy")
	}
	rank := len(o.x.shape)
	scale := make([]float64, rank)
	for i := range scale {
		scale[i] = float64(o.y.shape[i]) / float64(max(1, o.x.shape[i]))
	}
	if s := n.operand(2); s != nil && s.size > 0 {
		axes := n.integers("axes")
		for i, v := range s.float {
			if axes != nil {
				scale[axis(axes[i], rank)] = float64(v)
			} else {
				scale[i] = float64(v)
			}
		}
	}
	shape := dims(o.x.shape)
	for a := range rank {
		if o.y.size == 0 || o.x.shape[a] == o.y.shape[a] && scale[a] == 1 {
			continue
		}
		p := &resizePass{pool: n.pool, outer: product(shape[:a]), inner: product(shape[a+1:]), from: shape[a], to: int(o.y.shape[a])}
		p.forth, p.back = p.one, p.oneBack
		for i := range p.to {
			c := resizeCoordinate(coordinates, float64(i), scale[a], float64(p.from), float64(p.to))
			at, w := resizeTaps(modeOf, nearest, c, p.from)
			p.at, p.weight = append(p.at, at), append(p.weight, w)
		}
		shape[a] = p.to
		if len(o.passes) > 0 {
			last := o.passes[len(o.passes)-1]
			last.out, last.slope = n.scratch(last.outer*last.to*last.inner), n.scratch(last.outer*last.to*last.inner)
		}
		o.passes = append(o.passes, p)
	}
	return o, nil
}

// resizeCoordinate returns where in the operand element i of the result lies. The
// length of the result counts as it would be without rounding.
func resizeCoordinate(mode string, i, scale, from, to float64) float64 {
	length := scale * from
	switch mode {
	case "asymmetric":
		return i / scale
	case "align_corners":
		if length == 1 {
			return 0
		}
		return i * (from - 1) / (length - 1)
	case "pytorch_half_pixel":
		if length == 1 {
			return -0.5
		}
	case "half_pixel_symmetric":
		return from/2*(1-to/length) + (i+0.5)/scale - 0.5
	}
	return (i+0.5)/scale - 0.5
}

func resizeTaps(mode, nearest string, at float64, length int) (places [2]int, weights [2]float32) {
	inside := func(i float64) int { return int(min(max(i, 0), float64(length-1))) }
	if mode == "linear" {
		lo := math.Floor(at)
		f := float32(at - lo)
		return [2]int{inside(lo), inside(lo + 1)}, [2]float32{1 - f, f}
	}
	i := math.Ceil(at - 0.5) // round_prefer_floor
	switch nearest {
	case "round_prefer_ceil":
		i = math.Floor(at + 0.5)
	case "floor":
		i = math.Floor(at)
	case "ceil":
		i = math.Ceil(at)
	}
	return [2]int{inside(i), inside(i)}, [2]float32{1, 0}
}

func (p *resizePass) one(_, o int) {
	src := p.src[o*p.from*p.inner:][:p.from*p.inner]
	for i, at := range p.at {
		w := p.weight[i]
		dst := p.dst[(o*p.to+i)*p.inner:][:p.inner]
		a, b := src[at[0]*p.inner:][:p.inner], src[at[1]*p.inner:][:p.inner]
		if w[1] == 0 {
			copy(dst, a)
			continue
		}
		for k := range dst {
			dst[k] = w[0]*a[k] + w[1]*b[k]
		}
	}
}

func (p *resizePass) oneBack(_, o int) {
	dst := p.dst[o*p.from*p.inner:][:p.from*p.inner]
	for i, at := range p.at {
		w := p.weight[i]
		src := p.src[(o*p.to+i)*p.inner:][:p.inner]
		for t := range at {
			if w[t] == 0 {
				continue
			}
			d := dst[at[t]*p.inner:][:p.inner]
			for k, v := range src {
				d[k] += w[t] * v
			}
		}
	}
}

func (o *resize) forward() {
	src := o.x.float
	if len(o.passes) == 0 {
		copy(o.y.float, src)
	}
	for i, p := range o.passes {
		p.src, p.dst = src, o.y.float
		if i < len(o.passes)-1 {
			p.dst = p.out.float
		}
		p.pool.Run(p.outer, p.forth)
		src = p.dst
	}
}

func (o *resize) backward() {
	src := o.y.grad
	if len(o.passes) == 0 {
		for i, d := range src {
			o.x.into[i] += d
		}
	}
	for i, p := range slices.Backward(o.passes) {
		p.src, p.dst = src, o.x.into
		if i > 0 {
			p.dst = o.passes[i-1].slope.float
			clear(p.dst)
		}
		p.pool.Run(p.outer, p.back)
		src = p.dst
	}
}
