package nets

import (
	"fmt"
	"strings"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// A LoadError reports everything that keeps a state dict from being loaded.
type LoadError struct {
	Net string
	// Missing are tensors of the network that the state dict lacks.
	Missing []string
	// Extra are tensors of the state dict that the network lacks, by their names in
	// the file.
	Extra []string
	// Other says of tensors in both what is wrong with them: shape, type, or that two
	// names mean one tensor.
	Other []string
}

// listed is how many names of a kind are printed.
const listed = 6

// Error implements error.
func (e *LoadError) Error() string {
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"missing", e.Missing}, {"not in the network", e.Extra}, {"different", e.Other}} {
		if n := len(p.names); n > 0 {
			text := strings.Join(p.names[:min(n, listed)], ", ")
			if n > listed {
				text += ", …"
			}
			parts = append(parts, fmt.Sprintf("%d %s (%s)", n, p.what, text))
		}
	}
	return fmt.Sprintf("the weights do not fit %s: %s; is it another network, or another number of classes?", e.Net, strings.Join(parts, "; "))
}

// containers are what checkpoints of training put a state dict into, beside optimizers
// and counters.
var containers = []string{"state_dict.", "model_state_dict."}

// wrappers are what programs put before names.
var wrappers = []string{"module.", "model.", "_orig_mod."}

// Load returns g, a network of [Build], with the weights of a state dict in the place
// of its own. They are found by name, without what wrappers put before it ("module.",
// "model."); of a checkpoint that holds a state_dict, model or net, only that counts; counters of
// batches are ignored. F16, BF16 and F64 become F32 when they are read. All that does
// not fit is one *LoadError. The set has to stay open as long as the graph is used.
func Load(g *graph.Graph, set *tensor.Set) (*graph.Graph, error) {
	e := &LoadError{Net: g.Name}
	found := map[string]*tensor.Tensor{}
	inside := container(g, set)
	for _, t := range set.All() {
		name, ok := strings.CutPrefix(t.Name, inside)
		if !ok {
			continue
		}
		name = unwrapped(g, name)
		own := g.Weights.Lookup(name)
		switch {
		case strings.HasSuffix(name, ".num_batches_tracked"):
		case own == nil || !IsState(own):
			e.Extra = append(e.Extra, t.Name)
		case found[name] != nil:
			e.Other = append(e.Other, fmt.Sprintf("%s and %s are both %s", found[name].Name, t.Name, name))
		default:
			found[name] = t
		}
	}
	var changed []*tensor.Tensor
	for _, own := range g.Weights.All() {
		t := found[own.Name]
		switch {
		case !IsState(own):
			continue
		case t == nil:
			e.Missing = append(e.Missing, own.Name)
		case !t.Shape.Equal(own.Shape):
			e.Other = append(e.Other, fmt.Sprintf("%s is %v, want %v", t.Name, t.Shape, own.Shape))
		case !t.DType.Numeric():
			e.Other = append(e.Other, fmt.Sprintf("%s holds %s, want floats", t.Name, t.DType))
		default:
			cast := *tensor.Cast(t, tensor.F32)
			cast.Name = own.Name
			changed = append(changed, &cast)
		}
	}
	if len(e.Missing)+len(e.Extra)+len(e.Other) > 0 {
		return nil, e
	}
	weights, err := tensor.Overlay(g.Weights, changed...)
	if err != nil {
		return nil, err
	}
	loaded := *g
	loaded.Weights = weights
	return &loaded, nil
}

// IsState reports whether a tensor of a network of this package belongs to its state
// dict: it holds floats and has an axis. Others are constants of its operators.
func IsState(t *tensor.Tensor) bool { return t.DType.IsFloat() && len(t.Shape) > 0 }

// loose are containers, too, if the whole state dict is in them: networks have layers
// of these names.
var loose = []string{"model.", "net."}

// container returns what stands before the names of the state dict.
func container(g *graph.Graph, set *tensor.Set) string {
	for _, c := range loose {
		found := 0
		for _, t := range set.All() {
			if name, ok := strings.CutPrefix(t.Name, c); ok {
				if own := g.Weights.Lookup(unwrapped(g, name)); own != nil && IsState(own) {
					found++
				}
			}
		}
		if found > 0 && found >= states(g) {
			return c
		}
	}
	for _, c := range containers {
		for _, t := range set.All() {
			if strings.HasPrefix(t.Name, c) {
				return c
			}
		}
	}
	return ""
}

// states counts the tensors of the state dict of g.
func states(g *graph.Graph) int {
	n := 0
	for _, t := range g.Weights.All() {
		if IsState(t) {
			n++
		}
	}
	return n
}

// unwrapped returns a name without what stands before one of the network's, or
// before a counter.
func unwrapped(g *graph.Graph, name string) string {
	for {
		if g.Weights.Lookup(name) != nil {
			return name
		}
		short := name
		for _, w := range wrappers {
			if s, ok := strings.CutPrefix(name, w); ok {
				short = s
			}
		}
		if short == name {
			return name
		}
		name = short
	}
}
