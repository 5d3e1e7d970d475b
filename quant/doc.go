// Package quant turns weights into small integers and back.
//
// [Quantize] does it for one tensor. A [Plan] does it for a whole network, with
// one Lagrange multiplier lambda, so that the last bit spent lowers the
// distortion by the same amount in every tensor. [Search] finds the lambda with
// which a file has a wanted size. [Quantized.Assign] chooses the symbols again by
// what they cost in the coder that will store them.
//
//	w ─► Plan.Add ─► Plan.Lambda ─► Plan.Quantize ─► Assign ─► symbols, levels
//	     (each)      or Search      (each)          (each, with a Coder)
//
// # What is minimized
//
// Every choice (step, dead zone, cells, levels, how the codebook is stored) is
// the one of least
//
//	D + lambda·R
//
// with R in bits. D is the squared error of each tensor divided by its mean
// square, summed over weights: so a tensor's scale does not matter, as it does
// not to the network, which has norms. Per channel it is divided by the mean square
// of the channel. With sensitivities s (the diagonal of a Hessian or Fisher
// information) D is N/Σs·w² times Σs·(w-value)², both sums over all N weights
// of all tensors that have sensitivities: it does not depend on their unit, and
// s = 1/(mean square of the tensor) gives the same as no sensitivities.
//
// At high rate the best uniform step is sqrt(lambda·6/ln 2) root mean
// squares: lambda 0.029 gives a step of one half, and four times as much gives
// twice the step.
//
// # Why uniform
//
// Lloyd–Max levels have the least distortion for their number. But symbols are
// entropy coded, so that the number of levels costs nothing, and then a uniform
// step with a dead zone is nearly the best there is for any distribution.
// Bytes of the weights in a file of effort max, codebooks counted, at equal D,
// relative to [Lloyd] on the data, and with [Quantized.Assign] (make bench-codec):
//
//	                   4 levels         8           16           32
//	ResNet-20        0.89  0.87  0.92  0.91  0.94  0.94  0.96  0.96
//	ResNet-32        0.89  0.86  0.92  0.91  0.94  0.94  0.96  0.96
//	Silero VAD v5    0.70  0.69  0.85  0.83  0.88  0.87  0.91  0.90
//	PP-OCRv4 det     0.67  0.66  0.80  0.79
//
// At equal squared error, each weight counting the same, it is 0.88 and 0.87 for
// the ResNets and less for heavy tails.
// [ECSQ] has a D + lambda·R that is 0.1 % lower by the order-0 code.
//
// # Determinism
//
// The same input gives the same symbols and levels on any machine. Go may fuse
// x*y + z into one rounding, and does so on arm64 but not on amd64; an explicit
// conversion float64(x*y) forbids it. So products that are added stand in
// conversions here, even where a difference would hardly matter, and logarithms
// and exponentials are our own. Sums run in a fixed order.
//
// All functions are safe for concurrent use, and none keeps its arguments.
package quant
