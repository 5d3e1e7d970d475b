package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

type diffOptions struct{ base string }

func newDiff(e *env) *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "compare two checkpoints tensor by tensor",
		Long: `Compare the tensors of two checkpoints by name, whatever their formats, packed
or not, and say how much each one has changed:
  changed  values with other bits, of how many
  max      largest difference
  rms      root of the mean square of the differences
  nmse     squares of the differences over squares of A, in decibels
Infinities and NaNs that changed are counted, but are in none of the three.
A tensor of another type is compared by value.

Only tensors are compared; two files that differ in metadata or format may hold
the same ones. Use cmp for bytes.`,
		Example: example(
			"does the PyTorch file hold the same numbers?", "ropewalk diff model.pt model.safetensors",
			"names of tensors that changed", "ropewalk diff --json v1.rope v2.rope | jq -r '.tensors[] | select(.status != \"identical\").name'",
		),
		Args: arguments(2, 2, "A and B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.diff(cmd.Context(), &o, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&o.base, "base", "", "the checkpoint `OLD` that A or B was packed against")
	exits(cmd, exitUsage, exitNegative, exitRefused, exitInterrupted)
	return cmd
}

// diffResult is what diff says.
type diffResult struct {
	Schema    string       `json:"schema"`
	A         string       `json:"a"`
	B         string       `json:"b"`
	Identical bool         `json:"identical" about:"all tensors of A are those of B"`
	Counts    diffCounts   `json:"counts"`
	Tensors   []tensorDiff `json:"tensors" about:"in the order of A, then those only in B"`
}

// diffCounts is how many tensors have which status.
type diffCounts struct {
	Identical int `json:"identical"`
	Changed   int `json:"changed"`
	Retyped   int `json:"retyped"`
	Reshaped  int `json:"reshaped"`
	OnlyA     int `json:"only_a"`
	OnlyB     int `json:"only_b"`
}

// The statuses of a tensor.
const (
	statusIdentical = "identical"
	statusChanged   = "changed"
	statusRetyped   = "retyped"
	statusReshaped  = "reshaped"
	statusOnlyA     = "only_a"
	statusOnlyB     = "only_b"
)

// tensorDiff is what diff says of one tensor.
type tensorDiff struct {
	Name   string      `json:"name"`
	Status string      `json:"status" about:"identical, changed, retyped, reshaped, only_a or only_b"`
	A      *typeShape  `json:"a,omitempty"`
	B      *typeShape  `json:"b,omitempty"`
	Change *difference `json:"change,omitempty" about:"if changed or retyped; complex numbers count as two values, unknown types as bytes"`
}

type typeShape struct {
	DType tensor.DType `json:"dtype"`
	Shape tensor.Shape `json:"shape"`
}

// A difference is how much the values of a tensor have changed.
type difference struct {
	Values    int64    `json:"values"`
	Changed   int64    `json:"changed" about:"values with other bits; if retyped, other values"`
	NonFinite int64    `json:"non_finite" about:"changed values of which one is infinite or NaN; left out below"`
	Max       float64  `json:"max_abs"`
	RMS       float64  `json:"rms"`
	NMSE      *float64 `json:"nmse_db,omitempty" about:"10 log10(sum (a-b)^2 / sum a^2); absent if either sum is 0"`

	squares, reference float64
}

func (d *difference) add(o *difference) {
	d.Values += o.Values
	d.Changed += o.Changed
	d.NonFinite += o.NonFinite
	d.Max = max(d.Max, o.Max)
	d.squares += o.squares
	d.reference += o.reference
}

func (d *difference) finish() {
	if d.Values > 0 {
		d.RMS = math.Sqrt(d.squares / float64(d.Values))
	}
	if d.squares > 0 && d.reference > 0 {
		db := 10 * math.Log10(d.squares/d.reference)
		d.NMSE = &db
	}
	// Numbers near the end of float64 overflow; JSON has no infinity.
	d.Max = min(d.Max, math.MaxFloat64)
	d.RMS = min(d.RMS, math.MaxFloat64)
	if d.NMSE != nil && math.IsInf(*d.NMSE, 0) || d.NMSE != nil && math.IsNaN(*d.NMSE) {
		d.NMSE = nil
	}
}

func (e *env) diff(ctx context.Context, o *diffOptions, pathA, pathB string) error {
	if pathA == dash && pathB == dash {
		return usagef("A and B are both standard input")
	}
	a, doneA, err := e.openBased(ctx, pathA, o.base)
	if err != nil {
		return err
	}
	defer doneA()
	b, doneB, err := e.openBased(ctx, pathB, o.base)
	if err != nil {
		return err
	}
	defer doneB()
	r := &diffResult{Schema: "ropewalk/diff/1", A: pathA, B: pathB}
	if r.Tensors, err = e.compare(ctx, a, b); err != nil {
		return err
	}
	r.count()
	if err := e.answer(&diffText{r, e.verbose}); err != nil {
		return err
	}
	if !r.Identical {
		return &verdict{status: exitNegative}
	}
	return nil
}

func (r *diffResult) count() {
	c := &r.Counts
	place := map[string]*int{
		statusIdentical: &c.Identical, statusChanged: &c.Changed, statusRetyped: &c.Retyped,
		statusReshaped: &c.Reshaped, statusOnlyA: &c.OnlyA, statusOnlyB: &c.OnlyB,
	}
	for _, t := range r.Tensors {
		*place[t.Status]++
	}
	r.Identical = c.Identical == len(r.Tensors)
}

// A pair is two tensors to be compared: their numbers in their checkpoints.
type pair struct{ a, b int }

// compare compares all tensors.
func (e *env) compare(ctx context.Context, a, b *checkpoint.Checkpoint) ([]tensorDiff, error) {
	diffs := []tensorDiff{} // [] in JSON
	indexB := make(map[string]int)
	for i, t := range b.Tensors.All() {
		indexB[t.Name] = i
	}
	pairs := make(map[int]pair) // by place in diffs
	bytes := int64(0)
	for i, t := range a.Tensors.All() {
		d := tensorDiff{Name: t.Name, Status: statusOnlyA, A: typeShapeOf(t)}
		if j, ok := indexB[t.Name]; ok {
			u := b.Tensors.At(j)
			d.B = typeShapeOf(u)
			comparable := false
			if d.Status, comparable = statusBefore(t, u); comparable {
				pairs[len(diffs)] = pair{i, j}
				bytes += t.Size()
			}
		}
		diffs = append(diffs, d)
	}
	for _, t := range b.Tensors.All() {
		if a.Tensors.Lookup(t.Name) == nil {
			diffs = append(diffs, tensorDiff{Name: t.Name, Status: statusOnlyB, B: typeShapeOf(t)})
		}
	}
	p := e.progress("diff", bytes)
	defer p.stop()
	return diffs, compareValues(ctx, a, b, diffs, pairs, func(n int64) { p.done.Add(n) })
}

// statusBefore returns the status as far as it is known before the values are
// read, and whether they are to be compared.
func statusBefore(a, b *tensor.Tensor) (status string, comparable bool) {
	switch {
	case !a.Shape.Equal(b.Shape):
		return statusReshaped, false
	case a.DType != b.DType:
		return statusRetyped, a.DType.Known() && b.DType.Known()
	case a.Size() != b.Size(): // of an unknown type
		return statusReshaped, false
	}
	return statusIdentical, true
}

func typeShapeOf(t *tensor.Tensor) *typeShape {
	h := headingOf(t)
	return &typeShape{h.DType, h.Shape}
}

// compareValues compares the pairs in parallel, a chunk at a time, and adds up
// in order, so that the sums do not depend on the number of threads.
func compareValues(ctx context.Context, a, b *checkpoint.Checkpoint, diffs []tensorDiff, pairs map[int]pair, progress func(int64)) error {
	type job struct {
		at     int // in diffs
		ka, kb chunk
		same   bool
		got    difference
	}
	var jobs []job
	for at := range diffs {
		p, ok := pairs[at]
		if !ok {
			continue
		}
		cut := matching(chunks(a, p.a), a.Tensors.At(p.a), chunks(b, p.b), b.Tensors.At(p.b))
		for _, k := range cut {
			jobs = append(jobs, job{at: at, ka: k[0], kb: k[1]})
		}
		diffs[at].Change = &difference{}
	}
	err := parallel(ctx, len(jobs), func(i int) error {
		j := &jobs[i]
		ra, err := j.ka.read(a)
		if err != nil {
			return err
		}
		rb, err := j.kb.read(b)
		if err != nil {
			return err
		}
		ta, tb := a.Tensors.At(j.ka.tensor), b.Tensors.At(j.kb.tensor)
		if j.same = ta.DType == tb.DType && bytes.Equal(ra, rb); j.same {
			j.got.Values = numbersIn(ta, partOf(ta.DType), j.ka)
		} else {
			j.got = differenceOf(ta, tb, j.ka, j.kb, ra, rb)
		}
		j.ka.release(a)
		j.kb.release(b)
		progress(j.ka.n)
		return nil
	})
	if err != nil {
		return err
	}
	changed := make([]bool, len(diffs))
	for i := range jobs {
		changed[jobs[i].at] = changed[jobs[i].at] || jobs[i].got.Changed > 0
	}
	// What is the same in a tensor that changed is still part of what the
	// changes are relative to.
	err = parallel(ctx, len(jobs), func(i int) error {
		j := &jobs[i]
		if !j.same || !changed[j.at] {
			return nil
		}
		ra, err := j.ka.read(a)
		if err != nil {
			return err
		}
		t := a.Tensors.At(j.ka.tensor)
		number := floatOf(partOf(t.DType))
		for _, v := range appendBits(nil, partOf(t.DType), ra, j.got.Values) {
			j.got.refer(number(v))
		}
		j.ka.release(a)
		return nil
	})
	if err != nil {
		return err
	}
	for i := range jobs {
		diffs[jobs[i].at].Change.add(&jobs[i].got)
	}
	for at := range pairs {
		d := &diffs[at]
		d.Change.finish()
		switch {
		case d.Status == statusRetyped:
		case d.Change.Changed > 0:
			d.Status = statusChanged
		default:
			d.Change = nil
		}
	}
	return nil
}

// matching pairs the chunks of two tensors with equally many values. If one
// of them has to be read as a whole, so is the other.
func matching(ca []chunk, a *tensor.Tensor, cb []chunk, b *tensor.Tensor) [][2]chunk {
	if len(ca) != len(cb) {
		return [][2]chunk{{{ca[0].tensor, 0, a.Size()}, {cb[0].tensor, 0, b.Size()}}}
	}
	all := make([][2]chunk, len(ca))
	for i := range ca {
		all[i] = [2]chunk{ca[i], cb[i]}
	}
	return all
}

// differenceOf compares the bytes ra and rb of two chunks of as many values.
func differenceOf(ta, tb *tensor.Tensor, ka, kb chunk, ra, rb []byte) difference {
	pa, pb := partOf(ta.DType), partOf(tb.DType)
	d := difference{Values: numbersIn(ta, pa, ka)}
	same := ta.DType == tb.DType
	va := appendBits(nil, pa, ra, d.Values)
	vb := appendBits(nil, pb, rb, numbersIn(tb, pb, kb))
	if isComplex(ta) != isComplex(tb) { // a complex number against a real one
		va, vb = widen(va, ta), widen(vb, tb)
		d.Values = int64(len(va))
	}
	fa, fb, gap := floatOf(pa), floatOf(pb), gapOf(pa)
	for i, x := range va {
		y := vb[i]
		number := fa(x)
		d.refer(number)
		if same && x == y {
			continue
		}
		var g float64
		if same {
			g = gap(x, y)
		} else {
			other := fb(y)
			if number == other || number != number && other != other {
				continue
			}
			g = math.Abs(number - other)
		}
		d.Changed++
		if g-g != 0 { // infinite or NaN
			d.NonFinite++
			continue
		}
		d.Max = max(d.Max, g)
		d.squares += g * g
	}
	return d
}

// refer adds the square of a value of A, if it is finite.
func (d *difference) refer(x float64) {
	if x-x == 0 {
		d.reference += x * x
	}
}

func isComplex(t *tensor.Tensor) bool { return partOf(t.DType) != t.DType && t.DType.Known() }

// widen gives real numbers an imaginary part of zero bits.
func widen(v []uint64, t *tensor.Tensor) []uint64 {
	if isComplex(t) {
		return v
	}
	wide := make([]uint64, 2*len(v))
	for i, x := range v {
		wide[2*i] = x
	}
	return wide
}

// diffText is a diffResult and how much of it is shown as text.
type diffText struct {
	*diffResult
	verbose bool
}

func (r *diffText) text(w *bufio.Writer) {
	t := &table{left: map[int]bool{1: true, 2: true}}
	t.row("tensor", "", "", "changed", "of", "max", "rms", "nmse", "")
	t.left[8] = true
	for i := range r.Tensors {
		if d := &r.Tensors[i]; d.Status != statusIdentical || r.verbose {
			t.row(d.cells()...)
		}
	}
	if len(t.rows) > 1 {
		t.write(w, "")
	}
	if r.Identical {
		fmt.Fprintf(w, "all %s identical\n", count(len(r.Tensors), "tensor"))
		return
	}
	var said []string
	c := &r.Counts
	for _, k := range []struct {
		n    int
		what string
	}{
		{c.Identical, "identical"}, {c.Changed, "changed"}, {c.Retyped, "of another type"},
		{c.Reshaped, "of another shape"}, {c.OnlyA, "only in " + r.A}, {c.OnlyB, "only in " + r.B},
	} {
		if k.n > 0 {
			said = append(said, commas(int64(k.n))+" "+printable(k.what))
		}
	}
	fmt.Fprintf(w, "%s: %s\n", count(len(r.Tensors), "tensor"), strings.Join(said, ", "))
}

func (d *tensorDiff) cells() []string {
	row := []string{printable(d.Name), strings.ReplaceAll(d.Status, "_", " "), d.types()}
	c := d.Change
	if c == nil {
		return row
	}
	nmse, note := "-", ""
	if c.NMSE != nil {
		nmse = fmt.Sprintf("%.1f dB", *c.NMSE)
	}
	if c.NonFinite > 0 {
		note = commas(c.NonFinite) + " not finite"
	}
	return append(row, commas(c.Changed), commas(c.Values), fmt.Sprintf("%.4g", c.Max), fmt.Sprintf("%.4g", c.RMS), nmse, note)
}

// types returns "F32 3x3", or "F32 3x3 => F16 3x3".
func (d *tensorDiff) types() string {
	text := func(t *typeShape) string { return printable(string(t.DType)) + " " + t.Shape.String() }
	switch {
	case d.A == nil:
		return text(d.B)
	case d.B == nil, text(d.A) == text(d.B):
		return text(d.A)
	}
	return text(d.A) + " => " + text(d.B)
}
