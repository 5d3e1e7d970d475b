package planes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"sync"
)

// ErrCorrupt reports coded bytes that no encoder writes.
var ErrCorrupt = errors.New("planes: damaged block")

// A Transform says how an element is turned before it is split.
type Transform uint8

// The transforms.
const (
	None   Transform = iota
	Rotate           // left by one bit: the sign goes to the bottom, the exponent to the top
)

// How a whole block is coded: its first byte.
const (
	modeRaw    = iota // the elements as they are
	modePlanes        // planes follow
	modeSparse        // a bitmap, and the elements that are not zero
)

// How a plane is coded.
const (
	planeStored = iota
	planeFill
	planeHuffman
)

// Append appends the coded form of src, whose elements have width 1, 2, 4 or 8
// bytes. len(src) must be a multiple of width.
func Append(dst, src []byte, width int, t Transform) []byte {
	start := len(dst)
	dst = appendDense(dst, src, width, t)
	if sample(src, width, isZero) >= sampleSize/8 {
		dense := len(dst) - start
		dst = appendSparse(dst, src, width, t)
		if sparse := dst[start+dense:]; len(sparse) < dense {
			dst = dst[:start+copy(dst[start:], sparse)]
		} else {
			dst = dst[:start+dense]
		}
	}
	return dst
}

// scratch lends buffers for planes; clearing fresh memory would take longer
// than decoding into it.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// borrow returns a buffer of n bytes with any content, for release to take back.
func borrow(n int) *[]byte {
	b := scratch.Get().(*[]byte)
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return b
}

func release(b *[]byte) { scratch.Put(b) }

// Decode fills dst, whose length the caller knows.
func Decode(dst, coded []byte, width int, t Transform) error {
	if len(coded) == 0 {
		return ErrCorrupt
	}
	if coded[0] == modeSparse {
		return decodeSparse(dst, coded[1:], width, t)
	}
	return decodeDense(dst, coded, width, t)
}

// sampleSize is how many elements are looked at to decide what to try. They
// are spread evenly; a wrong guess costs size, never correctness.
const sampleSize = 4096

// sample counts the elements of a sample for which f holds. A short block is
// looked at whole, and its count scaled up.
func sample(src []byte, width int, f func(e []byte) bool) int {
	n := len(src) / width
	if n == 0 {
		return 0
	}
	step := max(n/sampleSize, 1)
	hits, seen := 0, 0
	for i := 0; i < n; i += step {
		seen++
		if f(src[i*width : (i+1)*width]) {
			hits++
		}
	}
	return hits * sampleSize / seen
}

func isZero(e []byte) bool {
	for _, b := range e {
		if b != 0 {
			return false
		}
	}
	return true
}

// appendSparse codes a bitmap of the elements that are not zero, and those.
func appendSparse(dst, src []byte, width int, t Transform) []byte {
	n := len(src) / width
	mask := make([]byte, (n+7)/8)
	values := make([]byte, 0, len(src)/2)
	for i := range n {
		if e := src[i*width : (i+1)*width]; !isZero(e) {
			mask[i/8] |= 1 << (i % 8)
			values = append(values, e...)
		}
	}
	dst = append(dst, modeSparse)
	m := appendDense(nil, mask, 1, None)
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	dst = append(dst, m...)
	if len(values) == 0 {
		return dst
	}
	return appendDense(dst, values, width, t)
}

func decodeSparse(dst, coded []byte, width int, t Transform) error {
	n := len(dst) / width
	size, k := binary.Uvarint(coded)
	if k <= 0 || size > uint64(len(coded)-k) {
		return ErrCorrupt
	}
	mask := make([]byte, (n+7)/8)
	if err := decodeDense(mask, coded[k:k+int(size)], 1, None); err != nil {
		return err
	}
	coded = coded[k+int(size):]
	if n%8 != 0 && mask[n/8]>>(n%8) != 0 {
		return ErrCorrupt // bits behind the last element
	}
	ones := 0
	for _, b := range mask {
		ones += bits.OnesCount8(b)
	}
	values := make([]byte, ones*width)
	if ones > 0 {
		if err := decodeDense(values, coded, width, t); err != nil {
			return err
		}
	} else if len(coded) > 0 {
		return ErrCorrupt
	}
	clear(dst)
	at := 0
	for i, b := range mask {
		for ; b != 0; b &= b - 1 {
			e := (i*8 + bits.TrailingZeros8(b)) * width
			copy(dst[e:e+width], values[at:])
			at += width
		}
	}
	return nil
}

// appendDense codes planes, or the elements raw if that is not longer.
func appendDense(dst, src []byte, width int, t Transform) []byte {
	start, n := len(dst), len(src)/width
	if n == 0 {
		return append(dst, modeRaw)
	}
	dst = append(dst, modePlanes)
	modes := len(dst)
	dst = slices.Grow(dst, len(src)+64*width+64) // all there can be, with room for whole words
	dst = append(dst, make([]byte, width)...)
	buf := borrow(n)
	defer release(buf)
	plane := *buf
	var stored []int
	for p := range width {
		if looksRandom(src, width, p, t) {
			stored = append(stored, p)
			continue
		}
		extract(plane, src, width, p, t)
		hist := histogram(plane)
		if hist[plane[0]] == uint32(n) {
			dst[modes+p] = planeFill
			dst = append(dst, plane[0])
			continue
		}
		c := newCode(&hist)
		size := c.size(&hist)
		if size >= n-n/32 {
			stored = append(stored, p)
			continue
		}
		dst[modes+p] = planeHuffman
		dst = c.append(dst, plane, size)
	}
	if len(stored)*n+len(dst)-start > len(src) {
		return append(append(dst[:start], modeRaw), src...)
	}
	return appendStored(dst, src, width, stored, t)
}

// looksRandom reports whether a sample of a plane has no structure that would
// pay for a Huffman code: it would be shorter by some percent at most, and slow
// down decoding by a third.
func looksRandom(src []byte, width, p int, t Transform) bool {
	n := len(src) / width
	if n < 1<<14 {
		return false // cheap enough to find out
	}
	var hist [256]uint32
	step, seen := n/(1<<14), 0
	for i := 0; i < n; i += step {
		hist[element(src[i*width:], width, t)>>(8*p)&255]++
		seen++
	}
	// The sum of squares of a uniform plane is near seen²/256 + seen; a quarter
	// more is a third of a bit less information in each byte.
	sum := uint64(0)
	for _, h := range hist {
		sum += uint64(h) * uint64(h)
	}
	uniform := uint64(seen)*uint64(seen)/256 + uint64(seen)
	return sum < uniform+uniform/4
}

// element returns one element, turned.
func element(b []byte, width int, t Transform) uint64 {
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

// extract copies plane p of src to plane.
func extract(plane, src []byte, width, p int, t Transform) {
	r := int(t)
	switch {
	case width == 1 && t == None:
		copy(plane, src)
	case width == 2:
		extract2(plane, src, p, r)
	case width == 4:
		for i := range plane {
			plane[i] = byte(bits.RotateLeft32(binary.LittleEndian.Uint32(src[4*i:]), r) >> (8 * p & 31))
		}
	default:
		for i := range plane {
			plane[i] = byte(element(src[i*width:], width, t) >> (8 * p))
		}
	}
}

// extract2 copies plane p of elements of two bytes, four at a time.
func extract2(plane, src []byte, p, r int) {
	n := len(plane)
	src = src[:2*n]
	i := 0
	for ; i+4 <= n; i += 4 {
		v := binary.LittleEndian.Uint64(src[2*i:])
		if r != 0 {
			v = v<<1&0xfffefffefffefffe | v>>15&0x0001000100010001
		}
		binary.LittleEndian.PutUint32(plane[i:], gather(v>>(8*p)))
	}
	for ; i < n; i++ {
		plane[i] = byte(bits.RotateLeft16(binary.LittleEndian.Uint16(src[2*i:]), r) >> (8 * p))
	}
}

// appendStored appends the stored planes element by element, lowest plane
// first: so the bytes of an element lie together, and merging is one load.
func appendStored(dst, src []byte, width int, stored []int, t Transform) []byte {
	n := len(src) / width
	at := len(dst)
	dst = slices.Grow(dst, n*len(stored))[:at+n*len(stored)]
	out := dst[at:]
	r := int(t)
	lowest := len(stored) > 0 && stored[len(stored)-1] == len(stored)-1
	switch {
	case len(stored) == 0:
	case lowest && width == 2 && len(stored) == 1:
		extract2(out, src, 0, r)
	case lowest && width == 4 && len(stored) == 3:
		i := 0
		for ; 3*i+4 <= len(out); i++ {
			binary.LittleEndian.PutUint32(out[3*i:], bits.RotateLeft32(binary.LittleEndian.Uint32(src[4*i:]), r))
		}
		for ; i < n; i++ {
			v := bits.RotateLeft32(binary.LittleEndian.Uint32(src[4*i:]), r)
			out[3*i], out[3*i+1], out[3*i+2] = byte(v), byte(v>>8), byte(v>>16)
		}
	default:
		for i := range n {
			v := element(src[i*width:], width, t)
			for k, p := range stored {
				out[i*len(stored)+k] = byte(v >> (8 * p))
			}
		}
	}
	return dst
}

func decodeDense(dst, coded []byte, width int, t Transform) error {
	if len(coded) == 0 {
		return ErrCorrupt
	}
	n := len(dst) / width
	mode := coded[0]
	coded = coded[1:]
	if mode == modeRaw {
		if len(coded) != len(dst) {
			return ErrCorrupt
		}
		copy(dst, coded)
		return nil
	}
	if mode != modePlanes || len(coded) < width {
		return ErrCorrupt
	}
	modes := coded[:width]
	coded = coded[width:]
	var planes [8][]byte // of those that are not stored
	var fixed uint64     // what the fill planes add to each element
	var stored []int
	buf := borrow(n * bytes.Count(modes, []byte{planeHuffman}))
	defer release(buf)
	free := *buf
	for p, m := range modes {
		switch m {
		case planeStored:
			stored = append(stored, p)
		case planeFill:
			if len(coded) == 0 {
				return ErrCorrupt
			}
			fixed |= uint64(coded[0]) << (8 * p)
			coded = coded[1:]
		case planeHuffman:
			planes[p], free = free[:n], free[n:]
			var err error
			if coded, err = decodeHuffman(planes[p], coded); err != nil {
				return err
			}
		default:
			return ErrCorrupt
		}
	}
	if len(coded) != n*len(stored) {
		return ErrCorrupt
	}
	merge(dst, planes, fixed, coded, stored, width, t)
	return nil
}

// merge puts the planes together again.
func merge(dst []byte, planes [8][]byte, fixed uint64, low []byte, stored []int, width int, t Transform) {
	n := len(dst) / width
	r := -int(t)
	lowest := len(stored) > 0 && stored[len(stored)-1] == len(stored)-1
	switch {
	case width == 1 && t == None && planes[0] != nil:
		copy(dst, planes[0])
	case lowest && width == 2 && len(stored) == 1 && planes[1] != nil:
		high := planes[1][:n]
		low = low[:n]
		i := 0
		// Four elements at a time: spread the bytes over a 64-bit word.
		for ; i+4 <= n; i += 4 {
			h := spread(binary.LittleEndian.Uint32(high[i:]))
			l := spread(binary.LittleEndian.Uint32(low[i:]))
			v := h<<8 | l
			if t == Rotate {
				v = v>>1&0x7fff7fff7fff7fff | v<<15&0x8000800080008000
			}
			binary.LittleEndian.PutUint64(dst[2*i:], v)
		}
		for ; i < n; i++ {
			v := bits.RotateLeft16(uint16(high[i])<<8|uint16(low[i]), r)
			binary.LittleEndian.PutUint16(dst[2*i:], v)
		}
	case lowest && width == 4 && len(stored) == 3 && planes[3] != nil:
		high := planes[3][:n]
		i := 0
		for ; i < n && 3*i+4 <= len(low); i++ {
			v := binary.LittleEndian.Uint32(low[3*i:])&0xffffff | uint32(high[i])<<24
			binary.LittleEndian.PutUint32(dst[4*i:], bits.RotateLeft32(v, r))
		}
		for ; i < n; i++ {
			v := uint32(low[3*i]) | uint32(low[3*i+1])<<8 | uint32(low[3*i+2])<<16 | uint32(high[i])<<24
			binary.LittleEndian.PutUint32(dst[4*i:], bits.RotateLeft32(v, r))
		}
	default:
		mergeAny(dst, planes, fixed, low, stored, width, r)
	}
}

// mergeAny merges any planes: each in turn is spread over the elements, which
// are then turned back.
func mergeAny(dst []byte, planes [8][]byte, fixed uint64, low []byte, stored []int, width, r int) {
	n := len(dst) / width
	for p := range width {
		out := dst[p:]
		switch k := slices.Index(stored, p); {
		case k >= 0:
			for i, j := 0, k; i < len(out); i, j = i+width, j+len(stored) {
				out[i] = low[j]
			}
		case planes[p] != nil:
			for i, b := range planes[p][:n] {
				out[i*width] = b
			}
		default:
			for i := 0; i < len(out); i += width {
				out[i] = byte(fixed >> (8 * p))
			}
		}
	}
	if r == 0 {
		return
	}
	for i := 0; i < len(dst); i += width {
		e := dst[i : i+width]
		switch width {
		case 1:
			e[0] = bits.RotateLeft8(e[0], r)
		case 2:
			binary.LittleEndian.PutUint16(e, bits.RotateLeft16(binary.LittleEndian.Uint16(e), r))
		case 4:
			binary.LittleEndian.PutUint32(e, bits.RotateLeft32(binary.LittleEndian.Uint32(e), r))
		default:
			binary.LittleEndian.PutUint64(e, bits.RotateLeft64(binary.LittleEndian.Uint64(e), r))
		}
	}
}

// gather is the inverse of spread: it packs the low bytes of four 16-bit lanes.
func gather(v uint64) uint32 {
	v &= 0x00ff00ff00ff00ff
	v = (v | v>>8) & 0x0000ffff0000ffff
	return uint32(v | v>>16)
}

// spread moves the four bytes of x to the low bytes of four 16-bit lanes.
func spread(x uint32) uint64 {
	v := uint64(x)
	v = (v | v<<16) & 0x0000ffff0000ffff
	return (v | v<<8) & 0x00ff00ff00ff00ff
}
