package suite

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
	"ropewalk/train"
)

// OneGroup returns a network of nothing but the group that a tensor makes, with that
// tensor as the first of those that make it: the axes of all other groups are known. It
// is how Find the Lady (arXiv 2312.14182) looks at a layer.
func OneGroup(n attack.Network, layer string) (attack.Network, error) {
	for i := range n.Spec.Groups {
		g := n.Spec.Groups[i]
		first := slices.IndexFunc(g.Places, func(p symmetry.Place) bool { return p.Tensor == layer && p.Role == symmetry.Incoming })
		if first < 0 {
			continue
		}
		g.Places = slices.Clone(g.Places)
		p := g.Places[first]
		g.Places = slices.Insert(slices.Delete(g.Places, first, first+1), 0, p)
		spec := &symmetry.Spec{Groups: []symmetry.Group{g}}
		set, err := Touched(n.Set, spec)
		return attack.Network{Set: set, Spec: spec}, err
	}
	return attack.Network{}, fmt.Errorf("no group of neurons is made by %s", layer)
}

// Touched returns the tensors that a specification speaks of.
func Touched(set *tensor.Set, s *symmetry.Spec) (*tensor.Set, error) {
	var list []*tensor.Tensor
	seen := map[string]bool{}
	for i := range s.Groups {
		for k := range s.Groups[i].Places {
			name := s.Groups[i].Places[k].Tensor
			if !seen[name] {
				seen[name] = true
				list = append(list, set.Lookup(name))
			}
		}
	}
	return tensor.NewSet(list...)
}

// Attacked does what the chain says to a network, without a proof that what should
// preserve the function does: the tests of package attack have that.
func Attacked(ctx context.Context, n attack.Network, chain string, seed uint64, tr *attack.Trainer, only ...string) (*attack.Result, error) {
	c, err := attack.Parse(chain)
	if err != nil {
		return nil, err
	}
	r, err := c.Apply(ctx, n, &attack.Options{Seed: seed, Only: only, Unproved: true, Trainer: tr})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", chain, err)
	}
	// Each method reads them, and each reading would do the attack again.
	if r.Set, err = inMemory(r.Set); err != nil {
		return nil, fmt.Errorf("%s: %w", chain, err)
	}
	return r, nil
}

// inMemory returns a set of the same tensors that is computed already.
func inMemory(set *tensor.Set) (*tensor.Set, error) {
	list := make([]*tensor.Tensor, 0, set.Len())
	for _, t := range set.All() {
		b, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		list = append(list, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(b)})
	}
	return tensor.NewSet(list...)
}

// A layerResult is how many neurons of a layer were found again, in percent, by each
// method.
type layerResult struct {
	Neurons int      `json:"neurons"`
	Width   int      `json:"width"` // weights of each
	Paper   float64  `json:"psi_paper"`
	Ranking float64  `json:"psi_ranking"`
	Joint   float64  `json:"psi_joint"`
	Law     *float64 `json:"law,omitempty"` // what align.Law predicts of paper's, for noise
}

// oneLayer attacks a layer and shuffles it; the order of all others is known. Noise and
// pruning are of this layer alone, quantizing of all that touches it, and training of the
// whole network, as the paper has it.
func (m *Measure) oneLayer(ctx context.Context) (*layerResult, error) {
	whole, done, err := m.open()
	if err != nil {
		return nil, err
	}
	defer done()
	n, err := OneGroup(*whole, m.layer)
	if err != nil {
		return nil, err
	}
	g := &n.Spec.Groups[0]
	r := &layerResult{Neurons: g.Size, Width: int(n.Set.Lookup(m.layer).Elems()) / g.Size}
	damaged := n
	switch {
	case strings.HasPrefix(m.attack, "finetune"):
		tr, err := m.trainer()
		if err != nil {
			return nil, err
		}
		a, err := Attacked(ctx, *whole, m.attack, m.seed, tr)
		if err != nil {
			return nil, err
		}
		if damaged.Set, err = Touched(a.Set, n.Spec); err != nil {
			return nil, err
		}
	default:
		var only []string
		if !strings.HasPrefix(m.attack, "quantize") {
			only = []string{g.Name}
		}
		a, err := Attacked(ctx, n, m.attack, m.seed, nil, only...)
		if err != nil {
			return nil, err
		}
		damaged = a.Network
	}
	sus, err := Attacked(ctx, damaged, "permute", m.seed, nil)
	if err != nil {
		return nil, err
	}
	for method, to := range map[align.Method]*float64{align.Paper: &r.Paper, align.Ranking: &r.Ranking, align.Joint: &r.Joint} {
		if *to, err = m.psi(ctx, n, sus, method); err != nil {
			return nil, err
		}
	}
	var omega float64
	if _, err := fmt.Sscanf(m.attack, "noise=%g", &omega); err == nil {
		if law := align.Law(r.Neurons, r.Width, omega); !math.IsNaN(law) {
			r.Law = &law
		}
	}
	return r, nil
}

// psi returns the percentage of neurons whose partner is the true one.
func (m *Measure) psi(ctx context.Context, ref attack.Network, sus *attack.Result, method align.Method) (float64, error) {
	own, err := align.FromSymmetry(ref.Spec)
	if err != nil {
		return 0, err
	}
	others, err := own.Resize(sus.Set)
	if err != nil {
		return 0, err
	}
	found, err := align.MatchNetworks(align.Network{Set: ref.Set, Spec: own}, align.Network{Set: sus.Set, Spec: others},
		&align.NetworkOptions{Options: align.Options{Method: method, Threads: max(1, m.threads)}, Context: ctx})
	if err != nil {
		return 0, err
	}
	c := &found.Classes[0]
	was := make([]int, len(c.Sus)) // where each neuron of the reference is
	for i := range was {
		was[i] = i
	}
	if e := sus.Truth.Element[c.Name]; e != nil && e.Order != nil {
		for at, of := range e.Order {
			was[of] = at
		}
	}
	truth, err := align.NewMatching(was, len(c.Ref))
	if err != nil {
		return 0, err
	}
	return align.Psi(&c.Matching, truth), nil
}

// open opens the network: one of package nets with the weights of a file, or an ONNX
// file.
func (m *Measure) open() (*attack.Network, func(), error) {
	c, err := checkpoint.Open(m.weights, nil)
	if err != nil {
		return nil, nil, err
	}
	done := func() { _ = c.Close() } // was only read
	g, err := m.graphOf(c)
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("%s: %w", m.weights, err)
	}
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("%s: %w", m.weights, err)
	}
	return &attack.Network{Set: g.Weights, Spec: spec, Graph: g}, done, nil
}

func (m *Measure) graphOf(c *checkpoint.Checkpoint) (*graph.Graph, error) {
	if m.net == "" {
		return graph.FromLayout(c.Layout)
	}
	g, err := build(m.net)
	if err != nil {
		return nil, err
	}
	return nets.Load(g, c.Tensors)
}

func (m *Measure) trainer() (*attack.Trainer, error) {
	if m.data == "" {
		return nil, errors.New("finetune needs --data")
	}
	d, err := dataset.Open(m.data, &dataset.Options{})
	if err != nil {
		return nil, err
	}
	if d.Train == nil {
		return nil, fmt.Errorf("%s has no examples to train on", m.data)
	}
	x := &train.Examples{Data: d.Train, Classes: len(d.Classes), Workers: 1}
	return &attack.Trainer{Backend: native.Backend{}, Data: x, Compile: engine.Options{Threads: m.threads}}, nil
}
