package planes

import (
	"errors"
	"fmt"
	"sync"
)

// A Transform says how an element is turned before it is split into planes.
type Transform uint8

// The transforms.
const (
	None   Transform = iota
	Rotate           // left by one bit: the sign of a float comes last, its exponent first
)

// ErrCorrupt reports coded bytes that no encoder writes.
var ErrCorrupt = errors.New("planes: damaged block")

func corrupt(reason string) error { return fmt.Errorf("%w: %s", ErrCorrupt, reason) }

// chunk is how many elements are coded together. A power of two, see buffer.
const chunk = 1 << 18

// How a chunk is coded: its first byte.
const (
	chunkRaw = iota
	chunkPlanes
	chunkSparse
)

// How a plane is coded.
const (
	planeStored = iota
	planeFill
	planeHuffman
	planeClasses
	planeKinds
)

var (
	encoders = sync.Pool{New: func() any { return new(Encoder) }}
	decoders = sync.Pool{New: func() any { return new(Decoder) }}
)

// Append appends the coded form of src, whose elements have width 1, 2, 4 or 8
// bytes; len(src) must be a multiple of width. It is never longer than src by
// more than a byte for each 2^18 elements.
func Append(dst, src []byte, width int, t Transform) []byte {
	e := encoders.Get().(*Encoder)
	defer encoders.Put(e)
	return e.Append(dst, src, width, t)
}

// Decode fills dst, whose length the caller knows, with what coded stands for.
// Whatever coded is, Decode reads no further and does not panic; after an error
// dst holds anything.
func Decode(dst, coded []byte, width int, t Transform) error {
	d := decoders.Get().(*Decoder)
	defer decoders.Put(d)
	return d.Decode(dst, coded, width, t)
}

// check panics if the caller is wrong about its own elements.
func check(n, width int, t Transform) {
	if width != 1 && width != 2 && width != 4 && width != 8 || n%width != 0 || t > Rotate {
		panic(fmt.Sprintf("planes: %d bytes of width %d with transform %d", n, width, t))
	}
}
