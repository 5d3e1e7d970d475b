package lanes

import "encoding/binary"

// at returns the number of the table for a class, which may be any, and a
// weighted sum of earlier values.
func (m *model) at(class int, sum int64) int {
	s := min(max(class, 0), m.scales-1)
	return s*m.width + m.means + m.mean(sum, m.gain[s])
}

// mean returns the number of the mean for a sum and the gain of a scale.
func (m *model) mean(sum, gain int64) int {
	// The sum counts 1/32, the gain 2^32 for the scale, a mean half of it.
	v := int((sum>>8*gain + 1<<27) >> 28)
	return min(max(v, -m.means), m.means)
}

// symbol decodes a symbol of lane l with table t. It reports whether the words
// were enough.
func (d *decoder) symbol(l, t int) (v int, ok bool) {
	x := d.states[l]
	slot := x & (total - 1)
	shift := totalBits - d.model.buckets
	place := slot & (1<<shift - 1)
	pair := &d.table[t<<d.model.buckets+int(slot>>shift)]
	e := pair[0]
	if uint64(place) >= e>>48 {
		e = pair[1]
	}
	x = uint32(e>>16&0xffff)*(x>>totalBits) + (uint32(e)+place)&0xffff
	if x < lowState {
		switch {
		case len(d.words) >= 2:
			x = x<<wordBits | uint32(binary.LittleEndian.Uint16(d.words))
			d.words = d.words[2:]
		case d.lanes > 1:
			return 0, false
		}
	}
	d.states[l] = x
	return int(e >> 32 & 0xffff), true
}

// A plainReader reads bits, the lowest of a byte first.
type plainReader struct {
	src  []byte
	last uint64
	n    uint
}

// bits returns the next n bits, n <= 8, which the caller knows to be there.
func (r *plainReader) bits(n uint) uint16 {
	if r.n < n {
		r.last |= uint64(r.src[0]) << r.n
		r.src = r.src[1:]
		r.n += 8
	}
	v := uint16(r.last & (1<<n - 1))
	r.last >>= n
	r.n -= n
	return v
}

// extend puts plain bits below symbols, each of which must be below limit then.
func (r *plainReader) extend(syms []uint16, n uint, limit int) bool {
	high := uint16(0)
	for i, s := range syms {
		s = s<<n | r.bits(n)
		high = max(high, s)
		syms[i] = s
	}
	return int(high) < limit
}
