package mark

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// payload is keyed with signs that also carry a message, such as who a copy was made for.
// The message is the payload and a tag of 32 bits that only the owner of the key can
// make, in an error-correcting code: see [blocks]. So parts of several payloads, as in
// the average of two customers' copies, make no third one: they have no tag.
type payload struct{}

// tagSize is the size of the tag in bytes.
const tagSize = 4

// numbersPerChip is the least number of weights for each chip.
const numbersPerChip = 2

// Name implements [Scheme].
func (payload) Name() string { return "payload" }

// codeFor returns the code for that many bits.
func codeFor(bits int) blocks { return blocksOf(bits/8 + tagSize) }

// Capacity implements [Scheme].
func (payload) Capacity(set *tensor.Set, o *Options) (int, error) {
	list, err := carriers(set, or(o))
	if err != nil {
		return 0, err
	}
	return capacityOf(list), nil
}

func capacityOf(list []*tensor.Tensor) int {
	n := int64(0)
	for _, t := range list {
		n += t.Elems()
	}
	for bits := 8 * MaxPayload; bits > 0; bits -= 8 {
		if int64(codeFor(bits).chips())*numbersPerChip <= n {
			return bits
		}
	}
	return 0
}

// Plan implements [Scheme].
func (s payload) Plan(set *tensor.Set, key *Key, o *Options) (*Parameters, error) {
	o = or(o)
	list, err := carriers(set, o)
	if err != nil {
		return nil, err
	}
	p := &Parameters{Scheme: s.Name(), Tensors: names(list)}
	if err := p.takePayload(key, o, capacityOf(list)); err != nil {
		return nil, err
	}
	return p, planStrength(p, list, o)
}

// takePayload takes over what is to be written.
func (p *Parameters) takePayload(key *Key, o *Options, most int) error {
	p.payload = o.Payload
	if p.payload == nil {
		p.payload = key.Payload
	}
	switch n := 8 * len(p.payload); {
	case n == 0:
		return fmt.Errorf("%w: there is no payload to write, in the key neither", ErrOptions)
	case n > most:
		return fmt.Errorf("%w: it has %d bits, and %d fit into this network", ErrCapacity, n, most)
	default:
		p.Bits = n
	}
	return nil
}

// Cost implements [Scheme].
func (payload) Cost(set *tensor.Set, p *Parameters) (*Cost, error) { return additiveCost(set, p) }

// Embed implements [Scheme].
func (payload) Embed(set *tensor.Set, key *Key, p *Parameters) (*Embedded, error) {
	code, err := p.chips(key)
	if err != nil {
		return nil, err
	}
	return embedAdditive(set, key, p, code)
}

// chips returns the code of the payload that was planned, or that of the key.
func (p *Parameters) chips(key *Key) ([]int8, error) {
	b := p.payload
	if b == nil {
		b = key.Payload
	}
	if len(b) == 0 || 8*len(b) != p.Bits {
		return nil, fmt.Errorf("%w: the payload has %d bits, and the parameters say %d", ErrOptions, 8*len(b), p.Bits)
	}
	return codeFor(p.Bits).encode(tagged(key, b)), nil
}

// tagged returns a payload with its tag.
func tagged(s Secrets, payload []byte) []byte {
	tag, _ := s.Tag(payload)
	return append(bytes.Clone(payload), tag[:tagSize]...)
}

// Extract implements [Scheme].
func (payload) Extract(suspect, reference *tensor.Set, s Secrets, p *Parameters) (*Reading, error) {
	r, err := readPayload(suspect, s, p, against(reference, p, additive))
	return blind(r, reference == nil), err
}

// readPayload reads a message out of the signs.
func readPayload(suspect *tensor.Set, s Secrets, p *Parameters, residuals Residuals) (*Reading, error) {
	if p.Bits <= 0 || p.Bits > 8*MaxPayload || p.Bits%8 != 0 {
		return nil, fmt.Errorf("%w: the payload has %d bits, want a multiple of 8 up to %d", ErrOptions, p.Bits, 8*MaxPayload)
	}
	code := codeFor(p.Bits)
	r, parts, err := readSigns(suspect, s, p, code.chips(), residuals)
	if err != nil {
		return nil, err
	}
	all := &sums{}
	for _, part := range parts {
		all.merge(part)
	}
	if all.chips == nil { // all tensors were skipped
		all.chips, all.squares = make([]float64, code.chips()), make([]float64, code.chips())
	}
	r.Bits = p.Bits
	m := newMessages(code, all, s, p.Bits)
	best := m.best()
	// The message was chosen among all there are, each of which could have been read by
	// chance. One that was known before is one message alone.
	choices := float64(8*len(best)) * log10of2
	if m.valid(best) {
		choices = float64(p.Bits) * log10of2
	}
	known := knownPayload(s, p)
	if known != nil {
		wrong := differingBits(known, best[:p.Bits/8])
		ber := float64(wrong) / float64(p.Bits)
		r.Wrong, r.BER = &wrong, &ber
		if k, ok := s.(*Key); ok {
			// Two hypotheses are looked at: the known message, and any.
			choices += log10of2
			if mine := tagged(k, known); Bound(m.z(mine)) < Bound(m.z(best))+choices {
				best, choices = mine, log10of2
			}
		}
	}
	chips := code.encode(best)
	r.Z = m.z(best)
	r.Log10P = math.Min(0, Bound(r.Z)+choices)
	for i, part := range parts {
		l := &r.Layers[i]
		l.Z = part.zOf(chips)
		l.Log10P = math.Min(0, Bound(l.Z)+choices)
	}
	m.name(r)
	return r, nil
}

var log10of2 = math.Log10(2)

// knownPayload is what the key says has been written, if that has as many bits.
func knownPayload(s Secrets, p *Parameters) []byte {
	k, ok := s.(*Key)
	switch {
	case p.payload != nil:
		return p.payload
	case ok && 8*len(k.Payload) == p.Bits:
		return k.Payload
	}
	return nil
}

func differingBits(a, b []byte) int {
	n := 0
	for i := range a {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n
}

// zOf is the correlation with a code.
func (s *sums) zOf(chips []int8) float64 {
	if !(s.energy > 0) {
		return 0
	}
	dot := 0.0
	for i, c := range chips {
		dot += s.chips[i] * float64(c)
	}
	return dot / math.Sqrt(s.energy)
}

// messages are what the chips may say.
type messages struct {
	code    blocks
	all     *sums
	secret  Secrets
	bits    int
	found   [][]candidate // of each block, the best first
	certain [][]byte      // valid messages that are not chance
	any     []byte
}

// tries bounds the combinations of candidates of blocks that are looked at.
const tries = 4096

func newMessages(code blocks, all *sums, s Secrets, bits int) *messages {
	m := &messages{code: code, all: all, secret: s, bits: bits}
	keep := 1
	for keep < 8 && math.Pow(float64(keep+1), float64(len(code))) <= tries {
		keep++
	}
	m.found = code.decode(all.chips, all.squares, keep)
	at := make([]int, len(code))
	for {
		var b []byte
		for i, c := range m.found {
			b = append(b, c[at[i]].data...)
		}
		if m.any == nil {
			m.any = b
		}
		if m.valid(b) && m.log10P(b) <= ThresholdCommitted {
			m.certain = append(m.certain, b)
		}
		k := 0
		for ; k < len(at); k++ {
			if at[k]++; at[k] < len(m.found[k]) {
				break
			}
			at[k] = 0
		}
		if k == len(at) {
			break
		}
	}
	slices.SortStableFunc(m.certain, func(a, b []byte) int {
		if m.z(a) > m.z(b) {
			return -1
		}
		return 1
	})
	return m
}

func (m *messages) z(message []byte) float64 { return m.all.zOf(m.code.encode(message)) }

func (m *messages) log10P(message []byte) float64 {
	return Bound(m.z(message)) + float64(m.bits)*log10of2
}

// valid reports whether a message has its tag. A layer key cannot tell, and takes none.
func (m *messages) valid(message []byte) bool {
	tag, ok := m.secret.Tag(message[:m.bits/8])
	return ok && bytes.Equal(tag[:tagSize], message[m.bits/8:])
}

// best is the certain message of the best correlation, else what the chips say.
func (m *messages) best() []byte {
	if len(m.certain) > 0 {
		return m.certain[0]
	}
	return m.any
}

// name says in a reading which payloads are certain, and whether copies were mixed.
func (m *messages) name(r *Reading) {
	for _, c := range m.certain {
		r.Colluders = append(r.Colluders, hex.EncodeToString(c[:m.bits/8]))
	}
	r.Collusion = len(m.certain) > 1 || m.second()
	if len(m.certain) == 1 && !r.Collusion {
		r.Colluders = nil
	}
	if len(m.certain) == 1 {
		r.Payload = hex.EncodeToString(m.certain[0][:m.bits/8])
	}
}

// second reports whether a block says a second thing beside its best, in symbols where
// the two differ: each of these symbols then carries two values.
func (m *messages) second() bool {
	all := m.code.correlations(m.all.chips)
	from := 0
	for i, k := range m.code {
		n := codeRate * k
		first := spread(m.found[i][0].data)
		if Bound(m.blockZ(all, from, first, nil))+float64(8*k)*log10of2 > ThresholdCommitted {
			from += n
			continue // nothing is certain there
		}
		for _, c := range m.found[i][1:] {
			if Bound(m.blockZ(all, from, spread(c.data), first))+float64(8*k)*log10of2 <= ThresholdCommitted {
				return true
			}
		}
		from += n
	}
	return false
}

// blockZ is the correlation of symbols with their chips, of those that are not equal to
// the symbols but.
func (m *messages) blockZ(all [][256]float64, from int, symbols, but []byte) float64 {
	dot, energy := 0.0, 0.0
	for t, v := range symbols {
		if but != nil && v == but[t] {
			continue
		}
		dot += all[from+t][v]
		for _, q := range m.all.squares[(from+t)*chipsPerSymbol:][:chipsPerSymbol] {
			energy += q
		}
	}
	if energy == 0 {
		return 0
	}
	return dot / math.Sqrt(energy)
}
