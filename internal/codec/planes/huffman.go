package planes

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	maxBits = 12 // length of the longest code word
	streams = 4  // independent bit streams of a plane
)

// A code is a canonical Huffman code: lengths decide everything. Words of
// equal length are in the order of their symbols; bits are written lowest
// first, so words are kept reversed.
type code struct {
	lens  [256]uint8
	words [256]uint16
}

// histogram counts bytes, in four tables so that runs of one byte do not wait
// for each other.
func histogram(b []byte) [256]uint32 {
	var h [4][256]uint32
	for len(b) >= 8 {
		v := binary.LittleEndian.Uint64(b)
		h[0][v&255]++
		h[1][v>>8&255]++
		h[2][v>>16&255]++
		h[3][v>>24&255]++
		h[0][v>>32&255]++
		h[1][v>>40&255]++
		h[2][v>>48&255]++
		h[3][v>>56]++
		b = b[8:]
	}
	for _, x := range b {
		h[0][x]++
	}
	for i := range h[0] {
		h[0][i] += h[1][i] + h[2][i] + h[3][i]
	}
	return h[0]
}

// newCode returns the optimal code with words of at most maxBits for at least
// two symbols, by package-merge: coins of value 2^-1 … 2^-maxBits for each
// symbol are merged in pairs, and the cheapest 2n-2 packages are bought.
func newCode(hist *[256]uint32) *code {
	var syms []int
	for s, h := range hist {
		if h > 0 {
			syms = append(syms, s)
		}
	}
	slices.SortStableFunc(syms, func(a, b int) int { return int(int64(hist[a]) - int64(hist[b])) })
	// The leaves that a level takes are always its cheapest, so it is enough
	// to know which items of a level are leaves.
	n := len(syms)
	type item struct {
		weight uint64
		leaf   bool
	}
	levels := make([][]item, maxBits)
	var prev []item
	for l := range maxBits {
		merged := make([]item, 0, n+len(prev)/2)
		i, j := 0, 0
		for i < n || j+1 < len(prev) {
			var pair uint64
			if j+1 < len(prev) {
				pair = prev[j].weight + prev[j+1].weight
			}
			if i < n && (j+1 >= len(prev) || uint64(hist[syms[i]]) <= pair) {
				merged = append(merged, item{uint64(hist[syms[i]]), true})
				i++
			} else {
				merged = append(merged, item{pair, false})
				j += 2
			}
		}
		levels[l], prev = merged, merged
	}
	c := &code{}
	take := 2*n - 2
	for l := maxBits - 1; l >= 0 && take > 0; l-- {
		leaves, packages := 0, 0
		for _, it := range levels[l][:take] {
			if it.leaf {
				leaves++
			} else {
				packages++
			}
		}
		for _, s := range syms[:leaves] {
			c.lens[s]++
		}
		take = 2 * packages
	}
	c.assign()
	return c
}

// assign gives each symbol its word, from the lengths.
func (c *code) assign() {
	var count, next [maxBits + 1]uint32
	for _, l := range c.lens {
		count[l]++
	}
	count[0] = 0
	word := uint32(0)
	for l := 1; l <= maxBits; l++ {
		word = (word + count[l-1]) << 1
		next[l] = word
	}
	for s, l := range c.lens {
		if l > 0 {
			c.words[s] = bits.Reverse16(uint16(next[l])) >> (16 - l)
			next[l]++
		}
	}
}

// size returns the bytes that append will take, or a few more.
func (c *code) size(hist *[256]uint32) int {
	n := 0
	for s, h := range hist {
		n += int(h) * int(c.lens[s])
	}
	first, last := c.used()
	return n/8 + 2 + (last-first)/2 + 1 + streams*4
}

// used returns the first and the last symbol that have a word.
func (c *code) used() (first, last int) {
	first = 256
	for s, l := range c.lens {
		if l > 0 {
			first, last = min(first, s), s
		}
	}
	return first, last
}

// append codes a plane: the first and last symbol, a nibble with the length of
// each from the first to the last, the sizes of the streams in four bytes each,
// and the streams. Each stream holds a quarter of the plane. size is what
// [code.size] returned for the plane.
func (c *code) append(dst, plane []byte, size int) []byte {
	dst = slices.Grow(dst, size+streams+8)
	first, last := c.used()
	dst = append(dst, byte(first), byte(last))
	for s := first; s <= last; s += 2 {
		b := c.lens[s]
		if s < last {
			b |= c.lens[s+1] << 4
		}
		dst = append(dst, b)
	}
	sizes := len(dst)
	dst = append(dst, make([]byte, 4*streams)...)
	quarter := (len(plane) + streams - 1) / streams
	for k := range streams {
		part := plane[min(k*quarter, len(plane)):min((k+1)*quarter, len(plane))]
		at := len(dst)
		dst = c.appendStream(dst, part)
		binary.LittleEndian.PutUint32(dst[sizes+4*k:], uint32(len(dst)-at))
	}
	return dst
}

// appendStream writes the words of all symbols, lowest bit first. There must be
// room for them, and for eight bytes more, behind dst.
func (c *code) appendStream(dst, part []byte) []byte {
	var packed [256]uint32 // word, and its length in the top byte
	for s := range packed {
		packed[s] = uint32(c.words[s]) | uint32(c.lens[s])<<24
	}
	at := len(dst)
	out := dst[at:cap(dst)]
	pos := 0
	var acc uint64
	var n uint
	for len(part) >= 4 { // 7 + 4·12 bits fit
		a, b, e, f := packed[part[0]], packed[part[1]], packed[part[2]], packed[part[3]]
		acc |= uint64(a&0xffff) << n
		n += uint(a >> 24)
		acc |= uint64(b&0xffff) << n
		n += uint(b >> 24)
		acc |= uint64(e&0xffff) << n
		n += uint(e >> 24)
		acc |= uint64(f&0xffff) << n
		n += uint(f >> 24)
		binary.LittleEndian.PutUint64(out[pos:], acc)
		pos += int(n >> 3)
		acc >>= n &^ 7 & 63
		n &= 7
		part = part[4:]
	}
	for _, s := range part {
		acc |= uint64(packed[s]&0xffff) << n
		n += uint(packed[s] >> 24)
	}
	for ; n > 0; n -= min(n, 8) {
		out[pos] = byte(acc)
		acc >>= 8
		pos++
	}
	return dst[:at+pos]
}

// A table maps the next maxBits bits to up to three symbols: the symbols in
// the low 24 bits, the bits they take from bit 24, how many they are from 28.
type table [1 << maxBits]uint32

func entry(syms uint32, length uint8, count int) uint32 {
	return syms | uint32(length)<<24 | uint32(count)<<28
}

func entryBits(e uint32) uint { return uint(e >> 24 & 15) }
func entryCount(e uint32) int { return int(e >> 28) }

// newTable fills in both tables: of single symbols, and of several.
func (c *code) newTable(single, multi *table) {
	for s, l := range c.lens {
		if l == 0 {
			continue
		}
		for w := int(c.words[s]); w < 1<<maxBits; w += 1 << l {
			single[w] = entry(uint32(s), l, 1)
		}
	}
	for w := range multi {
		e := single[w]
		syms, length, count := e&255, entryBits(e), 1
		for count < 3 {
			// What follows is known up to maxBits - length bits.
			next := single[w>>length]
			if length+entryBits(next) > maxBits {
				break
			}
			syms |= next & 255 << (8 * count)
			length += entryBits(next)
			count++
		}
		multi[w] = entry(syms, uint8(length), count)
	}
}

// decodeHuffman fills plane and returns what follows in coded.
func decodeHuffman(plane, coded []byte) (rest []byte, err error) {
	if len(coded) < 2 || coded[0] >= coded[1] {
		return nil, ErrCorrupt
	}
	first, last := int(coded[0]), int(coded[1])
	head := 2 + (last-first)/2 + 1
	if len(coded) < head+4*streams {
		return nil, ErrCorrupt
	}
	var c code
	for s := first; s <= last; s++ {
		l := coded[2+(s-first)/2] >> (4 * ((s - first) & 1)) & 15
		if l > maxBits {
			return nil, ErrCorrupt
		}
		c.lens[s] = l
	}
	if !c.complete() || (last-first)%2 == 0 && coded[head-1]>>4 != 0 {
		return nil, ErrCorrupt
	}
	c.assign()
	sizes, body := coded[head:head+4*streams], coded[head+4*streams:]
	var parts [streams][]byte
	for k := range parts {
		size := uint64(binary.LittleEndian.Uint32(sizes[4*k:]))
		if size > uint64(len(body)) {
			return nil, ErrCorrupt
		}
		parts[k], body = body[:size:size], body[size:]
	}
	var single, multi table
	c.newTable(&single, &multi)
	quarter := (len(plane) + streams - 1) / streams
	var outs [streams][]byte
	for k := range outs {
		outs[k] = plane[min(k*quarter, len(plane)):min((k+1)*quarter, len(plane))]
	}
	var rs [streams]bitReader
	for k := range rs {
		rs[k].in = parts[k]
	}
	done := decodeFour(&outs, &rs, &multi)
	for k := range outs {
		if !rs[k].finish(outs[k][done[k]:], &single) {
			return nil, ErrCorrupt
		}
	}
	return body, nil
}

// complete reports whether the lengths use the space of words exactly.
func (c *code) complete() bool {
	sum := 0
	for _, l := range c.lens {
		if l > 0 {
			sum += 1 << (maxBits - l)
		}
	}
	return sum == 1<<maxBits
}

// A bitReader takes bits from a stream, lowest first. acc holds n of them, and
// whatever is loaded above.
type bitReader struct {
	in  []byte
	pos int
	acc uint64
	n   uint
}

// decodeFour decodes all streams side by side, as long as each has input for a
// whole load and room for what four look-ups give at most, and returns how far
// it came in each.
func decodeFour(outs *[streams][]byte, rs *[streams]bitReader, t *table) (done [streams]int) {
	const room = 4*3 + 1 // four look-ups of three symbols; one byte is written too many
	in0, in1, in2, in3 := rs[0].in, rs[1].in, rs[2].in, rs[3].in
	o0, o1, o2, o3 := outs[0], outs[1], outs[2], outs[3]
	var p0, p1, p2, p3 int // in the input
	var q0, q1, q2, q3 int // in the output
	var a0, a1, a2, a3 uint64
	var n0, n1, n2, n3 uint
	for p0+8 <= len(in0) && p1+8 <= len(in1) && p2+8 <= len(in2) && p3+8 <= len(in3) &&
		q0+room <= len(o0) && q1+room <= len(o1) && q2+room <= len(o2) && q3+room <= len(o3) {
		// Refill to at least 56 bits.
		a0 |= binary.LittleEndian.Uint64(in0[p0:]) << (n0 & 63)
		p0 += int(63-n0) >> 3
		n0 |= 56
		a1 |= binary.LittleEndian.Uint64(in1[p1:]) << (n1 & 63)
		p1 += int(63-n1) >> 3
		n1 |= 56
		a2 |= binary.LittleEndian.Uint64(in2[p2:]) << (n2 & 63)
		p2 += int(63-n2) >> 3
		n2 |= 56
		a3 |= binary.LittleEndian.Uint64(in3[p3:]) << (n3 & 63)
		p3 += int(63-n3) >> 3
		n3 |= 56
		for range 4 {
			e0, e1, e2, e3 := t[a0&(1<<maxBits-1)], t[a1&(1<<maxBits-1)], t[a2&(1<<maxBits-1)], t[a3&(1<<maxBits-1)]
			binary.LittleEndian.PutUint32(o0[q0:], e0)
			binary.LittleEndian.PutUint32(o1[q1:], e1)
			binary.LittleEndian.PutUint32(o2[q2:], e2)
			binary.LittleEndian.PutUint32(o3[q3:], e3)
			q0 += entryCount(e0)
			q1 += entryCount(e1)
			q2 += entryCount(e2)
			q3 += entryCount(e3)
			b0, b1, b2, b3 := entryBits(e0), entryBits(e1), entryBits(e2), entryBits(e3)
			a0 >>= b0
			a1 >>= b1
			a2 >>= b2
			a3 >>= b3
			n0 -= b0
			n1 -= b1
			n2 -= b2
			n3 -= b3
		}
	}
	rs[0].pos, rs[1].pos, rs[2].pos, rs[3].pos = p0, p1, p2, p3
	rs[0].acc, rs[1].acc, rs[2].acc, rs[3].acc = a0, a1, a2, a3
	rs[0].n, rs[1].n, rs[2].n, rs[3].n = n0, n1, n2, n3
	return [streams]int{q0, q1, q2, q3}
}

// finish decodes the rest of a stream one symbol at a time, and reports
// whether the stream holds just as many.
func (r *bitReader) finish(out []byte, t *table) bool {
	r.acc &= 1<<r.n - 1 // forget what is loaded beyond
	for i := range out {
		for r.n < maxBits && r.pos < len(r.in) {
			r.acc |= uint64(r.in[r.pos]) << r.n
			r.pos++
			r.n += 8
		}
		e := t[r.acc&(1<<maxBits-1)]
		if entryBits(e) > r.n {
			return false
		}
		out[i] = byte(e)
		r.acc >>= entryBits(e)
		r.n -= entryBits(e)
	}
	return r.pos == len(r.in) && r.n < 8 && r.acc == 0
}
