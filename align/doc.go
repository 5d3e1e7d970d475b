// Package align finds which neuron of one network is which neuron of another.
//
// Shuffling the neurons of a layer, and rescaling them, leaves the function of a
// network as it was, but breaks everything that reads weights by position. Given
// the original (the reference), this package puts the neurons of the other
// network (the suspect) back in order, also after its weights were pruned,
// quantized or trained further.
//
// [Match] works on one [Group]: neurons that are described by one or more views,
// each a row of numbers per neuron. [Network] works on all groups of a network
// at once, where no order is known at first; a [Spec] says which axes of which
// tensors move together.
//
// # Two methods
//
// [Paper] is that of Find the Lady (arXiv 2312.14182): incoming weights,
// cosines, and for each neuron the most similar one. It is exactly as
// published: two neurons may get the same partner, and nothing says how sure a
// match is. [Joint], the default, adds the evidence of all tensors that touch
// the neurons, matches one to one (package internal/assignment), sees through
// rescaling and sign flips where the group has that freedom, and gives a
// certainty with each match.
//
// # Certainty
//
// It is a posterior probability under a model that is fitted to the two
// networks: cosines of neurons that do not belong together are Gaussian with a
// variance that is measured on the second-best ones, those of pairs are shifted,
// views are independent, and any partner is as likely as any other beforehand.
// It is no p-value. Two networks that have nothing to do with each other get
// certainties near one over the number of neurons; tests hold it to that.
//
// # Networks larger than memory
//
// Where [NetworkOptions].Memory is less than what [Memory] says, nothing is held. A
// class is decided as soon as a tensor has it whose other axes are known: neurons are
// compared by signed count-sketches of 128 numbers (Charikar and others 2002), and
// read again at full width: the favourite alone where it is far ahead of the others
// for all neurons, else the 16 best of each. The matching is the best among these
// candidates, which dual prices prove; a certainty takes all others to be as similar as
// sketches allow. Files are read one to four times. [StreamMemory] says what it takes.
//
// There are no sweeps that correct what was decided too early, no dummies, and damage is
// not imitated: of networks that were damaged much, or were rescaled and damaged, it
// finds less, and says so by certainties. Signs of heads that are coupled with those of
// what is inside them are not found. Factors of neighbouring layers with batch norm can
// be off by a common one, which changes nothing of what the network computes.
//
// # Restoring
//
// [Restore] gives the suspect's tensors in the order of the reference, with factors
// taken back. Neurons that were added are named (zero, clique, split) and left out,
// those that are gone are zeros.
//
// # What it cannot do
//
// Signs are found for up to two factors of a group: not in residual streams that many
// batch norms write. Where weights contradict that, the match counts as ambiguous.
//
// Neurons that are equal can't be told apart by anything, and are listed as ambiguous.
// Dead ones, of which no weights are left, are told apart by their biases and by what
// scaling leaves of their norms, as the ratio of shift to scale, if these are as they
// were. Networks that were trained anew from the outputs of
// the reference have other neurons; no method that looks at weights finds them.
package align
