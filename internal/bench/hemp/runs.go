package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A result is one run, as a line of the file of results.
type result struct {
	Row        string  `json:"row"`
	Seed       int     `json:"seed"`
	Options    string  `json:"options"` // a digest of what the run depends on
	Command    string  `json:"command"`
	Bytes      int64   `json:"bytes"`
	Validation float64 `json:"validation"` // errors, in percent
	Test       float64 `json:"test"`
	Float      float64 `json:"float"` // test error of the weights that it began with
	Nonzero    int     `json:"nonzero"`
	Quantized  int     `json:"quantized"`
	Estimated  float64 `json:"estimated"` // bytes, in the history, of the last epoch
	Trained    int64   `json:"trained"`   // bytes as training left them
	Xz         int64   `json:"xz"`        // bytes of the symbols; 0 if there is no xz
	Seconds    float64 `json:"seconds"`
	Failed     string  `json:"failed,omitempty"` // why there is no file: a collapse, a target out of reach
}

// A bench is the folder of runs.
type bench struct {
	c       *config
	results []result
	file    *os.File
	floats  map[string]float64 // test errors of starts, by file
}

const resultsName = "results.jsonl"

func openBench(c *config) (*bench, error) {
	b := &bench{c: c, floats: map[string]float64{}}
	if err := os.MkdirAll(c.work, 0o777); err != nil {
		return nil, err
	}
	name := filepath.Join(c.work, resultsName)
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// A line without its end is of a run that was stopped while it was written.
	whole := old[:bytes.LastIndexByte(old, '\n')+1]
	if len(whole) < len(old) {
		if err := os.Truncate(name, int64(len(whole))); err != nil {
			return nil, err
		}
	}
	if b.results, err = parseResults(whole); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b.file, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	return b, err
}

func parseResults(lines []byte) ([]result, error) {
	var all []result
	s := bufio.NewScanner(bytes.NewReader(lines))
	for n := 1; s.Scan(); n++ {
		var r result
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, r)
	}
	return all, s.Err()
}

func (b *bench) close() { _ = b.file.Close() } // each line was written on its own

// of returns the results of a row as it is now, one for each seed.
func (b *bench) of(r *row) []result {
	digest := r.digest()
	var list []result
	for _, x := range b.results {
		if x.Row == r.name && x.Options == digest {
			list = append(list, x)
		}
	}
	return list
}

// folder returns where data is, "" if the user has none.
func (b *bench) folder(data string) string {
	switch data {
	case mnist:
		return b.c.mnist
	case fashion:
		return b.c.fashion
	case cifar:
		return b.c.cifar
	}
	return data
}

// digest is of the options of a row and of the start that it needs.
func (r *row) digest() string {
	list := []string{r.net, r.data, r.start, starts[r.start], r.args}
	if r.pack != "" {
		list = append(list, r.pack)
	}
	text := strings.Join(list, "\n")
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

// measure runs a row with a seed, if that is not done.
func (b *bench) measure(ctx context.Context, r *row, seed int) error {
	for _, x := range b.of(r) {
		if x.Seed == seed {
			return nil
		}
	}
	x := result{Row: r.name, Seed: seed, Options: r.digest()}
	var init string
	var err error
	if r.start != "" {
		if init, err = b.begin(ctx, r, seed); err != nil {
			return err
		}
		x.Float = b.floats[init]
	}
	out := filepath.Join(b.c.work, fmt.Sprintf("%s-%s-%d.rope", r.name, x.Options, seed))
	if r.pack != "" {
		if err := b.pack(ctx, &x, r, init, out); err != nil {
			return err
		}
		return b.keep(&x)
	}
	args := []string{"--net", r.net, "--penalty", "hemp"}
	if init != "" {
		args = append(args, "--init", init)
	}
	args = append(args, strings.Fields(r.args)...)
	x.Command = "ropewalk train " + strings.Join(append(args, "--seed", strconv.Itoa(seed)), " ")
	t, err := b.train(ctx, out, r.data, seed, args)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		x.Failed = refused.Error()
	case err != nil:
		return err
	default:
		if err := b.fill(ctx, &x, r, out, t); err != nil {
			return err
		}
	}
	return b.keep(&x)
}

// keep writes the line of a run.
func (b *bench) keep(x *result) error {
	line, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if _, err := b.file.Write(append(line, '\n')); err != nil {
		return err
	}
	b.results = append(b.results, *x)
	fmt.Fprintf(os.Stderr, "%s, seed %d: %d bytes, %.2f %% validation, %.2f %% test, %.0f s %s\n", x.Row, x.Seed, x.Bytes, x.Validation, x.Test, x.Seconds, x.Failed)
	return nil
}

// pack packs the floats of a row with loss, and takes its figures. There are none of
// the validation data.
func (b *bench) pack(ctx context.Context, x *result, r *row, init, out string) error {
	args := append([]string{"pack", "-q", "-f", init, "-o", out}, strings.Fields(r.pack)...)
	x.Command = "ropewalk " + strings.Join(args, " ")
	if _, err := b.call(ctx, args); err != nil {
		return err
	}
	st, err := os.Stat(out)
	if err != nil {
		return err
	}
	x.Bytes = st.Size()
	x.Test, err = b.eval(ctx, out, r.data)
	return err
}

// fill takes the figures of a run.
func (b *bench) fill(ctx context.Context, x *result, r *row, out string, t *trained) error {
	st, err := os.Stat(out)
	if err != nil {
		return err
	}
	x.Bytes, x.Seconds = st.Size(), t.Seconds
	x.Validation = t.Validation.errors()
	if t.Hemp != nil {
		x.Nonzero, x.Quantized, x.Trained = t.Hemp.Nonzero, t.Hemp.Quantized, t.Hemp.Trained
	}
	if x.Estimated, err = lastEstimate(out + ".history.jsonl"); err != nil {
		return err
	}
	// The file says what it is: nothing else is given than the data.
	if x.Test, err = b.eval(ctx, out, r.data); err != nil {
		return err
	}
	if said := t.Test.errors(); said != x.Test {
		return fmt.Errorf("the file has a test error of %.2f %%, and training said %.2f %%", x.Test, said)
	}
	x.Xz, err = b.xz(ctx, out)
	return err
}

// begin returns the float weights of a seed that a row begins with.
func (b *bench) begin(ctx context.Context, r *row, seed int) (string, error) {
	s := starts[r.start]
	if slices.Contains(once, r.start) {
		seed = 0
	}
	sum := sha256.Sum256([]byte(s))
	name := filepath.Join(b.c.work, fmt.Sprintf("%s-%s-%s-%d.safetensors", r.start, r.net, hex.EncodeToString(sum[:4]), seed))
	if _, err := os.Stat(name); err != nil {
		if _, err := b.train(ctx, name, r.data, seed, append([]string{"--net", r.net}, strings.Fields(strings.ReplaceAll(s, given, b.c.given))...)); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, known := b.floats[name]; !known {
		e, err := b.eval(ctx, name, r.data)
		if err != nil {
			return "", err
		}
		b.floats[name] = e
	}
	return name, nil
}

// trained is what ropewalk says of a training.
type trained struct {
	Validation, Test score
	Seconds          float64
	Hemp             *struct {
		Nonzero   int   `json:"nonzero"`
		Quantized int   `json:"quantized"`
		Trained   int64 `json:"trained_bytes"`
	}
}

type score struct {
	Top1 float64 `json:"top1"`
}

// errors returns those of the score, in percent.
func (s score) errors() float64 { return 100 * (1 - s.Top1) }

// A refusal is an answer of ropewalk that a table can show: a collapse, or a target
// that is out of reach.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// exitBudget is ropewalk's status for that.
const exitBudget = 5

func (b *bench) train(ctx context.Context, out, data string, seed int, args []string) (*trained, error) {
	args = append([]string{"train", "--json", "-q", "--data", b.folder(data), "--seed", strconv.Itoa(seed), "-o", out}, args...)
	if _, err := os.Stat(out + ".snapshot"); err == nil {
		args = []string{"train", "--json", "-q", "--resume", "-o", out}
	} else {
		args = append(args, "-f") // a file without a line is of other options
	}
	text, err := b.call(ctx, args)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var t trained
	return &t, json.Unmarshal(lines[len(lines)-1], &t)
}

// eval returns the test error of a file in percent.
func (b *bench) eval(ctx context.Context, file, data string) (float64, error) {
	text, err := b.call(ctx, []string{"eval", "--json", "-q", file, "--data", b.folder(data)})
	if err != nil {
		return 0, err
	}
	var s struct{ Result score }
	if err := json.Unmarshal(text, &s); err != nil {
		return 0, err
	}
	return s.Result.errors(), nil
}

func (b *bench) call(ctx context.Context, args []string) ([]byte, error) {
	args = append(args, "--threads", strconv.Itoa(b.c.threads))
	cmd := exec.CommandContext(ctx, b.c.ropewalk, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it writes a snapshot
	var talk bytes.Buffer
	cmd.Stderr = &talk
	text, err := cmd.Output()
	if err == nil {
		return text, nil
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok && e.ExitCode() == exitBudget && ctx.Err() == nil {
		return nil, &refusal{strings.TrimSpace(talk.String())}
	}
	return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, talk.Bytes())
}

// lastEstimate returns the bytes that the last line of a history expected.
func lastEstimate(name string) (float64, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var e struct {
		Notes map[string]map[string]float64 `json:"notes"`
	}
	if err := json.Unmarshal(lines[len(lines)-1], &e); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return e.Notes["hemp"]["estimated"], nil
}
