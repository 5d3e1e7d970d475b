package graph

import (
	"slices"

	"ropewalk/internal/format/onnx"
)

// call puts the nodes of a function in the place of its call.
func (imp *importer) call(b *block, n *onnx.Node, f *onnx.Function, attributes []onnx.Attribute, inputs, outputs []string) error {
	if b.calls == maxCalls {
		return imp.unsupported(n.At, "functions are called more than %d deep; function %q may call itself", maxCalls, f.Name)
	}
	if len(inputs) > len(f.Inputs) || len(outputs) > len(f.Outputs) {
		return imp.corrupt(n.At, "node %q has %d inputs and %d outputs, its function %q %d and %d",
			nodeName(n), len(inputs), len(outputs), f.Name, len(f.Inputs), len(f.Outputs))
	}
	inner := &block{
		prefix:     imp.nodes.unique(b.own(nodeName(n))) + "/",
		names:      map[string]string{},
		opsets:     imp.opsets(f.Opsets, imp.net.IRVersion),
		attributes: map[string]onnx.Attribute{},
		calls:      b.calls + 1,
	}
	if len(f.Opsets) == 0 {
		inner.opsets = b.opsets
	}
	for _, a := range slices.Concat(f.Defaults, attributes) {
		inner.attributes[a.Name] = a
	}
	for i, name := range f.Inputs {
		global := ""
		if i < len(inputs) {
			global = inputs[i]
		}
		if err := imp.bind(inner, name, global, n.At); err != nil {
			return err
		}
	}
	if err := imp.body(inner, f.Nodes); err != nil {
		return err
	}
	b.out = append(b.out, inner.out...)
	for i, name := range outputs {
		if name == "" {
			continue
		}
		from, ok := inner.find(f.Outputs[i])
		if !ok || from == "" {
			return imp.corrupt(n.At, "output %q of function %q is made by nothing", f.Outputs[i], f.Name)
		}
		alias := &Node{Op: "Identity", Inputs: []string{from}, Outputs: []string{name}, Opset: inner.opsets[""]}
		if err := imp.emit(b, alias, name, n.At); err != nil {
			return err
		}
	}
	return nil
}
