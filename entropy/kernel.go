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
		bins, shares := p.bins[at:at+pc.blocks*n], p.shares[at:at+pc.blocks*n]
		switch {
		case !p.code.dense:
			for ; len(bins) > 0; bins, shares = bins[n:], shares[n:] {
				key := p.key(l.centers.bins, bins[:n])
				leaves := descend(product, shares[:n])
				for s, x := range leaves {
					if x != 0 {
						ln.table.add(key.plus(p.code.offset[s]), x)
					}
				}
			}
		case n == 1:
			for j, b := range bins {
				low, u := l.centers.bins[b].low, shares[j]
				mass[low] += 1 - u
				mass[low+1] += u
			}
		case n == 2:
			k := p.code.alphabet
			for ; len(bins) >= 2; bins, shares = bins[2:], shares[2:] {
				c := l.centers.bins[bins[0]].low*k + l.centers.bins[bins[1]].low
				u, v := shares[0], shares[1]
				mass[c] += (1 - u) * (1 - v)
				mass[c+1] += (1 - u) * v
				mass[c+k] += u * (1 - v)
				mass[c+k+1] += u * v
			}
		default:
			k := p.code.alphabet
			for ; len(bins) >= n; bins, shares = bins[n:], shares[n:] {
				c := 0
				for _, b := range bins[:n] {
					c = c*k + l.centers.bins[b].low
				}
				leaves := descend(product, shares[:n])
				offset := p.code.offset[:len(leaves)]
				for s, x := range leaves {
					mass[c+int(offset[s].lo)] += x
				}
			}
		}
	}
}

// key returns the cell of the lower centers of a block.
func (p *Proxy[T]) key(all []bin, bins []uint16) cellKey {
	var key cellKey
	for m, b := range bins {
		key = key.plus(p.code.times(m, all[b].low))
	}
	return key
}

// descend fills the tree of products of a block and returns its leaves.
func descend(product, shares []float64) []float64 {
	product[1] = 1
	for m, u := range shares {
		size := 1 << m
		above, below := product[size:2*size], product[2*size:4*size]
		v := 1 - u
		for i, x := range above {
			below[2*i] = x * v
			below[2*i+1] = x * u
		}
	}
	return product[1<<len(shares) : 2<<len(shares)]
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
	bins, shares := p.bins[at:at+pc.blocks*n], p.shares[at:at+pc.blocks*n]
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
	var slopes [MaxOrder]float64
	for block := 0; block < pc.blocks; block++ {
		bs, us := bins[block*n:(block+1)*n], shares[block*n:(block+1)*n]
		base := p.key(l.centers.bins, bs)
		switch {
		case p.o.ClosedForm:
			p.closedForm(&slopes, base)
		case n == 1 && p.code.dense:
			slopes[0] = p.logs[base.lo+1] - p.logs[base.lo]
		default:
			p.leaves(value[1<<n:], base)
			ascend(value, us)
			descend(product, us[:n-1])
			for m := range n {
				size := 1 << m
				above, below := product[size:2*size], value[2*size:4*size]
				x := 0.0
				for i, f := range above {
					x += f * (below[2*i+1] - below[2*i])
				}
				slopes[m] = x
			}
		}
		for m, u := range us {
			in := &l.centers.bins[bs[m]]
			slope := slopes[m]
			inv := in.inv
			if u == 0 && inv != 0 && !p.o.ClosedForm {
				slope, inv = p.kink(l.centers, bs, us, m)
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
				levels[in.low] -= (1 - u) * g
				levels[in.low+1] -= u * g
			}
		}
	}
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
func (p *Proxy[T]) kink(c *Centers, bs []uint16, us []float64, m int) (slope, inv float64) {
	n := p.o.Order
	base := p.key(c.bins, bs)
	step := p.code.step(m)
	in := &c.bins[bs[m]]
	right, left := 0.0, 0.0
	below := p.o.Settle && bs[m] >= 2
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
		return right, in.inv
	}
	// The entropy rises to the right if the slope, of -H, is negative.
	switch {
	case right > 0:
		return right, in.inv
	case below && left < 0:
		return left, c.bins[bs[m]-1].inv
	}
	return 0, in.inv
}
