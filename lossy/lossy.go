package lossy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"ropewalk/internal/interrupt"
	"ropewalk/layout"
	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// MinWeights is the size from which a tensor is quantized.
const MinWeights = 64

// DefaultLambda belongs to a step of half the root mean square of each tensor.
const DefaultLambda = 0.028881132523331052 // ln(2)/6 · 0.5²

// Options say what is quantized, and how. Nil is the default.
type Options struct {
	Quant quant.Options
	// Keep has patterns, as of [path.Match], of names of tensors that stay as
	// they are; a pattern without special characters is a name. Each must match
	// at least one tensor.
	Keep []string
	// Sensitivities has, under the names of tensors, how much a squared error
	// of each weight matters; tensors that it lacks count each weight the same.
	Sensitivities *tensor.Set
	// RDO chooses symbols by what they cost in the coder of effort Max. It
	// takes about five times as long as coding.
	RDO bool
	// Budget says that Within or WithBits will decide how much is lost, also
	// if Quant.Levels bounds the levels.
	Budget  bool
	Threads int // default GOMAXPROCS; does not change the result
	// Progress is called now and then, from several goroutines, one at a time:
	// by New, and by the call that quantizes, which goes on from there. How long
	// a search takes is a guess, so total is in no unit.
	Progress func(done, total int64)
}

// ErrInput reports weights or sensitivities that cannot be used, ErrOptions
// options that do not fit the checkpoint. [errors.Is] finds them in errors that
// name the tensor or option, and say just what is wrong.
var (
	ErrInput   = errors.New("lossy: unsuitable input")
	ErrOptions = errors.New("lossy: unsuitable options")
)

// A refusal is one of these with the reason.
type refusal struct{ kind, why error }

func (r *refusal) Error() string   { return r.why.Error() }
func (r *refusal) Unwrap() []error { return []error{r.kind, r.why} }

func badInput(format string, args ...any) error {
	return &refusal{ErrInput, fmt.Errorf(format, args...)}
}

func badOptions(format string, args ...any) error {
	return &refusal{ErrOptions, fmt.Errorf(format, args...)}
}

// refused tells the two apart in errors of package quant.
func refused(err error) error {
	if _, ok := errors.AsType[*interrupt.Panic](err); ok {
		return err
	}
	if errors.Is(err, quant.ErrOptions) {
		return badOptions("%w", err)
	}
	return badInput("%w", err)
}

// A Tensor says what became of one array.
type Tensor struct {
	Name    string
	DType   tensor.DType
	Shape   tensor.Shape
	Weights int64
	Kept    string // why it is as it was; empty if it was quantized
	Array   int    // in the layout

	Levels   int
	NMSE     float64 // squared error / squared weights, both summed
	MaxError float64
}

// A Result is a checkpoint with quantized weights.
type Result struct {
	Layout  *layout.Layout
	Lambda  float64
	Tensors []Tensor // one for each array of the layout

	patches []*patch // of the tensors that are to be quantized; nil for one that is as it was
}

// Weights returns how many weights were quantized, and their squared error
// relative to their squares, each tensor counting by its weights.
func (r *Result) Weights() (n int64, nmse float64) {
	for _, t := range r.Tensors {
		if t.Kept == "" {
			n += t.Weights
			nmse += float64(t.NMSE * float64(t.Weights))
		}
	}
	return n, nmse / float64(max(n, 1))
}

// A Quantizer knows the weights of a checkpoint, and what is to be done with them.
type Quantizer struct {
	o       Options
	layout  *layout.Layout
	plan    *quant.Plan
	tensors []Tensor
	todo    []int // arrays, in the order of the plan
	sens    []*tensor.Tensor
}

// New reads the weights of the checkpoint and prepares to quantize them.
func New(ctx context.Context, l *layout.Layout, o *Options) (*Quantizer, error) {
	q := &Quantizer{layout: l}
	if o != nil {
		q.o = *o
	}
	if q.o.Threads <= 0 {
		q.o.Threads = runtime.GOMAXPROCS(0)
	}
	if q.o.Progress == nil {
		q.o.Progress = func(int64, int64) {}
	}
	// A step that is fixed would leave a budget nothing to choose.
	if z := &q.o.Quant; z.Step == 0 && z.Bits == 0 && z.Lambda == 0 && (z.Levels == 0 || q.o.Budget) && (z.Method == "" || z.Method == quant.Uniform || z.Method == quant.ECSQ) {
		z.Lambda = DefaultLambda
	}
	var err error
	if q.plan, err = quant.NewPlan(&q.o.Quant); err != nil {
		return nil, refused(err)
	}
	if err := q.choose(); err != nil {
		return nil, err
	}
	if len(q.todo) == 0 {
		return nil, badOptions("no tensor to quantize: none that is not kept has two axes, %d values and a float type", MinWeights)
	}
	m := newMeter(q.o.Progress, 0, 1)
	m.end = q.readShare()
	show := m.part(0, 1)
	read, some := int64(0), false
	for k, i := range q.todo {
		w, s, err := q.weights(ctx, k)
		if err != nil {
			return nil, err
		}
		t, plan := q.tensors[i], q.plan
		_, err = interrupt.Run(ctx, func() (struct{}, error) { return struct{}{}, plan.Add(t.Name, t.Shape, w, s) })
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, refused(err)
		}
		some = some || slices.ContainsFunc(s, func(v float32) bool { return v > 0 })
		read += q.tensors[i].Weights
		show(read, q.total())
	}
	if q.o.Sensitivities != nil && !some {
		return nil, badInput("all sensitivities are zero; so are those below 1e-45")
	}
	return q, nil
}

func (q *Quantizer) readShare() float64 {
	if q.o.Budget {
		return readShareBudget
	}
	return readShare
}

// total returns the number of weights that are quantized.
func (q *Quantizer) total() int64 {
	n := int64(0)
	for _, i := range q.todo {
		n += q.tensors[i].Weights
	}
	return n
}

// choose decides for each array whether it is quantized.
func (q *Quantizer) choose() error {
	l := q.layout
	q.tensors = make([]Tensor, len(l.Arrays))
	named := make([]bool, len(l.Arrays))
	for i, a := range l.Arrays {
		n, _ := a.Shape.Elems()
		q.tensors[i] = Tensor{Name: a.Name, DType: a.DType, Shape: a.Shape, Weights: n, Array: i, Kept: "not one tensor"}
	}
	matched := make([]bool, len(q.o.Keep))
	used := map[string]bool{}
	for i := range l.Views {
		v := &l.Views[i]
		keep := false
		for k, pattern := range q.o.Keep {
			ok, err := path.Match(pattern, v.Name)
			if err != nil {
				return badOptions("pattern %q: %w", pattern, err)
			}
			if ok || pattern == v.Name {
				keep, matched[k] = true, true
			}
		}
		if v.Encoded != nil || !v.IsWhole(&l.Arrays[v.Array]) {
			continue
		}
		t := &q.tensors[v.Array]
		if named[v.Array] { // tied: the first name counts, but any may keep it
			if keep && t.Kept == "" {
				t.Kept = "asked for"
			}
			continue
		}
		named[v.Array] = true
		t.Name, t.Shape = v.Name, v.Shape
		t.Weights, _ = v.Shape.Elems()
		switch {
		case keep:
			t.Kept = "asked for"
		case !v.DType.Numeric():
			t.Kept = "type " + string(v.DType)
		case len(v.Shape) < 2:
			t.Kept = "a vector"
		case t.Weights < MinWeights:
			t.Kept = "small"
		default:
			t.Kept = ""
		}
	}
	for k, ok := range matched {
		if !ok {
			return badOptions("nothing to keep is called %q", q.o.Keep[k])
		}
	}
	for i := range q.tensors {
		if t := &q.tensors[i]; t.Kept == "" {
			q.todo = append(q.todo, i)
			if q.o.Quant.PerChannel && t.DType != tensor.F32 {
				return badOptions("tensor %q is %s: scales per channel are for F32 only", t.Name, t.DType)
			}
			s := q.o.Sensitivities.Lookup(t.Name)
			if s != nil {
				used[t.Name] = true
				if !s.Shape.Equal(t.Shape) {
					return badInput("sensitivities of %q have the shape %v, its weights %v", t.Name, s.Shape, t.Shape)
				}
				if !s.DType.Numeric() {
					return badInput("sensitivities of %q are of type %s, want floats", t.Name, s.DType)
				}
			}
			q.sens = append(q.sens, s)
		}
	}
	return q.unknownSensitivities(used)
}

// unknownSensitivities finds names that no tensor has: silence would hide a
// file that belongs to another network.
func (q *Quantizer) unknownSensitivities(used map[string]bool) error {
	if q.o.Sensitivities == nil {
		return nil
	}
	known := map[string]bool{}
	for _, v := range q.layout.Views {
		known[v.Name] = true
	}
	for _, s := range q.o.Sensitivities.All() {
		if !used[s.Name] && !known[s.Name] {
			return badInput("there are sensitivities of %q, but the checkpoint has no such tensor", s.Name)
		}
	}
	if len(used) == 0 {
		return badInput("there are no sensitivities of any tensor that is quantized")
	}
	return nil
}

// weights reads tensor k of the plan and its sensitivities.
func (q *Quantizer) weights(ctx context.Context, k int) (w, sens []float32, err error) {
	i := q.todo[k]
	t := &q.tensors[i]
	if w, err = readFloats(ctx, q.layout.ArrayData(i), t.DType); err != nil {
		return nil, nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if s := q.sens[k]; s != nil {
		if sens, err = readFloats(ctx, s.Data, s.DType); err != nil {
			return nil, nil, fmt.Errorf("sensitivities of %q: %w", t.Name, err)
		}
	}
	return w, sens, nil
}

// readFloats reads all values, some at a time.
func readFloats(ctx context.Context, d tensor.Data, dtype tensor.DType) ([]float32, error) {
	const chunk = 8 << 20
	size := d.Size()
	v := make([]float32, 0, size/int64(dtype.Bits()/8))
	var buf []byte
	for off := int64(0); off < size; off += chunk {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		n := min(chunk, size-off)
		if buf == nil {
			buf = make([]byte, 0, n)
		}
		raw, err := tensor.ReadRange(d, off, n, buf)
		if err != nil {
			return nil, err
		}
		v = dtype.AppendFloat32s(v, raw)
	}
	return v, nil
}

// Lambda returns the lambda that the options ask for.
func (q *Quantizer) Lambda() (float64, error) {
	l, err := q.plan.Lambda()
	if err != nil {
		err = badOptions("%w", err)
	}
	return l, err
}

// Quantize quantizes all tensors with one lambda. It may be called again.
func (q *Quantizer) Quantize(ctx context.Context, lambda float64) (*Result, error) {
	m := newMeter(q.o.Progress, q.readShare(), 1)
	m.end = 1
	m.at = q.readShare()
	return q.quantize(ctx, lambda, q.o.RDO, m.part(0, 1))
}

func (q *Quantizer) quantize(ctx context.Context, lambda float64, rdo bool, progress func(done, total int64)) (*Result, error) {
	r := &Result{Lambda: lambda, Tensors: slices.Clone(q.tensors)}
	patches := make([]*patch, len(q.todo))
	errs := make([]error, len(q.todo))
	total := q.total()
	var next, done atomic.Int64
	var wg sync.WaitGroup
	for range min(q.o.Threads, len(q.todo)) {
		wg.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k >= len(q.todo) || ctx.Err() != nil {
					return
				}
				t := &r.Tensors[q.todo[k]]
				patches[k], errs[k] = q.one(ctx, k, t, lambda, rdo, func(n int64) { progress(done.Add(n), total) })
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	r.patches = patches
	r.Layout = patched(q.layout, q.todo, patches)
	return r, nil
}

// one quantizes one tensor. quantized is told of weights as they are done.
func (q *Quantizer) one(ctx context.Context, k int, t *Tensor, lambda float64, rdo bool, quantized func(n int64)) (*patch, error) {
	w, sens, err := q.weights(ctx, k)
	if err != nil {
		return nil, err
	}
	rdo = rdo && lambda > 0
	shape := t.Shape
	z, err := interrupt.Run(ctx, func() (*quant.Quantized, error) {
		z, err := q.plan.Quantize(k, w, sens, lambda)
		if err == nil && rdo {
			assign(ctx, z, shape, w, sens, quantized)
		}
		return z, err
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, refused(err)
	}
	if !rdo {
		quantized(t.Weights)
	}
	t.Levels, t.NMSE, t.MaxError = len(z.Levels), z.NMSE, z.MaxError
	return newPatch(z, t), nil
}

// assign chooses the symbols again by what they cost, in two passes. When ctx
// ends, the result is of no use.
func assign(ctx context.Context, z *quant.Quantized, shape tensor.Shape, w, sens []float32, quantized func(n int64)) {
	const every = 1 << 13 // choices
	n := 0
	z.Assign(w, sens, func(z *quant.Quantized, choose quant.Choice) []uint16 {
		symbols := slices.Clone(z.Symbols)
		rope.Assign(ctx, shape, z.Levels, symbols, func(i int, cost func(sym int) uint32) int {
			if n++; n%every == 0 && ctx.Err() == nil {
				quantized(every / 2)
			}
			return choose(i, cost)
		})
		return symbols
	})
	if rest := len(w) - n/every*(every/2); rest > 0 && ctx.Err() == nil {
		quantized(int64(rest))
	}
}
