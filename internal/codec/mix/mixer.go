package mix

const (
	numExperts  = 3
	numCounters = 8
	numInputs   = numVals + numExperts + 1

	weightMax  = 1<<21 - 1 // weight 2
	counterMin = 2097      // 1/2000

	massUnit = 1 << 24 // probability 1 of an expert
	massMin  = 335     // 2e-5

	constantInput = 102
)

// A mixer estimates the probability of a decision. Experts are distributions
// of the value, given by mean and scale, whose mass on either side of a
// threshold is a probability; each goes in as it is, and as an adaptive map
// corrects it. Counters remember what happened in a context. Two sets of
// weights, one for each node and one for each node and tap, mix all in the
// logistic domain; their mean is refined by an adaptive map.
type mixer struct {
	coder *coder
	nodes int // that can have counters and weights for each context

	firstDeep int // node, in this segment

	mean  [numExperts]int64
	inv   [numExperts]int64 // 2^30·256/scale, to be shifted
	shift [numExperts]uint
	// Distribution functions at the ends of the interval that is left, and
	// at the threshold.
	fa, fb, ft, fu [numExperts]int32
	no, yes        [numExperts]int32 // mass of either answer

	starts   [numCounters + 1]int
	counters []uint32
	maps     []uint32 // [expert][node][64]
	deep     []deepNode
	deepSet  uint32
	order0   []uint32 // [node]
	weights  []int32  // [1 + tap][node][input]
	seen     []uint16 // [1 + tap][node]

	deepWeights [deepSets]deepWeights
	final       []uint16 // [tap][node][33]
	tap         int

	lanes
	emaps [numExperts]*uint32
	dots  [2]int32 // probabilities by each set
	x     int32    // their mean, as a logit
	p     int32

	pricing bool
	price   uint32
}

func newMixer(c *coder, nodes, deep int, sizes [numCounters]int) *mixer {
	m := &mixer{coder: c, nodes: nodes, deep: newDeepNodes(deep)}
	n := 0
	for i, s := range sizes {
		m.starts[i] = n
		n += s * nodes
	}
	m.starts[numCounters] = n
	m.counters = filled(n, counterHalf)
	m.maps = make([]uint32, numExperts*nodes*64)
	for i := range m.maps {
		m.maps[i] = firstMap[i%64]
	}
	for i := range m.deepWeights {
		m.deepWeights[i].w = [numDeep]int32{22000, 22000, 22000, 22000, 22000, 22000, 0}
	}
	m.order0 = filled(nodes, counterHalf)
	sets := (1 + maxTaps) * nodes
	m.weights = make([]int32, sets*numInputs)
	for i := range m.weights {
		m.weights[i] = firstWeights[i%numInputs]
	}
	m.seen = make([]uint16, sets)
	m.final = make([]uint16, maxTaps*nodes*33)
	for i := range m.final {
		m.final[i] = uint16(squashTable[min(max((i%33-16)*128+2048, 0), 4095)])
	}
	return m
}

// firstWeights are about what weights become on trained networks.
var firstWeights = [numInputs]int32{
	45000, 45000, 45000, 45000, 45000, 45000, 45000, 45000,
	120000, 120000, 120000, 0, 140000, 140000, 140000, 0,
}

func filled(n int, v uint32) []uint32 {
	t := make([]uint32, n)
	for i := range t {
		t[i] = v
	}
	return t
}

// forget resets contexts a to b-1 of counter i.
func (m *mixer) forget(i, a, b int) {
	t := m.counters[m.starts[i]+a*m.nodes : m.starts[i]+b*m.nodes]
	for j := range t {
		t[j] = counterHalf
	}
}

// expert sets mean and logarithm of the scale of an expert.
func (m *mixer) expert(e int, mean int64, scale int32) {
	n := -max(scale, 0)
	m.mean[e] = mean
	m.inv[e] = int64(exp2Table[n&255])
	m.shift[e] = uint(22 - n>>8)
}

// meanBucket classes the mean of an expert relative to its scale.
func (m *mixer) meanBucket(e int) uint32 {
	return uint32(min(max(m.mean[e]*m.inv[e]*2>>(m.shift[e]+8)+8, 0), 15))
}

// context sets what selects counters, weights and the final map. The octave is
// below deepSets.
func (m *mixer) context(ctx [numCounters]uint32, tap, octave uint32) {
	for i, c := range ctx {
		at := m.starts[i] + int(c)*m.nodes
		_ = m.counters[at+m.nodes-1] // the fast path does not look
		m.base[i] = int32(at)
	}
	m.tap, m.deepSet = int(tap), octave
}

// cdf returns the distribution function of expert e.
func (m *mixer) cdf(e int, at int32) int32 {
	z := (int64(at) - m.mean[e]) * m.inv[e] >> m.shift[e]
	return int32(logisticTable[min(max(z, -2047), 2047)+2048])
}

func (m *mixer) begin() {
	m.fa = [numExperts]int32{}
	m.fb = [numExperts]int32{massUnit, massUnit, massUnit}
}

// around asks: the mode, or another level?
func (m *mixer) around(thr []int32, mode, last int) {
	for e := range m.ft {
		m.ft[e], m.fu[e] = 0, massUnit
		if mode > 0 {
			m.ft[e] = m.cdf(e, thr[mode])
		}
		if mode < last {
			m.fu[e] = m.cdf(e, thr[mode+1])
		}
		m.no[e] = m.fu[e] - m.ft[e]
		m.yes[e] = massUnit - m.no[e]
	}
}

// sides asks, after around: above the mode?
func (m *mixer) sides() {
	for e := range m.ft {
		m.no[e], m.yes[e] = m.ft[e], massUnit-m.fu[e]
	}
}

func (m *mixer) takeSide(side int) {
	if side == 0 {
		m.fb = m.ft
	} else {
		m.fa = m.fu
	}
}

// cut asks: above this threshold?
func (m *mixer) cut(thr int32) {
	for e := range m.ft {
		f := m.cdf(e, thr)
		m.ft[e] = f
		m.no[e], m.yes[e] = f-m.fa[e], m.fb[e]-f
	}
}

func (m *mixer) take(bit int) {
	if bit == 0 {
		m.fb = m.ft
	} else {
		m.fa = m.ft
	}
}

// logit returns what expert e says.
func (m *mixer) logit(e int) int32 {
	s := (log2(uint64(max(m.yes[e], 0)+massMin)) - log2(uint64(max(m.no[e], 0)+massMin))) * 177 >> 8
	return min(max(s, -1945), 1945)
}

// predict sets p.
func (m *mixer) predict(node int) {
	for e := range numExperts {
		s := m.logit(e)
		m.in[numVals+e] = s
		x := &m.maps[(e*m.nodes+node)*64+int(s>>6)+32]
		m.emaps[e] = x
		m.val[laneMap+e] = *x
	}
	m.val[laneOrder] = m.order0[node]
	m.in[numInputs-1] = constantInput
	a, b := m.sets(node)
	var da, db int32
	if fast {
		da, db = predictLanesAVX2(&m.lanes, &m.counters[node], a, b)
	} else {
		da, db = predictLanes(&m.lanes, m.counters[node:], a, b)
	}
	m.dots[0] = int32(squashTable[min(max(da, -2047), 2047)+2048])
	m.dots[1] = int32(squashTable[min(max(db, -2047), 2047)+2048])
	m.x = min(max((da+db)>>1, -2047), 2047)
	j, r := (m.x+2048)>>7, (m.x+2048)&127
	f := m.final[(m.tap*m.nodes+node)*33+int(j):][:2]
	refined := (int32(f[0])*(128-r) + int32(f[1])*r) >> 7
	p := (int32(squashTable[m.x+2048])*3 + refined*2) / 5
	m.p = min(max(p, 2), 65534)
}

// sets returns the two sets of weights for a node.
func (m *mixer) sets(node int) (a, b *[numInputs]int32) {
	return (*[numInputs]int32)(m.weights[node*numInputs:]),
		(*[numInputs]int32)(m.weights[((1+m.tap)*m.nodes+node)*numInputs:])
}

// decide codes one decision, whose masses are set. While pricing, it adds what
// that would take instead, in bits/65536, and learns nothing.
func (m *mixer) decide(bit int, id int32) int {
	node := int(id)
	if node >= m.firstDeep {
		return m.decideDeep(bit, &m.deep[node])
	}
	m.predict(node)
	if m.pricing {
		m.price += priceOf(bit, uint32(m.p))
		return bit
	}
	bit = m.coder.Bit(bit, uint32(m.p))
	m.adapt(bit, node)
	return bit
}

// priceOf returns what a decision takes whose probability of 1 is p, of 2^16,
// in bits/65536.
func priceOf(bit int, p uint32) uint32 {
	if bit == 0 {
		p = 1<<16 - p
	}
	return uint32(16<<8-log2(uint64(p))) << 8
}

// adapt learns from a decision that was predicted last.
func (m *mixer) adapt(bit, node int) {
	a, b := m.sets(node)
	ea := rated(bit, m.dots[0], &m.seen[node])
	eb := rated(bit, m.dots[1], &m.seen[(1+m.tap)*m.nodes+node])
	if target := int32(bit << 22); fast {
		learnLanesAVX2(&m.lanes, &m.counters[node], a, b, ea, eb, target)
	} else {
		learnLanes(&m.lanes, m.counters[node:], a, b, ea, eb, target)
	}
	for e, s := range m.emaps {
		*s = m.val[laneMap+e]
	}
	m.order0[node] = m.val[laneOrder]
	j, r := (m.x+2048)>>7, (m.x+2048)&127
	f := m.final[(m.tap*m.nodes+node)*33+int(j):][:2]
	to := int32(bit * 65535)
	f[0] += uint16((to - int32(f[0])) * (128 - r) * 5 >> 15)
	f[1] += uint16((to - int32(f[1])) * r * 5 >> 15)
}

// rated returns the error of a probability times the rate of learning, and
// counts the decision.
func rated(bit int, p int32, seen *uint16) int32 {
	n := *seen
	rate := mixRates[n]
	if n < uint16(len(mixRates)-1) {
		*seen = n + 1
	}
	return (int32(bit<<16) - p) * rate >> 12
}

// adjusted returns a weight after a step.
func adjusted(w, step int32) int32 {
	return min(max(w+(step+128)>>8, -weightMax), weightMax)
}

var (
	confidence [1024]int32 // how far a counter is believed, of 256
	rates      [2048]int32 // of counters, then of maps: 65536/(n + 1 + d), d = 0.6 and 6
	mixRates   [1024]int32
	firstMap   [64]uint32 // the class of a logit: its middle, nothing seen yet
)

func init() {
	for i := range firstMap {
		firstMap[i] = squashTable[(i-32)*64+32+2048] << 16
	}
	for n := range 1024 {
		confidence[n] = int32((512 + 20480*n/(10*n+15)) / 10)
		rates[n] = int32(655360 / (10*(n+1) + 6))
		rates[1024+n] = int32(655360 / (10*(n+1) + 60))
		mixRates[n] = int32(max(65550/(50+n), 131))
	}
}
