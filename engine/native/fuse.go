package native

import (
	"slices"

	"ropewalk/graph"
	"ropewalk/internal/kernel"
)

// A draft is a node of the graph before it is made, with the nodes after it that
// it does as well.
type draft struct {
	*graph.Node
	op              string // the row in the table of operators
	inputs, outputs []string
	fused
}

// fused is what an operator does beside its own.
type fused struct {
	// norm is the number of the first of the operands scale, bias, mean and
	// variance of a BatchNormalization that follows; 0 for none.
	norm    int
	epsilon float64
	// affine are products with and additions of a number, or one for each channel,
	// that come next.
	affine []affine
	// residual is the number of an operand that is added; 0 for none.
	residual int
	// clamp follows last.
	clamp kernel.Clamp
	// with are the operators that were taken in, for reports.
	with []string
}

// An affine is one of fused.affine.
type affine struct {
	operand int
	times   bool // else plus
}

// drafts returns the nodes of the graph, with those put together that one
// operator does at once:
//
//	as at inference  Conv + BatchNormalization + Mul, Add of constants + Add + Relu or Clip
//	in both          Conv, Gemm + Relu or Clip; BatchNormalization + Add + Relu or Clip
//
// Before that, spelt-out activations are recognized; see spelling.
// A value in between must have no other reader.
func (b *builder) drafts() []*draft {
	var list []*draft
	for _, n := range b.special.Graph.Nodes {
		list = append(list, &draft{Node: n, op: n.Op, inputs: slices.Clone(n.Inputs), outputs: n.Outputs})
	}
	if !b.fuse {
		return list
	}
	f := &fuser{builder: b, list: list, at: map[string]int{}, readers: map[string]int{}, reader: map[string]int{}}
	return f.run()
}

// A fuser puts drafts together. Entries of list that were taken in are nil.
type fuser struct {
	*builder
	list    []*draft
	at      map[string]int // which draft makes a value
	readers map[string]int // how many read it
	reader  map[string]int // one that does
}

func (f *fuser) run() []*draft {
	for i, d := range f.list {
		for _, out := range d.outputs {
			f.at[out] = i
		}
		for _, in := range d.inputs {
			f.readers[in]++
			f.reader[in] = i
		}
		for _, g := range nested(d.Node) {
			for _, name := range free(g) {
				f.readers[name] += 2 // never fused
			}
		}
	}
	for _, out := range f.special.Graph.Outputs {
		f.readers[out] += 2
	}
	for i := range f.list {
		if d := f.list[i]; d != nil && d.Domain == "" {
			f.spelling(i, d)
		}
	}
	done := map[*draft]bool{} // fuse moves drafts to where the loop has not been yet
	for i := range f.list {
		if d := f.list[i]; d != nil && d.Domain == "" && !done[d] {
			done[d] = true
			f.fuse(i, d)
		}
	}
	return slices.DeleteFunc(f.list, func(d *draft) bool { return d == nil })
}

// next returns the only reader of the result of d.
func (f *fuser) next(d *draft) (int, *draft) {
	if len(d.outputs) != 1 || f.readers[d.outputs[0]] != 1 {
		return 0, nil
	}
	j := f.reader[d.outputs[0]]
	if f.list[j] == nil || f.list[j].Domain != "" {
		return 0, nil
	}
	return j, f.list[j]
}

// take makes draft j a part of draft i. The result stands where j stood, since
// operands of j may be made between the two.
func (f *fuser) take(i, j int) {
	d, e := f.list[i], f.list[j]
	d.with = append(d.with, e.op)
	d.outputs = e.outputs
	f.list[i], f.list[j] = nil, d
	for _, in := range d.inputs {
		f.reader[in] = j
	}
	f.at[e.outputs[0]] = j
}

func (f *fuser) fuse(i int, d *draft) {
	switch d.op {
	case "Conv":
		if len(f.special.Types[d.inputs[0]].Shape) > 4 { // see convND
			return
		}
	case "BatchNormalization":
		if len(d.outputs) > 1 && slices.ContainsFunc(d.outputs[1:], func(s string) bool { return s != "" }) {
			return
		}
		d.outputs = d.outputs[:1]
	case "Gemm":
	default:
		return
	}
	always := func(e *draft) bool { v, _ := e.Attributes["training_mode"].(int64); return v != 0 }
	live := f.training && !f.program.frozen // statistics are those of the batch
	if j, e := f.next(d); d.op == "Conv" && e != nil && e.op == "BatchNormalization" && !f.backward && !live && !always(e) &&
		len(e.outputs) == 1 && e.inputs[0] == d.outputs[0] {
		for len(d.inputs) < 3 {
			d.inputs = append(d.inputs, "")
		}
		d.norm, d.epsilon = len(d.inputs), number(e.Attributes, "epsilon", 1e-5)
		d.inputs = append(d.inputs, e.inputs[1:5]...)
		f.take(i, j)
		i = j
	}
	for d.op == "Conv" && !f.backward {
		j, e := f.next(d)
		if e == nil || e.op != "Add" && e.op != "Mul" {
			break
		}
		other := otherOperand(e.inputs, d.outputs[0])
		if other == "" || !f.perChannel(other, d.outputs[0]) {
			break
		}
		for len(d.inputs) < 3 {
			d.inputs = append(d.inputs, "")
		}
		d.affine = append(d.affine, affine{len(d.inputs), e.op == "Mul"})
		d.inputs = append(d.inputs, other)
		f.take(i, j)
		i = j
	}
	if j, e := f.next(d); d.op != "Gemm" && e != nil && e.op == "Add" && (!f.backward || d.op == "BatchNormalization") {
		if other := otherOperand(e.inputs, d.outputs[0]); other != "" && f.sameShape(other, d.outputs[0]) && f.isFloat(other) {
			d.residual = len(d.inputs)
			d.inputs = append(d.inputs, other)
			f.take(i, j)
			i = j
		}
	}
	if j, e := f.next(d); e != nil {
		if c, ok := f.clampOf(e); ok {
			d.clamp = c
			f.take(i, j)
		}
	}
}

// otherOperand returns the operand of two that is not the given one; "" if both are.
func otherOperand(inputs []string, one string) string {
	switch {
	case len(inputs) != 2 || inputs[0] == inputs[1]:
		return ""
	case inputs[0] == one:
		return inputs[1]
	default:
		return inputs[0]
	}
}

// perChannel reports whether a value that no node makes is one number, or one for
// each channel of an image.
func (f *fuser) perChannel(name, of string) bool {
	if _, isMade := f.at[name]; isMade || !f.isFloat(name) {
		return false
	}
	s, image := f.special.Types[name].Shape, f.special.Types[of].Shape
	n := product(s)
	if n == 1 {
		return len(s) <= len(image)
	}
	at := len(s) - len(image) + 1
	return at >= 0 && len(s) <= len(image) && s[at] == int64(n) && s[at] == image[1]
}

// scalar returns a constant that is one number.
func (f *fuser) scalar(name string) (float64, bool) {
	v := f.special.Constants[name]
	if v == nil || len(v.Float) != 1 || len(v.Shape) > 1 || f.program.byName[name] != nil && f.program.byName[name].trainable {
		return 0, false
	}
	return v.Float[0], true
}

// spelling recognizes activations that a file spells out:
//
//	x·1                         x
//	x·Sigmoid(x)                Swish
//	x·Clip(x + 3, 0, 6)/6       HardSwish
func (f *fuser) spelling(i int, d *draft) {
	if d.op != "Mul" || len(d.inputs) != 2 {
		return
	}
	for k, x := range d.inputs {
		if v, ok := f.scalar(d.inputs[1-k]); ok && v == 1 && f.special.Types[x].Shape.Equal(f.special.Types[d.outputs[0]].Shape) {
			d.op, d.inputs = "Identity", []string{x}
			return
		}
	}
	for k, gate := range d.inputs {
		x := f.same(d.inputs[1-k])
		g, ok := f.at[gate]
		if !ok || f.readers[gate] != 1 || f.list[g] == nil {
			continue
		}
		e := f.list[g]
		switch {
		case e.op == "Sigmoid" && f.same(e.inputs[0]) == x:
			d.op, d.inputs, d.with = "Swish", []string{x}, append(d.with, "Sigmoid")
			f.list[g] = nil
			f.count(x)
			return
		case e.op == "Clip":
			f.hardSwish(i, d, x, g)
			if f.list[g] == nil {
				return
			}
		}
	}
}

// same returns the value that a value is the same as, by an Identity that spelling
// has found.
func (f *fuser) same(name string) string {
	if i, ok := f.at[name]; ok && f.list[i] != nil && f.list[i].op == "Identity" && f.list[i].Domain == "" {
		return f.list[i].inputs[0]
	}
	return name
}

func (f *fuser) hardSwish(i int, d *draft, x string, g int) {
	clip := f.list[g]
	c, ok := f.clampOf(clip)
	a, isMade := f.at[clip.inputs[0]]
	if !ok || c.Lo != 0 || c.Hi != 6 || !isMade || f.list[a] == nil || f.list[a].op != "Add" || f.readers[clip.inputs[0]] != 1 {
		return
	}
	three, ok := f.scalar(otherOperand(f.list[a].inputs, x))
	j, div := f.next(d)
	if !ok || three != 3 || div == nil || div.op != "Div" || div.inputs[0] != d.outputs[0] {
		return
	}
	if six, ok := f.scalar(div.inputs[1]); !ok || six != 6 {
		return
	}
	f.list[g], f.list[a] = nil, nil
	d.op, d.inputs, d.with = "HardSwish", []string{x}, append(d.with, "Add", "Clip")
	f.take(i, j)
	f.count(x)
}

// count finds the readers of a value again.
func (f *fuser) count(name string) {
	n := 0
	for i, d := range f.list {
		if d == nil {
			continue
		}
		for _, in := range d.inputs {
			if in == name {
				n++
				f.reader[name] = i
			}
		}
	}
	if f.readers[name] < 2+n { // else an output or a nested graph reads it as well
		f.readers[name] = n
	}
}

func (f *fuser) sameShape(a, b string) bool {
	return f.special.Types[a].Shape.Equal(f.special.Types[b].Shape)
}

func (f *fuser) isFloat(a string) bool { return f.special.Types[a].DType.Numeric() }

// clampOf returns what a Relu, or a Clip whose bounds are constant, does.
func (f *fuser) clampOf(d *draft) (kernel.Clamp, bool) {
	switch d.op {
	case "Relu":
		return kernel.ReLU(), true
	case "Clip":
		c := kernel.Clamp{On: true, Lo: lowest, Hi: highest}
		for i, bound := range []*float32{&c.Lo, &c.Hi} {
			if i+1 >= len(d.inputs) || d.inputs[i+1] == "" {
				continue
			}
			v, ok := f.scalar(d.inputs[i+1])
			if !ok {
				return c, false
			}
			*bound = float32(v)
		}
		return c, f.isFloat(d.inputs[0])
	}
	return kernel.Clamp{}, false
}

// nested returns the graphs in the attributes of a node.
func nested(n *graph.Node) []*graph.Graph {
	var gs []*graph.Graph
	for _, a := range n.Attributes {
		if g, ok := a.(*graph.Graph); ok {
			gs = append(gs, g)
		}
	}
	return gs
}

// free returns the names that a nested graph reads, its own values included.
func free(g *graph.Graph) []string {
	names := slices.Clone(g.Outputs)
	for _, n := range g.Nodes {
		names = append(names, n.Inputs...)
		for _, h := range nested(n) {
			names = append(names, free(h)...)
		}
	}
	return names
}

func number(a graph.Attributes, name string, standard float64) float64 {
	if v, ok := a[name].(float64); ok {
		return v
	}
	return standard
}
