// Package mix codes the predictable part of weights with context mixing: the
// small, slow one of the two coders ("max").
//
// Every symbol is split into a few yes/no decisions. For each decision several
// adaptive counters, each selected by another context (the neighbour to the
// left, the same place in the filter before, the scale of the row and of the
// column, …) estimate the probability of "yes". A gated logistic mixer weighs
// the estimates by how well they did lately in this situation, and a binary
// range coder stores the decision at a cost of -log2(p) bits:
//
//	weights ─► symbols ─► decisions ─► counters ─► mixer ─► range coder ─► bytes
//	                          ▲                                 │
//	                          └─────── contexts ◄── symbols before this one
//
// These streams are known. Levels are indices into a sorted codebook
// ([AppendLevels]); floats are split into exponent, sign and leading mantissa
// bits, which are modelled, and the other mantissa bits, which are noise and
// are stored ([AppendFloats]); with a base (an older version of the same
// tensor) the difference to it is coded ([AppendDelta]). Headers, which are no
// weights but weigh in a small file, are texts ([AppendText]).
//
// Levels see more than floats do: the values that symbols stand for. A linear
// predictor, whose coefficients the encoder fits and sends and which then adapts,
// and the scale of row, column, tap and neighbourhood give distributions of the
// next value; their mass on either side of a threshold between two levels is an
// estimate like that of a counter (levelmodel.go, linear.go, mixer.go).
// What is the same for many inputs at once is 32-bit arithmetic on lanes, in
// AVX2 where there is (vector.go). Decisions far down in the tree of a wide
// codebook do with the experts (deep.go), and an array without any structure
// with counts of its symbols (plain.go).
//
// Everything is integer arithmetic: a decoder that rounds one probability
// differently loses the rest of the block, and Go may fuse floating-point
// operations on some machines. One function codes in both directions, so that
// encoder and decoder cannot disagree. The bytes are specified in
// docs/FORMAT.md, section 7.
package mix
