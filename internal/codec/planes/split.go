package planes

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// load returns the element at the beginning of b, turned.
func load(b []byte, width int, t Transform) uint64 {
	r := int(t) // Rotate is 1
	switch width {
	case 1:
		return uint64(bits.RotateLeft8(b[0], r))
	case 2:
		return uint64(bits.RotateLeft16(binary.LittleEndian.Uint16(b), r))
	case 4:
		return uint64(bits.RotateLeft32(binary.LittleEndian.Uint32(b), r))
	}
	return bits.RotateLeft64(binary.LittleEndian.Uint64(b), r)
}

// store writes an element as it is.
func store(b []byte, width int, v uint64) {
	switch width {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
}

// Two-byte elements are taken in groups of eight, in the order 0 4 1 5 2 6 3 7:
// every other byte of a plane then belongs to one of four neighbours, so that
// masks alone turn eight bytes of each plane into elements. The elements behind
// the last group are in their order.
const (
	even = 0x00ff00ff00ff00ff
	ones = 0x0101010101010101 // the lowest bit of each byte
)

// part takes two words of elements apart into low and high bytes.
func part(x, y uint64) (lo, hi uint64) {
	lx, ly := x&even, y&even
	return lx | ly<<8, (x^lx)>>8 | (y ^ ly)
}

// join undoes part.
func join(lo, hi uint64) (x, y uint64) {
	lx, hx := lo&even, hi&even
	return lx | hx<<8, (lo^lx)>>8 | (hi ^ hx)
}

// turn rotates eight elements left by one bit: what leaves a byte at the top
// enters the other at the bottom.
func turn(lo, hi uint64) (uint64, uint64) {
	lt, ht := lo>>7&ones, hi>>7&ones
	return lo<<1&^ones | ht, hi<<1&^ones | lt
}

// turnBack undoes turn.
func turnBack(lo, hi uint64) (uint64, uint64) {
	lb, hb := lo&ones, hi&ones
	return (lo^lb)>>1 | hb<<7, (hi^hb)>>1 | lb<<7
}

// split puts the top plane into hi and the others, element by element, into lo.
func split(lo, hi, src []byte, width int, t Transform) {
	if width == 2 {
		split2(lo, hi, src, t)
		return
	}
	split4(lo, hi, src, t)
}

func split2(lo, hi, src []byte, t Transform) {
	groups := uint(len(hi) / 8)
	for i := range groups {
		l, h := part(binary.LittleEndian.Uint64(src[16*i:16*i+8]), binary.LittleEndian.Uint64(src[16*i+8:16*i+16]))
		if t == Rotate {
			l, h = turn(l, h)
		}
		binary.LittleEndian.PutUint64(lo[8*i:8*i+8], l)
		binary.LittleEndian.PutUint64(hi[8*i:8*i+8], h)
	}
	for i := 8 * groups; i < uint(len(hi)); i++ {
		v := load(src[2*i:], 2, t)
		lo[i], hi[i] = byte(v), byte(v>>8)
	}
}

func split4(lo, hi, src []byte, t Transform) {
	r := int(t)
	for len(src) >= 32 && len(lo) >= 24 && len(hi) >= 8 {
		s, l, h := (*[32]byte)(src), (*[24]byte)(lo), (*[8]byte)(hi)
		a := bits.RotateLeft32(binary.LittleEndian.Uint32(s[0:]), r)
		b := bits.RotateLeft32(binary.LittleEndian.Uint32(s[4:]), r)
		c := bits.RotateLeft32(binary.LittleEndian.Uint32(s[8:]), r)
		h[0], h[1], h[2] = byte(a>>24), byte(b>>24), byte(c>>24)
		binary.LittleEndian.PutUint64(l[0:], uint64(a<<8>>8)|uint64(b<<8)<<16|uint64(c)<<48)
		a = bits.RotateLeft32(binary.LittleEndian.Uint32(s[12:]), r)
		b = bits.RotateLeft32(binary.LittleEndian.Uint32(s[16:]), r)
		d := bits.RotateLeft32(binary.LittleEndian.Uint32(s[20:]), r)
		h[3], h[4], h[5] = byte(a>>24), byte(b>>24), byte(d>>24)
		binary.LittleEndian.PutUint64(l[8:], uint64(c<<8>>24)|uint64(a<<8)|uint64(b<<8)<<24|uint64(d)<<56)
		a = bits.RotateLeft32(binary.LittleEndian.Uint32(s[24:]), r)
		b = bits.RotateLeft32(binary.LittleEndian.Uint32(s[28:]), r)
		h[6], h[7] = byte(a>>24), byte(b>>24)
		binary.LittleEndian.PutUint64(l[16:], uint64(d<<8>>16)|uint64(a<<8)<<8|uint64(b<<8)<<32)
		src, lo, hi = src[32:], lo[24:], hi[8:]
	}
	for i := range hi {
		v := load(src[4*i:], 4, t)
		lo[3*i], lo[3*i+1], lo[3*i+2], hi[i] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
}

// extract copies plane p of src.
func extract(plane, src []byte, width, p int, t Transform) {
	switch width {
	case 1:
		if t == None {
			copy(plane, src)
			return
		}
		for i, b := range src {
			plane[i] = bits.RotateLeft8(b, 1)
		}
	case 2:
		extract2(plane, src, p, t)
	case 4:
		r := int(t) - 8*p // brings byte p to the bottom
		for len(src) >= 16 && len(plane) >= 4 {
			s, out := (*[16]byte)(src), (*[4]byte)(plane)
			out[0] = byte(bits.RotateLeft32(binary.LittleEndian.Uint32(s[0:]), r))
			out[1] = byte(bits.RotateLeft32(binary.LittleEndian.Uint32(s[4:]), r))
			out[2] = byte(bits.RotateLeft32(binary.LittleEndian.Uint32(s[8:]), r))
			out[3] = byte(bits.RotateLeft32(binary.LittleEndian.Uint32(s[12:]), r))
			src, plane = src[16:], plane[4:]
		}
		for i := range plane {
			plane[i] = byte(bits.RotateLeft32(binary.LittleEndian.Uint32(src[4*i:]), r))
		}
	default:
		r := int(t) - 8*p
		for i := range plane {
			plane[i] = byte(bits.RotateLeft64(binary.LittleEndian.Uint64(src[8*i:8*i+8]), r))
		}
	}
}

func extract2(plane, src []byte, p int, t Transform) {
	groups := uint(len(plane) / 8)
	for i := range groups {
		l, h := part(binary.LittleEndian.Uint64(src[16*i:16*i+8]), binary.LittleEndian.Uint64(src[16*i+8:16*i+16]))
		if t == Rotate {
			l, h = turn(l, h)
		}
		if p == 1 {
			l = h
		}
		binary.LittleEndian.PutUint64(plane[8*i:8*i+8], l)
	}
	for i := 8 * groups; i < uint(len(plane)); i++ {
		plane[i] = byte(load(src[2*i:], 2, t) >> (8 * p))
	}
}

// appendStored appends the stored planes element by element, lowest plane
// first: so the bytes of an element lie together, and merging is one load.
func appendStored(dst, src []byte, width int, stored []int, t Transform) []byte {
	n, s := len(src)/width, len(stored)
	at := len(dst)
	dst = slices.Grow(dst, n*s)[:at+n*s]
	out := dst[at:]
	if s == 1 {
		extract(out, src, width, stored[0], t)
		return dst
	}
	if s == 0 {
		return dst
	}
	i := 0
	if stored[s-1] == s-1 { // the lowest planes
		for ; len(out) >= 8; i++ { // what is too much is overwritten
			binary.LittleEndian.PutUint64(out, load(src[i*width:], width, t))
			out = out[s:]
		}
	}
	for ; i < n; i++ {
		v := load(src[i*width:], width, t)
		for k, p := range stored {
			out[k] = byte(v >> (8 * p))
		}
		out = out[s:]
	}
	return dst
}
