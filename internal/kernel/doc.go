// Package kernel computes with slices of float32 numbers: matrix products,
// convolutions and what else the training of a network needs.
//
// A [Pool] holds the goroutines and the memory that kernels work with; whatever
// can be large takes one. [Gemm] multiplies matrices; [ConvForward],
// [ConvBackwardData] and [ConvBackwardWeights] convolve images; the other
// functions go over arrays element by element, channel by channel or row by row.
// Arrays of images are NCHW: batch, channel, row, column, the last one densest.
//
// # Paths
//
// On amd64 with AVX-512 or AVX2 and FMA the inner loops are assembly, which the
// program in the folder gen writes, and elsewhere they are Go. The machine
// decides when the program starts; [CurrentPath] tells. The build tag purego
// leaves assembly out. Paths differ in the order of sums and in whether a product
// is rounded before it is added, so results agree to a tolerance and not to the
// bit.
//
// # Promises
//
// For one path, the same call gives the same bits for any number of threads:
// work is cut by shape alone, and sums are taken in a fixed order.
//
// No kernel allocates, once its pool has grown to the shapes at hand. Slices may
// be unaligned, and longer than needed; what lies behind the needed part is neither
// read nor written. A slice that is too short, or a shape without meaning, is a mistake
// of the programmer and panics. A result may not overlap an operand, except where the
// function says so.
//
// # Speed
//
// Compare products with those of OpenBLAS, one after the other, several times:
//
//	go test -run '^$' -bench 'Gemm/.*/threads=1' ./internal/kernel
//	OPENBLAS_CORETYPE=SkylakeX OPENBLAS_NUM_THREADS=1 python3 internal/bench/engine/sgemm.py
//
// and convolutions with -bench Conv. The unit GFLOP/core-s counts only the time that
// the machine gave us: look at it when others use the machine, too. On an AMD EPYC
// with AVX-512, one thread did 242 GFLOP/s at 1024×1024×1024, and OpenBLAS 0.3.23 228; while
// others used the machine, too, 207 and 217 of its own time.
//
// NaN goes through: an activation or a maximum of NaN is NaN.
package kernel
