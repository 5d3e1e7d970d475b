package compact

// A matrix is where the weights of a layer lie, by units of output and of input.
type matrix struct {
	outs, ins int // units of output; weights of each
	outer     bool
	taps      int // weights of each input
}

func (r *Recipe) matrixOf(l Layer) matrix {
	i := r.index[l.Weight]
	shape, n := r.tensors[i].Shape, len(r.shown[i])
	m := matrix{outer: l.Outer, taps: 1}
	if l.Outer {
		m.outs = int(shape[0])
		for _, d := range shape[2:] {
			m.taps *= int(d)
		}
	} else {
		m.outs = int(shape[len(shape)-1])
	}
	m.ins = n / max(m.outs, 1)
	return m
}

// writing calls f for each weight that makes output unit u.
func (m matrix) writing(u int, f func(j int)) {
	for k := range m.ins {
		if m.outer {
			f(u*m.ins + k)
		} else {
			f(k*m.outs + u)
		}
	}
}

// reading calls f for each weight that reads unit u of the layer before, which
// makes so many inputs.
func (m matrix) reading(u, repeat int, f func(j int)) {
	width := repeat * m.taps
	for o := range m.outs {
		for k := u * width; k < (u+1)*width; k++ {
			if m.outer {
				f(o*m.ins + k)
			} else {
				f(k*m.outs + o)
			}
		}
	}
}

// A link is two layers of which the second reads the first alone; both have levels.
type link struct {
	weight, bias, next int // tensors; bias is -1 if there is none
	a, b               matrix
	repeat             int
}

// links lists those of the network, in its order.
func (r *Recipe) links() []link {
	var list []link
	for _, next := range r.layers {
		if next.From < 0 {
			continue
		}
		l := r.layers[next.From]
		i, trained := r.index[l.Weight]
		n, follows := r.index[next.Weight]
		if !trained || !follows || r.roles[i] != weight || r.roles[n] != weight {
			continue
		}
		k := link{weight: i, bias: -1, next: n, a: r.matrixOf(l), b: r.matrixOf(next), repeat: next.Repeat}
		if l.Bias != "" {
			bias, ok := r.index[l.Bias]
			if !ok {
				continue // it does not change, so units cannot
			}
			k.bias = bias
		}
		list = append(list, k)
	}
	return list
}

// drop takes units that nobody reads, or that read nothing, out of the support.
// The constant that a unit without inputs gives is lost: training makes up for it.
// One unit may lead to another.
func (r *Recipe) drop(support [][]bool) {
	links := r.links()
	for changed := true; changed; {
		changed = false
		for _, l := range links {
			for u := range l.a.outs {
				in, out := 0, 0
				l.a.writing(u, func(j int) { in += one(support[l.weight][j]) })
				l.b.reading(u, l.repeat, func(j int) { out += one(support[l.next][j]) })
				if (in == 0) == (out == 0) {
					continue
				}
				l.a.writing(u, func(j int) { support[l.weight][j] = false })
				l.b.reading(u, l.repeat, func(j int) { support[l.next][j] = false })
				changed = true
			}
		}
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
