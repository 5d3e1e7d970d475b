// Package compact trains networks to be small: so that the packed file is tiny, and
// the network still knows what it knew.
//
// A [Recipe] is a hook and a penalty of package train. It does not train: it
// replaces weights by levels before each step, adds what bits cost to the gradient,
// and changes its mind about both as time goes on:
//
//	0            Start         Ramp    Freeze                      1
//	├── floats ────┼── free ─────┴───────┼── frozen ────────────────┤
//	               │ levels are chosen   │ zeros stay zeros,
//	               │ and learned; a bit  │ bits cost nothing, what
//	               │ costs more and more │ is left learns on
//
//	r, err := compact.New(weights, layers, compact.Options{}, tools)
//	options.Hooks, options.Penalties = []train.Hook{r}, []train.Penalty{r.Penalty()}
//	train.Fit(…)
//	net, err := r.Finish(weights)       // symbols of the last forward pass
//	net = net.Thinned(…)                // without weights that cost more than they give
//	net, size, err := net.Sorted()      // units in the order that codes best
//
// # The default recipe
//
// Each tensor of weights has an odd number of levels, of which the middle one is an
// exact zero; the others are at ±c, ±2c, … at first, and learned. The network
// computes with levels, and the gradient by a level goes to the float behind it
// (straight-through, [entropy.Quantizer]). A bit costs Lambda nats. How many bits a
// weight takes follows from how dense its row and its column are, as in the coders
// that will store it, see price.go; the models of package entropy are alternatives.
// When zeros freeze, units that nobody reads, or that read nothing, are taken out as
// a whole, through all layers of a chain. Biases are on a fixed grid. After that,
// weights that change levels to and fro come to rest at the one at which they mostly
// are, see settle.go.
//
// With a Target, Lambda is steered so that the file gets there by Freeze, and then
// the threshold of zero is moved until it is met.
//
// # The method of the paper
//
// [Paper] is HEMP as published: see [entropy.Paper]. The network is trained in
// floats that are drawn to frozen levels, and evaluated with levels.
//
// # Determinism
//
// The same weights, data and options give the same symbols, for any number of
// threads that the program itself is indifferent to; and so does a run that was
// killed and goes on, as the state of a recipe is complete.
package compact
