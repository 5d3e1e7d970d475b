package planes

import (
	"encoding/binary"
	"math/bits"
)

// A merger puts the planes of elements together.
type merger struct {
	n, width int
	t        Transform
	planes   [8][]byte // those that are not stored
	low      []byte    // the stored ones, element by element
	stored   [8]int    // which they are
	s        int       // how many
}

func (m *merger) merge(dst []byte) {
	switch {
	case m.width == 1 && m.t == None:
		copy(dst, m.planes[0])
	case m.width == 2:
		lo, hi := m.planes[0], m.planes[1]
		if lo == nil {
			lo = m.low
		} else if hi == nil {
			hi = m.low
		}
		merge2(dst, lo, hi, m.t)
	case m.width == 4 && m.s == 3 && m.planes[3] != nil:
		merge4(dst, m.low, m.planes[3], m.t)
	default:
		m.mergeAny(dst)
	}
}

// merge2 undoes split2.
func merge2(dst, lo, hi []byte, t Transform) {
	groups := uint(len(hi) / 8)
	for i := range groups {
		l, h := binary.LittleEndian.Uint64(lo[8*i:8*i+8]), binary.LittleEndian.Uint64(hi[8*i:8*i+8])
		if t == Rotate {
			l, h = turnBack(l, h)
		}
		x, y := join(l, h)
		binary.LittleEndian.PutUint64(dst[16*i:16*i+8], x)
		binary.LittleEndian.PutUint64(dst[16*i+8:16*i+16], y)
	}
	for i := 8 * groups; i < uint(len(hi)); i++ {
		v := uint16(hi[i])<<8 | uint16(lo[i])
		binary.LittleEndian.PutUint16(dst[2*i:], bits.RotateLeft16(v, -int(t)))
	}
}

// merge4 undoes split4.
func merge4(dst, lo, hi []byte, t Transform) {
	r := 24 - int(t)
	for len(dst) >= 64 && len(lo) >= 49 && len(hi) >= 16 {
		d, l, h := (*[64]byte)(dst), (*[49]byte)(lo), (*[16]byte)(hi)
		for j := 0; j < 16; j += 4 {
			// A byte too much of l is shifted out, and h comes in below.
			binary.LittleEndian.PutUint32(d[4*j:], bits.RotateLeft32(binary.LittleEndian.Uint32(l[3*j:])<<8|uint32(h[j]), r))
			binary.LittleEndian.PutUint32(d[4*j+4:], bits.RotateLeft32(binary.LittleEndian.Uint32(l[3*j+3:])<<8|uint32(h[j+1]), r))
			binary.LittleEndian.PutUint32(d[4*j+8:], bits.RotateLeft32(binary.LittleEndian.Uint32(l[3*j+6:])<<8|uint32(h[j+2]), r))
			binary.LittleEndian.PutUint32(d[4*j+12:], bits.RotateLeft32(binary.LittleEndian.Uint32(l[3*j+9:])<<8|uint32(h[j+3]), r))
		}
		dst, lo, hi = dst[64:], lo[48:], hi[16:]
	}
	for i := range hi {
		v := uint32(lo[3*i])<<8 | uint32(lo[3*i+1])<<16 | uint32(lo[3*i+2])<<24 | uint32(hi[i])
		binary.LittleEndian.PutUint32(dst[4*i:], bits.RotateLeft32(v, r))
	}
}

// tile is how many elements are merged at a time, so that they stay in the
// cache while one plane after another is added.
const tile = 1024

func (m *merger) mergeAny(dst []byte) {
	var tiled [tile]uint64
	for from := 0; from < m.n; from += tile {
		acc := tiled[:min(tile, m.n-from)]
		clear(acc)
		m.addStored(acc, m.low[from*m.s:])
		for p, plane := range m.planes[:m.width] {
			if plane != nil {
				add(acc, plane[from:], 8*p)
			}
		}
		put(dst[from*m.width:], acc, m.width, -int(m.t))
	}
}

// addStored adds the stored planes to the elements; low begins with the bytes
// of the first.
func (m *merger) addStored(acc []uint64, low []byte) {
	if m.s == 0 {
		return
	}
	s, i := uint(m.s), uint(0)
	if m.stored[m.s-1] == m.s-1 && len(low) >= 8 { // the lowest planes
		mask := uint64(1)<<(8*s) - 1
		whole := min(uint(len(acc)), (uint(len(low))-8)/s+1)
		for ; i < whole; i++ {
			acc[i] = binary.LittleEndian.Uint64(low[s*i:s*i+8]) & mask
		}
	}
	for ; i < uint(len(acc)); i++ {
		for k, p := range m.stored[:m.s] {
			acc[i] |= uint64(low[s*i+uint(k)]) << (8 * p & 63)
		}
	}
}

func add(acc []uint64, plane []byte, shift int) {
	plane = plane[:len(acc)]
	for i, b := range plane {
		acc[i] |= uint64(b) << (shift & 63)
	}
}

// put stores elements, rotated left by r.
func put(dst []byte, acc []uint64, width, r int) {
	switch width {
	case 1:
		for i, v := range acc {
			dst[i] = bits.RotateLeft8(byte(v), r)
		}
	case 4:
		for i, v := range acc {
			i := uint(i)
			binary.LittleEndian.PutUint32(dst[4*i:4*i+4], bits.RotateLeft32(uint32(v), r))
		}
	default:
		for i, v := range acc {
			i := uint(i)
			binary.LittleEndian.PutUint64(dst[8*i:8*i+8], bits.RotateLeft64(v, r))
		}
	}
}
