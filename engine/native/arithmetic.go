package native

import (
	"math"

	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A pairRule is an operator of two numbers, and its derivatives by both; y is the
// result.
type pairRule struct {
	f      func(a, b float32) float32
	da, db func(a, b, y float32) float32
	// needs says which values the derivatives look at.
	needA, needB, needY bool
	// same computes arrays of one shape.
	same func(p *kernel.Pool, dst, a, b []float32)
	ints func(d tensor.DType, a, b int64) int64
	run  func(dst, a, b []float32) // one run of arrays side by side; or nil
}

var pairRules = map[string]*pairRule{
	"Add": {
		f: func(a, b float32) float32 { return a + b },
		run: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] + b[i]
			}
		}, same: kernel.Add,
		da: func(_, _, _ float32) float32 { return 1 }, db: func(_, _, _ float32) float32 { return 1 },
		ints: func(_ tensor.DType, a, b int64) int64 { return a + b },
	},
	"Sub": {
		f: func(a, b float32) float32 { return a - b },
		run: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] - b[i]
			}
		}, same: kernel.Sub,
		da: func(_, _, _ float32) float32 { return 1 }, db: func(_, _, _ float32) float32 { return -1 },
		ints: func(_ tensor.DType, a, b int64) int64 { return a - b },
	},
	"Mul": {
		f: func(a, b float32) float32 { return a * b },
		run: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] * b[i]
			}
		}, same: kernel.Mul, needA: true, needB: true,
		da: func(_, b, _ float32) float32 { return b }, db: func(a, _, _ float32) float32 { return a },
		ints: func(_ tensor.DType, a, b int64) int64 { return a * b },
	},
	"Div": {
		f: func(a, b float32) float32 { return a / b },
		run: func(dst, a, b []float32) {
			a, b = a[:len(dst)], b[:len(dst)]
			for i := range dst {
				dst[i] = a[i] / b[i]
			}
		}, same: kernel.Div, needB: true, needY: true,
		da: func(_, b, _ float32) float32 { return 1 / b }, db: func(_, b, y float32) float32 { return -y / b },
		ints: divideInt,
	},
	"PRelu": {
		f: func(a, b float32) float32 {
			if a < 0 {
				return a * b
			}
			return a
		}, needA: true, needB: true,
		da: func(a, b, _ float32) float32 {
			if a < 0 {
				return b
			}
			return 1
		},
		db: func(a, _, _ float32) float32 { return min(a, 0) },
		ints: func(d tensor.DType, a, b int64) int64 {
			if lessInt(d, a, 0) {
				return a * b
			}
			return a
		},
	},
	"Pow": {
		f: power, needA: true, needB: true, needY: true,
		da: func(a, b, _ float32) float32 { return b * power(a, b-1) },
		db: func(a, _, y float32) float32 {
			if y == 0 {
				return 0
			}
			return y * float32(math.Log(float64(a)))
		},
	},
	// Mod of floats is what is left by division toward zero.
	"Mod": {
		f: func(a, b float32) float32 { return float32(math.Mod(float64(a), float64(b))) }, needA: true, needB: true,
		da:   func(_, _, _ float32) float32 { return 1 },
		db:   func(a, b, _ float32) float32 { return -float32(math.Trunc(float64(a / b))) },
		ints: moduloInt,
	},
	"BitwiseAnd": {ints: func(_ tensor.DType, a, b int64) int64 { return a & b }},
	"BitwiseOr":  {ints: func(_ tensor.DType, a, b int64) int64 { return a | b }},
	"BitwiseXor": {ints: func(_ tensor.DType, a, b int64) int64 { return a ^ b }},
	"BitShift":   {ints: func(_ tensor.DType, a, b int64) int64 { return int64(uint64(a) << uint64(b)) }},
}

// variants are rules that an attribute chooses.
var variants = map[string]*pairRule{
	"Mod fmod":       {ints: remainderInt},
	"BitShift RIGHT": {ints: func(_ tensor.DType, a, b int64) int64 { return int64(uint64(a) >> uint64(b)) }},
}

// power is a to the b, with the exponents that are common done fast.
func power(a, b float32) float32 {
	switch b {
	case 2:
		return a * a
	case 1:
		return a
	case 0:
		return 1
	case 0.5:
		return float32(math.Sqrt(float64(a)))
	}
	return float32(math.Pow(float64(a), float64(b)))
}

// A pair computes a pairRule on two arrays that broadcast.
type pair struct {
	rule    *pairRule
	pool    *kernel.Pool
	a, b    *operand
	y       *site
	same    bool   // no broadcasting
	fast    func() // of the kernels, for a common form of broadcasting; or nil
	planes  kernel.Planes
	small   *operand // the one that is broadcast in fast, the other is large
	large   *operand
	forth   *grid
	forthDo func(worker, piece int)
	backA   *grid
	backADo func(worker, piece int)
	backB   *grid
	backBDo func(worker, piece int)
}

func makePair(n *node) (operator, error) {
	rule := pairRules[n.Op]
	a, b, y := n.in[0], n.in[1], n.out[0]
	o := &pair{rule: rule, pool: n.pool, a: a, b: b, y: y}
	shape := dims(y.shape)
	sy, sa, sb := dense(shape), broadcast(dims(a.shape), shape), broadcast(dims(b.shape), shape)
	o.same = a.size == y.size && b.size == y.size
	o.forth = newGrid(shape, 0, sy, sa, sb)
	if y.ints {
		switch {
		case n.integer("fmod", 0) != 0 && n.Op == "Mod":
			o.rule = variants["Mod fmod"]
		case n.text("direction", "LEFT") == "RIGHT" && n.Op == "BitShift":
			o.rule = variants["BitShift RIGHT"]
		}
		o.forthDo = o.forth.body(o.forwardInts)
		return o, nil
	}
	o.forthDo = o.forth.body(o.forwardRun)
	n.inPlace(0)
	n.inPlace(1)
	if n.mayWant(0) {
		if rule.needB {
			n.keepIn(1)
		}
		if rule.needA && n.Op != "Mul" {
			n.keepIn(0)
		}
	}
	if n.mayWant(1) {
		if rule.needA {
			n.keepIn(0)
		}
		if rule.needB && n.Op != "Mul" {
			n.keepIn(1)
		}
		if rule.needY {
			n.keepOut()
		}
	}
	o.chooseFast(n.Op)
	if n.Op == "Add" && o.same && a.root() != b.root() {
		n.chooses()
		n.gradInPlace(0)
		n.gradInPlace(1)
		return &sum{o}, nil
	}
	o.backA = newGrid(shape, 1, sy, sa, sb)
	o.backADo = o.backA.body(o.backwardA)
	o.backB = newGrid(shape, 2, sy, sa, sb)
	o.backBDo = o.backB.body(o.backwardB)
	return o, nil
}

func (o *pair) forward() {
	if o.same && o.rule.same != nil && !o.y.ints {
		o.rule.same(o.pool, o.y.float, o.a.float, o.b.float)
		return
	}
	if o.fast != nil && o.y.size > 0 {
		o.fast()
		return
	}
	o.forth.run(o.pool, o.forthDo)
}

// chooseFast finds a kernel where one operand is a number, or one for each channel
// or plane.
func (o *pair) chooseFast(op string) {
	if op != "Add" && op != "Mul" && op != "Sub" && op != "Div" || o.same || o.y.size == 0 {
		return
	}
	var strides []int
	switch {
	case o.a.size == o.y.size:
		o.large, o.small, strides = o.a, o.b, o.forth.strides[2]
	case o.b.size == o.y.size && (op == "Add" || op == "Mul"):
		o.large, o.small, strides = o.b, o.a, o.forth.strides[1]
	default:
		return
	}
	shape := o.forth.shape
	switch {
	case o.small.size == 1:
		o.fast = func() {
			scale, shift := float32(1), float32(0)
			switch v := o.small.float[0]; op {
			case "Add":
				shift = v
			case "Sub":
				shift = -v
			case "Mul":
				scale = v
			case "Div":
				scale = 1 / v
			}
			kernel.Affine(o.pool, o.y.float, o.large.float, scale, shift, kernel.Clamp{})
		}
		return
	case op == "Sub" || op == "Div":
		return
	case len(shape) == 2 && strides[0] == 1 && strides[1] == 0:
		o.planes = kernel.Planes{Batch: 1, Channels: shape[0], Size: shape[1]}
	case len(shape) == 3 && strides[0] == 0 && strides[1] == 1 && strides[2] == 0:
		o.planes = kernel.Planes{Batch: shape[0], Channels: shape[1], Size: shape[2]}
	default:
		return
	}
	o.fast = func() {
		var scale, shift []float32
		if op == "Add" {
			shift = o.small.float
		} else {
			scale = o.small.float
		}
		kernel.ChannelAffine(o.pool, o.planes, o.y.float, o.large.float, scale, shift, kernel.Clamp{})
	}
}

func (o *pair) forwardInts(y, a, b, n int) {
	_, da, db := o.forth.last()
	for i := range n {
		o.y.int[y+i] = o.y.dtype.Wrap(o.rule.ints(o.y.dtype, o.a.int[a+i*da], o.b.int[b+i*db]))
	}
}

func (o *pair) forwardRun(y, a, b, n int) {
	_, da, db := o.forth.last()
	dst, f := o.y.float[y:y+n], o.rule.f
	x, z := o.a.float, o.b.float
	switch {
	case o.rule.run != nil && da == 1 && db == 1:
		o.rule.run(dst, x[a:a+n], z[b:b+n])
	default:
		for i := range dst {
			dst[i] = f(x[a+i*da], z[b+i*db])
		}
	}
}

func (o *pair) backward() {
	if o.a.wanted() {
		o.backA.run(o.pool, o.backADo)
	}
	if o.b.wanted() {
		o.backB.run(o.pool, o.backBDo)
	}
}

// backwardA adds a run to the gradient of a.
func (o *pair) backwardA(y, a, b, n int) { o.gradient(o.backA, o.rule.da, o.a, a, y, a, b, n) }

// backwardB adds a run to the gradient of b.
func (o *pair) backwardB(y, a, b, n int) { o.gradient(o.backB, o.rule.db, o.b, b, y, a, b, n) }

func (o *pair) gradient(g *grid, slope func(a, b, y float32) float32, of *operand, at, y, a, b, n int) {
	_, da, db := g.last()
	step := da
	if of == o.b {
		step = db
	}
	dy := o.y.grad[y : y+n]
	// What is not needed has been overwritten, and slope does not look at it.
	x, z, r := o.a.float, o.b.float, o.y.float
	if step == 0 { // a sum
		var total float64
		for i, d := range dy {
			total += float64(d * slope(x[a+i*da], z[b+i*db], r[y+i]))
		}
		of.into[at] += float32(total)
		return
	}
	for i, d := range dy {
		of.into[at+i*step] += d * slope(x[a+i*da], z[b+i*db], r[y+i])
	}
}

// A sum is Add without broadcasting.
type sum struct{ *pair }

func (o *sum) backward() {
	// The gradient of one operand may be that of the result, and is written last.
	first, second := o.a, o.b
	if first.wanted() && len(first.into) > 0 && &first.into[0] == &o.y.grad[0] {
		first, second = second, first
	}
	for _, x := range []*operand{first, second} {
		switch {
		case !x.wanted() || x.size == 0 || &x.into[0] == &o.y.grad[0]:
		case x.add:
			kernel.Add(o.pool, x.into, x.into, o.y.grad)
		default:
			copy(x.into, o.y.grad)
		}
	}
}
