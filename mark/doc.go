// Package mark puts an owner's secret mark into a network, and reads it again from a
// copy that was shuffled, rescaled, pruned, quantized, trained on or packed, with a
// probability that the reading is chance.
//
//	key, err := mark.NewKey(rand.Reader, mark.Identity{Owner: "Alice"})
//	s, err := mark.Find("keyed")
//	p, err := s.Plan(set, key, nil)                    // which tensors, how strong
//	e, err := s.Embed(set, key, p)                     // e.Set is the marked network
//	c, err := mark.Commit(key, p, set, e.Set)          // publish, time-stamped, before release
//	…
//	a, err := mark.Align(ref, spec, suspect, nil)      // never on what carries the mark
//	r, err := s.Extract(a.Set, set, key, p)
//	v := mark.Judge(r, &mark.Circumstances{Committed: true})
//
// # Schemes
//
//	keyed    ± ε·σ on all larger tensors, signs from the key; needs no training
//	payload  the same, and the signs carry up to 256 bits in an error-correcting code
//	grid     for networks on a quantizer's levels: weights go to a neighbouring level
//	uchida   bits in the mean kernel of one layer (Uchida et al. 2017), in closed form
//	         or as a penalty of a training
//
// # What a probability rests on
//
// Each is about one hypothesis: that the suspect has nothing to do with the key. The
// signs of the key are then fair coins, independent of everything that is compared
// with them: the suspect, the unmarked reference, and how the two were aligned. No
// assumption about networks or training is made; see [Bound] and [Binomial] for the
// proofs. It follows that a tensor that carries the mark must take no part in the
// alignment before its reading: who aligns a stranger to the marked weights finds the
// mark in it, because the search for the order was a search for the mark. [Align]
// refuses that.
//
// A mark says nothing of networks that were trained anew on the outputs of the
// marked one: they have other weights.
package mark
