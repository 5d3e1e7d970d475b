package lineage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A Control is a network that has nothing to do with the reference, and what a search finds in it.
type Control struct {
	Name  string  `json:"name" about:"shuffled, columns, drawn, or the name that was given"`
	Score float64 `json:"score"`
	Why   string  `json:"why,omitempty" about:"why it could not be compared, and does not count"`
}

// Conformal is the place of the suspect among controls.
type Conformal struct {
	Controls   []Control `json:"controls"`
	Counted    int       `json:"counted" about:"controls that could be compared"`
	Above      int       `json:"above" about:"controls with a score as high as the suspect's, or higher"`
	P          float64   `json:"p" about:"(1 + above) / (counted + 1): cannot be less than 1 / (counted + 1)"`
	Mean       float64   `json:"mean" about:"of the controls' scores"`
	Deviation  float64   `json:"deviation" about:"standard deviation of the controls' scores"`
	Distance   float64   `json:"distance" about:"of the suspect's score from the mean, in standard deviations; 0 if there are fewer than two controls"`
	Assumption string    `json:"assumption" about:"in words"`
}

const randomAssumption = "A stranger is taken to be exchangeable with networks of the suspect's own numbers in another order, or drawn with their means and variances. " +
	"Networks that were trained, above all on the same data, resemble each other more than that, so this score tells related networks from random ones, and not from siblings. It is no exact p-value."

const givenAssumption = "A stranger is taken to be exchangeable with the networks that were given as controls: made in the same way, of the same kind of data, and none of them derived from the reference. " +
	"The number is as good as that choice, and no exact p-value."

// The kinds of random controls.
const (
	shuffled = "shuffled" // the numbers of each tensor in a random order
	columns  = "columns"  // each column of a tensor shuffled alone: what all neurons have in common stays
	drawn    = "drawn"    // Gaussian numbers with the mean and variance of each tensor
)

// randomControl returns a network of the shapes of set in which no neuron of it survives.
func randomControl(set *tensor.Set, kind string, r *rand.Rand) (*tensor.Set, error) {
	var changed []*tensor.Tensor
	for _, t := range set.All() {
		if !t.DType.Numeric() {
			continue
		}
		x, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		switch {
		case kind == drawn:
			redraw(x, r)
		case kind == columns && len(t.Shape) > 1:
			shuffleColumns(x, int(t.Shape[0]), r)
		default:
			r.Shuffle(len(x), func(i, j int) { x[i], x[j] = x[j], x[i] })
		}
		changed = append(changed, &tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	return tensor.Overlay(set, changed...)
}

// redraw puts Gaussian numbers in the place of x; variances stay positive.
func redraw(x []float32, r *rand.Rand) {
	var sum, squares float64
	positive := true
	for _, v := range x {
		sum += float64(v)
		squares += float64(v) * float64(v)
		positive = positive && v >= 0
	}
	mean := sum / float64(len(x))
	sigma := math.Sqrt(max(0, squares/float64(len(x))-mean*mean))
	for i := range x {
		y := mean + sigma*r.NormFloat64()
		if positive {
			y = math.Abs(y)
		}
		x[i] = float32(y)
	}
}

// shuffleColumns shuffles each column of a matrix of so many rows.
func shuffleColumns(x []float32, rows int, r *rand.Rand) {
	n := len(x) / rows
	for c := range n {
		for i := rows - 1; i > 0; i-- {
			j := r.IntN(i + 1)
			x[i*n+c], x[j*n+c] = x[j*n+c], x[i*n+c]
		}
	}
}

// randomControls scores random networks like the suspect.
func (w *weigher) randomControls(ctx context.Context, n int) (*Conformal, error) {
	out := &Conformal{Assumption: randomAssumption}
	kinds := [...]string{shuffled, columns, drawn}
	for k := range n {
		kind := kinds[k%len(kinds)]
		set, err := randomControl(w.sus, kind, rand.New(rand.NewPCG(w.o.Seed, uint64(k)+1<<32)))
		if err != nil {
			return nil, err
		}
		c, err := w.control(ctx, kind, set)
		if err != nil {
			return nil, err
		}
		out.Controls = append(out.Controls, c)
	}
	return out, nil
}

// givenControls scores networks that are known to be strangers.
func (w *weigher) givenControls(ctx context.Context) (*Conformal, error) {
	out := &Conformal{Assumption: givenAssumption}
	for k, set := range w.o.Controls {
		name := fmt.Sprintf("control %d", k+1)
		if k < len(w.o.Names) {
			name = w.o.Names[k]
		}
		c, err := w.control(ctx, name, set)
		if err != nil {
			return nil, err
		}
		out.Controls = append(out.Controls, c)
	}
	return out, nil
}

// control scores one network.
func (w *weigher) control(ctx context.Context, name string, set *tensor.Set) (Control, error) {
	w.progress("control " + name)
	c := Control{Name: name}
	found, err := matchWith(ctx, w.ref, set, w.spec, w.o)
	if errors.Is(err, align.ErrInput) {
		c.Why = err.Error()
		return c, nil
	}
	if err != nil {
		return c, err
	}
	c.Score = w.score(found)
	return c, nil
}

// matchWith finds the order of a network's neurons.
func matchWith(ctx context.Context, ref, sus *tensor.Set, spec *symmetry.Spec, o *EvidenceOptions) (*align.NetworkResult, error) {
	own, err := align.FromSymmetry(spec)
	if err != nil {
		return nil, err
	}
	others, err := own.Resize(sus)
	if err != nil {
		return nil, err
	}
	return align.MatchNetworks(align.Network{Set: ref, Spec: own}, align.Network{Set: sus, Spec: others},
		&align.NetworkOptions{Options: align.Options{Threads: o.Threads}, Memory: o.Memory, Context: ctx})
}

// place fills in what the scores of controls say of one of the suspect.
func (c *Conformal) place(score float64) {
	var sum, squares float64
	for _, x := range c.Controls {
		if x.Why != "" {
			continue
		}
		c.Counted++
		if x.Score >= score {
			c.Above++
		}
		sum += x.Score
	}
	c.P = float64(1+c.Above) / float64(1+c.Counted)
	if c.Counted == 0 {
		return
	}
	c.Mean = sum / float64(c.Counted)
	for _, x := range c.Controls {
		if x.Why == "" {
			squares += (x.Score - c.Mean) * (x.Score - c.Mean)
		}
	}
	if c.Counted > 1 {
		c.Deviation = math.Sqrt(squares / float64(c.Counted-1))
		if c.Deviation > 0 {
			c.Distance = (score - c.Mean) / c.Deviation
		}
	}
}
