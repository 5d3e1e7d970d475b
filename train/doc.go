// Package train fits the weights of a network to data, and judges networks.
//
// [Fit] is the loop: batches, gradients, an optimizer, a schedule, evaluation,
// snapshots. It knows the network as an [engine.Program], the data as a
// [Source], and what is minimised as an [Objective]:
//
//	          Source                       Objective   Penalties
//	            │ batch                        │           │
//	            ▼                              ▼           ▼
//	Hooks ──► Program.Step ──► outputs ──► loss, gradients of all weights
//	  ▲                                        │
//	  └───────── weights ◄── Optimizer ◄── clip┘
//
// A [Penalty] is a term that is a plain function of the weights, and is added to
// the loss. A [Substituter] has the network compute with other weights than those
// that are updated (straight-through quantization), and an [Adjuster] changes
// weights after an update (projection).
//
// Training is deterministic: the same program (compiled with the same seed, for
// as many threads), data and [Options] give the same weights, bit for bit. So
// does a run that was killed at any moment and goes on from its snapshot.
//
// [Evaluate] measures a network on labelled examples, and [Compare] two networks
// against each other on the same inputs, for which no labels are needed.
package train
