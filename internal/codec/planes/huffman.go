package planes

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// maxBits is the length of the longest word. With 11, the table of a decoder
// is 16 KiB, half of a first-level cache; a limit of 12 would save less than
// one part in a thousand.
const maxBits = 11

// A histogram counts the occurrences of each byte.
type histogram [256]uint32

// count adds the bytes of b, in four tables so that runs of one byte do not
// wait for each other.
func (h *histogram) count(b []byte) {
	var t [4]histogram
	for ; len(b) >= 8; b = b[8:] {
		v := binary.LittleEndian.Uint64(b)
		t[0][v&255]++
		t[1][v>>8&255]++
		t[2][v>>16&255]++
		t[3][v>>24&255]++
		t[0][v>>32&255]++
		t[1][v>>40&255]++
		t[2][v>>48&255]++
		t[3][v>>56]++
	}
	for _, x := range b {
		h[x]++
	}
	for i := range h {
		h[i] += t[0][i] + t[1][i] + t[2][i] + t[3][i]
	}
}

// add adds the counts of o.
func (h *histogram) add(o *histogram) {
	for i := range h {
		h[i] += o[i]
	}
}

// rank returns how many symbols occur, and how many less ones do for each.
func (h *histogram) rank() (used int, ranks [256]uint8) {
	for s, n := range h {
		ranks[s] = uint8(used)
		if n > 0 {
			used++
		}
	}
	return used, ranks
}

// A code is a canonical Huffman code: the length of the word of each symbol,
// 0 for a symbol that has none.
type code [256]uint8

// build makes the optimal code for the symbols of h, at least two, with words
// of at most maxBits. It is the package-merge algorithm: of coins worth 2^-l,
// one for each symbol and each l up to maxBits, the cheapest set worth n-1 is
// bought; a coin costs the count of its symbol.
func (c *code) build(h *histogram) {
	var sorted [256]uint64 // count, then symbol
	n := 0
	for s, count := range h {
		if count > 0 {
			sorted[n] = uint64(count)<<8 | uint64(s)
			n++
		}
	}
	slices.Sort(sorted[:n])

	// Coins of one worth are bought in the order of their cost, so all that
	// must be known of them is which are packages of two smaller coins.
	var packaged [maxBits][2 * 256]bool
	var costs [2][2 * 256]uint64
	var prev []uint64
	for l := range maxBits {
		cur := costs[l&1][:0]
		for i, j := 0, 0; i < n || j+1 < len(prev); {
			if j+1 < len(prev) && (i == n || prev[j]+prev[j+1] < sorted[i]>>8) {
				packaged[l][len(cur)] = true
				cur = append(cur, prev[j]+prev[j+1])
				j += 2
			} else {
				cur = append(cur, sorted[i]>>8)
				i++
			}
		}
		prev = cur
	}
	*c = code{}
	buy := 2*n - 2
	for l := maxBits - 1; buy > 0; l-- {
		packages := 0
		for _, p := range packaged[l][:buy] {
			if p {
				packages++
			}
		}
		for _, v := range sorted[:buy-packages] {
			c[v&255]++
		}
		buy = 2 * packages
	}
}

// words calls f with each symbol that has a word, and the word, reversed since
// bits go lowest first.
func (c *code) words(f func(sym int, word uint16, length uint8)) {
	var next [maxBits + 2]uint16
	for _, l := range c {
		if l > 0 {
			next[l+1]++
		}
	}
	for l := 1; l < len(next); l++ {
		next[l] = (next[l] + next[l-1]) << 1
	}
	for s, l := range c {
		if l > 0 {
			f(s, bits.Reverse16(next[l])>>(16-l), l)
			next[l]++
		}
	}
}

// span returns the first and the last symbol that have a word.
func (c *code) span() (first, last int) {
	first = 255
	for s, l := range c {
		if l > 0 {
			first, last = min(first, s), s
		}
	}
	return first, last
}

// size returns the bytes that appendHuffman takes for symbols counted by h, or
// up to three more.
func (c *code) size(h *histogram) int {
	n, total := 0, 0
	for s, count := range h {
		n += int(count)
		total += int(count) * int(c[s])
	}
	return total/8 + streams + streams*sizeBytes(n) + len(c.append(make([]byte, 0, 256)))
}

// Nibbles of the list of lengths: 0 … maxBits is the length of the next
// symbol, and these are runs of symbols without a word.
const (
	shortRun = 12 // 3 … 18, by one more nibble
	longRun  = 13 // 19 … 274, by two
)

// append appends the lengths, up to the last symbol that has a word.
func (c *code) append(dst []byte) []byte {
	half := false
	put := func(v int) {
		if half {
			dst[len(dst)-1] |= byte(v) << 4
		} else {
			dst = append(dst, byte(v))
		}
		half = !half
	}
	run := 0
	for _, l := range c {
		if l == 0 {
			run++
			continue
		}
		for ; run > 0 && run < 3; run-- {
			put(0)
		}
		switch {
		case run >= 19:
			put(longRun)
			put((run - 19) & 15)
			put((run - 19) >> 4)
		case run >= 3:
			put(shortRun)
			put(run - 3)
		}
		run = 0
		put(int(l))
	}
	return dst
}

// read reads the lengths from the beginning of coded and returns what follows.
// The list ends when the code is complete.
func (c *code) read(coded []byte) (rest []byte, err error) {
	at := 0
	next := func() int {
		if at>>1 >= len(coded) {
			at += 2
			return 15
		}
		v := coded[at>>1] >> (4 * (at & 1)) & 15
		at++
		return int(v)
	}
	*c = code{}
	space := 1 << maxBits // what the words leave free
	for s := 0; space > 0; {
		switch v := next(); {
		case v <= maxBits:
			if s > 255 {
				return nil, corrupt("lengths of more than 256 symbols")
			}
			c[s] = uint8(v)
			if v > 0 {
				space -= 1 << (maxBits - v)
			}
			s++
		case v == shortRun:
			s += 3 + next()
		case v == longRun:
			low := next()
			s += 19 + low + next()<<4
		default:
			return nil, corrupt("bad list of lengths")
		}
		if space < 0 {
			return nil, corrupt("more words than there is space for")
		}
	}
	if at&1 != 0 && coded[at>>1]>>4 != 0 || (at+1)/2 > len(coded) {
		return nil, corrupt("bad end of the lengths")
	}
	return coded[(at+1)/2:], nil
}
