// Package native is the default backend of package engine: float32, NCHW, in Go
// with the kernels of internal/kernel.
//
// # How it works
//
//	graph ──Specialize──► nodes with shapes ──fuse──► drafts ──make──► operators ──lay──► plan
//
// A program makes a plan for each set of input shapes that it sees, and keeps the
// last few. A plan is a list of operators in order, and a place in one block of
// memory, the arena, for each value and each gradient. Places are shared by what is
// not needed at the same time: a plan for Forward holds little more than the two or
// three largest values that are alive together, and a plan for Step keeps what
// backward reads. See [operator] for how operators say what they need, and how to
// add one.
//
// If whose condition is data has a plan for each branch, in memory that both share. Where
// shapes or branches follow from the values of small inputs (the sampling rate of a
// network of speech), a plan is for these values.
//
// # Errors
//
// Operators without a maker are one error of Compile, which names all; forms that cannot
// be done are one error of the first Forward or Step. Data with which an operator cannot go
// on, such as an index outside of a table, is an error that names the node, and the program
// is as good as before. So is a panic in an operator or in a goroutine of its own, which
// would be a mistake of ours: the error says so and has the stack.
//
// # Bits
//
// Results are the same bits for any number of threads, on one machine: work is cut
// by shape alone, and sums are taken in a fixed order. They differ between
// kernel paths (AVX-512, AVX2, portable), and Forward differs from Step in rounding,
// since it folds normalizations into convolutions.
//
// Dropout's numbers are a function of Options.Seed, the number of the step, the
// place of the node and the element, so that a step can be computed again.
package native
