package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/lineage"
	"ropewalk/tensor"
)

// A side is one of the two networks that are compared.
type side struct {
	c        *checkpoint.Checkpoint
	role     string // what the help calls it
	path     string
	files    map[string]string // SHA-256 in hex, by name
	set      *tensor.Set       // that is compared
	metadata map[string]string
	graph    *graph.Graph // nil is not known
}

// network returns the side as package lineage wants it.
func (s *side) network() lineage.Network {
	return lineage.Network{Set: s.set, Graph: s.graph, Files: s.files, Metadata: s.metadata}
}

// meet leaves out what containers of different formats always differ in: what they say
// beside tensors, and counters of training steps, which only some keep.
func (v *verification) meet() error {
	a, b := v.ref, v.sus
	for _, s := range []*side{a, b} {
		s.set, s.metadata = s.c.Tensors, map[string]string{}
		for _, p := range s.c.Layout.Metadata {
			s.metadata[p.Key] = p.Value
		}
	}
	f, g := a.c.Layout.Format, b.c.Layout.Format
	if f == g {
		return nil
	}
	if len(a.metadata)+len(b.metadata) > 0 {
		v.r.skip(checkMetadata, "what is said beside tensors is not the same thing in %s and %s", f, g)
		a.metadata, b.metadata = nil, nil
	}
	for _, s := range [][2]*side{{a, b}, {b, a}} {
		own, other := s[0], s[1]
		var kept, out []*tensor.Tensor
		for _, t := range own.c.Tensors.All() {
			if strings.HasSuffix(t.Name, stepCounter) && !t.DType.IsFloat() && t.Elems() == 1 && other.c.Tensors.Lookup(t.Name) == nil {
				out = append(out, t)
			} else {
				kept = append(kept, t)
			}
		}
		if len(out) == 0 {
			continue
		}
		var err error
		if own.set, err = tensor.NewSet(kept...); err != nil {
			return err
		}
		v.r.skip(checkTensors, "%s of training steps in %s (%s …) read by no network that is run, and %s keeps none", count(len(out), "counter"), own.path, out[0].Name, other.c.Layout.Format)
	}
	return nil
}

// stepCounter ends the names of the tensors in which PyTorch counts the steps that a
// batch norm has seen.
const stepCounter = ".num_batches_tracked"

// sum computes the digests of all files.
func (s *side) sum(ctx context.Context) error {
	s.files = map[string]string{}
	for i, f := range s.c.Stored() {
		h := sha256.New()
		r := &contextSection{ctx, io.NewSectionReader(f.Data, 0, f.Data.Size())}
		if _, err := io.Copy(h, r); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		name := f.Name
		if i == 0 && s.path != dash {
			name = filepath.Base(s.path)
		}
		s.files[name] = hex.EncodeToString(h.Sum(nil))
	}
	return nil
}

// contextSection reads until its context ends.
type contextSection struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextSection) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}

// sameFiles reports whether both have the same bytes, whatever the names of the files.
func (s *side) sameFiles(t *side) bool {
	return slices.Equal(slices.Sorted(maps.Values(s.files)), slices.Sorted(maps.Values(t.files)))
}

// nonFinite is where in a tensor a number is infinite or none at all.
type nonFinite struct {
	at int64
	x  float64
}

// infinities finds the first number that is not finite in each float tensor.
func (s *side) infinities(ctx context.Context) ([]*nonFinite, error) {
	all := make([]*nonFinite, s.c.Tensors.Len())
	err := parallel(ctx, len(all), func(i int) error {
		t := s.c.Tensors.At(i)
		part := partOf(t.DType)
		if !part.IsFloat() {
			return nil
		}
		number, seen := floatOf(part), int64(0)
		var bits []uint64
		for _, k := range chunks(s.c, i) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			raw, err := k.read(s.c)
			if err != nil {
				return err
			}
			bits = appendBits(bits[:0], part, raw, numbersIn(t, part, k))
			for j, b := range bits {
				if x := number(b); x-x != 0 && all[i] == nil {
					all[i] = &nonFinite{seen + int64(j), x}
				}
			}
			seen += int64(len(bits))
			k.release(s.c)
		}
		return nil
	})
	return all, err
}

// refuseEmpty refuses a network without weights.
func (s *side) refuseEmpty() error {
	n := int64(0)
	for _, t := range s.c.Tensors.All() {
		n += t.Elems()
	}
	if n > 0 {
		return nil
	}
	v := &verdict{status: exitRefused, err: fmt.Errorf("%s: it has no weights: %s, all empty", s.path, count(s.c.Tensors.Len(), "tensor"))}
	return v.withHint("ropewalk inspect shows what it holds")
}

// refuseWeights refuses networks without weights, and weights that are not finite:
// nothing can be said of what was done to those. A tensor that has infinities on both
// sides, as a mask of attention has, is no weight.
func refuseWeights(ctx context.Context, ref, sus *side) error {
	refuse := func(s *side, format string, args ...any) *verdict {
		return &verdict{status: exitRefused, err: fmt.Errorf("%s: "+format, append([]any{s.path}, args...)...)}
	}
	for _, s := range []*side{ref, sus} {
		if err := s.refuseEmpty(); err != nil {
			return err
		}
	}
	mine, err := ref.infinities(ctx)
	if err != nil {
		return err
	}
	theirs, err := sus.infinities(ctx)
	if err != nil {
		return err
	}
	bad := map[string]bool{} // on the other side
	for i, b := range mine {
		if b != nil {
			bad[ref.c.Tensors.At(i).Name] = true
		}
	}
	for i, b := range theirs {
		name := sus.c.Tensors.At(i).Name
		if b != nil && !bad[name] {
			return refuse(sus, "tensor %s has %v at %d: weights that are not finite are those of no network that works", name, b.x, b.at)
		}
		if b != nil {
			delete(bad, name)
		}
	}
	for i, b := range mine {
		if name := ref.c.Tensors.At(i).Name; b != nil && bad[name] {
			return refuse(ref, "tensor %s has %v at %d: weights that are not finite are those of no network that works", name, b.x, b.at)
		}
	}
	return nil
}

// graphs finds out how the two are computed, and whether in the same way.
func (v *verification) graphs() {
	if v.known == nil || v.known.network == nil {
		v.r.skip(checkOutputs, "it is not known how to compute %s; --net NET says which network it is", v.ref.path)
		if v.sus.c.Layout.Format == "onnx" {
			v.r.skip(checkGraph, "there is none to hold that of %s against", v.sus.path)
		}
		return
	}
	n := v.known.network
	g, err := v.suspectGraph()
	if err != nil {
		v.r.skip(checkOutputs, "%s cannot be computed as the reference is: %v", v.sus.path, err)
		return
	}
	switch {
	case v.sus.c.Layout.Format != "onnx": // it has none of its own
	case n.built:
		v.r.skip(checkGraph, "%s has one of its own, and of %s only the name is known", v.sus.path, v.ref.path)
	default:
		a, b := v.ref.network(), v.sus.network()
		a.Graph, b.Graph = n.Graph, g
		v.r.GraphEdits = lineage.GraphDifferences(a, b)
	}
	for _, s := range []struct {
		side *side
		g    *graph.Graph
	}{{v.ref, n.Graph}, {v.sus, g}} {
		if missing := s.g.Missing(); len(missing) > 0 {
			v.r.skip(checkOutputs, "%s: cannot compute %s", s.side.path, missingText(missing))
			return
		}
	}
	v.ref.graph, v.sus.graph = n.Graph, g
}

// resized leaves out edits of a graph that other numbers of neurons bring along: a
// depthwise convolution has as many groups as neurons.
func (r *verifyResult) resized() {
	if slices.ContainsFunc(r.Changes, func(c lineage.Change) bool { return c.Kind == lineage.Padding || c.Kind == lineage.Removal }) {
		r.GraphEdits = slices.DeleteFunc(r.GraphEdits, func(d lineage.GraphDifference) bool { return d.Attribute == "group" })
	}
}

// suspectGraph returns the suspect's own graph, or that of the reference with its weights.
func (v *verification) suspectGraph() (*graph.Graph, error) {
	c, n := v.sus.c, v.known.network
	if c.Layout.Format == "onnx" {
		return graph.FromLayout(c.Layout)
	}
	own := &network{Graph: n.Graph, spec: n.spec, built: n.built, options: n.options}
	if w := nets.WidthsOf(n.Name, c.Tensors); n.built && w != nil {
		options := n.options
		options.Widths = w
		if err := own.build(n.Name, &options); err != nil {
			return nil, err
		}
	}
	set, err := v.likeReference(n.Weights)
	if err != nil {
		return nil, err
	}
	if err := own.load(v.sus.path, set); err != nil {
		return nil, errors.Unwrap(err)
	}
	return own.Graph, nil
}

// likeReference returns the suspect's tensors in the types that those of the graph have.
func (v *verification) likeReference(weights *tensor.Set) (*tensor.Set, error) {
	var list []*tensor.Tensor
	for _, t := range v.sus.c.Tensors.All() {
		if w := weights.Lookup(t.Name); w != nil && w.DType != t.DType && w.DType.IsFloat() && t.DType.IsFloat() {
			t = tensor.Cast(t, w.DType)
		}
		list = append(list, t)
	}
	return tensor.NewSet(list...)
}

// metadataEdit is a difference of what containers say beside tensors.
type metadataEdit struct {
	Key       string  `json:"key"`
	Reference *string `json:"reference,omitempty" about:"absent if the key is not there"`
	Suspect   *string `json:"suspect,omitempty" about:"absent if the key is not there"`
}

// metadata compares what containers of the same format say beside tensors.
func (v *verification) metadata() {
	a, b := v.ref.metadata, v.sus.metadata
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		x, inA := a[k]
		y, inB := b[k]
		if inA && inB && x == y {
			continue
		}
		e := metadataEdit{Key: k}
		if inA {
			e.Reference = &x
		}
		if inB {
			e.Suspect = &y
		}
		v.r.MetadataEdits = append(v.r.MetadataEdits, e)
	}
}
