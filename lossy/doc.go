// Package lossy puts quantized weights in the place of those of a checkpoint.
//
// The result is a layout of the same files: only the values of some arrays
// differ, each being one of a few levels now. The container needs no word about
// it: [ropewalk/rope.Encode] sees that an array has few values, and codes which one
// each is. So what comes out of unpack is a checkpoint in the original format,
// with the quantized values.
//
//	checkpoint ──► New (reads weights) ──► Quantize (one lambda) ──► layout ──► rope
//	                                          ▲                                  │
//	                                          └──── Within: a lambda for a size ─┘
//
// Matrices and kernels are quantized: floats of at least two axes and
// [MinWeights] values. All else is kept as it is: biases and norms are few, and
// matter. What is kept, and why, is in the report.
package lossy
