// Package lanes codes quantized weights with static tables: the fast coder of
// symbols.
//
// Rows and columns of a weight matrix differ in scale, and inside of a kernel
// the next value follows from the ones before. So each symbol is coded with a
// table that is chosen by the scale of its row, its column and its tap, which
// are stored, and by a linear prediction, whose coefficients are stored. The
// tables follow from a few parameters: a shape, a scale and a mean.
//
// Everything that steers the decoder is an integer. The bytes are specified in
// docs/FORMAT.md.
package lanes
