package mix

const (
	numExperts  = 3
	numCounters = 8
	numInputs   = 2*numExperts + numCounters + 2

	mixUnit  = 1 << 20 // weight 1
	massUnit = 1 << 24 // probability 1 of an expert
	massMin  = 335     // 2e-5
)

// A mixer estimates the probability of a decision. Experts are distributions
// of the value, given by mean and scale, whose mass on either side of a
// threshold is a probability; each goes in as it is, and as an adaptive map
// corrects it. Counters remember what happened in a context. Two sets of
// weights, one for each node and one for each node and tap, mix all in the
// logistic domain; their mean is refined by an adaptive map.
type mixer struct {
	coder *coder
	nodes int

	mean  [numExperts]int64
	inv   [numExperts]int64 // 2^30·256/scale, to be shifted
	shift [numExperts]uint
	// Distribution functions at the ends of the interval that is left, and
	// at the threshold.
	fa, fb, ft, fu [numExperts]int32
	no, yes        [numExperts]int32 // mass of either answer

	base     [numCounters]int // of the counters of a context, of all nodes
	starts   [numCounters + 1]int
	counters []uint32
	maps     []uint32 // [expert][node][64]
	order0   []uint32 // [node]
	weights  []int32  // [1 + tap][node][input]
	seen     []uint16 // [1 + tap][node]
	final    []uint16 // [tap][node][33]
	tap      int

	in    [numInputs]int32
	slots [numCounters]*uint32
	emaps [numExperts]*uint32
	dots  [2]int32 // probabilities by each set
	x     int32    // their mean, as a logit
	p     int32
}

func newMixer(c *coder, nodes int, sizes [numCounters]int) *mixer {
	m := &mixer{coder: c, nodes: nodes}
	n := 0
	for i, s := range sizes {
		m.starts[i] = n
		n += s * nodes
	}
	m.starts[numCounters] = n
	m.counters = filled(n, counterHalf)
	m.maps = make([]uint32, numExperts*nodes*64)
	for i := range m.maps {
		m.maps[i] = squashTable[(i%64-32)*64+32+2048] << 16
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
	140000, 140000, 140000, 120000, 120000, 120000,
	45000, 45000, 45000, 45000, 45000, 45000, 45000, 45000, 0, 0,
}

func filled(n int, v uint32) []uint32 {
	t := make([]uint32, n)
	for i := range t {
		t[i] = v
	}
	return t
}

// forget resets the first n contexts of counter i.
func (m *mixer) forget(i, n int) {
	t := m.counters[m.starts[i] : m.starts[i]+n*m.nodes]
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

// context sets what selects counters, weights and the final map.
func (m *mixer) context(ctx [numCounters]uint32, tap uint32) {
	for i, c := range ctx {
		m.base[i] = m.starts[i] + int(c)*m.nodes
	}
	m.tap = int(tap)
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

// predict sets p.
func (m *mixer) predict(node int) {
	in := &m.in
	for e := range numExperts {
		s := (log2(uint64(max(m.yes[e], 0)+massMin)) - log2(uint64(max(m.no[e], 0)+massMin))) * 177 >> 8
		s = min(max(s, -1945), 1945)
		in[e] = s
		x := &m.maps[(e*m.nodes+node)*64+int(s>>6)+32]
		m.emaps[e] = x
		in[numExperts+e] = stretchTable[*x>>20]
	}
	z := m.order0[node]
	for i := range numCounters {
		s := &m.counters[m.base[i]+node]
		n := *s & 1023
		if n == 0 {
			*s = z &^ 1023
		}
		m.slots[i] = s
		in[2*numExperts+i] = stretchTable[*s>>20] * confidence[n] >> 8
	}
	in[numInputs-2] = 102
	in[numInputs-1] = stretchTable[z>>20]
	a := (*[numInputs]int32)(m.weights[node*numInputs:])
	b := (*[numInputs]int32)(m.weights[((1+m.tap)*m.nodes+node)*numInputs:])
	var da, db int64
	for i, x := range in {
		da += int64(x) * int64(a[i])
		db += int64(x) * int64(b[i])
	}
	da >>= 20
	db >>= 20
	m.dots[0] = int32(squashTable[min(max(da, -2047), 2047)+2048])
	m.dots[1] = int32(squashTable[min(max(db, -2047), 2047)+2048])
	m.x = int32(min(max((da+db)>>1, -2047), 2047))
	j, r := (m.x+2048)>>7, (m.x+2048)&127
	f := m.final[(m.tap*m.nodes+node)*33+int(j):][:2]
	refined := (int32(f[0])*(128-r) + int32(f[1])*r) >> 7
	p := (int32(squashTable[m.x+2048])*3 + refined*2) / 5
	m.p = min(max(p, 2), 65534)
}

// decide codes one decision, whose masses are set.
func (m *mixer) decide(bit int, id int32) int {
	node := int(id)
	m.predict(node)
	bit = m.coder.bit(bit, uint32(m.p))
	m.adapt(bit, node)
	return bit
}

// price returns what decide would take for bit, in bits/65536.
func (m *mixer) price(bit int, id int32) uint32 {
	m.predict(int(id))
	p := m.p
	if bit == 0 {
		p = 65536 - p
	}
	return uint32((16<<8 - log2(uint64(p))) << 8)
}

// adapt learns from a decision that was predicted last.
func (m *mixer) adapt(bit, node int) {
	one := int32(bit << 16)
	for s, at := range [2]int{node, (1+m.tap)*m.nodes + node} {
		n := &m.seen[at]
		rate := mixRates[*n]
		if *n < uint16(len(mixRates)-1) {
			*n++
		}
		e := (one - m.dots[s]) * rate >> 12
		w := (*[numInputs]int32)(m.weights[at*numInputs:])
		for i, x := range m.in {
			w[i] += (e*x + 128) >> 8
		}
	}
	for _, s := range m.slots {
		*s = move(*s, bit, counterRates, 250)
	}
	for _, s := range m.emaps {
		*s = move(*s, bit, mapRates, 600)
	}
	m.order0[node] = move(m.order0[node], bit, counterRates, 1000)
	j, r := (m.x+2048)>>7, (m.x+2048)&127
	f := m.final[(m.tap*m.nodes+node)*33+int(j):][:2]
	to := int32(bit * 65535)
	f[0] += uint16((to - int32(f[0])) * (128 - r) * 5 >> 15)
	f[1] += uint16((to - int32(f[1])) * r * 5 >> 15)
}

// move brings a counter nearer to a decision, and counts it.
func move(s uint32, bit int, rates *[1024]int32, limit uint32) uint32 {
	n := s & 1023
	q := int32(s >> 10)
	q += int32(int64(int32(bit<<22)-q) * int64(rates[n]) >> 16)
	q = min(max(q, 2097), 1<<22-2097) // 1/2000
	if n < limit {
		n++
	}
	return uint32(q)<<10 | n
}

var (
	confidence   [1024]int32 // how far a counter is believed, of 256
	counterRates = rateTable(6)
	mapRates     = rateTable(60)
	mixRates     [1024]int32
)

// rateTable returns 65536/(n + 1 + d/10).
func rateTable(d int) *[1024]int32 {
	t := new([1024]int32)
	for n := range t {
		t[n] = int32(655360 / (10*(n+1) + d))
	}
	return t
}

func init() {
	for n := range confidence {
		confidence[n] = int32((512 + 20480*n/(10*n+15)) / 10)
		mixRates[n] = int32(max(65550/(50+n), 131))
	}
}
