package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/internal/atomicfile"
	"ropewalk/internal/nearest"
	"ropewalk/internal/suite"
)

type benchOptions struct {
	out           string
	quick, resume bool
	keep, list    bool
	seeds, jobs   int
	match         string
	data          []string
	report        reportFlag
}

// benchFolder is where results go if no folder is named.
const benchFolder = "ropewalk-bench"

// allSuites stands for all that the program carries.
const allSuites = "all"

func newBench(e *env) *cobra.Command {
	o := benchOptions{out: benchFolder}
	cmd := &cobra.Command{
		Use:   "bench SUITE...",
		Short: "measure the tables of the papers, and ours",
		Long: `Run suites of measurements and write their tables. SUITE is one of

  codec    sizes and speeds of our coders
  engine   what training steps and forward passes take
  hemp     networks trained to be small: as published, and ours; orders, costs
  lady     neurons found again after attacks on a layer, by three methods
  lineage  what was done to a network: whether verify names it
  mark     what marks cost, and what they survive
  all      all of these

or a file of YAML such as those (its form is in the package comment of
internal/suite): each row of a table is commands of this program, and numbers
out of their results. A suite is run like a script: read one of strangers first.

What it needs beside the images that the program carries is given by --data
NAME=WHERE; what is not given is told of, and the rest is measured. In the
folder of -o are then, for each suite: SUITE.jsonl, a line for each run, with a
digest by which a change by hand is noticed; SUITE.csv, SUITE.md and SUITE.tex;
of mark also SUITE.nnt.json, in the parts that IEEE 3304 (MPAI-NNW) asks for:
imperceptibility, robustness and computational cost.

The same seeds give the same numbers, but for times. What was interrupted goes
on with --resume, and so does a suite of which some rows were changed: rows that
were measured as they are now, with the same data, are not measured again. Data
is the same if names, sizes and contents of its files are (contents up to the
first GiB), wherever it lies; of data that is not given, the last numbers stay.

A row is TABLE/ROW, and /VALUE of each thing that its table is measured for, as
in lenet5/conv2/noise=7: --list shows them, and --match selects among them.`,
		Example: example(
			"all of it, quickly", "ropewalk bench all --quick",
			"sizes on MNIST, five seeds, two runs at a time", "ropewalk bench hemp --data mnist=mnist/ --seeds 5 --jobs 2 -o hemp/",
			"go on after an interruption", "ropewalk bench hemp --data mnist=mnist/ --seeds 5 --jobs 2 -o hemp/ --resume",
			"some rows", "ropewalk bench lady --match 'lenet5/' -o lady/",
			"what would be run, and how", "ropewalk bench hemp --match resnet20 --list -v",
		),
		Args: arguments(1, 100, "SUITE"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return append(suite.Names(), allSuites), cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error { return e.bench(cmd.Context(), &o, args) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", benchFolder, "write results to the `FOLDER`")
	fs.BoolVar(&o.quick, "quick", false, "fewer rows, one seed, short trainings: it shows that all works")
	fs.IntVar(&o.seeds, "seeds", 0, "`N` runs of each row (default what the suite says)")
	fs.BoolVar(&o.resume, "resume", false, "go on with the results in the folder")
	fs.IntVar(&o.jobs, "jobs", 1, "`N` runs at a time; tables of times are measured alone")
	fs.StringArrayVar(&o.data, "data", nil, "data `NAME=WHERE` that the suite asks for (again for more)")
	fs.StringVar(&o.match, "match", "", "only rows whose TABLE/ROW/VALUE... matches the `REGEXP`")
	fs.BoolVar(&o.list, "list", false, "only list the rows; with -v what each runs")
	fs.BoolVar(&o.keep, "keep", false, "keep the files of all runs, in the folder work")
	o.report.addFlag(cmd, nil)
	exits(cmd, exitUsage, exitRefused, exitInterrupted)
	return cmd
}

// benchResult is what bench says.
type benchResult struct {
	Schema  string       `json:"schema"`
	Folder  string       `json:"folder"`
	Quick   bool         `json:"quick"`
	Suites  []benchSuite `json:"suites"`
	Seconds float64      `json:"seconds"`
}

// benchSuite is what came of one suite.
type benchSuite struct {
	Name    string            `json:"name"`
	Title   string            `json:"title,omitempty"`
	About   string            `json:"about,omitempty"`
	Tables  []benchTable      `json:"tables" about:"what the lines are of"`
	Runs    int               `json:"runs" about:"of rows and seeds that there are results of"`
	Missing map[string]string `json:"missing,omitempty" about:"data that was not given, and how to get it"`
	Left    int               `json:"left_out" about:"runs that need such data, and that there are no results of"`
	Failed  []string          `json:"failed,omitempty" about:"runs that failed, and why; --resume tries them again"`
	Lines   []suite.Line      `json:"lines" about:"rows of tables"`
	Files   []string          `json:"files" about:"that were written"`

	suite *suite.Suite
}

func (e *env) bench(ctx context.Context, o *benchOptions, names []string) error {
	if err := e.needStdout(); err != nil {
		return err
	}
	if err := o.report.check(); err != nil {
		return err
	}
	start := time.Now()
	suites, plan, err := e.benchPlan(o, names)
	if err != nil {
		return err
	}
	if o.list {
		return e.answer(newBenchList(suites, plan, e.verbose))
	}
	if err := os.MkdirAll(o.out, 0o777); err != nil {
		return err
	}
	lock, err := e.lock(filepath.Join(o.out, "bench"))
	if err != nil {
		return err
	}
	defer lock.Release()
	for _, s := range suites {
		if _, err := os.Stat(o.results(s)); err == nil && !o.resume {
			return usagef("%s is there, with results", o.results(s)).withHint("--resume goes on with them; or -o names another folder")
		}
		if _, err := suite.ReadRecords(o.results(s)); err != nil {
			return benchError(err)
		}
		if err := suite.CheckWork(o.work(s)); err != nil {
			return benchError(err)
		}
	}
	b := &benchRun{e: e, o: o, data: plan.where}
	b.bar = e.progress("bench", 0)
	b.bar.mixed.Store(true)
	for _, jobs := range plan.jobs {
		b.total += len(jobs)
	}
	b.bar.total.Store(int64(b.total))
	r := &benchResult{Schema: "ropewalk/bench/1", Folder: o.out, Quick: o.quick}
	for i, s := range suites {
		var one *benchSuite
		if one, err = b.run(ctx, s, plan.jobs[i]); err != nil {
			break
		}
		r.Suites = append(r.Suites, *one)
	}
	b.bar.stop()
	if err != nil {
		return b.stopped(ctx, names, err)
	}
	r.Seconds = time.Since(start).Seconds()
	if err := e.answer(r); err != nil {
		return err
	}
	if o.report.wanted() {
		if err := e.writeReport(&o.report, e.benchPage(r)); err != nil {
			return err
		}
	}
	for i := range r.Suites {
		if f := r.Suites[i].Failed; len(f) > 0 {
			v := &verdict{status: exitFailure, err: fmt.Errorf("%s of suite %s failed; the first: %s", count(len(f), "run"), r.Suites[i].Name, f[0])}
			return v.withHint("--resume tries them again")
		}
	}
	return nil
}

func (o *benchOptions) results(s *suite.Suite) string { return filepath.Join(o.out, s.Name+".jsonl") }

// workFolder is where runs work, in the folder of results.
const workFolder = "work"

func (o *benchOptions) work(s *suite.Suite) string { return filepath.Join(o.out, workFolder, s.Name) }

// benchError gives errors of results and suites their status.
func benchError(err error) error {
	var changed *suite.ChangedError
	var bad *suite.Error
	var work *suite.WorkError
	switch {
	case errors.As(err, &work):
		return usagef("%w", err).withHint("move it away, or -o names another folder")
	case errors.As(err, &changed):
		return (&verdict{status: exitRefused, err: err}).withHint("without that line, --resume measures it again")
	case errors.As(err, &bad):
		return usagef("%w", err)
	}
	return err
}

// A benchPlan is what is to be run.
type benchPlan struct {
	jobs  [][]*suite.Job // of each suite
	where map[string]string
}

// benchPlan reads the suites and sees that all of them can be run.
func (e *env) benchPlan(o *benchOptions, names []string) ([]*suite.Suite, *benchPlan, error) {
	switch {
	case o.seeds < 0 || o.seeds > 1000:
		return nil, nil, usagef("--seeds is %d, want 1 to 1000", o.seeds)
	case o.jobs < 1 || o.jobs > 256:
		return nil, nil, usagef("--jobs is %d, want 1 to 256", o.jobs)
	case o.list && o.report.wanted():
		return nil, nil, usagef("--list measures nothing that a report would be of")
	}
	po := &suite.PlanOptions{Quick: o.quick, Seeds: o.seeds}
	if o.match != "" {
		var err error
		if po.Match, err = regexp.Compile(o.match); err != nil {
			return nil, nil, usagef("--match: %w", err)
		}
	}
	suites, err := openSuites(names)
	if err != nil {
		return nil, nil, err
	}
	if po.Data, err = e.benchData(o, suites); err != nil {
		return nil, nil, err
	}
	p := &benchPlan{where: po.Data}
	seen := map[string]string{}
	for _, s := range suites {
		if err := s.Check(acceptsStep); err != nil {
			return nil, nil, usagef("%w", err)
		}
		if !o.list {
			if po.Digests, err = benchDigests(po.Data, s, seen); err != nil {
				return nil, nil, err
			}
		}
		jobs, err := s.Plan(po)
		if err != nil {
			return nil, nil, usagef("%w", err)
		}
		if len(jobs) == 0 {
			return nil, nil, usagef("no row of %s matches --match %q", s.Name, o.match).withHint("--list without --match shows all")
		}
		p.jobs = append(p.jobs, jobs)
	}
	return suites, p, nil
}

// noSteps are verbs that no step of a suite may have, with the reason.
var noSteps = map[string]string{
	"bench": "runs suites, and would do so in itself",
	"demo":  "runs commands of its own",
	"serve": "does not come to an end",
}

// acceptsStep says what is wrong with a command line as a step of a suite.
func acceptsStep(args []string) error {
	cmd, err := parse(args)
	if cmd != nil && noSteps[cmd.Name()] != "" {
		return fmt.Errorf("%s cannot be a step: it %s", cmd.Name(), noSteps[cmd.Name()])
	}
	return err
}

// openSuites opens suites by their names or files.
func openSuites(names []string) ([]*suite.Suite, error) {
	var list []*suite.Suite
	known := suite.Names()
	if slices.Contains(names, allSuites) {
		if len(names) > 1 {
			return nil, usagef("%s is all of them, and more are named", allSuites)
		}
		names = known
	}
	for _, n := range names {
		var s *suite.Suite
		var err error
		switch ext := filepath.Ext(n); {
		case slices.Contains(known, n):
			s, err = suite.Embedded(n)
		case ext == ".yaml" || ext == ".yml":
			s, err = openSuite(n)
		default:
			v := usagef("there is no suite %q", n)
			if near := nearest.Name(n, append(known, allSuites)); near != "" {
				return nil, v.withHint("did you mean %s?", near)
			}
			return nil, v.withHint("there are %s and %s; or name a file that ends in .yaml", strings.Join(known, ", "), allSuites)
		}
		if err != nil {
			return nil, benchError(err)
		}
		if slices.ContainsFunc(list, func(o *suite.Suite) bool { return o.Name == s.Name }) {
			return nil, usagef("two suites are called %s", s.Name)
		}
		list = append(list, s)
	}
	return list, nil
}

func openSuite(path string) (*suite.Suite, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return suite.Parse(path, f)
}

// benchData reads NAME=WHERE. What is not there is told of, and left out.
func (e *env) benchData(o *benchOptions, suites []*suite.Suite) (map[string]string, error) {
	var names []string
	for _, s := range suites {
		for k, d := range s.Data {
			if d.Is == "" {
				names = append(names, k)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	where := map[string]string{}
	for _, text := range o.data {
		k, path, ok := strings.Cut(text, "=")
		switch {
		case !ok || path == "":
			return nil, usagef("--data is %q, want NAME=WHERE", text)
		case !slices.Contains(names, k):
			v := usagef("--data: no suite asks for %q", k)
			if near := nearest.Name(k, names); near != "" {
				return nil, v.withHint("did you mean %s?", near)
			}
			return nil, v.withHint("they ask for: %s", strings.Join(names, ", "))
		}
		if _, err := os.Stat(path); err != nil && !isBuiltin(path) {
			e.notef("%s is left out: %v", k, err)
			continue
		}
		where[k] = path
	}
	return where, nil
}

// benchDigests says which data it is that a suite runs with: what is given, else what the
// suite has at hand. Seen has digests by where data is, so that all is read once.
func benchDigests(given map[string]string, s *suite.Suite, seen map[string]string) (map[string]string, error) {
	digests := map[string]string{}
	for k, d := range s.Data {
		where := cmp.Or(given[k], d.Is)
		if where == "" {
			continue
		}
		if seen[where] == "" {
			var err error
			if seen[where], err = suite.DataDigest(where); err != nil {
				return nil, fmt.Errorf("data %s: %w", k, err)
			}
		}
		digests[k] = seen[where]
	}
	return digests, nil
}

// A benchRun is a bench that goes on.
type benchRun struct {
	e           *env
	o           *benchOptions
	data        map[string]string
	bar         *progress
	done, total int // of all suites
}

// run runs a suite and writes its tables.
func (b *benchRun) run(ctx context.Context, s *suite.Suite, jobs []*suite.Job) (*benchSuite, error) {
	r := &benchSuite{Name: s.Name, Title: s.Title, About: strings.TrimSpace(s.About), Tables: tablesOf(s), Missing: map[string]string{}, suite: s}
	before, err := suite.ReadRecords(b.o.results(s))
	if err != nil {
		return nil, benchError(err)
	}
	for _, j := range jobs {
		if len(j.Missing) == 0 || j.Measured(before) {
			continue
		}
		r.Left++
		for _, k := range j.Missing {
			r.Missing[k] = s.Data[k].Get
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.Missing)) {
		b.e.notef("%s: what needs %s is left out; --data %s=WHERE gives it: %s", s.Name, k, k, r.Missing[k])
	}
	base := b.done
	runner := &suite.Runner{
		Results: b.o.results(s), Work: b.o.work(s), Data: b.data, Jobs: b.o.jobs, Threads: b.e.threads, Keep: b.o.keep, Program: programVersion(),
		Run: b.command,
		Progress: func(p suite.Progress) {
			b.done = base + len(jobs) - p.Total + p.Done
			b.bar.done.Store(int64(b.done))
			if !p.Ended {
				b.bar.say(fmt.Sprintf("bench  %d of %d  %s  %s, seed %d", b.done+1, b.total, s.Name, p.Job.Line(), p.Job.Seed))
			}
			if p.Err != nil {
				b.e.notef("%v", p.Err)
				r.Failed = append(r.Failed, p.Err.Error())
			}
		},
	}
	records, err := runner.Do(ctx, jobs)
	if err != nil && (ctx.Err() != nil || len(r.Failed) == 0) {
		return nil, benchError(err)
	}
	b.done = base + len(jobs)
	b.bar.done.Store(int64(b.done))
	r.Lines = suite.Lines(jobs, records)
	for i := range r.Lines {
		r.Runs += r.Lines[i].Seeds + r.Lines[i].Failed
	}
	if !b.o.keep {
		_ = os.Remove(filepath.Join(b.o.out, workFolder)) // if it is empty
	}
	r.Files = []string{b.o.results(s)}
	return r, b.write(s, r)
}

// threads is how many threads a command has; 0 is as many as there are. Runs that go on at
// the same time share them. One that is alone has all, so that what it measures does not
// depend on --jobs.
func (b *benchRun) threads(alone bool) int {
	if b.e.threads > 0 || b.o.jobs == 1 || alone {
		return b.e.threads
	}
	return max(1, runtime.GOMAXPROCS(0)/b.o.jobs)
}

// command runs a command of a suite. That something cannot be had is a result.
func (b *benchRun) command(ctx context.Context, words []string, alone bool) ([]byte, error) {
	if threads := b.threads(alone); threads > 0 && !hasFlag(words, "--threads") {
		words = append(slices.Clip(words), fmt.Sprintf("--threads=%d", threads))
	}
	line, err := b.e.inside(ctx, words)
	switch {
	case isNegative(err):
		return line, nil
	case err != nil && exitStatus(err) == exitBudget:
		return nil, &suite.Refusal{Text: err.Error()}
	}
	return line, err
}

// write writes the tables.
func (b *benchRun) write(s *suite.Suite, r *benchSuite) error {
	files := []struct {
		ext   string
		write func(w io.Writer) error
	}{
		{".csv", func(w io.Writer) error { return s.WriteCSV(w, r.Lines) }},
		{".md", func(w io.Writer) error { return s.WriteMarkdown(w, r.Lines) }},
		{".tex", func(w io.Writer) error { return s.WriteLaTeX(w, r.Lines) }},
		{".nnt.json", func(w io.Writer) error { return s.WriteTraceability(w, r.Lines, programVersion()) }},
	}
	for _, f := range files {
		if f.ext == ".nnt.json" && !s.HasTraceability() {
			continue
		}
		path := filepath.Join(b.o.out, s.Name+f.ext)
		if _, err := writeFile(path, true, func(to *atomicfile.File) error { return f.write(to) }); err != nil {
			return err
		}
		r.Files = append(r.Files, path)
	}
	return nil
}

// stopped says how a bench that was interrupted goes on.
func (b *benchRun) stopped(ctx context.Context, names []string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	words := append([]string{"ropewalk", "bench"}, names...)
	for _, d := range b.o.data {
		words = append(words, "--data", d)
	}
	if b.o.quick {
		words = append(words, "--quick")
	}
	if b.o.seeds > 0 {
		words = append(words, "--seeds", strconv.Itoa(b.o.seeds))
	}
	if b.o.jobs != 1 {
		words = append(words, "--jobs", strconv.Itoa(b.o.jobs))
	}
	if b.o.keep {
		words = append(words, "--keep")
	}
	if b.o.report.wanted() {
		words = append(words, "--report", b.o.report.path)
		if *b.o.report.force {
			words = append(words, "-f")
		}
	}
	if b.o.match != "" {
		words = append(words, "--match", b.o.match)
	}
	if b.o.out != benchFolder {
		words = append(words, "-o", b.o.out)
	}
	return (&verdict{status: exitInterrupted, err: errors.New("interrupted")}).withHint("%s --resume goes on", shellWords(words...))
}

func (r *benchResult) text(w *bufio.Writer) {
	for i := range r.Suites {
		s := &r.Suites[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		_ = s.suite.WriteMarkdown(w, s.Lines) // w keeps its first error
	}
	fmt.Fprintln(w)
	for i := range r.Suites {
		s := &r.Suites[i]
		fmt.Fprintf(w, "%s: %s", s.Name, count(s.Runs, "run"))
		if s.Left > 0 {
			fmt.Fprintf(w, ", %s left out for want of %s", commas(int64(s.Left)), strings.Join(slices.Sorted(maps.Keys(s.Missing)), ", "))
		}
		if len(s.Failed) > 0 {
			fmt.Fprintf(w, ", %d failed", len(s.Failed))
		}
		fmt.Fprintf(w, "; wrote %s\n", printable(strings.Join(s.Files, ", ")))
	}
}
