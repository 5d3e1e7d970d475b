package graph

import (
	"strings"

	"ropewalk/internal/format/onnx"
)

// A block is a graph or the body of a function whose names are looked up.
type block struct {
	outer  *block
	prefix string            // of names in it
	names  map[string]string // by the name in the file
	opsets map[string]int64
	// attributes are those of the call of the function that the block is in.
	attributes map[string]onnx.Attribute
	calls      int
	out        []*Node
}

// own returns the name in the whole graph of what is in the block. A file that was
// written by this package has such names already.
func (b *block) own(name string) string {
	if strings.HasPrefix(name, b.prefix) {
		return name
	}
	return b.prefix + name
}

// find returns the name in the whole graph.
func (b *block) find(name string) (string, bool) {
	for ; b != nil; b = b.outer {
		if n, ok := b.names[name]; ok {
			return n, true
		}
	}
	return "", false
}

// define notes that name is made in the block, and returns it as it is called in
// the whole graph.
func (imp *importer) define(b *block, name string, at int64) (string, error) {
	global, err := imp.fresh(b.own(name), at)
	if err != nil {
		return "", err
	}
	return global, imp.bind(b, name, global, at)
}

func (imp *importer) bind(b *block, name, global string, at int64) error {
	if _, dup := b.names[name]; dup {
		return imp.corrupt(at, "value %q is made twice", b.prefix+name)
	}
	b.names[name] = global
	return nil
}

// fresh returns a name for a value that no other has.
func (imp *importer) fresh(name string, at int64) (string, error) {
	n := imp.values.unique(name)
	if imp.values.bytes+imp.nodes.bytes > maxNameBytes {
		return "", imp.unsupported(at, "the names of all values have more than %d bytes", maxNameBytes)
	}
	return n, nil
}

// resolve puts the attributes of the call in the place of references to them.
func (b *block) resolve(list []onnx.Attribute) []onnx.Attribute {
	out := make([]onnx.Attribute, 0, len(list))
	for _, a := range list {
		if a.Ref != "" {
			v, ok := b.attributes[a.Ref]
			if !ok {
				continue // left out by the call, and so here
			}
			v.Name = a.Name
			a = v
		}
		out = append(out, a)
	}
	return out
}
