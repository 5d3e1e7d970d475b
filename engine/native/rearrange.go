package native

// makeDepthToSpace makes DepthToSpace and SpaceToDepth, which are transpositions of six
// axes: batch, channel, and two of each side of the image.
func makeDepthToSpace(n *node) (operator, error) {
	x, y := n.in[0], n.out[0]
	b := int(n.integer("blocksize", 1))
	batch, channels, h, w := image(y.shape)
	if n.Op == "SpaceToDepth" {
		c := int(x.shape[1])
		s := dense([]int{batch, c, h, b, w, b})
		p := newPart(n.pool, []int{batch, b, b, c, h, w}, []int{s[0], s[3], s[5], s[1], s[2], s[4]}, 0)
		return &selection{x, []*site{y}, []*part{p}}, nil
	}
	h, w = h/b, w/b
	var from []int
	if n.text("mode", "DCR") == "CRD" {
		s := dense([]int{batch, channels, b, b, h, w})
		from = []int{s[0], s[1], s[4], s[2], s[5], s[3]}
	} else {
		s := dense([]int{batch, b, b, channels, h, w})
		from = []int{s[0], s[3], s[4], s[1], s[5], s[2]}
	}
	return &selection{x, []*site{y}, []*part{newPart(n.pool, []int{batch, channels, h, b, w, b}, from, 0)}}, nil
}

// makeTile makes Tile: an expansion along an axis in front of each axis.
func makeTile(n *node) (operator, error) {
	o := &expand{pool: n.pool, x: n.in[0], y: n.out[0]}
	var shape, from []int
	strides := dense(dims(o.x.shape))
	for i, length := range dims(o.x.shape) {
		times := 0
		if length > 0 {
			times = int(o.y.shape[i]) / length
		}
		shape, from = append(shape, times, length), append(from, 0, strides[i])
	}
	to := dense(shape)
	o.m = newMover(n.pool, shape, to, from)
	o.back = newGrid(shape, 1, to, from)
	o.do = o.back.body(o.sum)
	return o, nil
}

// A oneHot is OneHot: a value on where the index says, and a value off elsewhere.
type oneHot struct {
	at, values   *operand
	y            *site
	depth, block int
}

func makeOneHot(n *node) (operator, error) {
	o := &oneHot{at: n.in[0], values: n.in[2], y: n.out[0]}
	a := axis(n.integer("axis", -1), len(o.at.shape)+1)
	o.depth, o.block = int(o.y.shape[a]), product(o.y.shape[a+1:])
	if n.mayWant(2) {
		return nil, n.lacks("values that are trained")
	}
	return o, nil
}

func (o *oneHot) forward() {
	for i := range o.y.float {
		o.y.float[i] = o.values.float[0]
	}
	for i := range o.y.int {
		o.y.int[i] = o.values.int[0]
	}
	if o.y.size == 0 {
		return
	}
	for i := range o.at.size {
		k := o.at.number(i)
		if !(k > -float64(o.depth)-1 && k < float64(o.depth)) { // NaN, too: all off
			continue
		}
		at := int(k)
		if at < -o.depth {
			continue
		}
		if at < 0 {
			at += o.depth
		}
		to := (i/o.block*o.depth+at)*o.block + i%o.block
		if o.y.ints {
			o.y.int[to] = o.values.int[1]
		} else {
			o.y.float[to] = o.values.float[1]
		}
	}
}

// A cumSum is CumSum: sums of all elements up to each along an axis.
type cumSum struct {
	x, axis            *operand
	y                  *site
	shape              []int
	exclusive, reverse bool
}

func makeCumSum(n *node) (operator, error) {
	return &cumSum{
		x: n.in[0], axis: n.in[1], y: n.out[0], shape: dims(n.in[0].shape),
		exclusive: n.integer("exclusive", 0) != 0, reverse: n.integer("reverse", 0) != 0,
	}, nil
}

// lines returns how x lies along the axis: outer × length × inner.
func (o *cumSum) lines() (outer, length, inner int) {
	a := o.axis.int[0]
	if a < -int64(len(o.shape)) || a >= int64(len(o.shape)) {
		fail("axis %d is outside of %d axes", a, len(o.shape))
	}
	k := axis(a, len(o.shape))
	return product(o.shape[:k]), o.shape[k], product(o.shape[k+1:])
}

func (o *cumSum) forward() {
	outer, length, inner := o.lines()
	for line := range outer * inner {
		first := line/inner*length*inner + line%inner
		sum, whole := 0.0, int64(0)
		for i := range length {
			at := first + i*inner
			if o.reverse {
				at = first + (length-1-i)*inner
			}
			if o.y.ints {
				before := whole
				whole += o.x.int[at]
				o.y.int[at] = o.y.dtype.Wrap(whole)
				if o.exclusive {
					o.y.int[at] = o.y.dtype.Wrap(before)
				}
				continue
			}
			before := sum
			sum += float64(o.x.float[at])
			o.y.float[at] = float32(sum)
			if o.exclusive {
				o.y.float[at] = float32(before)
			}
		}
	}
}

// backward sums the other way round.
func (o *cumSum) backward() {
	outer, length, inner := o.lines()
	for line := range outer * inner {
		first := line/inner*length*inner + line%inner
		sum := 0.0
		for i := range length {
			at := first + (length-1-i)*inner
			if o.reverse {
				at = first + i*inner
			}
			before := sum
			sum += float64(o.y.grad[at])
			if o.exclusive {
				o.x.into[at] += float32(before)
			} else {
				o.x.into[at] += float32(sum)
			}
		}
	}
}
