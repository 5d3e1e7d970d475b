// Package symmetry finds what can be shuffled and rescaled in a network without a
// change of its function, and does it.
//
// The channels of a layer may stand in any order, if all that makes them and all that
// reads them has the same: rows of a kernel, its bias, scale, shift and running
// statistics of a norm, columns of the next kernel. Channels that are added have to move
// together, so the groups of a residual network span many layers. A ReLU lets a
// positive factor through, which the next layer can take back. A [Spec] says all this
// for one network:
//
//	spec, err := symmetry.Derive(g, nil)           // of a graph
//	spec, err := symmetry.DeriveNames(set, nil)    // of names and shapes
//	spec, err := symmetry.Parse(text)              // of what String printed
//	e := spec.Random(&symmetry.RandomOptions{Seed: 1, Scale: 0.7})
//	shuffled, err := symmetry.Apply(spec, set, e)  // an overlay, computed when read
//
// An [Element] says where each neuron goes and what it is multiplied by; elements have
// inverses ([Spec.Inverse]) and products ([Spec.Then]). Moving is exact: bytes are
// copied. Multiplying rounds.
//
// # How it finds them
//
// Each position of each axis of each tensor is an unknown neuron with an unknown
// factor. Going from operator to operator, the derivation makes unknowns equal that
// have to be: what a matrix product sums over, what is added. An axis that is cut into
// blocks makes pairs of unknowns: block i, place j. What is left apart can move; neurons
// that occur at the same places, in tensors and in all values between, are a group.
//
// All that is taken for granted is enough for a symmetry, not needed for one. So there
// may be more than is found: channels inside of different heads or blocks could each
// have an order of their own, but here have the same in all. Orthogonal and other
// continuous symmetries, as of transformers, are none of orders and factors, and are not
// here. [Verify] holds a specification against the running network.
package symmetry
