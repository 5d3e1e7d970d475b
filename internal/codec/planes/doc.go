// Package planes codes numbers as byte planes: the fast one of the two coders.
//
// Of a trained float, the exponent is predictable and the mantissa is noise.
// So elements are turned (a rotation by one bit puts the exponent of a float
// into the top byte), and the first bytes of all elements, the second bytes,
// … make a plane each. A plane is then
//
//	stored   as it is, together with the other stored ones,
//	fill     one byte, if it is the same everywhere,
//	huffman  a canonical Huffman code in four interleaved streams.
//
// Elements that are zero in most places (pruned weights) are first removed, and
// a bitmap says where they were. The bytes are specified in docs/FORMAT.md,
// section 5.1.
//
// The package knows the standard library only. Decoders return an error or
// wrong values for damaged input, whose checksum is somebody else's business;
// they never panic, and allocate nothing that the caller's buffers do not bound.
package planes
