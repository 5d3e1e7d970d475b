package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/bench/rival"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A population is networks that have nothing to do with each other but shape, and, if
// they were trained, data and recipe.
type population struct {
	name   string
	net    string
	side   int64 // of the images that it gets
	widths []int64
	epochs int // of training; 0 leaves initial weights
	count  int // networks, each compared with all others; of initial weights, pairs
	damage string
	quick  bool
}

var populations = []population{
	{"MLP 196-24-16-10, trained", "lenet-300-100", 14, []int64{24, 16}, 4, 150, "", true},
	{"MLP 64-16-12-10, trained", "lenet-300-100", 8, []int64{16, 12}, 6, 300, "", false},
	{"MLP 49-8-8-10, trained", "lenet-300-100", 7, []int64{8, 8}, 6, 300, "", false},
	{"MLP 784-100-50-10, trained", "lenet-300-100", 28, []int64{100, 50}, 3, 12, "", false},
	{"LeNet 6-12-24, trained", "lenet5", 28, []int64{6, 12, 24}, 4, 50, "", false},
	{"LeNet 6-12-24 with ReLU, trained", "lenet5-relu", 28, []int64{6, 12, 24}, 4, 30, "", false},
	{"MLP 64-16-12-10, trained, both pruned 90 %", "lenet-300-100", 8, []int64{16, 12}, 6, 50, "prune=0.9", false},
	{"MLP 64-16-12-10, trained, both quantized to 2 bits", "lenet-300-100", 8, []int64{16, 12}, 6, 50, "quantize=2", false},
	{"MLP 64-16-12-10, initial", "lenet-300-100", 8, []int64{16, 12}, 0, 12000, "", true},
	{"MLP 64-16-12-10, initial, both pruned 90 %", "lenet-300-100", 8, []int64{16, 12}, 0, 4000, "prune=0.9", false},
	{"MLP 64-16-12-10, initial, both quantized to 2 bits", "lenet-300-100", 8, []int64{16, 12}, 0, 4000, "quantize=2", false},
	{"LeNet 6-12-24, initial", "lenet5", 28, []int64{6, 12, 24}, 0, 1000, "", false},
	{"ResNet-20, initial", "resnet20", 32, nil, 0, 10, "", false},
}

// A tally is what was said of some pairs of strangers.
type tally struct {
	Population string         `json:"population"`
	Row        int            `json:"row"` // the suspect, or the number of the block of pairs
	Pairs      int            `json:"pairs"`
	Verdicts   map[string]int `json:"verdicts"`
	// Of each pair: LogEvidence, and how many neurons have a partner with a certainty
	// above 0.5.
	LogEvidence []float64 `json:"log_evidence"`
	Certain     []int     `json:"certain"`
	Highest     float64   `json:"highest"`            // certainty of all pairs
	Accuracy    float64   `json:"accuracy,omitempty"` // of the suspect, 0 to 1
	Seconds     float64   `json:"seconds"`
}

// block is how many pairs of networks with initial weights are one line.
const block = 100

// strangersTable compares networks that have nothing to do with each other.
func strangersTable(ctx context.Context, c *config, b *strings.Builder) error {
	s, err := openStore(c.store, "strangers", func(t *tally) string { return fmt.Sprint(t.Population, "#", t.Row) })
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // each line was written
	for _, p := range populations {
		if !c.match.MatchString(p.name) || c.quick && !p.quick || c.page {
			continue
		}
		if err := p.compare(ctx, c, s); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	strangersPage(b, s)
	return nil
}

// compare makes the lines of a population that are not there.
func (p *population) compare(ctx context.Context, c *config, s *store[tally]) error {
	rows, most := p.count-1, p.count*(p.count-1)/2
	if p.epochs == 0 {
		rows, most = (p.count+block-1)/block, p.count
	}
	if c.strange > 0 {
		most = min(most, c.strange)
	}
	m := &maker{p: p, c: c}
	done := 0
	for row := range rows {
		if done >= most {
			break
		}
		key := fmt.Sprint(p.name, "#", row)
		if s.all[key] == nil {
			t, err := m.row(ctx, row)
			if err != nil {
				return err
			}
			if err := s.add(t); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s: row %d of %d, %.0f ms a pair, %v\n", p.name, row+1, rows, 1000*t.Seconds/float64(t.Pairs), t.Verdicts)
		}
		done += s.all[key].Pairs
	}
	return nil
}

// A maker makes the networks of a population, and keeps those that were trained.
type maker struct {
	p       *population
	c       *config
	data    *dataset.Dataset
	trained []stranger
}

type stranger struct {
	lineage.Network
	accuracy float64
}

// row compares one suspect with all networks before it, or a block of pairs.
func (m *maker) row(ctx context.Context, row int) (*tally, error) {
	t := &tally{Population: m.p.name, Row: row, Verdicts: map[string]int{}}
	var pairs [][2]uint64
	if m.p.epochs > 0 {
		for i := range row + 1 {
			pairs = append(pairs, [2]uint64{uint64(i), uint64(row + 1)})
		}
	} else {
		for k := row * block; k < min((row+1)*block, m.p.count); k++ {
			pairs = append(pairs, [2]uint64{uint64(2 * k), uint64(2*k + 1)})
		}
	}
	for _, pair := range pairs {
		var two [2]stranger
		for k, seed := range pair {
			var err error
			if two[k], err = m.network(ctx, seed); err != nil {
				return nil, err
			}
		}
		t.Accuracy = two[1].accuracy
		start := time.Now()
		r, err := lineage.Compare(ctx, two[0].Network, two[1].Network, &lineage.Options{Threads: m.c.threads})
		if err != nil {
			return nil, fmt.Errorf("networks %d and %d: %w", pair[0], pair[1], err)
		}
		t.Seconds += time.Since(start).Seconds()
		t.Pairs++
		t.Verdicts[string(r.Verdict)]++
		if r.Match != nil {
			t.LogEvidence = append(t.LogEvidence, math.Round(10*r.Match.LogEvidence)/10)
			n, highest := certain(r.Match)
			t.Certain, t.Highest = append(t.Certain, n), max(t.Highest, math.Round(1e4*highest)/1e4)
		}
	}
	return t, nil
}

// certain counts neurons of the reference whose partner is more probably right than not,
// and returns the highest certainty.
func certain(r *align.NetworkResult) (n int, highest float64) {
	for i := range r.Classes {
		for _, x := range r.Classes[i].Certainty {
			if highest = max(highest, x); x > 0.5 {
				n++
			}
		}
	}
	return n, highest
}

// network makes the network of a seed, damaged as the population is.
func (m *maker) network(ctx context.Context, seed uint64) (stranger, error) {
	if m.p.epochs == 0 {
		g, err := nets.Build(m.p.net, m.options(seed))
		if err != nil {
			return stranger{}, err
		}
		return m.finished(ctx, g, seed, 0)
	}
	if m.data == nil {
		var err error
		if m.data, err = dataset.Open(fashion, &dataset.Options{Normalise: "measured", Size: [2]int{int(m.p.side), int(m.p.side)}}); err != nil {
			return stranger{}, err
		}
	}
	for at := uint64(len(m.trained)); at <= seed; at++ {
		g, accuracy, err := fitted(ctx, m.p.net, m.options(at), m.data, m.p.epochs, m.c.threads)
		if err != nil {
			return stranger{}, err
		}
		n, err := m.finished(ctx, g, at, accuracy)
		if err != nil {
			return stranger{}, err
		}
		m.trained = append(m.trained, n)
	}
	return m.trained[seed], nil
}

func (m *maker) options(seed uint64) *nets.Options {
	o := &nets.Options{Seed: seed + 1, Widths: m.p.widths}
	if m.p.widths != nil {
		o.Input = tensor.Shape{1, m.p.side, m.p.side}
	}
	return o
}

func (m *maker) finished(ctx context.Context, g *graph.Graph, seed uint64, accuracy float64) (stranger, error) {
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		return stranger{}, err
	}
	n := attack.Network{Set: g.Weights, Spec: spec, Graph: g}
	if m.p.damage != "" {
		r, err := attacked(ctx, n, m.p.damage, seed, nil)
		if err != nil {
			return stranger{}, err
		}
		n = r.Network
	}
	set, err := inMemory(n.Set)
	return stranger{lineage.Network{Set: set, Spec: spec}, accuracy}, err
}

// fitted trains a network and returns it with its accuracy.
func fitted(ctx context.Context, name string, o *nets.Options, d *dataset.Dataset, epochs, threads int) (*graph.Graph, float64, error) {
	g, err := nets.Build(name, o)
	if err != nil {
		return nil, 0, err
	}
	p, err := native.Backend{}.Compile(g, &engine.Options{Trainable: g.Parameters(), Threads: threads})
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = p.Close() }() // gives memory back
	_, err = train.Fit(ctx, p, &train.Examples{Data: d.Train, Classes: len(d.Classes), Workers: 1}, &train.Options{
		Epochs: epochs, Batch: 64, Threads: threads, Seed: o.Seed,
		Optimizer: train.Optimizer{Kind: train.SGD, Rate: 0.02, Momentum: 0.9, Decay: 5e-4},
		Schedule:  train.Schedule{Kind: train.Cosine},
	})
	if err != nil {
		return nil, 0, err
	}
	r, err := train.Evaluate(ctx, p, &train.Examples{Data: d.Test, Classes: len(d.Classes), Workers: 1}, nil)
	if err != nil {
		return nil, 0, err
	}
	var changed []*tensor.Tensor
	for _, w := range p.Weights() {
		if g.Weights.Lookup(w.Name) != nil {
			changed = append(changed, &tensor.Tensor{Name: w.Name, DType: tensor.F32, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w.Values))})
		}
	}
	set, err := tensor.Overlay(g.Weights, changed...)
	if err != nil {
		return nil, 0, err
	}
	g, err = g.WithWeights(set)
	return g, *r.Top1, err
}

// strangersPage prints what was said of strangers.
func strangersPage(b *strings.Builder, s *store[tally]) {
	fmt.Fprintf(b, "### False claims\n\nPairs of networks that have nothing to do with each other, and those of them of which more than *unrelated* was said; "+
		"the upper bound of its probability is that of Clopper and Pearson at 95 %%, one-sided. Pairs of trained networks share networks, so that there are fewer independent ones than pairs. "+
		"LogEvidence is that of `align`; *certain* is the largest number of neurons of a pair with a partner of certainty above 0.5.\n\n")
	var rows [][]string
	var pairs, claims int
	for _, p := range populations {
		var x tally
		x.Verdicts = map[string]int{}
		accuracy, networks := 0.0, 0
		for _, k := range s.keys {
			t := s.all[k]
			if t.Population != p.name {
				continue
			}
			x.Pairs += t.Pairs
			for v, n := range t.Verdicts {
				x.Verdicts[v] += n
			}
			x.LogEvidence = append(x.LogEvidence, t.LogEvidence...)
			x.Certain = append(x.Certain, t.Certain...)
			x.Highest = max(x.Highest, t.Highest)
			x.Seconds += t.Seconds
			accuracy += 100 * t.Accuracy
			networks++
		}
		if x.Pairs == 0 {
			continue
		}
		above := x.Pairs - x.Verdicts[string(lineage.Unrelated)]
		pairs, claims = pairs+x.Pairs, claims+above
		slices.Sort(x.LogEvidence)
		at := func(q float64) string {
			if len(x.LogEvidence) == 0 {
				return "-"
			}
			return fmt.Sprintf("%.0f", x.LogEvidence[int(q*float64(len(x.LogEvidence)-1))])
		}
		most := "-"
		if len(x.Certain) > 0 {
			most = fmt.Sprint(slices.Max(x.Certain))
		}
		seen := "-"
		if p.epochs > 0 {
			seen = fmt.Sprintf("%.1f", accuracy/float64(networks))
		}
		rows = append(rows, []string{
			p.name, seen, fmt.Sprint(x.Pairs), fmt.Sprint(above), fmt.Sprintf("%.1e", upper(above, x.Pairs, 0.95)),
			at(0), at(0.5), at(0.99), at(1), most, fmt.Sprintf("%.3f", x.Highest), fmt.Sprintf("%.0f", 1000*x.Seconds/float64(x.Pairs)),
		})
	}
	if pairs == 0 {
		return
	}
	rows = append(rows, []string{"all", "", fmt.Sprint(pairs), fmt.Sprint(claims), fmt.Sprintf("%.1e", upper(claims, pairs, 0.95)), "", "", "", "", "", "", ""})
	rival.Table(b, []string{"population", "top-1 %", "pairs", "claims", "upper bound", "LogEvidence, least", "median", "99 %", "most", "certain, most", "certainty, highest", "ms a pair"}, rows)
	b.WriteString("\n")
}

// upper is the bound of Clopper and Pearson: the probability p at which k or fewer of n
// have the probability 1 - confidence.
func upper(k, n int, confidence float64) float64 {
	if k >= n {
		return 1
	}
	low, high := 0.0, 1.0
	for range 200 {
		p := (low + high) / 2
		if atMost(k, n, p) > 1-confidence {
			low = p
		} else {
			high = p
		}
	}
	return high
}

// atMost is the probability of k or fewer of n, each of probability p.
func atMost(k, n int, p float64) float64 {
	if p <= 0 {
		return 1
	}
	if p >= 1 {
		return 0
	}
	sum := 0.0
	ln, _ := math.Lgamma(float64(n + 1))
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(ln - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(1, sum)
}
