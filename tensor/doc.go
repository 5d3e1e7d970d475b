// Package tensor is the vocabulary that every other package speaks: a [DType]
// names how a number is stored, a [Shape] how many there are along each axis,
// a [Tensor] is a named array whose bytes are read on demand, and a [Set] is an
// ordered collection of them: a network's weights.
//
// Values are always row-major (C order) and little-endian, as in safetensors.
// A tensor does not hold its bytes; it holds a [Data] that can produce them:
// part of a memory map, of an HTTP range reader, of a compressed file. So a Set
// of a 100 GB checkpoint costs a few kilobytes until somebody reads from it, and
// [Overlay] changes two tensors of it without touching the rest.
package tensor
