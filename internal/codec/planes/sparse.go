package planes

import (
	"encoding/binary"
	"math/bits"
)

// zeros returns how many of a thousand elements are zero, by a sample.
func zeros(src []byte, width int) int {
	n := len(src) / width
	zeros, seen := 0, 0
	for i := 0; i < n; i += stride(n) {
		if load(src[i*width:], width, None) == 0 {
			zeros++
		}
		seen++
	}
	return zeros * 1000 / seen
}

// appendSparse codes a bitmap of the elements that are not zero, and those.
func (e *Encoder) appendSparse(dst, src []byte, width int, t Transform) []byte {
	n := len(src) / width
	e.mask, e.values = resize(e.mask, (n+7)/8), resize(e.values, len(src))
	values := compact(e.values, e.mask, src, width)
	dst = e.appendBytes(append(dst, chunkSparse), e.mask)
	if len(values) > 0 {
		dst = e.appendDense(dst, values, width, t)
	}
	return dst
}

// compact copies the elements that are not zero to the beginning of dst, and
// sets their bits in mask. An element is written in any case, and overwritten
// if it is zero: so nothing depends on a guess which it will be.
func compact(dst, mask, src []byte, width int) []byte {
	n := len(src) / width
	at := 0
	for i := range mask {
		var m uint64
		for k := i * 8; k < min(i*8+8, n); k++ {
			v := load(src[k*width:], width, None)
			store(dst[at:], width, v)
			bit := (v | -v) >> 63
			m |= bit << (k & 7)
			at += width & -int(bit)
		}
		mask[i] = byte(m)
	}
	return dst[:at]
}

// expand undoes compact: the values are at the beginning of dst. It goes
// backwards, 64 elements at a time, so that none is overwritten unread: those
// of a group are at most as far back as the group itself. mask has eight bytes
// more than there are bits for.
func expand(dst, mask []byte, values, width int) {
	var group [64 * 8]byte
	n := len(dst) / width
	for i := (n - 1) &^ 63; i >= 0; i -= 64 {
		m := binary.LittleEndian.Uint64(mask[i/8:])
		first := values - bits.OnesCount64(m)
		copy(group[:], dst[first*width:values*width])
		values = first
		part := dst[i*width : min(i+64, n)*width]
		clear(part)
		for from := 0; m != 0; m &= m - 1 {
			store(part[bits.TrailingZeros64(m)*width:], width, load(group[from:], width, None))
			from += width
		}
	}
}

// decodeSparse decodes the chunk that appendSparse codes.
func (d *Decoder) decodeSparse(dst, coded []byte, width int, t Transform) (rest []byte, err error) {
	n := len(dst) / width
	if d.mask == nil {
		d.mask = new(buffer)
	}
	mask := d.mask[:(n+7)/8]
	coded, err = d.decodeBytes(d.mask, len(mask), coded)
	if err != nil {
		return nil, err
	}
	if n%8 != 0 && mask[n/8]>>(n%8) != 0 {
		return nil, corrupt("bits behind the last element")
	}
	clear(d.mask[len(mask) : len(mask)+8])
	ones := 0
	for _, b := range mask {
		ones += bits.OnesCount8(b)
	}
	if ones == 0 {
		clear(dst)
		return coded, nil
	}
	if coded, err = d.decodeDense(dst[:ones*width], coded, width, t); err != nil {
		return nil, err
	}
	expand(dst, d.mask[:], ones, width)
	return coded, nil
}
