// Package attack does to networks what an adversary would, so that it can be
// measured what survives: whether neurons are found again, and marks read.
//
// An attack is a chain of steps, written and read as text:
//
//	chain, err := attack.Parse("permute+prune=0.9+quantize=4")
//	r, err := chain.Apply(ctx, attack.Network{Set: set, Spec: spec, Graph: g}, &attack.Options{Seed: 1})
//	…
//	r.Set   // the attacked tensors
//	r.Truth // which neuron is which, for align
//
// A step is KIND, KIND=STRENGTH, or either with options behind colons; steps are
// joined by "+" and done in order:
//
//	permute                          neurons in another order
//	scale[=S][:powers]               neurons times log-normal factors; S (0.7) is the
//	                                 deviation of the natural logarithm
//	sign                             signs of neurons, where the network allows it
//	dummy[=R][:zero|clique|split][:plain]
//	                                 R (0.5) times as many neurons more, up to 1
//	noise=Ω                          N(0, (Ω·σ)²), σ the deviation of the tensor
//	prune=T[:global]                 the share T of smallest magnitude becomes zero
//	remove=R[:random]                the share R of the neurons is gone
//	quantize=B[:channel|:lloyd-max|:gaussian]
//	                                 at most 2^B values for each tensor, or channel
//	finetune=Θ[:rate=X][:batch=N]    Θ epochs of training
//	overwrite[=T][:tensor=NAME][:margin=X]
//	                                 another mark of T (64) bits
//	cast=TYPE[:round]                f32, f16, bf16 or f64
//
// permute, scale, sign and dummy preserve the network's function. Where the network
// can be computed, that is proved: its outputs before and after are compared, and are
// equal to rounding, or the attack fails.
//
// The others change weights: those are the tensors of two axes or more that hold
// floats, and, if the graph is known, are parameters of it. So biases and norms are
// left alone, as in the paper (Find the Lady, arXiv 2312.14182), whose definitions of
// noise, pruning, quantization and fine-tuning are these.
//
// All that is random follows from the seed, the place of the step in its chain, and
// the names of groups or tensors; never from threads. Tensors are computed when they
// are read, one at a time, so that the result takes little memory; the tensors of the
// network have to stay open as long as it is used.
package attack
