// Package engine is the seam between networks and what computes them.
//
// A [Backend] compiles a graph into a [Program]: forward, and one step of
// training (loss and gradients). It knows nothing of optimizers, penalties or
// data; package train does. The default backend is engine/native: pure Go with
// assembly kernels. Others, such as XLA, are modules of their own that implement
// the same two interfaces.
//
//	p, err := native.Backend{}.Compile(g, &engine.Options{Trainable: g.Parameters()})
//	…
//	loss, err := p.Step(step, train.CrossEntropy(labels), inputs)
//	for _, w := range p.Weights() {
//		// w.Values -= rate * w.Gradient
//	}
package engine
