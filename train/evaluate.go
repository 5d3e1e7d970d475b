package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"ropewalk/engine"
)

// EvaluateOptions say how to evaluate. Nil and the zero value are the default.
type EvaluateOptions struct {
	// Batch is the examples of a batch; 0 is 128. It changes nothing but speed
	// (and the last bits of sums).
	Batch int
	// FixedBatch says that the network takes batches of Batch examples only. The
	// last one is then filled up with copies of its own examples, and what the
	// network says of the copies counts nowhere. (One that normalizes by the
	// statistics of the batch sees the copies; its outputs depend on the batch
	// anyway.)
	FixedBatch bool
	// Objective is the loss; nil is a [CrossEntropy] of logits.
	Objective Objective
	// Progress is called after each batch; nil is not.
	Progress func(done, total int)
}

// A Result is how a network does on examples.
type Result struct {
	Objective string  `json:"objective" about:"what the loss is"`
	Examples  int     `json:"examples"`
	Loss      float64 `json:"loss" about:"mean over the examples"`
	// The rest is there if the examples have labels.
	Top1    *float64      `json:"top1,omitempty" about:"part of the examples whose class has the largest output, 0 to 1; equal outputs count as the one of the lower class"`
	Top5    *float64      `json:"top5,omitempty" about:"part of the examples whose class is among the five largest outputs; if there are more than five"`
	Classes []ClassResult `json:"classes,omitempty" about:"by number of the class"`
	// Confusion counts examples by class and by what the network took them for.
	Confusion [][]int `json:"confusion,omitempty" about:"rows are classes, columns what the network said; up to 1000 classes"`
}

// ClassResult is how a network does on a class.
type ClassResult struct {
	Name      string   `json:"name,omitempty"`
	Examples  int      `json:"examples"`
	Said      int      `json:"said" about:"examples that the network took for that class"`
	Right     int      `json:"right" about:"those of them that are"`
	Recall    *float64 `json:"recall,omitempty" about:"right / examples"`
	Precision *float64 `json:"precision,omitempty" about:"right / said"`
}

// Summary returns the short form.
func (r *Result) Summary() *Summary { return &Summary{r.Loss, r.Top1, r.Top5} }

// maxConfusion bounds the classes of a confusion matrix.
const maxConfusion = 1000

// errOutputs reports a loss that is no number.
var errOutputs = errors.New("the network does not give finite numbers")

// Evaluate measures p on all examples of s, in their own order.
func Evaluate(ctx context.Context, p engine.Program, s Source, o *EvaluateOptions) (*Result, error) {
	if o == nil {
		o = &EvaluateOptions{}
	}
	objective := o.Objective
	if objective == nil {
		objective = &CrossEntropy{}
	}
	size := o.Batch
	if size == 0 {
		size = defaultBatch
	}
	if s.Len() < 1 {
		return nil, errors.New("there are no examples to evaluate on")
	}
	f := newFiller(o.FixedBatch, size)
	e := &evaluation{Result: Result{Objective: objective.Name(), Examples: s.Len()}}
	for b, err := range s.Batches(ctx, Pass{Size: size}) {
		if err != nil {
			return nil, err
		}
		n, err := b.size()
		if err != nil {
			return nil, err
		}
		inputs, err := f.fill(b.Inputs, n)
		if err != nil {
			return nil, err
		}
		if pre, ok := objective.(Preparer); ok {
			if err := pre.Prepare(inputs); err != nil {
				return nil, err
			}
		}
		outputs, err := p.Forward(inputs)
		if err != nil {
			return nil, err
		}
		outputs = f.cut(outputs, n)
		loss, err := objective.Judge(&b.Targets, outputs, nil)
		if err != nil {
			return nil, fmt.Errorf("examples %d to %d: %w", e.seen, e.seen+n-1, err)
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return nil, fmt.Errorf("examples %d to %d: the loss is %g; %w for them", e.seen, e.seen+n-1, loss, errOutputs)
		}
		e.Loss += loss * float64(n)
		if err := e.count(&b.Targets, outputs, n); err != nil {
			return nil, fmt.Errorf("examples %d to %d: %w", e.seen, e.seen+n-1, err)
		}
		e.seen += n
		if o.Progress != nil {
			o.Progress(e.seen, s.Len())
		}
	}
	if e.seen != s.Len() {
		return nil, fmt.Errorf("the data ended after %d of %d examples", e.seen, s.Len())
	}
	return e.finish(), nil
}

// An evaluation is a Result in the making.
type evaluation struct {
	Result
	seen, classes, top1, top5 int
}

// count takes the labels of a batch into account, if it has any.
func (e *evaluation) count(t *Targets, outputs []engine.Array, n int) error {
	if t.Labels == nil || t.Values != nil {
		return nil
	}
	z, _, _, classes, err := first(outputs, nil)
	if err != nil {
		return err
	}
	if err := t.checkLabels(n, classes); err != nil {
		return err
	}
	if e.classes == 0 {
		e.classes = classes
		e.Classes = make([]ClassResult, classes)
		if classes <= maxConfusion {
			e.Confusion = make([][]int, classes)
			for i := range e.Confusion {
				e.Confusion[i] = make([]int, classes)
			}
		}
	}
	if classes != e.classes {
		return fmt.Errorf("the network gives %d values for each example, and %d before", classes, e.classes)
	}
	for i, l := range t.Labels {
		row := z[i*classes:][:classes]
		said := argmax(row)
		e.Classes[l].Examples++
		e.Classes[said].Said++
		if said == int(l) {
			e.Classes[l].Right++
			e.top1++
		}
		if rank(row, int(l)) < 5 {
			e.top5++
		}
		if e.Confusion != nil {
			e.Confusion[l][said]++
		}
	}
	return nil
}

// argmax returns the index of the largest value, the lowest one of equals.
func argmax(row []float32) int {
	best := 0
	for k, v := range row {
		if v > row[best] {
			best = k
		}
	}
	return best
}

// rank returns how many classes come before k.
func rank(row []float32, k int) int {
	n := 0
	for j, v := range row {
		if v > row[k] || v == row[k] && j < k {
			n++
		}
	}
	return n
}

func (e *evaluation) finish() *Result {
	r := &e.Result
	n := float64(e.seen)
	r.Loss /= n
	if e.classes == 0 {
		return r
	}
	part := func(a, b int) *float64 {
		if b == 0 {
			return nil
		}
		v := float64(a) / float64(b)
		return &v
	}
	r.Top1 = part(e.top1, e.seen)
	if e.classes > 5 {
		r.Top5 = part(e.top5, e.seen)
	}
	for i := range r.Classes {
		c := &r.Classes[i]
		c.Recall, c.Precision = part(c.Right, c.Examples), part(c.Right, c.Said)
	}
	return r
}

// Name gives the classes their names; the list may be shorter.
func (r *Result) Name(classes []string) {
	for i := range r.Classes[:min(len(r.Classes), len(classes))] {
		r.Classes[i].Name = classes[i]
	}
}

// Confused returns the pairs of different classes that were taken for each other
// most often, at most n of them: class, what it was taken for, how often.
func (r *Result) Confused(n int) [][3]int {
	var pairs [][3]int
	for i, row := range r.Confusion {
		for j, c := range row {
			if i != j && c > 0 {
				pairs = append(pairs, [3]int{i, j, c})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b [3]int) int { return b[2] - a[2] })
	return pairs[:min(n, len(pairs))]
}
