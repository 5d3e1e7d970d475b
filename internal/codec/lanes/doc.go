// Package lanes codes quantized weights with static tables: the fast coder of
// symbols.
//
// Rows and columns of a weight matrix differ in scale, and inside of a kernel
// the next value follows from the ones before. So each symbol is coded with a
// table that is chosen by the scale of its row, its column and its tap, which
// are stored, and by a linear prediction, whose coefficients are stored:
//
//	scale  class of row + class of column + class of tap
//	mean   sum of coefficients times earlier values, in halves of that scale
//
// A table follows from a density of which scale and mean are known: the share
// of a level is the mass of the density between the middles to its neighbours,
// times a weight of the level if that pays. An encoder stores what pays and
// leaves out the rest; a segment may have just one table. The calls are
// [Append] and [Decode].
//
// # Bytes
//
//	parameters   of each segment; a binary range coder with adaptive probabilities
//	plain bits   the low bits of symbols of large alphabets
//	states       one for each lane, 4 bytes each
//	words        of 2 bytes, in the order in which lanes need them
//
// Nothing says how long these are: the range coder knows its end, plain bits
// follow from the parameters, and words are the rest.
//
// # Lanes
//
// A decoder of one symbol waits for the one before; so there are eight states
// that take turns (four or one in small blocks), each for a row of its own:
//
//	lane 0  row 0  ──────────────────────►  row 8  ───────
//	lane 1  row 1  ──────────────────────►  row 9  ───────
//	…                  all at the same position
//	lane 7  row 7  ──────────────────────►  row 15 ───────
//
// The symbols that a prediction looks at lie in the same row, and eight of them
// are worked on at a time. Symbols are found by alias tables, which are small and
// take little to make: 256 bytes each for 16 levels.
//
// # Promises
//
// Everything that steers a decoder is an integer. Equal input gives equal bytes
// on all machines: the encoder calculates with floats here and there, but in a
// way that leaves no machine a choice. For damaged input, whose checksum is
// somebody else's business, a decoder returns an error or wrong symbols; it
// never panics, and allocates no more than its tables (at most 3.3 MB) and a few
// bytes for each symbol. The bytes are specified in docs/FORMAT.md.
package lanes
