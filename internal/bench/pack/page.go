package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"

	"ropewalk/internal/bench/rival"
)

// page is all that the tables are made of.
type page struct {
	tools   *toolset
	inputs  []input
	results []result
	speed   []result
}

// A target is what ropewalk is held to: the geometric mean over the inputs of a
// class of its size over that of a rival.
type target struct {
	class  class
	packer string
	rival  string
	most   float64
}

var targets = []target{
	{fp32, "ropewalk max", "ZipNN", 0.995},
	{fp32, "ropewalk max", "xz -9e", 0.93},
	{bf16, "ropewalk max", "ZipNN", 0.98},
	{quantized, "ropewalk max", "xz -9e", 0.85},
}

// writePage writes the tables as Markdown.
func writePage(w io.Writer, p *page) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Lossless packing\n\n%s/%s, %d processors, one thread each. Sizes are those of files that were restored byte for byte.\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	rival.Programs(&b, p.tools.versions, p.tools.missing)
	for _, c := range classes {
		p.sizes(&b, c)
	}
	p.means(&b)
	p.times(&b)
	p.speeds(&b)
	p.verdicts(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *page) packers() []string {
	var names []string
	for _, t := range p.tools.present {
		names = append(names, t.name())
	}
	return names
}

// sizes writes a table of the inputs of one class.
func (p *page) sizes(b *strings.Builder, c class) {
	packers := p.packers()
	var rows [][]string
	for _, in := range p.inputs {
		if in.class != c {
			continue
		}
		row := []string{in.name, fmt.Sprint(in.size)}
		for _, name := range packers {
			r := p.find(name, in.name)
			row = append(row, fmt.Sprintf("%d (%.2f %%)", r.size, 100*r.ratio()))
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 && len(packers) > 0 {
		fmt.Fprintf(b, "\n## Bytes, %s\n\n", c)
		rival.Table(b, append([]string{"input", "original"}, packers...), rows)
	}
}

// means writes the geometric mean of ours over theirs, for each class.
func (p *page) means(b *strings.Builder) {
	var rows [][]string
	for _, ours := range p.packers() {
		if !strings.HasPrefix(ours, "ropewalk") {
			continue
		}
		for _, theirs := range p.packers() {
			if strings.HasPrefix(theirs, "ropewalk") {
				continue
			}
			row := []string{ours + " / " + theirs}
			for _, c := range classes {
				row = append(row, rival.Number(p.mean(c, ours, theirs), 4))
			}
			rows = append(rows, row)
		}
	}
	if len(rows) > 0 {
		b.WriteString("\n## Geometric mean of the sizes, ours over theirs\n\n")
		head := []string{""}
		for _, c := range classes {
			head = append(head, string(c))
		}
		rival.Table(b, head, rows)
	}
}

// mean returns the geometric mean over a class of one size over another, or NaN.
func (p *page) mean(c class, ours, theirs string) float64 {
	sum, n := 0.0, 0
	for _, in := range p.inputs {
		a, b := p.find(ours, in.name), p.find(theirs, in.name)
		if in.class == c && a != nil && b != nil {
			sum += math.Log(float64(a.size) / float64(b.size))
			n++
		}
	}
	return math.Exp(sum / float64(n))
}

// times writes what all inputs took together.
func (p *page) times(b *strings.Builder) {
	var rows [][]string
	for _, name := range p.packers() {
		var total result
		for _, r := range p.results {
			if r.packer == name {
				total.input.size += r.input.size
				total.size += r.size
				total.encode = total.encode.Plus(r.encode)
				total.decode = total.decode.Plus(r.decode)
			}
		}
		rows = append(rows, timeRow(name, &total))
	}
	if len(p.results) > 0 {
		b.WriteString("\n## Time for all of these\n\nZipNN in memory, without the start of Python; ropewalk from file to synced file, by its own clock, without the start of the process; the others from start to end of the process.\n\n")
		rival.Table(b, timeHead, rows)
	}
}

// speeds writes the table of the large files.
func (p *page) speeds(b *strings.Builder) {
	if len(p.speed) == 0 {
		return
	}
	var rows [][]string
	for _, r := range p.speed {
		rows = append(rows, timeRow(r.input.name+", "+r.packer, &r))
	}
	b.WriteString("\n## Speed on large files\n\nSeeded Gaussian rows of varying deviation.\n\n")
	rival.Table(b, timeHead, rows)
}

var timeHead = []string{"", "bytes", "ratio", "encode MB/s", "decode MB/s", "encode s", "decode s", "encode CPU s", "decode CPU s"}

func timeRow(label string, r *result) []string {
	mb := float64(r.input.size) / 1e6
	return []string{
		label, fmt.Sprint(r.size), rival.Number(r.ratio(), 4),
		rival.Number(mb/r.encode.Wall, 1), rival.Number(mb/r.decode.Wall, 1),
		rival.Number(r.encode.Wall, 3), rival.Number(r.decode.Wall, 3), rival.Number(r.encode.CPU, 3), rival.Number(r.decode.CPU, 3),
	}
}

// verdicts writes a line for each target.
func (p *page) verdicts(b *strings.Builder) {
	b.WriteString("\n## Targets\n\n")
	for _, t := range targets {
		got := p.mean(t.class, t.packer, t.rival)
		if math.IsNaN(got) {
			fmt.Fprintf(b, "- not measured: %s, %s at most %.3f of %s\n", t.class, t.packer, t.most, t.rival)
			continue
		}
		fmt.Fprintf(b, "- %s: %s, %s is %.4f of %s, at most %.3f\n", rival.Verdict(got <= t.most), t.class, t.packer, got, t.rival, t.most)
	}
	for _, theirs := range p.speed {
		i := slices.IndexFunc(p.speed, func(r result) bool { return r.packer == "ropewalk fast" && r.input == theirs.input })
		if theirs.packer != "ZipNN" || i < 0 {
			continue
		}
		ours := &p.speed[i]
		encode, decode := theirs.encode.Wall/ours.encode.Wall, theirs.decode.Wall/ours.decode.Wall
		fmt.Fprintf(b, "- %s: %s, ropewalk fast encodes %.2f times and decodes %.2f times as fast as ZipNN, at least 1\n",
			rival.Verdict(encode >= 1 && decode >= 1), ours.input.name, encode, decode)
	}
}

// find returns the result of a packer on an input, or nil.
func (p *page) find(packer, input string) *result {
	for i := range p.results {
		if r := &p.results[i]; r.packer == packer && r.input.name == input {
			return r
		}
	}
	return nil
}
