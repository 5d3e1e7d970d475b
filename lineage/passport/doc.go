// Package passport keeps of a network what is needed to know it again: a file of about a
// percent of its size that stands for it where suspects are compared, and shows little of
// its weights.
//
//	p, err := passport.Make(ctx, network, nil) // one pass over the weights
//	p.Sign(key)
//	err = os.WriteFile("owner.passport", p.Bytes(), 0o644)
//
//	p, err = passport.Open("owner.passport", &passport.Trust{Signer: public})
//	c, err := passport.Compare(ctx, p, suspect, nil) // a *lineage.Comparison
//
// A passport has the names, types and shapes of tensors; what can move ([symmetry.Spec]);
// of each tensor a SHA-256, a digest that does not depend on the order of its numbers, and
// some moments; and of each group of neurons signed count-sketches of the neurons' rows,
// with their lengths. docs/PASSPORT.md describes every byte.
//
// # What it can prove
//
// Equal tensors are equal by SHA-256. That a suspect was only reordered is proven, too:
// sketches find the order, and the suspect in that order has the digests of the passport.
// All else is measured: sketches are linear, so that the sketch of a difference is the
// difference of sketches, and its length tells that of the difference, up to √(2/numbers)
// of it. A suspect that was rescaled equals the reference only to rounding, which
// no digest can show; that its sketches differ by no more than rounding is evidence, and
// no proof.
package passport
