package planes

import (
	"encoding/binary"
	"errors"
)

// This file is the oracle: a decoder that is as simple as the format allows,
// without any table, one bit after another. It shares nothing with the fast one
// but the names of kinds.

var errReference = errors.New("reference: damaged")

// A refReader is what is left of coded bytes. Reading behind the end panics
// with errReference, which refDecode turns into an error.
type refReader struct{ b []byte }

func (r *refReader) bytes(n int) []byte {
	refCheck(n <= len(r.b))
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *refReader) byte() byte { return r.bytes(1)[0] }

func refCheck(ok bool) {
	if !ok {
		panic(errReference)
	}
}

func refDecode(n int, coded []byte, width int, t Transform) (out []byte, err error) {
	defer func() {
		if e := recover(); e != nil {
			if e != errReference { //nolint:errorlint // our own panic, never wrapped
				panic(e)
			}
			out, err = nil, errReference
		}
	}()
	r := &refReader{coded}
	for n > 0 {
		k := min(n, 1<<18)
		out = append(out, r.chunk(k, width, t, true)...)
		n -= k
	}
	refCheck(len(r.b) == 0)
	return out, nil
}

func (r *refReader) chunk(n, width int, t Transform, sparse bool) []byte {
	switch r.byte() {
	case 0:
		return r.bytes(n * width)
	case 1:
		return r.dense(n, width, t)
	case 2:
		refCheck(sparse)
		mask := r.plane(int(r.byte()), (n+7)/8, true, false)
		count := 0
		for i := range 8 * len(mask) {
			if mask[i/8]>>(i%8)&1 == 1 {
				refCheck(i < n)
				count++
			}
		}
		var values []byte
		if count > 0 {
			values = r.chunk(count, width, t, false)
		}
		out := make([]byte, n*width)
		for i := range n {
			if mask[i/8]>>(i%8)&1 == 1 {
				copy(out[i*width:(i+1)*width], values)
				values = values[width:]
			}
		}
		return out
	}
	panic(errReference)
}

func (r *refReader) dense(n, width int, t Transform) []byte {
	kinds := r.bytes(width)
	var stored []int
	for p, k := range kinds {
		if k == 0 {
			stored = append(stored, p)
		}
	}
	refCheck(len(stored) < width)
	low := r.bytes(n * len(stored))
	elements := make([]uint64, n)
	for p, k := range kinds {
		if k == 0 {
			continue
		}
		for i, b := range r.plane(int(k), n, false, true) {
			elements[refElement(i, n, width)] |= uint64(b) << (8 * p)
		}
	}
	for i := range n {
		for k, p := range stored {
			elements[refElement(i, n, width)] |= uint64(low[i*len(stored)+k]) << (8 * p)
		}
	}
	out := make([]byte, 0, n*width)
	for _, v := range elements {
		if t == Rotate {
			v = v>>1 | v&1<<(8*width-1)
		}
		out = append(out, binary.LittleEndian.AppendUint64(nil, v)[:width]...)
	}
	return out
}

// refElement returns which element byte i of a plane belongs to.
func refElement(i, n, width int) int {
	if width != 2 || i >= n/8*8 {
		return i
	}
	return i/8*8 + [8]int{0, 4, 1, 5, 2, 6, 3, 7}[i%8]
}

func (r *refReader) plane(kind, n int, stored, classes bool) []byte {
	switch {
	case kind == 0 && stored:
		return r.bytes(n)
	case kind == 1:
		b := r.byte()
		out := make([]byte, n)
		for i := range out {
			out[i] = b
		}
		return out
	case kind == 2:
		return r.huffman(n)
	case kind == 3 && classes:
		count := int(r.byte())
		refCheck(count >= 2 && count <= 4)
		all := (n + 127) / 128
		ids := r.bytes((all + 3) / 4)
		segments := make([][]int, 4) // of each class
		for i := range 4 * len(ids) {
			id := int(ids[i/4] >> (2 * (i % 4)) & 3)
			if i >= all {
				refCheck(id == 0)
				continue
			}
			refCheck(id < count)
			segments[id] = append(segments[id], i)
		}
		out := make([]byte, n)
		for _, list := range segments[:count] {
			size := 0
			for _, i := range list {
				size += min(128, n-128*i)
			}
			part := r.plane(int(r.byte()), size, true, false)
			for _, i := range list {
				part = part[copy(out[128*i:min(128*i+128, n)], part):]
			}
		}
		return out
	}
	panic(errReference)
}

func (r *refReader) huffman(n int) []byte {
	// The list of lengths.
	var lengths [256]int
	var b byte
	half := false
	nibble := func() int {
		half = !half
		if half {
			b = r.byte()
			return int(b & 15)
		}
		return int(b >> 4)
	}
	space := 2048
	for s := 0; space > 0; {
		switch v := nibble(); {
		case v < 12:
			refCheck(s < 256)
			lengths[s] = v
			if v > 0 {
				space -= 2048 >> v
			}
			s++
		case v == 12:
			s += 3 + nibble()
		case v == 13:
			low := nibble()
			s += 19 + low + 16*nibble()
		default:
			panic(errReference)
		}
	}
	refCheck(space == 0 && (!half || b>>4 == 0))

	w := 2
	if n > 1<<17 {
		w = 3
	}
	var sizes [4]int
	for k := range sizes {
		for i, b := range r.bytes(w) {
			sizes[k] |= int(b) << (8 * i)
		}
	}
	out := make([]byte, 0, n)
	for k, size := range sizes {
		stream := r.bytes(size)
		bit := 0
		for end := min((k+1)*((n+3)/4), n); len(out) < end; {
			// A word is among those of its length if it is not above the last.
			word, first := 0, 0
			for length, found := 1, false; !found; length++ {
				refCheck(bit < 8*size)
				word = word<<1 | int(stream[bit/8]>>(bit%8)&1)
				bit++
				first <<= 1
				for s, l := range lengths {
					if l != length {
						continue
					}
					if first == word {
						out = append(out, byte(s))
						found = true
					}
					first++
				}
			}
		}
		refCheck(8*size-bit < 8)
		for ; bit < 8*size; bit++ {
			refCheck(stream[bit/8]>>(bit%8)&1 == 0)
		}
	}
	return out
}
