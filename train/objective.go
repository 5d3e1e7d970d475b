package train

import (
	"fmt"
	"math"

	"ropewalk/engine"
)

// An Objective is what is minimised: the mean over a batch of a loss of each
// example. It looks at the first output of the network only.
type Objective interface {
	// Name is a word for reports: "cross-entropy".
	Name() string
	// Judge returns the loss of the outputs of a batch. If gradients is not nil,
	// they have the shapes of outputs and hold zeros, and Judge writes the
	// derivative of the loss into them. Targets that do not fit the outputs, such
	// as labels that are no class, are an error.
	Judge(t *Targets, outputs, gradients []engine.Array) (float64, error)
}

// A Preparer is an Objective that looks at the inputs of a batch, too. Prepare is
// called before Judge.
type Preparer interface {
	Objective
	Prepare(inputs []engine.Array) error
}

// A LabelError reports a label that is no class of the network.
type LabelError struct {
	Example int // in its batch
	Label   int64
	Classes int
}

// Error implements error.
func (e *LabelError) Error() string {
	return fmt.Sprintf("example %d of the batch has the label %d; the network has %d classes, 0 to %d", e.Example, e.Label, e.Classes, e.Classes-1)
}

// rows returns an output as examples × values, and the number of values.
func rows(a engine.Array) (values []float32, examples, width int, err error) {
	if a.Float == nil || len(a.Shape) < 1 || a.Shape[0] < 1 || len(a.Float) == 0 {
		return nil, 0, 0, fmt.Errorf("the output of shape %v is not one row of numbers for each example", a.Shape)
	}
	examples = int(a.Shape[0])
	return a.Float, examples, len(a.Float) / examples, nil
}

// first returns the first output and its gradient (nil if none is wanted).
func first(outputs, gradients []engine.Array) (values, gradient []float32, examples, width int, err error) {
	if len(outputs) == 0 {
		return nil, nil, 0, 0, fmt.Errorf("the network has no output")
	}
	values, examples, width, err = rows(outputs[0])
	if err == nil && gradients != nil {
		gradient = gradients[0].Float
	}
	return values, gradient, examples, width, err
}

// CrossEntropy is -Σ q log p of each example, for the probabilities p of the
// network and the shares q of the target, in nats. Its zero value takes logits.
type CrossEntropy struct {
	// Smoothing takes that share of the target, 0 to 1, and gives it to all
	// classes alike (Szegedy et al. 2016, section 7), as PyTorch does.
	Smoothing float64 `json:"smoothing,omitempty"`
	// Probabilities says that the network ends in a softmax: its outputs are p.
	// Else they are logits, and p is their softmax.
	Probabilities bool `json:"probabilities,omitempty"`
}

// Name implements [Objective].
func (c *CrossEntropy) Name() string { return "cross-entropy" }

// leastProbability keeps the logarithm of a probability that float32 has rounded
// to zero finite.
const leastProbability = 1e-38

// Judge implements [Objective]. It needs Labels or Shares.
func (c *CrossEntropy) Judge(t *Targets, outputs, gradients []engine.Array) (float64, error) {
	z, dz, n, classes, err := first(outputs, gradients)
	if err != nil {
		return 0, err
	}
	if err := t.check(n, classes); err != nil {
		return 0, err
	}
	logp := make([]float64, classes)
	q := make([]float64, classes)
	total := 0.0
	for i := range n {
		row := z[i*classes:][:classes]
		t.shares(i, c.Smoothing, q)
		if c.Probabilities {
			for k, p := range row {
				logp[k] = math.Log(max(float64(p), leastProbability))
				if math.IsNaN(float64(p)) {
					logp[k] = math.NaN() // max would hide it
				}
			}
		} else {
			logSoftmax(logp, row, 1)
		}
		for k := range q {
			if q[k] != 0 {
				total -= q[k] * logp[k]
			}
		}
		if dz == nil {
			continue
		}
		d := dz[i*classes:][:classes]
		for k := range d {
			if c.Probabilities {
				d[k] = float32(-q[k] / max(float64(row[k]), leastProbability) / float64(n))
			} else {
				d[k] = float32((math.Exp(logp[k]) - q[k]) / float64(n)) // rows of q sum to one
			}
		}
	}
	return total / float64(n), nil
}

// check looks whether there is a label or a row of shares for each example.
func (t *Targets) check(n, classes int) error {
	if t.Shares != nil {
		if len(t.Shares) != n*classes {
			return fmt.Errorf("%d shares for %d examples of %d classes", len(t.Shares), n, classes)
		}
		return nil
	}
	return t.checkLabels(n, classes)
}

func (t *Targets) checkLabels(n, classes int) error {
	if len(t.Labels) != n {
		return fmt.Errorf("%d labels for %d examples", len(t.Labels), n)
	}
	for i, l := range t.Labels {
		if l < 0 || l >= int64(classes) {
			return &LabelError{Example: i, Label: l, Classes: classes}
		}
	}
	return nil
}

// shares writes the smoothed target of example i to q.
func (t *Targets) shares(i int, smoothing float64, q []float64) {
	rest := smoothing / float64(len(q))
	if t.Shares != nil {
		for k, s := range t.Shares[i*len(q):][:len(q)] {
			q[k] = float64(s)*(1-smoothing) + rest
		}
		return
	}
	for k := range q {
		q[k] = rest
	}
	q[t.Labels[i]] += 1 - smoothing
}

// logSoftmax writes the logarithms of softmax(z/temperature) to dst.
func logSoftmax(dst []float64, z []float32, temperature float64) {
	top := math.Inf(-1)
	for _, v := range z {
		top = math.Max(top, float64(v)) // NaN stays NaN
	}
	sum := 0.0
	for k, v := range z {
		dst[k] = (float64(v) - top) / temperature
		sum += math.Exp(dst[k])
	}
	log := math.Log(sum)
	for k := range dst {
		dst[k] -= log
	}
}

// MSE is the mean squared difference of all values of the output, as PyTorch's
// MSELoss. Without Values in the targets, it is that to the shares of classes (1
// for the label, else 0).
type MSE struct{}

// Name implements [Objective].
func (MSE) Name() string { return "mse" }

// Judge implements [Objective]. It needs Values, Labels or Shares.
func (MSE) Judge(t *Targets, outputs, gradients []engine.Array) (float64, error) {
	y, dy, n, width, err := first(outputs, gradients)
	if err != nil {
		return 0, err
	}
	if t.Values != nil && len(t.Values) != len(y) {
		return 0, fmt.Errorf("%d values to reach for %d values of the output", len(t.Values), len(y))
	}
	if t.Values == nil {
		if err := t.check(n, width); err != nil {
			return 0, err
		}
	}
	q := make([]float64, width)
	total := 0.0
	for i := range n {
		if t.Values == nil {
			t.shares(i, 0, q)
		} else {
			for k, v := range t.Values[i*width:][:width] {
				q[k] = float64(v)
			}
		}
		for k := range q {
			diff := float64(y[i*width+k]) - q[k]
			total += diff * diff
			if dy != nil {
				dy[i*width+k] = float32(2 * diff / float64(len(y)))
			}
		}
	}
	return total / float64(len(y)), nil
}

// Distill is the loss of a student that learns from a teacher:
//
//	Weight · T² · KL(softmax(teacher/T) ‖ softmax(student/T)) + (1-Weight) · Task
//
// (Hinton, Vinyals, Dean 2015, section 2; T² keeps the size of the gradients).
// Both networks give logits. If Weight is 1, no labels are needed.
type Distill struct {
	// Teacher computes its outputs for the inputs of each batch. Its owner
	// closes it.
	Teacher engine.Program `json:"-"`
	// Temperature is T, above 0.
	Temperature float64 `json:"temperature"`
	// Weight is 0 to 1.
	Weight float64 `json:"weight"`
	// Task is the loss by targets.
	Task *CrossEntropy `json:"task"`

	taught []engine.Array // for the batch in work
}

// Name implements [Objective].
func (d *Distill) Name() string { return "distillation" }

// Prepare implements [Preparer].
func (d *Distill) Prepare(inputs []engine.Array) (err error) {
	d.taught, err = d.Teacher.Forward(inputs)
	if err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	return nil
}

// Judge implements [Objective].
func (d *Distill) Judge(t *Targets, outputs, gradients []engine.Array) (float64, error) {
	z, dz, n, classes, err := first(outputs, gradients)
	if err != nil {
		return 0, err
	}
	zt, _, nt, classest, err := first(d.taught, nil)
	if err != nil {
		return 0, fmt.Errorf("teacher: %w", err)
	}
	// Behind the examples of a small batch there may be copies of them, see filler.
	if classes != classest {
		return 0, &TeacherError{Teacher: classest, Student: classes}
	}
	if n > nt {
		return 0, fmt.Errorf("the teacher answers %d examples, and the student %d", nt, n)
	}
	task := 0.0
	if d.Weight < 1 {
		if task, err = d.Task.Judge(t, outputs, gradients); err != nil {
			return 0, err
		}
	}
	for i := range dz {
		dz[i] *= float32(1 - d.Weight)
	}
	logp, logq := make([]float64, classes), make([]float64, classes)
	kl := 0.0
	for i := range n {
		logSoftmax(logp, z[i*classes:][:classes], d.Temperature)
		logSoftmax(logq, zt[i*classes:][:classes], d.Temperature)
		for k := range logp {
			q := math.Exp(logq[k])
			if q > 0 {
				kl += q * (logq[k] - logp[k])
			}
			if dz != nil {
				dz[i*classes+k] += float32(d.Weight * d.Temperature * (math.Exp(logp[k]) - q) / float64(n))
			}
		}
	}
	return d.Weight*d.Temperature*d.Temperature*kl/float64(n) + (1-d.Weight)*task, nil
}

// A TeacherError reports a teacher of other classes than its student's.
type TeacherError struct{ Teacher, Student int }

// Error implements error.
func (e *TeacherError) Error() string {
	return fmt.Sprintf("the teacher knows %d classes, and the student %d", e.Teacher, e.Student)
}
