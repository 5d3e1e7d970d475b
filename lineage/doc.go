// Package lineage says what two networks are to each other: which of the things that
// happen to networks, in which order, make one of the other, and how sure that is.
//
//	c, err := lineage.Compare(ctx, reference, suspect, nil)
//	fmt.Println(c.Summary()) // reordered, pruned 90 %, quantized to 4 bits
//
// # The ladder
//
// From strongest to weakest; the verdict is the first that holds:
//
//	identical       the same bytes in the same files
//	same weights    the same values of the same tensors, in another container
//	reordered       bit for bit the same, but for the order of neurons
//	rescaled        the same function: neurons also multiplied, flipped, or padded
//	re-encoded      the same values in another type, or on the levels of a quantizer
//	pruned          weights or neurons taken away
//	modified        weights changed: noise, training, edits
//	partly derived  some of the neurons, or a mixture with another network
//	unrelated       no evidence of any of these
//
// What was done is a list of changes beside that: a suspect that is reordered, pruned
// and quantized has the verdict pruned, and three changes.
package lineage
