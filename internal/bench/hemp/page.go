package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"ropewalk/internal/bench/rival"
)

// writePage writes the tables as Markdown.
func writePage(w io.Writer, b *bench, rows []*row) error {
	var s strings.Builder
	fmt.Fprintf(&s, "# Networks trained to be small\n\n%s/%s, one run at a time on %d of %d processors. Medians of seeds, with the least and the most in brackets. "+
		"Bytes are those of the .rope; errors are in percent, the test errors those of that file, read back. est is what the history expected the file to have, beside what it has, at worst.\n",
		runtime.GOOS, runtime.GOARCH, b.c.threads, runtime.NumCPU())
	for _, t := range tables {
		var of []*row
		for _, r := range rows {
			if r.table == t {
				of = append(of, r)
			}
		}
		if len(of) > 0 {
			tableOf(&s, b, t, of)
		}
	}
	_, err := io.WriteString(w, s.String())
	return err
}

func tableOf(s *strings.Builder, b *bench, title string, rows []*row) {
	fmt.Fprintf(s, "\n## %s\n\n", title)
	if n := notes[title]; n != "" {
		fmt.Fprintf(s, "%s\n\n", n)
	}
	head := []string{"row", "what", "bytes", "validation", "test", "float", "non-zeros", "xz of symbols", "est", "s", "seeds", "target"}
	var lines [][]string
	var commands strings.Builder
	for _, r := range rows {
		results := b.of(r)
		lines = append(lines, lineOf(r, results))
		if len(results) > 0 {
			fmt.Fprintf(&commands, "    # %s\n", r.name)
			if r.start != "" {
				fmt.Fprintf(&commands, "    ropewalk train --net %s --data DATA%s -o FLOAT.safetensors\n", r.net, starts[r.start])
			}
			if r.pack != "" {
				fmt.Fprintf(&commands, "    ropewalk pack FLOAT.safetensors %s -o %s.rope\n", r.pack, r.name)
				continue
			}
			init := ""
			if r.start != "" {
				init = " --init FLOAT.safetensors"
			}
			fmt.Fprintf(&commands, "    ropewalk train --net %s --data DATA --penalty hemp%s %s -o %s.rope\n", r.net, init, strings.TrimSpace(r.args), r.name)
		}
	}
	rival.Table(s, head, lines)
	fmt.Fprintf(s, "\n%s", commands.String())
}

// lineOf is the row of a table.
func lineOf(r *row, results []result) []string {
	failed := 0
	column := func(f func(x *result) float64, digits int) string {
		var v []float64
		for i := range results {
			if results[i].Failed == "" {
				v = append(v, f(&results[i]))
			}
		}
		return spread(v, digits)
	}
	for _, x := range results {
		if x.Failed != "" {
			failed++
		}
	}
	seeds := strconv.Itoa(len(results) - failed)
	if failed > 0 {
		seeds += fmt.Sprintf(", %d failed", failed)
	}
	worst := math.NaN()
	for _, x := range results {
		if x.Failed == "" && x.Estimated > 0 && x.Trained > 0 {
			if d := 100 * (x.Estimated/float64(x.Bytes) - 1); math.IsNaN(worst) || math.Abs(d) > math.Abs(worst) {
				worst = d
			}
		}
	}
	est := "-"
	if !math.IsNaN(worst) {
		est = fmt.Sprintf("%+.1f %%", worst)
	}
	trained := func(text string) string { // what packing does not tell
		if r.pack != "" {
			return "-"
		}
		return text
	}
	return []string{
		r.name, r.what,
		column(func(x *result) float64 { return float64(x.Bytes) }, 0),
		trained(column(func(x *result) float64 { return x.Validation }, 2)),
		column(func(x *result) float64 { return x.Test }, 2),
		column(func(x *result) float64 { return x.Float }, 2),
		trained(column(func(x *result) float64 { return float64(x.Nonzero) }, 0)),
		trained(column(func(x *result) float64 { return float64(x.Xz) }, 0)),
		est,
		trained(column(func(x *result) float64 { return x.Seconds }, 0)),
		seeds,
		verdict(r, results),
	}
}

// spread returns the median with the least and the most, "2222 (2190-2260)".
func spread(v []float64, digits int) string {
	if len(v) == 0 {
		return "-"
	}
	least, most := rival.Number(slices.Min(v), digits), rival.Number(slices.Max(v), digits)
	text := rival.Number(median(v), digits)
	if least != most {
		text += " (" + least + "–" + most + ")"
	}
	return text
}

// median returns the middle of v, or the mean of the two in the middle; NaN of
// nothing.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// verdict compares the medians with the target. A failed run is a file that is too
// large and wrong.
func verdict(r *row, results []result) string {
	if r.bytes == 0 && r.error == 0 || len(results) == 0 {
		return ""
	}
	var sizes, errs []float64
	for _, x := range results {
		size, wrong := float64(x.Bytes), x.Test
		if r.table == paperMode {
			size = float64(x.Xz)
		}
		if x.Failed != "" {
			size, wrong = math.Inf(1), 100
		}
		sizes, errs = append(sizes, size), append(errs, wrong)
	}
	want := fmt.Sprintf("≤ %d B at ≤ %.1f %%: ", r.bytes, r.error)
	const slack = 1e-9 // errors are sums of floats
	return want + rival.Verdict(median(sizes) <= float64(r.bytes) && median(errs) <= r.error+slack)
}
