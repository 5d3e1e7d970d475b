// Package entropy measures the n-th order entropy of quantized weights, and
// makes it a differentiable function of weights that are being trained, so that
// a network learns to be small.
//
// The method is HEMP (Tartaglione, Lathuilière, Fiandrotti, Cagnazzo, Grangetto,
// "HEMP: High-order entropy minimization for neural network compression",
// arXiv 2107.05298, Neurocomputing 461). "The notes" in comments are what is
// known of it, by sections: 1.2 the proxy, 1.3 its gradient, 1.4 the update, 1.5
// the quantizer. What most people need:
//
//   - [Measure], or a [Counter] for what does not fit into memory: the entropy.
//   - [Paper]: the regulariser as published.
//   - [Quantizer], [Levels] and [Rate]: straight-through training with learned
//     levels under a rate that follows the coder which will store them.
//   - [Estimate]: what that coder will need, about.
//
// [Paper] and [Rate] have the two methods of a penalty of package train, over
// plain slices: this package knows no engine.
//
// # What is measured
//
// A tensor of symbols (indices of levels) is cut into blocks of n consecutive
// ones in row-major order, or in the order of another [Scan]. Blocks do not
// overlap, do not cross tensors, and the tail is ignored. With p the share of
// each block among all M blocks,
//
//	H_n = -Σ p(i_1…i_n) · log2 p(i_1…i_n)        bits per block; H_n/n per weight
//
// This is the entropy of blocks, not the conditional one of a symbol given those
// before it. It counts no table: of few blocks it is too low, at most log2 M.
//
// # The proxy (1.2)
//
// Counting has no derivative. So a weight is shared between the two levels
// around it, c_{b-1} <= w < c_b, by hat functions:
//
//	u_b(w) = (w - c_{b-1}) / (c_b - c_{b-1})        u_{b-1}(w) = 1 - u_b(w)
//
//	1 ┤   ╱╲    ╱╲      ╱╲         there is no temperature: a weight on a
//	  │  ╱  ╲  ╱  ╲    ╱  ╲        level belongs to it alone, and where all
//	  │ ╱    ╲╱    ╲  ╱    ╲       weights are on levels the proxy is H_n
//	0 ┼╱─────╱╲─────╲╱──────╲──
//	 c_0    c_1    c_2     c_3
//
// Beyond the outer levels there are two dummy centers, c_0 = min(w) - 0.01 -
// (c_2 - c_1) and c_{N+1} likewise. The joint soft pmf of blocks is
//
//	p(i_1…i_n) = 1/M · Σ_blocks Π_m u_{i_m}(w_m)
//
// with the indices of all layers in one table, though each has its own levels.
//
// # The gradient (1.3)
//
// A block touches only the 2^n cells between its centers:
//
//	∂H_n/∂w_m = 1/(M·Δ_m) · Σ_{s∈{0,1}^{n-1}} [Π_{l≠m} u_{b_l-1+s_l}(w_l)] · log2( p(…, b_m-1, …) / p(…, b_m, …) )
//
// with Δ_m the distance of the two centers around w_m. [Proxy] finds it for all n
// weights of a block by one walk down and one up a tree of 2^n leaves (kernel.go):
// 2^n/n steps for each weight, for any number of levels. The paper's program
// goes through all (N+2)^n cells for n >= 3, and has an explicit derivation for
// n = 2, which is ClosedForm here.
//
// At a kink, a weight on a level, the derivative is the one to the right, and a
// term with an empty cell is 0. [ProxyOptions] Settle and [Rate] instead give 0
// where the entropy rises on both sides: otherwise weights that are exactly zero
// would be pushed off.
//
// # The update (1.4)
//
//	w ← w - S̄·λ_H·∇H_n - S̄·λ_E·(w - ŵ)        S̄ = 1 - |∂L/∂w| / max |∂L/∂w|
//
// after each step of the optimizer, without its rate, then a clamp. Of the
// program's defects (notes 1.9) none is here: λ_H counts once, the unit is bits per
// block for every n, any size of tensor and any scan goes, the scan is that of
// measure and gradient alike, and constant tensors have levels.
//
// # Determinism
//
// The result does not depend on the number of threads: sums are made in parts
// whose bounds follow from the sizes alone, and are joined in their order.
// Numbers may differ in the last bit between processors that fuse x*y + z and
// others; nothing here steers a decoder.
package entropy
