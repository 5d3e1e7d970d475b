package mix

// A deepNode is a decision far down in a large tree. What is left there is a
// small part of the distribution, nearly flat: counters of contexts tell little,
// and wide codebooks have many such decisions. So few estimates are mixed: the
// experts, each also as an adaptive map of the node corrects it, and a constant,
// by weights that all deep nodes share.
type deepNode [numExperts][64]uint32

const (
	numDeep  = 2*numExperts + 1
	deepSets = 8 // scales of the error of prediction
)

// deepWeights are a set of weights, and how many decisions they have seen.
type deepWeights struct {
	w    [numDeep]int32
	seen uint16
}

func newDeepNodes(n int) []deepNode {
	t := make([]deepNode, n)
	for i := range t {
		t[i] = deepNode{firstMap, firstMap, firstMap}
	}
	return t
}

// decideDeep is decide for a deep node.
func (m *mixer) decideDeep(bit int, n *deepNode) int {
	x0, x1, x2 := m.logit(0), m.logit(1), m.logit(2)
	s0, s1, s2 := &n[0][x0>>6+32], &n[1][x1>>6+32], &n[2][x2>>6+32]
	y0, y1, y2 := stretchTable[*s0>>20], stretchTable[*s1>>20], stretchTable[*s2>>20]
	set := &m.deepWeights[m.deepSet]
	w := &set.w
	d := x0*(w[0]>>6) + x1*(w[1]>>6) + x2*(w[2]>>6) +
		y0*(w[3]>>6) + y1*(w[4]>>6) + y2*(w[5]>>6) + constantInput*(w[6]>>6)
	p := int32(squashTable[min(max(d>>14, -2047), 2047)+2048])
	if m.pricing {
		m.price += priceOf(bit, uint32(p))
		return bit
	}
	bit = m.coder.Bit(bit, uint32(p))
	e := rated(bit, p, &set.seen)
	for i, x := range [numDeep]int32{x0, x1, x2, y0, y1, y2, constantInput} {
		w[i] = adjusted(w[i], e*x)
	}
	target := int32(bit << 22)
	*s0 = move(*s0, target, rates[1024:], 600)
	*s1 = move(*s1, target, rates[1024:], 600)
	*s2 = move(*s2, target, rates[1024:], 600)
	return bit
}
