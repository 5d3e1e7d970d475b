package cli

import (
	"bufio"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/tensor"
)

type diffOptions struct {
	base   string
	report reportFlag
}

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
	o.report.addFlag(cmd, nil)
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

func (e *env) diff(ctx context.Context, o *diffOptions, pathA, pathB string) error {
	if pathA == dash && pathB == dash {
		return usagef("A and B are both standard input")
	}
	if err := o.report.check(pathA, pathB, o.base); err != nil {
		return err
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
	if o.report.wanted() {
		p := newPage("diff", filepath.Base(pathB))
		p.diff(r, e.command())
		p.claims()
		if err := e.writeReport(&o.report, p.Page, a, b); err != nil {
			return err
		}
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

// diffText is a diffResult and how much of it is shown as text.
type diffText struct {
	*diffResult
	verbose bool
}

func (r *diffText) text(w *bufio.Writer) {
	t := &table{left: map[int]bool{1: true, 2: true, 8: true}}
	if slices.ContainsFunc(r.Tensors, func(d tensorDiff) bool { return d.Change != nil }) {
		t.row("tensor", "", "", "changed", "of", "max", "rms", "nmse")
	}
	for i := range r.Tensors {
		if d := &r.Tensors[i]; d.Status != statusIdentical || r.verbose {
			t.row(d.cells()...)
		}
	}
	t.write(w, "")
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
		{c.Identical, "identical"},
		{c.Changed, "changed"},
		{c.Retyped, "of another type"},
		{c.Reshaped, "of another shape"},
		{c.OnlyA, "only in " + r.A},
		{c.OnlyB, "only in " + r.B},
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
