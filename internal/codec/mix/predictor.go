package mix

const (
	maxInputs = 8

	counterHalf  = 1 << 31 // probability one half, nothing seen yet
	counterLimit = 255     // decisions after which a counter forgets at a fixed rate

	weightOne  = 1 << 16
	weightInit = weightOne * 15 / 100
	// errShift scales logit × error to a change of weight: a learning rate
	// of 1/32. Half or twice that costs 0.05 % on ResNet-20 and -32.
	errShift = 15
)

// A predictor codes decisions, each with a probability mixed from the counters
// of several contexts. The caller sets ctx and set, then codes one or more
// decisions (nodes) under them.
type predictor struct {
	*coder
	inputs int
	nodes  uint32

	ctx [maxInputs]uint32 // the context of each input, below its size
	set uint32            // which set of mixing weights, below sets

	counters [maxInputs][]uint32 // [context][node]: probability 22 bits, count 10 bits
	weights  []int32             // [set][node][input + bias]
}

// newPredictor makes a predictor whose input i distinguishes sizes[i] contexts.
func newPredictor(c *coder, nodes, sets int, sizes ...int) *predictor {
	p := &predictor{coder: c, inputs: len(sizes), nodes: uint32(nodes)}
	for i, n := range sizes {
		t := make([]uint32, n*nodes)
		for j := range t {
			t[j] = counterHalf
		}
		p.counters[i] = t
	}
	p.weights = make([]int32, sets*nodes*(len(sizes)+1))
	for i := range p.weights {
		p.weights[i] = weightInit
	}
	return p
}

// decide codes one decision.
func (p *predictor) decide(bit int, node uint32) int {
	n := p.inputs
	var logits [maxInputs + 1]int32
	var slots [maxInputs]*uint32
	at := int(p.set*p.nodes+node) * (n + 1)
	w := p.weights[at : at+n+1]
	var dot int64
	for i := range n {
		s := &p.counters[i][p.ctx[i]*p.nodes+node]
		slots[i] = s
		x := stretchTable[*s>>20]
		logits[i] = x
		dot += int64(x) * int64(w[i])
	}
	logits[n] = 256 // bias
	dot += 256 * int64(w[n])
	x := min(max(dot>>16, logitMin), logitMax)
	prob := squashTable[x+2048]

	bit = p.coder.Bit(bit, prob)

	err := int32(bit<<16) - int32(prob)
	for i := range w {
		w[i] += (logits[i]*err + 1<<(errShift-1)) >> errShift
	}
	for i := range n {
		*slots[i] = learn(*slots[i], bit)
	}
	return bit
}

// learn moves a counter towards the decision: by 1/(n+2) of the distance
// after n decisions, so that the first one counts most.
func learn(s uint32, bit int) uint32 {
	n := s & 1023
	q := int32(s >> 10)
	q += int32(int64(int32(bit<<22)-q) * int64(reciprocal[n]) >> 16)
	q = min(max(q, 1<<10), 1<<22-1<<10)
	if n < counterLimit {
		n++
	}
	return uint32(q)<<10 | n
}

// single codes a decision with one counter and no mixing: for decisions that
// are nearly even anyway.
func (c *coder) single(s *uint32, bit int) int {
	bit = c.Bit(bit, min(max(*s>>16, 32), 65535-32))
	*s = learn(*s, bit)
	return bit
}

// Nodes of a signed number: zero?, sign, then "more than k?" for each sign.
const (
	unaryMax  = 20
	valueBits = 14 // of the part above unaryMax
	valueNode = 2 + 2*unaryMax
)

// A number codes signed values with a predictor: is it zero, its sign, then
// its magnitude in unary, and above unaryMax in binary with a unary length.
type number struct {
	*predictor
	long [2][valueBits + 1]uint32 // counters of the length of what exceeds unaryMax
}

func newNumber(c *coder, sets int, sizes ...int) *number {
	n := &number{predictor: newPredictor(c, valueNode, sets, sizes...)}
	for s := range n.long {
		for i := range n.long[s] {
			n.long[s][i] = counterHalf
		}
	}
	return n
}

// code codes v, where lo <= v <= hi and lo <= 0 <= hi. Decisions that the
// bounds leave no choice for are not coded. Decoding, v is ignored.
func (n *number) code(v, lo, hi int) int {
	if lo == hi {
		return 0
	}
	if n.decide(b2i(v != 0), 0) == 0 {
		return 0
	}
	sign := b2i(v < 0)
	switch {
	case hi == 0:
		sign = 1
	case lo == 0:
		sign = 0
	default:
		sign = n.decide(sign, 1)
	}
	limit, mag := hi, v
	if sign == 1 {
		limit, mag = -lo, -v
	}
	m := 1
	for m < limit {
		if m > unaryMax-1 {
			m += n.excess(mag-m, limit-m, sign)
			break
		}
		if n.decide(b2i(mag > m), uint32(2+2*(m-1)+sign)) == 0 {
			break
		}
		m++
	}
	if sign == 1 {
		return -m
	}
	return m
}

// excess codes 0 <= x <= limit as the length of x+1 in unary and its lower
// bits as they are.
func (n *number) excess(x, limit, sign int) int {
	length := 0
	for length < valueBits && n.single(&n.long[sign][length], b2i((x+1)>>(length+1) != 0)) == 1 {
		length++
	}
	y := 1
	for i := length - 1; i >= 0; i-- {
		y = y<<1 | n.Bit((x+1)>>i&1, 1<<15)
	}
	return min(max(y-1, 0), limit) // a damaged block may exceed the limit
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
