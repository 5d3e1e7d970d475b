package entropy

import (
	"math"
	"slices"
)

// The two passes of section 1.3 of the notes. A block touches the 2^n cells
// between its centers and no others. They are the leaves of a binary tree, in
// which the first weight decides at the root and u leads to the right:
//
//	down  product[1] = 1, product[2i] = product[i]·(1-u_m), product[2i+1] = product[i]·u_m
//	up    value[i] = (1-u_m)·value[2i] + u_m·value[2i+1], with log2 p at the leaves
//	and   ∂/∂u_m = Σ over nodes i of depth m of product[i]·(value[2i+1] - value[2i])
//
// So the derivatives by all n weights take 3·2^n multiplications together, not
// n·2^n. Since the shares of a block sum to 1, the derivative of -Σ p·log2 p is
// that of the multilinear form with log2 p at the leaves, times -1/M.

//
// In a dense table the last two weights are taken together: below each leaf of
// the tree of the others lie four cells, at 0, 1, K and K+1.

// scatter adds up the masses of a lane.
func (p *Proxy[T]) scatter(worker, job int) {
	ln := &p.lanes[job]
	var mass []float64
	if p.code.dense {
		mass = p.mass[job*p.code.cells : (job+1)*p.code.cells]
		clear(mass)
	} else {
		ln.table.clear()
	}
	n := p.o.Order
	product := p.scratch[worker][:2<<n]
	for i := ln.from; i < ln.to; i++ {
		pc := &p.pieces[i]
		if pc.fresh {
			p.locateRange(pc.layer, pc.from, pc.from+pc.blocks*n)
		}
		l := p.layers[pc.layer]
		at := l.at + pc.from
		lows, shares := p.lows[at:at+pc.blocks*n], p.shares[at:at+pc.blocks*n]
		switch {
		case !p.code.dense:
			for ; len(lows) > 0; lows, shares = lows[n:], shares[n:] {
				key := p.key(lows[:n])
				for s, x := range descend(product, shares[:n]) {
					if x != 0 {
						ln.table.add(key.plus(p.code.offset[s]), x)
					}
				}
			}
		case n == 1:
			scatterOnes(mass, lows, shares)
		default:
			p.scatterDense(mass, product, lows, shares)
		}
	}
}

func scatterOnes(mass []float64, lows []uint16, shares []float64) {
	shares = shares[:len(lows)]
	for i, low := range lows {
		u := shares[i]
		m := mass[low : low+2]
		m[0] += 1 - u
		m[1] += u
	}
}

func (p *Proxy[T]) scatterDense(mass, product []float64, lows []uint16, shares []float64) {
	n, k := p.o.Order, p.code.alphabet
	offset := p.code.head
	for ; len(lows) >= n; lows, shares = lows[n:], shares[n:] {
		c := 0
		for _, low := range lows[:n] {
			c = c*k + int(low)
		}
		heads := descend(product, shares[:n-2])
		u, v := shares[n-2], shares[n-1]
		b01, b11 := (1-u)*v, u*v
		b00, b10 := (1-u)*(1-v), u*(1-v)
		for s, a := range heads {
			m := mass[c+offset[s]:]
			m = m[:k+2]
			m[0] += a * b00
			m[1] += a * b01
			m[k] += a * b10
			m[k+1] += a * b11
		}
	}
}

// slopesDense finds the derivatives of the multilinear form of a block by its
// shares, whose lower cell is c.
func (p *Proxy[T]) slopesDense(slopes *[MaxOrder]float64, scratch []float64, c int, us []float64) {
	n, k := p.o.Order, p.code.alphabet
	offset := p.code.head
	size := 1 << (n - 2)
	product, value := scratch[:2*size], scratch[2*size:4*size]
	heads := descend(product, us[:n-2])
	u, v := us[n-2], us[n-1]
	b01, b11 := (1-u)*v, u*v
	b00, b10 := (1-u)*(1-v), u*(1-v)
	var l00, l01, l10, l11 float64
	leaves := value[size:][:len(heads)]
	for s, a := range heads {
		m := p.logs[c+offset[s]:]
		m = m[:k+2]
		x, y, z, w := m[0], m[1], m[k], m[k+1]
		l00 += a * x
		l01 += a * y
		l10 += a * z
		l11 += a * w
		leaves[s] = b00*x + b01*y + b10*z + b11*w
	}
	slopes[n-2] = (1-v)*(l10-l00) + v*(l11-l01)
	slopes[n-1] = (1-u)*(l01-l00) + u*(l11-l10)
	switch n {
	case 2:
	case 3:
		slopes[0] = leaves[1] - leaves[0]
	case 4:
		t := leaves[:4]
		slopes[0] = (1-us[1])*(t[2]-t[0]) + us[1]*(t[3]-t[1])
		slopes[1] = (1-us[0])*(t[1]-t[0]) + us[0]*(t[3]-t[2])
	default:
		treeSlopes(slopes[:n-2], product, value, us[:n-2])
	}
}

// treeSlopes finds the derivatives by shares from the tree of their products and
// the leaves of that of values.
func treeSlopes(slopes, product, value, shares []float64) {
	ascend(value, shares)
	for m := range shares {
		size := 1 << m
		above, below := product[size:2*size], value[2*size:4*size]
		x := 0.0
		for i, f := range above {
			x += f * (below[2*i+1] - below[2*i])
		}
		slopes[m] = x
	}
}

// key returns the cell of the lower centers of a block.
func (p *Proxy[T]) key(lows []uint16) cellKey {
	var key cellKey
	for m, low := range lows {
		key = key.plus(p.code.times(m, int(low)))
	}
	return key
}

// descend fills the tree of products of a block and returns its leaves. For up
// to two shares it fills in the leaves only.
func descend(product, shares []float64) []float64 {
	switch len(shares) {
	case 0:
		product[1] = 1
		return product[1:2]
	case 1:
		u := shares[0]
		product[2], product[3] = 1-u, u
		return product[2:4]
	case 2:
		u, v := shares[0], shares[1]
		leaves := product[4:8]
		leaves[0], leaves[1] = (1-u)*(1-v), (1-u)*v
		leaves[2], leaves[3] = u*(1-v), u*v
		return leaves
	}
	product[1] = 1
	for m, u := range shares {
		grow(product, m, u)
	}
	return product[1<<len(shares) : 2<<len(shares)]
}

// grow makes the level below depth m of the tree of products.
func grow(product []float64, m int, u float64) {
	size := 1 << m
	above, below := product[size:2*size], product[2*size:4*size]
	v := 1 - u
	for i, x := range above {
		below[2*i] = x * v
		below[2*i+1] = x * u
	}
}

// ascend fills the tree of values of a block above its leaves.
func ascend(value, shares []float64) {
	for m, u := range slices.Backward(shares) {
		size := 1 << m
		above, below := value[size:2*size], value[2*size:4*size]
		v := 1 - u
		for i := range above {
			above[i] = v*below[2*i] + u*below[2*i+1]
		}
	}
}

// gather finds the gradient of a piece.
func (p *Proxy[T]) gather(worker, job int) {
	n := p.o.Order
	index := p.from + job
	pc := &p.pieces[index]
	l := p.layers[pc.layer]
	dst := p.dst[pc.layer]
	at := l.at + pc.from
	lows, shares := p.lows[at:at+pc.blocks*n], p.shares[at:at+pc.blocks*n]
	var levels []float64
	if p.levelsWanted {
		levels = p.levels[index*p.code.alphabet : (index+1)*p.code.alphabet]
	}
	if dst == nil && levels == nil {
		return
	}
	scale := -p.scale / p.blocks
	scratch := p.scratch[worker]
	product, value := scratch[:2<<n], scratch[2<<n:4<<n]
	inverse := l.centers.inverse
	plain := !p.o.ClosedForm && levels == nil && l.order == nil
	if plain && n == 1 && p.code.dense {
		p.gatherOnes(dst[pc.from:], pc, worker, scale)
		return
	}
	var slopes [MaxOrder]float64
	for block := 0; block < pc.blocks; block++ {
		ls, us := lows[block*n:(block+1)*n], shares[block*n:(block+1)*n]
		switch {
		case p.o.ClosedForm:
			p.closedForm(&slopes, p.key(ls))
		case p.code.dense && n == 1:
			slopes[0] = p.logs[ls[0]+1] - p.logs[ls[0]]
		case p.code.dense:
			c := 0
			for _, low := range ls {
				c = c*p.code.alphabet + int(low)
			}
			p.slopesDense(&slopes, scratch, c, us)
		default:
			p.leaves(value[1<<n:], p.key(ls))
			product[1] = 1
			for m, u := range us[:n-1] {
				grow(product, m, u)
			}
			treeSlopes(slopes[:n], product, value, us)
		}
		if plain {
			// Nearly always: a weight between two centers.
			out := dst[pc.from+block*n:][:n]
			for m, u := range us {
				if u > 0 && u < 1 {
					out[m] += T(scale * slopes[m] * inverse[ls[m]])
				} else if u == 0 && p.onCenter(l, pc, block*n+m) {
					slope, inv := p.kink(l.centers, ls, us, m)
					out[m] += T(scale * slope * inv)
				}
			}
			continue
		}
		for m, u := range us {
			inv := inverse[ls[m]]
			slope := slopes[m]
			switch {
			case u > 0 && u < 1:
			case u == 0 && p.onCenter(l, pc, block*n+m):
				if !p.o.ClosedForm {
					slope, inv = p.kink(l.centers, ls, us, m)
				}
			default:
				slope = 0 // beyond the outer centers; a NaN stays in the entropy
			}
			g := scale * slope * inv
			if p.o.ClosedForm {
				// The clamp is on the gradient of H_2/2.
				g = 2 * p.scale * min(max(-slope*inv/(2*p.blocks), -closedBound), closedBound)
			}
			if dst != nil {
				i := pc.from + block*n + m
				if l.order != nil {
					i = int(l.order[i])
				}
				dst[i] += T(g)
			}
			if levels != nil {
				// u = (w-c)/(c'-c): ∂u/∂c = -(1-u)·∂u/∂w and ∂u/∂c' = -u·∂u/∂w.
				levels[ls[m]] -= (1 - u) * g
				levels[ls[m]+1] -= u * g
			}
		}
	}
}

// gatherOnes is gather for n = 1 where nothing is asked for but the gradient.
func (p *Proxy[T]) gatherOnes(dst []T, pc *piece, worker int, scale float64) {
	l := p.layers[pc.layer]
	at := l.at + pc.from
	lows, shares := p.lows[at:at+pc.blocks], p.shares[at:at+pc.blocks]
	slopes := p.byBin[worker][:0]
	for low, inv := range l.centers.inverse {
		slope := 0.0
		if inv > 0 {
			slope = scale * inv * (p.logs[low+1] - p.logs[low])
		}
		slopes = append(slopes, slope)
	}
	dst = dst[:len(lows)]
	for i, low := range lows {
		if u := shares[i]; u > 0 && u < 1 {
			dst[i] += T(slopes[low])
		} else if u == 0 && p.onCenter(l, pc, i) {
			slope, inv := p.kink(l.centers, lows[i:i+1], shares[i:i+1], 0)
			dst[i] += T(scale * slope * inv)
		}
	}
}

// onCenter reports whether weight i of a piece, whose share is 0, is on a center
// and not below all of them.
func (p *Proxy[T]) onCenter(l *proxyLayer, pc *piece, i int) bool {
	i += pc.from
	if l.order != nil {
		i = int(l.order[i])
	}
	return float64(p.w[pc.layer][i]) >= l.centers.at[0]
}

// leaves fills in the logarithms of the cells of a block.
func (p *Proxy[T]) leaves(dst []float64, base cellKey) {
	offset := p.code.offset[:len(dst)]
	if p.code.dense {
		logs := p.logs[base.lo:]
		for s := range dst {
			dst[s] = logs[offset[s].lo]
		}
		return
	}
	for s := range dst {
		dst[s] = 0
		if e := p.table.find(base.plus(offset[s])); e >= 0 {
			dst[s] = p.logs[e]
		}
	}
}

// closedBound is where the closed form is clamped, for each weight.
const closedBound = 0.01

// closedForm is the published explicit derivation for n = 2 (section 1.3 of the
// notes): the mean over both centers of the other weight. NaN becomes 0.
func (p *Proxy[T]) closedForm(slopes *[MaxOrder]float64, base cellKey) {
	var l [4]float64
	for s := range l {
		l[s] = p.log(base.plus(p.code.offset[s]))
	}
	zero := func(x float64) float64 {
		if math.IsNaN(x) {
			return 0
		}
		return x
	}
	slopes[0] = zero(l[2]+l[3]-l[0]-l[1]) / 2
	slopes[1] = zero(l[1]+l[3]-l[0]-l[2]) / 2
}

// log returns log2 p of a cell, minus infinity if it is empty.
func (p *Proxy[T]) log(k cellKey) float64 {
	e := int(k.lo)
	if p.code.dense {
		// The mass says it: the logarithm of an empty cell is kept as 0.
		if p.mass[e] == 0 {
			return math.Inf(-1)
		}
	} else if e = p.table.find(k); e < 0 {
		return math.Inf(-1)
	}
	return p.logs[e]
}

// kink returns the slope, and the inverse width of the bin that it belongs to,
// for weight m of a block, which lies on a center. To the right it is that of its
// bin, where pairs with an empty cell count as 0 (the paper's 0/0), unless the
// proxy settles: then an empty cell counts as what it is, an entropy that rises
// infinitely fast, and if it rises on both sides, the slope is 0.
func (p *Proxy[T]) kink(c *Centers, lows []uint16, us []float64, m int) (slope, inv float64) {
	n := p.o.Order
	base := p.key(lows)
	step := p.code.step(m)
	inverse := c.inverse[lows[m]:]
	right, left := 0.0, 0.0
	below := p.o.Settle && lows[m] >= 1
	for s := range 1 << n {
		if s>>(n-1-m)&1 == 1 {
			continue
		}
		f := 1.0
		for l, u := range us {
			switch {
			case l == m:
			case s>>(n-1-l)&1 == 1:
				f *= u
			default:
				f *= 1 - u
			}
		}
		if f == 0 {
			continue
		}
		at := base.plus(p.code.offset[s])
		here := p.log(at)
		if up := p.log(at.plus(step)); p.o.Settle || !math.IsInf(up, 0) && !math.IsInf(here, 0) {
			right += f * (up - here)
		}
		if below {
			left += f * (here - p.log(at.minus(step)))
		}
	}
	if !p.o.Settle {
		return right, inverse[0]
	}
	// The entropy rises to the right if the slope, of -H, is negative.
	switch {
	case right > 0:
		return right, inverse[0]
	case below && left < 0:
		return left, c.inverse[lows[m]-1]
	}
	return 0, 0
}
