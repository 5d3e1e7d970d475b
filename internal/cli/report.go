package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/attack"
	"ropewalk/internal/atomicfile"
	"ropewalk/internal/nearest"
	"ropewalk/internal/report"
	"ropewalk/internal/suite"
	"ropewalk/lineage/passport"
)

type reportOptions struct {
	out   string
	title string
	force bool
}

func newReport(e *env) *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report RUN... -o OUT.html",
		Short: "join results, runs and checkpoints into one HTML page",
		Long: `Write one HTML file about each RUN, in their order: the history of a training
(OUT.history.jsonl of train, also while it goes on), what a command printed with
--json (one result or several, a line each), the map of an attack, a passport,
or a checkpoint, packed or not.

The page needs no network and no other file, and loads nothing: charts, styles
and scripts are in it. It follows the light or dark colours of the system, and
can be printed. The same inputs give the same bytes.

Commands that compute something (inspect, diff, pack, train, eval, align,
verify, attack, mark embed and extract, passport make, show and match, bench)
write such a page of their own with --report FILE, which shows more: what
weights say is there only while they are at hand.`,
		Example: example(
			"a training and what became of it", "ropewalk report lenet5.safetensors.history.jsonl lenet5.safetensors -o run.html",
			"results of commands", "ropewalk eval --json a.onnx --data images > eval.json\nropewalk align --json --to a.onnx b.onnx > align.json\nropewalk report eval.json align.json -o both.html",
		),
		Args: arguments(1, 1000, "RUN"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.reportOn(cmd.Context(), &o, args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", "", "write the page to `OUT`, which ends in .html, or - for standard output")
	fs.BoolVarP(&o.force, "force", "f", false, "replace an existing output")
	fs.StringVar(&o.title, "title", "", "the title of the page; else the name of the first RUN")
	exits(cmd, exitUsage, exitRefused, exitInterrupted)
	return cmd
}

// reportResult is what report says.
type reportResult struct {
	Schema string        `json:"schema"`
	Output string        `json:"output"`
	Bytes  int64         `json:"bytes"`
	Runs   []reportedRun `json:"runs"`
}

// reportedRun is one thing that a page is about.
type reportedRun struct {
	File string `json:"file"`
	Kind string `json:"kind" about:"history, checkpoint, passport, or the command that printed the result"`
}

func (r *reportResult) text(w *bufio.Writer) {
	for _, x := range r.Runs {
		fmt.Fprintf(w, "%s: %s\n", printable(x.File), x.Kind)
	}
	fmt.Fprintf(w, "%s (%v)\n", printable(r.Output), byteSize(r.Bytes))
}

func (e *env) reportOn(ctx context.Context, o *reportOptions, runs []string) error {
	f := &reportFlag{name: "-o", path: o.out, force: &o.force}
	if o.out == "" {
		return usagef("-o OUT is missing").withHint("-o report.html")
	}
	if o.out == dash {
		if err := e.needStdout(); err != nil {
			return err
		}
	} else if err := f.check(runs...); err != nil {
		return err
	}
	title := o.title
	if title == "" {
		title = filepath.Base(runs[0])
		if len(runs) > 1 {
			title = fmt.Sprintf("%s and %s", title, count(len(runs)-1, "other"))
		}
	}
	p := newPage("report", title)
	r := &reportResult{Schema: "ropewalk/report/1", Output: o.out}
	for _, path := range runs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(runs) > 1 {
			p.about = filepath.Base(path)
		}
		kinds, err := e.addRun(ctx, p, path)
		if err != nil {
			return err
		}
		for _, k := range kinds {
			r.Runs = append(r.Runs, reportedRun{path, k})
		}
	}
	p.about = ""
	p.claims(report.Claim{Text: "This page was made by", Command: e.command()})
	if o.out == dash {
		return report.Write(e.stdout, p.Page, nil)
	}
	var err error
	if r.Bytes, err = writeFile(o.out, o.force, func(w *atomicfile.File) error { return report.Write(w, p.Page, nil) }); err != nil {
		return err
	}
	return e.answer(r)
}

// benchRecords are the lines of results that bench writes while it runs.
const benchRecords = "results of bench"

// maxResult bounds what a command printed, in bytes.
const maxResult = 256 << 20

// addRun adds what one file holds to a page, and says what that was.
func (e *env) addRun(ctx context.Context, p *pager, path string) ([]string, error) {
	head, err := e.readHead(path, 512)
	if err != nil {
		return nil, err
	}
	if text := bytes.TrimLeft(head, " \t\r\n"); len(text) > 0 && text[0] == '{' && !isIndex(path) {
		return e.addResults(p, path)
	}
	if len(head) == 0 && strings.HasSuffix(path, historyExt) { // a run that has just begun
		p.history(nil)
		return []string{"history"}, nil
	}
	if passport.Is(head) {
		kept, err := openPassport(path, &trustFlags{})
		if err != nil {
			return nil, err
		}
		info := newPassportInfo(path, kept)
		p.passport(&info)
		p.kept(kept)
		p.ledger = append(p.ledger, passportClaims(&info, "")...)
		return []string{"passport"}, nil
	}
	c, err := e.open(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	r := describe(c)
	info := tensorInfos(c)
	var all []int
	bytes := int64(0)
	for i, t := range c.Tensors.All() {
		r.Values += t.Elems()
		r.Tensors = append(r.Tensors, info(i))
		all = append(all, i)
		bytes += t.Size()
	}
	set := c.Tensors
	if bytes <= int64(autoStats) {
		stats, err := statsOf(ctx, c, all, func(int64) {})
		if err != nil {
			return nil, err
		}
		for i := range r.Tensors {
			r.Tensors[i].Stats = stats[i]
		}
	} else {
		set = nil
	}
	p.ledger = append(p.ledger, report.Claim{Text: fmt.Sprintf("%s has %s with %s values, in", path, count(r.Count, "tensor"), commas(r.Values)), Value: commas(r.Bytes) + " bytes", Command: shellWords("ropewalk", "inspect", path)})
	return []string{"checkpoint"}, p.inspect(r, set)
}

// addResults adds what commands printed as JSON, a result or the epoch of a history in
// each line.
func (e *env) addResults(p *pager, path string) ([]string, error) {
	f, err := e.openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxResult))
	var kinds []string
	var records []suite.Record
	defer func() { p.records(records) }()
	for n := 1; ; n++ {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return kinds, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) && len(kinds) > 0 && (kinds[0] == "history" || kinds[0] == benchRecords) {
			return kinds, nil // its last line is being written
		}
		if err != nil {
			return nil, &verdict{status: exitRefused, err: fmt.Errorf("%s: value %d at offset %d is not JSON: %w", path, n, dec.InputOffset(), err)}
		}
		var head struct {
			Schema string `json:"schema"`
			Type   string `json:"type"`
		}
		if err := json.Unmarshal(raw, &head); err != nil {
			return nil, notResult(path, n, err)
		}
		if head.Type == "epoch" {
			if len(kinds) > 0 && kinds[len(kinds)-1] == "history" {
				continue // read with the first of them
			}
			kinds = append(kinds, "history")
			if err := e.addHistory(p, path); err != nil {
				return nil, err
			}
			continue
		}
		if head.Schema == suite.RecordSchema {
			var r suite.Record
			if err := json.Unmarshal(raw, &r); err != nil {
				return nil, notResult(path, n, err)
			}
			if records = append(records, r); len(records) == 1 {
				kinds = append(kinds, benchRecords)
			}
			continue
		}
		kind := strings.TrimSuffix(strings.TrimPrefix(head.Schema, "ropewalk/"), "/1")
		add, ok := adders[kind]
		if !ok {
			return nil, notResult(path, n, unknownSchema(head.Schema))
		}
		if err := add(p, raw); err != nil {
			return nil, notResult(path, n, err)
		}
		kinds = append(kinds, strings.ReplaceAll(kind, "-", " "))
	}
}

func unknownSchema(schema string) error {
	if schema == "" {
		return errors.New("it has no schema, as results of ropewalk --json have")
	}
	var names []string
	for k := range adders {
		names = append(names, "ropewalk/"+k+"/1")
	}
	if n := nearest.Name(schema, names); n != "" {
		return fmt.Errorf("schema %q is not one that a page is made of; did you mean %s?", schema, n)
	}
	return fmt.Errorf("schema %q is not one that a page is made of", schema)
}

func notResult(path string, n int, err error) error {
	return &verdict{status: exitRefused, err: fmt.Errorf("%s: value %d: %w", path, n, err)}
}

// addHistory adds all epochs of a file.
func (e *env) addHistory(p *pager, path string) error {
	events, err := e.readHistory(path)
	if err != nil {
		return err
	}
	p.history(events)
	return nil
}

// adders add the results of commands, by the names of their schemas.
var adders = map[string]func(p *pager, raw []byte) error{
	"inspect": adder(func(p *pager, r *inspectResult) {
		_ = p.inspect(r, nil) // only values can fail to be read
		p.ledger = append(p.ledger, report.Claim{Text: r.File + " has", Value: commas(r.Bytes) + " bytes", Command: shellWords("ropewalk", "inspect", r.File)})
	}),
	"pack": adder(func(p *pager, r *packResult) {
		p.pack(r)
		p.ledger = append(p.ledger, packClaims(r, "")...)
	}),
	"align": adder(func(p *pager, r *alignResult) {
		p.align(r)
		p.ledger = append(p.ledger, alignClaim(r, ""))
	}),
	"verify": adder(func(p *pager, r *verifyResult) {
		p.verify(r)
		if r.Comparison != nil {
			p.differences(r.Tensors)
			p.ledger = append(p.ledger, verifyClaim(r, ""))
		}
	}),
	"train": adder(func(p *pager, r *trainResult) {
		p.trained(r)
		p.ledger = append(p.ledger, trainClaim(r, ""))
	}),
	"eval": adder(func(p *pager, r *evalResult) { p.eval(r, "") }),
	"passport-make": adder(func(p *pager, r *passportMakeResult) {
		p.passport(&r.Passport)
		p.ledger = append(p.ledger, passportClaims(&r.Passport, "")...)
	}),
	"passport-show": adder(func(p *pager, r *passportShowResult) {
		p.passport(&r.Passport)
		p.ledger = append(p.ledger, passportClaims(&r.Passport, "")...)
	}),
	"passport-match": adder(func(p *pager, r *passportMatchResult) {
		p.matched(r)
		p.ledger = append(p.ledger, matchClaims(r, "")...)
	}),
	"mark-embed": adder(func(p *pager, r *markEmbedResult) {
		p.embedded(r)
		p.ledger = append(p.ledger, embedClaims(r, "", nil)...)
	}),
	"mark-extract": adder(func(p *pager, r *markExtractResult) { p.mark(r, "") }),
	"attack": adder(func(p *pager, r *attackResult) {
		p.attack(r)
		p.ledger = append(p.ledger, attackClaims(r, "")...)
	}),
	"attack-map": adder(func(p *pager, t *attack.Truth) { p.truth(t) }),
	"bench":      adder(func(p *pager, r *benchResult) { p.bench(r, "") }),
	"demo":       adder(func(p *pager, r *demoResult) { p.demo(r) }),
	"diff":       adder(func(p *pager, r *diffResult) { p.diff(r, "") }),
}

// adder reads a result before it is added. A result is what this program printed, or
// what somebody made of that: nothing in it is taken for granted.
func adder[T any](add func(p *pager, r *T)) func(p *pager, raw []byte) error {
	return func(p *pager, raw []byte) (err error) {
		var r T
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		add(p, &r)
		return nil
	}
}

// diff shows which tensors of two checkpoints differ.
func (p *pager) diff(r *diffResult, command string) {
	if command == "" {
		command = shellWords("ropewalk", "diff", r.A, r.B)
	}
	s := p.section("Difference")
	word, tone := "different", report.Warn
	if r.Identical {
		word, tone = "identical", report.Good
	}
	c := r.Counts
	s.Verdict(&report.Verdict{Word: word, Tone: tone, Text: fmt.Sprintf("%s (A) and %s (B), tensor by tensor, by name", r.A, r.B), Facts: []report.Fact{
		fact("identical", "%s", commas(int64(c.Identical))), fact("changed", "%s", commas(int64(c.Changed))), fact("other type", "%s", commas(int64(c.Retyped))),
		fact("other shape", "%s", commas(int64(c.Reshaped))), fact("only in A", "%s", commas(int64(c.OnlyA))), fact("only in B", "%s", commas(int64(c.OnlyB))),
	}})
	t := &report.Table{Columns: []report.Column{{Name: "tensor", Text: true}, {Name: "status", Text: true}, {Name: "values"}, {Name: "changed"}, {Name: "largest"}, {Name: "RMS"}, {Name: "NMSE, dB"}}}
	odd := slices.ContainsFunc(r.Tensors, func(d tensorDiff) bool { return d.Change != nil && d.Change.NonFinite > 0 })
	if odd {
		t.Columns = append(t.Columns, report.Column{Name: "NaN, infinite", Note: "changed values of which one is that, so that how far they are apart is not known"})
	}
	names, relative := []string{}, report.Numbers{}
	for i := range r.Tensors {
		d := &r.Tensors[i]
		row := []report.Cell{report.Name(d.Name), report.Text(strings.ReplaceAll(d.Status, "_", " ")), noCell, noCell, noCell, noCell, noCell}
		if d.Status != statusIdentical {
			row[1].Tone = report.Warn
		}
		if x := d.Change; x != nil {
			row[2], row[3], row[4], row[5] = numberCell(x.Values), shareCell(float64(x.Changed)/float64(max(1, x.Values))), realCell("%.3g", x.Max), realCell("%.3g", x.RMS)
			if x.Changed > 0 && row[3].Text == percentText(0) {
				row[3].Text = "< 0.01 %"
			}
			if x.NonFinite > 0 && x.NonFinite >= x.Changed {
				row[4], row[5] = report.Text("not known"), report.Text("not known")
			}
			if x.NMSE != nil {
				row[6] = realCell("%.1f", *x.NMSE)
				names, relative = append(names, d.Name), append(relative, *x.NMSE)
			}
		}
		if odd {
			n := noCell
			if d.Change != nil {
				n = numberCell(d.Change.NonFinite)
			}
			row = append(row, n)
		}
		t.Row(row...)
	}
	if len(names) > 1 {
		s.Chart(&report.Chart{Title: "How far tensors are apart", Caption: "10 log10 of squared differences over squared values of A: 0 is as far as zero from A.", Wide: true, Data: &report.Bars{X: "tensor", Y: "NMSE, dB", Names: names, Values: relative}})
	}
	s.Table(t)
	p.ledger = append(p.ledger, report.Claim{Text: fmt.Sprintf("%s and %s are", r.A, r.B), Value: word, Command: command})
}
