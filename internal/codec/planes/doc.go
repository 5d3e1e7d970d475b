// Package planes codes numbers as byte planes: the fast one of the two lossless
// coders.
//
// Of a trained float the exponent is predictable and the mantissa is noise. So
// elements are turned (a rotation by one bit puts the exponent of a float into
// its top byte), and the first bytes of all elements, the second bytes, … make
// a plane each. A plane that is noise is stored; others get a Huffman code. The
// call most need is [Append], and [Decode] on the way back; an [Encoder] or a
// [Decoder] of one's own saves a look into a pool.
//
// # Bytes
//
// Elements are coded in chunks of 2^18; the last one has what is left. A chunk
// says nothing about its length: the caller knows how many elements there are.
//
//	chunk    0  elements                              raw, not turned
//	         1  kind … kind  stored  plane … plane    planes; kinds lowest first
//	         2  kind mask    chunk                    sparse; that chunk is 0 or 1
//
//	plane    kind 0  (nothing)                        stored: see below
//	         kind 1  byte                             fill: that byte everywhere
//	         kind 2  lengths  4 sizes  4 streams      Huffman
//	         kind 3  count  ids  kind plane …         classes: a plane for each
//
// The bytes of stored planes lie together, element by element, lowest plane
// first: three planes of a float32 are then one load away from their place.
// Planes of two-byte elements have groups of eight in the order 0 4 1 5 2 6 3 7,
// so that masks alone put them together.
//
// A Huffman code is canonical and its words have at most 11 bits. The plane is
// cut in four quarters, one for each stream, so that a decoder can work on four
// symbols at a time; and its table gives up to six symbols for one look-up.
//
// Classes are for weights whose rows differ in scale: a plane is cut in segments
// of 128 symbols, each segment belongs to one of at most four classes, and the
// symbols of a class, one segment after another, make a plane of their own,
// whose kind precedes it. In sparse chunks, mask has a bit for each element, set
// where it is not zero; the chunk behind it has those elements only.
//
// The bytes are specified in docs/FORMAT.md.
//
// # Promises
//
// Equal input gives equal bytes on all machines: the choices of the encoder are
// made by integers. A decoder returns an error or wrong values for damaged
// input, whose checksum is somebody else's business; it never panics, reads no
// further than its input, and allocates nothing but its own fixed tables. The
// package knows the standard library only.
package planes
