package native

import (
	"math"

	"ropewalk/internal/kernel"
)

// A reduceRule turns many numbers into one.
type reduceRule struct {
	start float64
	step  func(sum, x float64) float64
	end   func(sum float64, n int) float64
	slope func(x, y float32, n int) float32 // derivative of y by x
	fromX bool
	fromY bool
}

var reduceRules = map[string]*reduceRule{
	"ReduceSum": {
		step: func(s, x float64) float64 { return s + x }, end: func(s float64, _ int) float64 { return s },
		slope: func(_, _ float32, _ int) float32 { return 1 },
	},
	"ReduceMean": {
		step: func(s, x float64) float64 { return s + x }, end: func(s float64, n int) float64 { return s / float64(n) },
		slope: func(_, _ float32, n int) float32 { return 1 / float32(n) },
	},
	"ReduceMax": {
		start: math.Inf(-1), step: greater, end: func(s float64, _ int) float64 { return s },
		slope: same, fromX: true, fromY: true,
	},
	"ReduceMin": {
		start: math.Inf(1), step: func(s, x float64) float64 { return -greater(-s, -x) }, end: func(s float64, _ int) float64 { return s },
		slope: same, fromX: true, fromY: true,
	},
	"ReduceProd": {
		start: 1, step: func(s, x float64) float64 { return s * x }, end: func(s float64, _ int) float64 { return s },
		slope: func(x, y float32, _ int) float32 { return y / x }, fromX: true, fromY: true,
	},
	"ReduceL1": {
		step: func(s, x float64) float64 { return s + math.Abs(x) }, end: func(s float64, _ int) float64 { return s },
		slope: func(x, _ float32, _ int) float32 { return sign(x) }, fromX: true,
	},
	"ReduceL2": {
		step: func(s, x float64) float64 { return s + x*x }, end: func(s float64, _ int) float64 { return math.Sqrt(s) },
		slope: func(x, y float32, _ int) float32 {
			if y == 0 {
				return 0
			}
			return x / y
		}, fromX: true, fromY: true,
	},
	"ReduceSumSquare": {
		step: func(s, x float64) float64 { return s + x*x }, end: func(s float64, _ int) float64 { return s },
		slope: func(x, _ float32, _ int) float32 { return 2 * x }, fromX: true,
	},
	"ReduceLogSum": {
		step: func(s, x float64) float64 { return s + x }, end: func(s float64, _ int) float64 { return math.Log(s) },
		slope: func(_, y float32, _ int) float32 { return float32(math.Exp(-float64(y))) }, fromY: true,
	},
}

// greater lets NaN through.
func greater(a, b float64) float64 { return max(a, b) }

// same is the derivative of an extreme: 1 where x is it. Of equals each gets it.
func same(x, y float32, _ int) float32 {
	if x == y {
		return 1
	}
	return 0
}

func sign(x float32) float32 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// A reduce goes along axes with a reduceRule.
type reduce struct {
	rule  *reduceRule
	pool  *kernel.Pool
	x     *operand
	y     *site
	count int // elements that become one
	sums  []float64
	forth *grid
	do    func(worker, piece int)
	back  *grid
	undo  func(worker, piece int)
}

// axesOf returns which axes of operand 0 an operator goes along: those of the
// attribute or of operand 1, else all, unless noop_with_empty_axes is set.
func axesOf(n *node) ([]bool, error) {
	rank := len(n.in[0].shape)
	axes := n.integers("axes")
	if axes == nil {
		var ok bool
		if axes, ok = n.constants(1); !ok {
			return nil, n.lacks("axes that are known only when it runs")
		}
	}
	set := make([]bool, rank)
	for i := range set {
		set[i] = len(axes) == 0 && n.integer("noop_with_empty_axes", 0) == 0
	}
	for _, a := range axes {
		set[axis(a, rank)] = true
	}
	return set, nil
}

func makeReduce(n *node) (operator, error) {
	o := &reduce{rule: reduceRules[n.Op], pool: n.pool, x: n.in[0], y: n.out[0], count: 1}
	if o.x.ints {
		return makeWholeReduce(n)
	}
	along, err := axesOf(n)
	if err != nil {
		return nil, err
	}
	shape := dims(o.x.shape)
	kept := make([]int, len(shape))
	tail := true // the axes are the last ones
	for i, a := range along {
		kept[i] = shape[i]
		if a {
			kept[i] = 1
			o.count *= shape[i]
		} else if i > 0 && along[i-1] {
			tail = false
		}
	}
	if n.Op == "ReduceMean" && tail && o.count > 0 {
		n.chooses(0)
		return &meanTail{pool: n.pool, x: o.x, y: o.y, d: kernel.Planes{Batch: 1, Channels: o.y.size, Size: o.count}}, nil
	}
	o.sums = make([]float64, o.y.size)
	o.forth = newGrid(shape, 1, dense(shape), broadcast(kept, shape))
	o.do = o.forth.body(o.add)
	o.back = newGrid(shape, 0, dense(shape), broadcast(kept, shape))
	o.undo = o.back.body(o.spread)
	if o.rule.fromX {
		n.keepIn(0)
	}
	if o.rule.fromY {
		n.keepOut()
	}
	return o, nil
}

func (o *reduce) forward() {
	for i := range o.sums {
		o.sums[i] = o.rule.start
	}
	if o.x.size > 0 {
		o.forth.run(o.pool, o.do)
	}
	for i, s := range o.sums {
		o.y.float[i] = float32(o.rule.end(s, o.count))
	}
}

func (o *reduce) add(x, y, _, n int) {
	dx, dy, _ := o.forth.last()
	for i := range n {
		o.sums[y+i*dy] = o.rule.step(o.sums[y+i*dy], float64(o.x.float[x+i*dx]))
	}
}

func (o *reduce) spread(x, y, _, n int) {
	dx, dy, _ := o.back.last()
	for i := range n {
		o.x.into[x+i*dx] += o.y.grad[y+i*dy] * o.rule.slope(o.x.float[x+i*dx], o.y.float[y+i*dy], o.count)
	}
}

func (o *reduce) backward() {
	if o.x.size > 0 {
		o.back.run(o.pool, o.undo)
	}
}

// A meanTail is ReduceMean along the last axes.
type meanTail struct {
	pool *kernel.Pool
	d    kernel.Planes
	x    *operand
	y    *site
}

func (o *meanTail) forward() { kernel.PlaneMeans(o.pool, o.d, o.y.float, o.x.float) }

func (o *meanTail) backward() {
	kernel.PlaneMeansBackward(o.pool, o.d, o.x.into, o.y.grad, o.x.add)
}
