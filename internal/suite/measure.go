package suite

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"ropewalk/compact"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/internal/bench/processor"
	"ropewalk/mark"
	"ropewalk/tensor"
	"ropewalk/train"
)

// measureVerb is the verb of steps that are no command of the program.
const measureVerb = "measure"

// A Measure is a step that no command of the program does:
//
//	measure step     what a step of training takes: --net, --batch, --penalty paper or
//	                 default, --order; milliseconds of the processors, the least of
//	                 --turns turns of --steps steps, on one thread
//	measure forward  what a forward pass takes: --net, --batch, --turns; milliseconds,
//	                 the least
//	measure layer    how many neurons of one layer are found again: see layer.go
//	measure key      a key for marks that follows from --seed, written to --out, so that
//	                 tables can be made again; nobody else should have such a key
type Measure struct {
	kind    string
	threads int

	net, weights, layer, attack, data, out string
	batch, steps, turns, order             int
	penalty                                string
	seed                                   uint64
}

// parseMeasure reads the words behind "measure".
func parseMeasure(words []string) (*Measure, error) {
	if len(words) == 0 {
		return nil, errors.New("want measure step, forward, layer or key")
	}
	m := &Measure{kind: words[0]}
	fs := flag.NewFlagSet(measureVerb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&m.net, "net", "", "")
	switch m.kind {
	case "step":
		fs.IntVar(&m.batch, "batch", 100, "")
		fs.IntVar(&m.steps, "steps", 20, "")
		fs.IntVar(&m.turns, "turns", 5, "")
		fs.StringVar(&m.penalty, "penalty", "", "")
		fs.IntVar(&m.order, "order", 0, "")
	case "forward":
		fs.IntVar(&m.batch, "batch", 100, "")
		fs.IntVar(&m.turns, "turns", 20, "")
	case "layer":
		fs.StringVar(&m.weights, "weights", "", "")
		fs.StringVar(&m.layer, "layer", "", "")
		fs.StringVar(&m.attack, "attack", "", "")
		fs.StringVar(&m.data, "data", "", "")
		fs.Uint64Var(&m.seed, "seed", 0, "")
	case "key":
		fs.Uint64Var(&m.seed, "seed", 0, "")
		fs.StringVar(&m.out, "out", "", "")
	default:
		return nil, fmt.Errorf("there is no measure %q; want step, forward, layer or key", m.kind)
	}
	if err := fs.Parse(words[1:]); err != nil {
		return nil, err
	}
	switch {
	case fs.NArg() > 0:
		return nil, fmt.Errorf("measure %s takes no %q", m.kind, fs.Arg(0))
	case m.kind == "key" && m.out == "":
		return nil, errors.New("measure key: --out is missing")
	case m.kind == "key":
		return m, nil
	case m.net == "" && m.kind != "layer":
		return nil, fmt.Errorf("measure %s: --net is missing", m.kind)
	case m.kind == "layer" && (m.weights == "" || m.layer == "" || m.attack == ""):
		return nil, errors.New("measure layer: --weights, --layer or --attack is missing")
	case m.kind != "layer" && (m.batch < 1 || m.batch > 1<<16 || m.turns < 1 || m.turns > 1000):
		return nil, fmt.Errorf("measure %s: --batch is %d and --turns %d, want 1 to 65536, and 1 to 1000", m.kind, m.batch, m.turns)
	case m.kind == "step" && (m.steps < 1 || m.steps > 1000):
		return nil, fmt.Errorf("measure step: --steps is %d, want 1 to 1000", m.steps)
	case m.penalty != "" && m.penalty != compact.Paper && m.penalty != compact.Default:
		return nil, fmt.Errorf("measure step: --penalty is %q, want %s or %s", m.penalty, compact.Paper, compact.Default)
	}
	return m, nil
}

func (m *Measure) run(ctx context.Context) (any, error) {
	switch m.kind {
	case "step":
		return m.step(ctx)
	case "forward":
		return m.forward(ctx)
	case "key":
		return m.key()
	}
	return m.oneLayer(ctx)
}

// A duration is what something took.
type duration struct {
	// Milliseconds are those of the processors, where the system tells, else of the
	// clock.
	Milliseconds float64 `json:"milliseconds"`
	Examples     float64 `json:"examples_per_second"`
}

// spent returns the seconds that the processors have worked for this program, or those
// of the clock if that is not known.
func spent() float64 {
	if s, known := processor.Seconds(); known {
		return s
	}
	return float64(time.Now().UnixNano()) / 1e9
}

// inputOf is the shape of the examples of a network.
func inputOf(net string) tensor.Shape {
	if strings.HasPrefix(net, "lenet") {
		return tensor.Shape{1, 28, 28}
	}
	return tensor.Shape{3, 32, 32}
}

func build(net string) (*graph.Graph, error) {
	return nets.Build(net, &nets.Options{Seed: 1, Classes: 10, Input: inputOf(net)})
}

func (m *Measure) step(ctx context.Context) (*duration, error) {
	o := &StepOptions{Batch: m.batch, Steps: m.steps}
	if m.penalty != "" {
		o.Penalty = &compact.Options{Method: m.penalty, Order: m.order, Threads: 1}
		if m.penalty == compact.Paper {
			o.Penalty.Lambda = 1e-9 // which changes nothing of what is trained
		} else {
			o.Penalty.Levels = 3
		}
	}
	least := math.Inf(1)
	for range m.turns {
		s, err := StepTime(ctx, m.net, o)
		if err != nil {
			return nil, err
		}
		least = min(least, s)
	}
	return &duration{1000 * least, float64(m.batch) / least}, nil
}

// StepOptions say what a step of training is.
type StepOptions struct {
	Batch, Steps int
	Penalty      *compact.Options // nil for none
}

// StepTime returns the seconds of the processors that a step of training takes, on one
// thread: the mean over steps on random images of the shape that the network takes.
// A penalty sees its whole course in these steps.
func StepTime(ctx context.Context, net string, o *StepOptions) (float64, error) {
	g, err := build(net)
	if err != nil {
		return 0, err
	}
	p, err := (native.Backend{}).Compile(g, &engine.Options{Threads: 1, Trainable: g.Parameters()})
	if err != nil {
		return 0, err
	}
	defer func() { _ = p.Close() }() // gives memory back
	t := &train.Options{Epochs: 1, Batch: o.Batch, Threads: 1, Optimizer: train.Optimizer{Kind: train.Adam, Rate: 1e-3}}
	if o.Penalty != nil {
		if err := penalise(t, p, g, *o.Penalty); err != nil {
			return 0, err
		}
	}
	x := &train.Examples{Data: newNoise(inputOf(net), o.Batch*o.Steps), Classes: 10, Workers: 1}
	before := spent()
	if _, err := train.Fit(ctx, p, x, t); err != nil {
		return 0, err
	}
	return math.Max(spent()-before, 1e-9) / float64(o.Steps), nil
}

// penalise adds a recipe to a training. It sees no files, so that packing costs nothing.
func penalise(t *train.Options, p engine.Program, g *graph.Graph, o compact.Options) error {
	layers, err := compact.Layers(g)
	if err != nil {
		return err
	}
	o.Threads = 1
	trained := slices.DeleteFunc(slices.Clone(p.Weights()), func(w engine.Weight) bool { return w.Gradient == nil })
	r, err := compact.New(trained, layers, o, compact.Tools{})
	if err != nil {
		return err
	}
	t.Penalties, t.Hooks = []train.Penalty{r.Penalty()}, []train.Hook{quiet{r}}
	return nil
}

// quiet is a recipe that says nothing at the end of epochs, which are short here.
type quiet struct{ r *compact.Recipe }

func (q quiet) Name() string                       { return q.r.Name() }
func (q quiet) Follow(m train.Moment)              { q.r.Follow(m) }
func (q quiet) Substitute(w []engine.Weight) error { return q.r.Substitute(w) }
func (q quiet) Idle() bool                         { return q.r.Idle() }
func (q quiet) Show(s, f []engine.Weight) error    { return q.r.Show(s, f) }
func (q quiet) Adjust(w []engine.Weight) error     { return q.r.Adjust(w) }
func (q quiet) AdjustPieces(w []engine.Weight, workers int) train.Pieces {
	return q.r.AdjustPieces(w, workers)
}

// noise is images of random numbers in ten classes.
type noise struct {
	shape tensor.Shape
	n     int
	x     []float32
}

func newNoise(shape tensor.Shape, n int) dataset.Source {
	elems, err := shape.Elems()
	if err != nil {
		panic("internal error: " + err.Error()) // they are ours
	}
	return &noise{shape, n, normal(int(elems))}
}

func (s *noise) Len() int            { return s.n }
func (s *noise) Shape() tensor.Shape { return s.shape }
func (s *noise) Label(i int) int     { return i % 10 }
func (s *noise) Example(i int, x []float32) error {
	for k := range x {
		x[k] = s.x[(k+i)%len(s.x)]
	}
	return nil
}

// normal returns numbers from a normal distribution.
func normal(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func (m *Measure) forward(ctx context.Context) (*duration, error) {
	g, err := build(m.net)
	if err != nil {
		return nil, err
	}
	p, err := (native.Backend{}).Compile(g, &engine.Options{Threads: m.threads, Fixed: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // gives memory back
	shape := append(tensor.Shape{int64(m.batch)}, inputOf(m.net)...)
	elems, err := shape.Elems()
	if err != nil {
		return nil, err
	}
	in := []engine.Array{{Shape: shape, Float: normal(int(elems))}}
	least := math.Inf(1)
	for range m.turns + 1 { // the first makes room
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		before := spent()
		if _, err := p.Forward(in); err != nil {
			return nil, err
		}
		least = min(least, math.Max(spent()-before, 1e-9))
	}
	return &duration{1000 * least, float64(m.batch) / least}, nil
}

// A keyResult names a key.
type keyResult struct {
	Key string `json:"key"`
}

// key writes a key with a payload of 64 bits.
func (m *Measure) key() (*keyResult, error) {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], m.seed)
	r := rand.NewChaCha8(s)
	payload := make([]byte, 8)
	_, _ = r.Read(payload) // it never fails
	k, err := mark.NewKey(r, mark.Identity{Owner: fmt.Sprint("bench ", m.seed), Payload: payload})
	if err != nil {
		return nil, err
	}
	text, err := k.Marshal(nil, nil)
	if err != nil {
		return nil, err
	}
	return &keyResult{k.ID()}, os.WriteFile(m.out, text, 0o600)
}
