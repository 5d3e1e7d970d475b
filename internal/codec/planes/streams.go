package planes

import (
	"encoding/binary"
	"slices"
)

// streams is how many bit streams a Huffman plane has. Each codes a quarter.
const streams = 4

// sizeBytes returns how many bytes the size of a stream takes, in a plane of n
// symbols.
func sizeBytes(n int) int {
	if n <= chunk/2 {
		return 2
	}
	return 3
}

// quarter returns which symbols stream k codes, of n.
func quarter(n, k int) (from, to int) {
	q := (n + streams - 1) / streams
	return min(k*q, n), min((k+1)*q, n)
}

// A word is a code word, above its length in the low byte.
type word uint32

// appendHuffman appends the lengths of c, the sizes of the streams, and the
// streams.
func (e *Encoder) appendHuffman(dst, plane []byte, c *code) []byte {
	dst = c.append(dst)
	var words [256]word
	c.words(func(sym int, bits uint16, length uint8) {
		words[sym] = word(bits)<<8 | word(length)
	})
	first, last := c.span()
	first = min(first, 256-64)
	narrow := last-first < 64 && len(plane) >= 1<<14
	if narrow {
		e.pairs.make((*[64]word)(words[first:]))
	}
	sizes, w := len(dst), sizeBytes(len(plane))
	dst = append(dst, make([]byte, streams*w)...)
	for k := range streams {
		from, to := quarter(len(plane), k)
		part := plane[from:to]
		at := len(dst)
		dst = slices.Grow(dst, len(part)*maxBits/8+16)
		o := output{b: dst[at:cap(dst)]}
		if narrow {
			part = o.writePairs(part, byte(first), &e.pairs)
		}
		o.write(part, &words)
		dst = dst[:at+o.at]
		for i := range w {
			dst[sizes+k*w+i] = byte(o.at >> (8 * i))
		}
	}
	return dst
}

// An output is a stream being written, lowest bits first.
type output struct {
	b   []byte
	at  int
	acc uint64 // n bits, at most 7 between writes
	n   word
}

// write writes the words of all symbols, and the last byte.
func (o *output) write(part []byte, words *[256]word) {
	acc, n, at := o.acc, o.n, uint(o.at)
	for ; len(part) >= 4; part = part[4:] {
		s := binary.LittleEndian.Uint32(part)
		a, b, c, d := words[s&255], words[s>>8&255], words[s>>16&255], words[s>>24]
		// Two pairs, then both: less to wait for than one after another. The
		// low bits of a sum are the sum of the lengths.
		ab := uint64(a>>8) | uint64(b>>8)<<(a&63)
		cd := uint64(c>>8) | uint64(d>>8)<<(c&63)
		a += b
		acc |= (ab | cd<<(a&63)) << (n & 63)
		n += (a + c + d) & 63
		binary.LittleEndian.PutUint64(o.b[at:at+8], acc)
		at += uint(n >> 3)
		acc >>= n & 56
		n &= 7
	}
	for _, s := range part {
		acc |= uint64(words[s]>>8) << n
		n += words[s] & 63
	}
	for ; n > 0; n -= min(n, 8) {
		o.b[at] = byte(acc)
		acc >>= 8
		at++
	}
	o.at = int(at)
}

// pairs are the words of all pairs of 64 symbols that follow each other; the
// first of a pair is in the low bits of the index. Exponents are that few.
type pairs [64 * 64]word

func (p *pairs) make(words *[64]word) {
	for j, b := range words {
		if b == 0 {
			continue
		}
		for i, a := range words {
			p[j<<6|i] = a + b&255 + b>>8<<(8+a&63)
		}
	}
}

// writePairs writes the words of as many symbols as there are groups of eight,
// and returns the others. All are first … first+63.
func (o *output) writePairs(part []byte, first byte, p *pairs) (rest []byte) {
	base := uint64(first) * 0x0101010101010101
	acc, n, at := o.acc, o.n, uint(o.at)
	for ; len(part) >= 8; part = part[8:] {
		s := binary.LittleEndian.Uint64(part) - base
		s = s&0x003f003f003f003f | s>>2&0x0fc00fc00fc00fc0
		a, b, c, d := p[s&0xfff], p[s>>16&0xfff], p[s>>32&0xfff], p[s>>48&0xfff]
		acc |= (uint64(a>>8) | uint64(b>>8)<<(a&63)) << (n & 63)
		n += (a + b) & 63
		binary.LittleEndian.PutUint64(o.b[at:at+8], acc)
		at += uint(n >> 3)
		acc >>= n & 56
		n &= 7
		acc |= (uint64(c>>8) | uint64(d>>8)<<(c&63)) << (n & 63)
		n += (c + d) & 63
		binary.LittleEndian.PutUint64(o.b[at:at+8], acc)
		at += uint(n >> 3)
		acc >>= n & 56
		n &= 7
	}
	o.acc, o.n, o.at = acc, n, int(at)
	return part
}
