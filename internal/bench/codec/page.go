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
	roster  *roster
	missing []string // networks
	streams []stream
	results []result
	rates   []ratePoint
}

// A group is some of the streams.
type group struct {
	name string
	has  func(quantizer string) bool
}

func prefixed(p string) func(string) bool {
	return func(quantizer string) bool { return strings.HasPrefix(quantizer, p) }
}

// groups are what means are taken over. Without int8 the streams are those of
// older measurements.
var groups = []group{
	{"all", func(string) bool { return true }},
	{"without int8", func(q string) bool { return q != "int8" }},
	{"Lloyd-Max", prefixed("LM")},
	{"uniform", prefixed("U")},
	{"90 % pruned", prefixed("P90")},
	{"int8", prefixed("int8")},
}

// writePage writes the tables as Markdown.
func writePage(w io.Writer, p *page) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Coding of quantized weights\n\n%s/%s, %d processors. Bits per weight of the indices alone, without levels and headers, all restored and compared.\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	rival.Programs(&b, p.roster.versions, slices.Concat(p.missing, p.roster.missing))
	p.sizes(&b)
	p.means(&b)
	p.speeds(&b)
	p.rateTables(&b)
	p.verdicts(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *page) coders() []string {
	var names []string
	for _, c := range p.roster.coders {
		names = append(names, c.name())
	}
	return names
}

// sizes writes the one table that the page is for.
func (p *page) sizes(b *strings.Builder) {
	coders := p.coders()
	var rows [][]string
	for i := range p.streams {
		s := &p.streams[i]
		weights := float64(s.weights())
		row := []string{
			s.name(), fmt.Sprint(s.weights()), rival.Number(s.snr(), 2),
			rival.Number(orderZero(s)/weights, 3), rival.Number(conditional(s, 1)/weights, 3), rival.Number(conditional(s, 2)/weights, 3),
		}
		for _, name := range coders {
			row = append(row, rival.Number(p.bits(name, s), 3))
		}
		row = append(row, percent(p.bits(maxName, s), p.bits(nnCodecName, s)), percent(p.bits(maxName, s), p.bits("xz -9e", s)))
		rows = append(rows, row)
	}
	b.WriteString("\n## Bits per weight\n\nOrder 0 by the counts of each tensor; orders 1 and 2 by those of the whole stream, which no coder knows beforehand.\n\n")
	head := append([]string{"stream", "weights", "SNR dB", "order 0", "order 1", "order 2"}, coders...)
	rival.Table(b, append(head, "max to NNCodec", "max to xz"), rows)
}

// percent prints how much larger a is than b.
func percent(a, b float64) string {
	if math.IsNaN(a / b) {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*(a/b-1))
}

// means writes the geometric mean of ours over theirs.
func (p *page) means(b *strings.Builder) {
	var rows [][]string
	for _, ours := range []string{fastName, maxName} {
		for _, theirs := range p.coders() {
			if theirs == ours || theirs == maxName || !slices.Contains(p.coders(), ours) {
				continue
			}
			row := []string{ours + " / " + theirs}
			for _, g := range groups {
				row = append(row, rival.Number(p.mean(g, ours, theirs), 4))
			}
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n## Geometric mean of the sizes, ours over theirs\n\n")
	head := []string{""}
	for _, g := range groups {
		head = append(head, g.name)
	}
	rival.Table(b, head, rows)
}

// mean returns the geometric mean over a group of one size over another, or NaN.
func (p *page) mean(g group, ours, theirs string) float64 {
	sum, n := 0.0, 0
	for i := range p.streams {
		s := &p.streams[i]
		ratio := p.bits(ours, s) / p.bits(theirs, s)
		if g.has(s.quantizer) && !math.IsNaN(ratio) {
			sum += math.Log(ratio)
			n++
		}
	}
	return math.Exp(sum / float64(n))
}

// A speed is in millions of weights a second.
type speed struct {
	encode, decode               float64 // all streams together
	slowestEncode, slowestDecode float64 // one stream
}

// speed returns that of a coder; it is all NaN if nothing was timed.
func (p *page) speed(name string) speed {
	v := speed{slowestEncode: math.Inf(1), slowestDecode: math.Inf(1)}
	weights, encode, decode := 0.0, 0.0, 0.0
	for i := range p.results {
		r := &p.results[i]
		if r.coder != name || r.encode == 0 {
			continue
		}
		n := float64(r.stream.weights()) / 1e6
		weights, encode, decode = weights+n, encode+r.encode, decode+r.decode
		v.slowestEncode = min(v.slowestEncode, n/r.encode)
		v.slowestDecode = min(v.slowestDecode, n/r.decode)
	}
	v.encode, v.decode = weights/encode, weights/decode
	return v
}

// speeds writes what one thread does in a second, in memory.
func (p *page) speeds(b *strings.Builder) {
	var rows [][]string
	for _, name := range p.coders() {
		if v := p.speed(name); !math.IsNaN(v.encode) {
			rows = append(rows, []string{
				name, rival.Number(v.encode, 2), rival.Number(v.decode, 2), rival.Number(v.slowestEncode, 2), rival.Number(v.slowestDecode, 2),
			})
		}
	}
	if len(rows) > 0 {
		b.WriteString("\n## Million weights per second, one thread\n\nIn memory, without the start of a process.\n\n")
		rival.Table(b, []string{"", "encode", "decode", "slowest encode", "slowest decode"}, rows)
	}
}

// rateTables write the second part: bytes at equal error.
func (p *page) rateTables(b *strings.Builder) {
	for _, c := range criteria {
		var rows [][]string
		for _, anchor := range p.rates {
			if anchor.criterion != c.name || anchor.rate != lloydRate {
				continue
			}
			row := []string{anchor.stream, fmt.Sprint(anchor.size)}
			for _, r := range rates {
				q := p.rate(c.name, anchor.stream, r.name)
				row = append(row, fmt.Sprint(q.size), percent(float64(q.size), float64(anchor.size)), rival.Number(q.error/anchor.error, 4))
			}
			rows = append(rows, row)
		}
		if len(rows) == 0 {
			return
		}
		fmt.Fprintf(b, "\n## Bytes at %s\n\nOf the quantized weights in a file of effort max, with their codebooks.\n\n", c.name)
		head := []string{"error of", lloydRate}
		for _, r := range rates {
			head = append(head, r.name, "to "+lloydRate, "error")
		}
		rival.Table(b, head, rows)
		for _, r := range rates {
			fmt.Fprintf(b, "\n%s over %s, geometric mean: %s\n", r.name, lloydRate, rival.Number(p.rateMean(c.name, r.name), 4))
		}
	}
	if len(p.rates) > 0 {
		b.WriteString("\nThe error of the weights is no accuracy. Curves of accuracy over bytes go here once networks can be run.\n")
	}
}

// rate returns what a quantizer needed, which is known to be there.
func (p *page) rate(criterion, stream, rate string) ratePoint {
	return p.rates[slices.IndexFunc(p.rates, func(q ratePoint) bool {
		return q.criterion == criterion && q.stream == stream && q.rate == rate
	})]
}

// rateMean returns the geometric mean over all anchors of the bytes of a rate
// over those of Lloyd-Max, or NaN.
func (p *page) rateMean(criterion, rate string) float64 {
	sum, n := 0.0, 0
	for _, q := range p.rates {
		if q.criterion == criterion && q.rate == rate {
			sum += math.Log(float64(q.size) / float64(p.rate(criterion, q.stream, lloydRate).size))
			n++
		}
	}
	return math.Exp(sum / float64(n))
}

// verdicts writes a line for each target.
func (p *page) verdicts(b *strings.Builder) {
	b.WriteString("\n## Targets\n\n")
	all := groups[0]
	for _, t := range []struct {
		what  string
		got   float64
		bound float64
		least bool // the bound is the least, not the most
	}{
		{"max over NNCodec", p.mean(all, maxName, nnCodecName), 0.90, false},
		{"max over xz -9e", p.mean(all, maxName, "xz -9e"), 0.83, false},
		{"bytes per tensor of max above order 0, at worst", p.aboveOrderZero(maxName), 64, false},
		{"million weights/s, max encodes", p.speed(maxName).encode, 2, true},
		{"million weights/s, max decodes", p.speed(maxName).decode, 2, true},
		{"fast over NNCodec", p.mean(all, fastName, nnCodecName), 1, false},
		{"million weights/s, fast encodes", p.speed(fastName).encode, 30, true},
		{"million weights/s, fast decodes", p.speed(fastName).decode, 100, true},
		{"times NNCodec's speed, fast decodes", p.speed(fastName).decode / p.speed(nnCodecName).decode, 5, true},
		{"bytes of the default quantizer over " + lloydRate + " at equal error", p.rateMean(criteria[0].name, defaultRate), 0.92, false},
		{"the same with assignment by rate and distortion", p.rateMean(criteria[0].name, rdoRate), 0.88, false},
		{"the default quantizer at equal error relative to each tensor", p.rateMean(criteria[1].name, defaultRate), 0.92, false},
		{"the same with assignment by rate and distortion", p.rateMean(criteria[1].name, rdoRate), 0.88, false},
	} {
		side := "at most"
		if t.least {
			side = "at least"
		}
		if math.IsNaN(t.got) {
			fmt.Fprintf(b, "- not measured: %s, %s %g\n", t.what, side, t.bound)
			continue
		}
		met := t.got <= t.bound
		if t.least {
			met = t.got >= t.bound
		}
		fmt.Fprintf(b, "- %s: %s, %.4g, %s %g\n", rival.Verdict(met), t.what, t.got, side, t.bound)
	}
}

// aboveOrderZero returns how many bytes for each tensor a coder needs more than
// order 0, in the stream where that is most.
func (p *page) aboveOrderZero(name string) float64 {
	worst := math.NaN()
	for i := range p.results {
		if r := &p.results[i]; r.coder == name {
			above := (float64(r.size) - orderZero(r.stream)/8) / float64(len(r.stream.tensors))
			if !(above <= worst) {
				worst = above
			}
		}
	}
	return worst
}

// bits returns the bits per weight of a coder on a stream, or NaN.
func (p *page) bits(name string, s *stream) float64 {
	for i := range p.results {
		if r := &p.results[i]; r.coder == name && r.stream == s {
			return r.bits()
		}
	}
	return math.NaN()
}
