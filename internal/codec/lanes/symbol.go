package lanes

import "encoding/binary"

// at returns the number of the table for a class, which may be any, and a
// weighted sum of earlier values.
func (m *model) at(class int, sum int64) int {
	s := min(max(class, 0), m.scales-1)
	// The sum counts 1/32, the gain 2^32 for the scale, a mean half of it.
	v := int((sum>>8*m.gain[s] + 1<<27) >> 28)
	return s*m.width + m.means + min(max(v, -m.means), m.means)
}

// symbol decodes a symbol of lane l with table t. It reports whether the words
// were enough.
func (d *decoder) symbol(l, t int) (v int, ok bool) {
	m := &d.model
	x := d.states[l]
	slot := x & (total - 1)
	shift := totalBits - m.buckets
	place := slot & (1<<shift - 1)
	pair := &d.table[t<<m.buckets+int(slot>>shift)]
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
	v = int(e >> 32 & 0xffff)
	if m.split > 0 {
		v = min(v<<m.split|int(d.plain.bits(m.split)), len(m.values)-1)
	}
	return v, true
}

// A plainReader reads bits, the lowest of a byte first.
type plainReader struct {
	src []byte
	at  int // in bits
}

// bits returns the next n bits, n <= 8, which the caller knows to be there.
func (r *plainReader) bits(n uint) uint32 {
	i := r.at >> 3
	x := uint32(r.src[i])
	if i+1 < len(r.src) {
		x |= uint32(r.src[i+1]) << 8
	}
	x >>= r.at & 7
	r.at += int(n)
	return x & (1<<n - 1)
}
