package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/rope"
)

type demoOptions struct {
	dir         string
	fast, force bool
	seed        uint64
}

// demoFolder is where a demo goes if no folder is named.
const demoFolder = "ropewalk-demo"

func newDemo(e *env) *cobra.Command {
	o := demoOptions{dir: demoFolder}
	cmd := &cobra.Command{
		Use:   "demo [DIR]",
		Short: "the whole story, on images that the program carries",
		Long: `Train a LeNet-5 on a part of Fashion-MNIST that the program carries, train it on
to be small, mark it, and hand it to somebody who prunes, quantizes, shuffles
and rescales it; then find out whose it was. Every step is a command of this
program, which is printed beside what came of it, and every file stays in DIR
(` + demoFolder + `): typed in there, with -f to replace what is there, the
commands make the same files again, but for the salt and the time in the
commitment. mark keygen has no -f, since keys are not replaced: the key stays.
Each demo draws its own, and with it go the mark and what it reads.

It takes about a minute on two processors, and needs neither files nor a
network. --fast begins with a LeNet-5 that the program carries, and trains it on
for fewer epochs.`,
		Example: example(
			"the story", "ropewalk demo",
			"in less than half a minute, in another folder", "ropewalk demo --fast story",
		),
		Args: arguments(0, 1, "at most one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.dir = args[0]
			}
			return e.demo(cmd.Context(), &o)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.BoolVar(&o.fast, "fast", false, "begin with a network that is trained already, and train it on for fewer epochs")
	fs.Uint64Var(&o.seed, "seed", 0, "`NUMBER` that all that is random follows from, but for the key")
	fs.BoolVarP(&o.force, "force", "f", false, "replace the files of an earlier demo in DIR")
	exits(cmd, exitUsage, exitInterrupted)
	return cmd
}

// demoResult is what demo says.
type demoResult struct {
	Schema string     `json:"schema"`
	Folder string     `json:"folder" about:"with all files"`
	Net    string     `json:"net"`
	Data   string     `json:"data"`
	Seed   uint64     `json:"seed"`
	Steps  []demoStep `json:"steps" about:"in their order"`

	Bytes    demoBytes    `json:"bytes" about:"of files"`
	Accuracy demoAccuracy `json:"accuracy" about:"part of the test images that are right, 0 to 1, of what the files hold"`
	Ledger   []rope.Entry `json:"ledger" about:"what the bytes of the small file are spent on"`
	Neurons  int          `json:"neurons" about:"of the small network that could have moved"`
	Certain  int          `json:"certain" about:"those whose match has a certainty of 0.99 or more"`
	Psi      float64      `json:"psi" about:"percent of neurons that were really found, by what the attack wrote down"`
	Aligned  string       `json:"aligned" about:"verdict of align"`
	Verdict  string       `json:"verdict" about:"of verify, on what the attacker has"`
	Report   string       `json:"report" about:"page about that, in the folder"`
	Page     string       `json:"page" about:"page about the whole demo, in the folder"`
	Present  bool         `json:"present" about:"the mark was read in the stolen network"`
	Log10P   float64      `json:"log10_p" about:"probability that the reading is chance, after correction, base 10"`
	Seconds  float64      `json:"seconds"`
}

// A demoStep is a command and what came of it.
type demoStep struct {
	Text    string   `json:"text" about:"what came of it"`
	Command string   `json:"command" about:"to type in the folder"`
	Makes   []string `json:"makes" about:"files"`
	Seconds float64  `json:"seconds"`
}

type demoBytes struct {
	Float    int64 `json:"float" about:"as trained"`
	Lossless int64 `json:"lossless" about:"packed without loss"`
	Small    int64 `json:"small" about:"trained to be small"`
	Marked   int64 `json:"marked" about:"and marked"`
	Stolen   int64 `json:"stolen" about:"what the attacker has"`
}

type demoAccuracy struct {
	Examples int     `json:"examples" about:"test images"`
	Float    float64 `json:"float"`
	Small    float64 `json:"small"`
	Marked   float64 `json:"marked"`
	Stolen   float64 `json:"stolen"`
}

// The files of a demo.
const (
	demoFloat      = "float.safetensors"
	demoLossless   = "float.rope"
	demoSmall      = "small.rope"
	demoKey        = "owner.key"
	demoReleased   = "marked.rope"
	demoCommitment = "commitment.json"
	demoStolen     = "stolen.safetensors"
	demoTruth      = "truth.json"
	demoReport     = "stolen.html"
	demoRestored   = "restored.safetensors"
	demoPage       = "demo.html"
)

// demoFiles are all that a demo writes, with what train keeps beside its results.
func demoFiles() []string {
	files := []string{demoFloat, demoLossless, demoSmall, demoKey, demoReleased, demoCommitment, demoStolen, demoTruth, demoReport, demoRestored, demoPage}
	for _, f := range []string{demoFloat, demoSmall} {
		files = append(files, f+recipeExt, f+historyExt, f+snapshotExt, f+pendingExt, f+lockExt)
	}
	return files
}

// A demo is one that goes on.
type demo struct {
	*env
	ctx  context.Context
	r    *demoResult
	bar  *progress
	done int
	page demoParts
	// sparse says that at least half of the weights of each layer of the small network
	// are zero.
	sparse bool
}

// demoSteps is how many there are, for the progress.
const demoSteps = 10

// A demoPlan is what the full demo and the fast one differ in.
type demoPlan struct {
	carried string // a trained network of the program; empty to train one
	tune    int    // epochs for a small file
	lambda  string
}

// The network of the demo.
const (
	demoNet   = "lenet5"
	demoTitle = "LeNet-5"
)

func (o *demoOptions) plan() demoPlan {
	if o.fast {
		return demoPlan{carried: builtinPrefix + demoNet, tune: 2, lambda: "5e-6"}
	}
	return demoPlan{tune: 8, lambda: "2e-6"}
}

// demoData is what networks of the demo are trained on.
const demoData = "builtin:fashion-mnist"

// demoAttack is what the attacker does. Training for size has left less than half of the
// weights of each layer, mostly, so that pruning to half takes nothing away; pruning more
// would cost the attacker the accuracy.
const demoAttack = "prune=0.5+quantize=6+permute+scale"

func (e *env) demo(ctx context.Context, o *demoOptions) (err error) {
	if err := e.needStdout(); err != nil {
		return err
	}
	back, err := e.enter(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back()) }()
	start := time.Now()
	p := o.plan()
	d := &demo{env: e, ctx: ctx, r: &demoResult{Schema: "ropewalk/demo/1", Folder: o.dir, Net: demoNet, Data: demoData, Seed: o.seed}}
	d.bar = e.progress("demo", demoSteps)
	d.bar.mixed.Store(true)
	err = d.tell(&p)
	d.bar.stop()
	if err != nil {
		return d.failed(o, err)
	}
	d.r.Seconds = time.Since(start).Seconds()
	if err := d.writePage(); err != nil {
		return err
	}
	return e.answer(d.r)
}

// enter makes the folder, or empties it of an earlier demo, and goes there: the commands
// of the story name files in it. It returns the way back.
func (e *env) enter(o *demoOptions) (back func() error, err error) {
	if err := os.MkdirAll(o.dir, 0o777); err != nil {
		return nil, err
	}
	there, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, err
	}
	if len(there) > 0 && !o.force {
		return nil, usagef("the folder %s is not empty", o.dir).withHint("-f replaces the files of an earlier demo; or name another folder")
	}
	for _, name := range demoFiles() {
		if err := os.Remove(filepath.Join(o.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	from, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return func() error { return os.Chdir(from) }, os.Chdir(o.dir)
}

// failed says what is left of a demo that did not come to its end.
func (d *demo) failed(o *demoOptions, err error) error {
	words := []string{"ropewalk", "demo", "-f"}
	if o.fast {
		words = append(words, "--fast")
	}
	if o.seed != 0 {
		words = append(words, "--seed", strconv.FormatUint(o.seed, 10))
	}
	if o.dir != demoFolder {
		words = append(words, o.dir)
	}
	if d.ctx.Err() != nil {
		return (&verdict{status: exitInterrupted, err: errors.New("interrupted")}).withHint("%s holds what was made; %s begins anew", o.dir, shellWords(words...))
	}
	return fmt.Errorf("step %d of the demo: %w", len(d.r.Steps)+1, err)
}

// step runs a command and keeps it with what it makes. Say tells what came of it.
func step[T any](d *demo, command string, makes ...string) (*T, error) {
	args := strings.Fields(command)
	d.bar.say(fmt.Sprintf("demo  step %d of %d: ropewalk %s", d.done+1, demoSteps, args[0]))
	start := time.Now()
	r, err := resultOf[T](d.ctx, d.env, args)
	if err != nil {
		return nil, err
	}
	d.done++
	d.bar.done.Store(int64(d.done))
	d.r.Steps = append(d.r.Steps, demoStep{Command: commandLine(args), Makes: makes, Seconds: time.Since(start).Seconds()})
	return r, nil
}

// say tells what came of the last step.
func (d *demo) say(format string, args ...any) {
	d.r.Steps[len(d.r.Steps)-1].Text = fmt.Sprintf(format, args...)
}

// accuracy evaluates a file on the test images.
func (d *demo) accuracy(file string) (float64, error) {
	r, err := resultOf[evalResult](d.ctx, d.env, []string{"eval", file, "--data", demoData})
	if err != nil {
		return 0, err
	}
	if r.Result == nil || r.Result.Top1 == nil {
		return 0, fmt.Errorf("%s has no labels to be judged by", demoData)
	}
	d.r.Accuracy.Examples = r.Result.Examples
	return *r.Result.Top1, nil
}

// tell is the story.
func (d *demo) tell(p *demoPlan) error {
	seed := ""
	if d.r.Seed != 0 {
		seed = fmt.Sprintf(" --seed %d", d.r.Seed)
	}
	if err := d.floats(p, seed); err != nil {
		return err
	}
	if err := d.small(p, seed); err != nil {
		return err
	}
	if err := d.mark(); err != nil {
		return err
	}
	return d.theft()
}

// floats trains the network that all begins with, or takes the one that the program
// carries, and packs it.
func (d *demo) floats(p *demoPlan, seed string) error {
	r := d.r
	text := ""
	if p.carried != "" {
		u, err := step[unpackResult](d, fmt.Sprintf("unpack %s -o %s", p.carried, demoFloat), demoFloat)
		if err != nil {
			return err
		}
		r.Bytes.Float, text = u.Bytes, "that the program carries, in BF16"
	} else {
		t, err := step[trainResult](d, fmt.Sprintf("train --net %s --data %s --epochs 10 --rate 0.03 --momentum 0.9 --schedule cosine%s -o %s", demoNet, demoData, seed, demoFloat), demoFloat)
		if err != nil {
			return err
		}
		r.Bytes.Float, text = t.Bytes, fmt.Sprintf("trained on %s images", commas(int64(t.Examples)))
	}
	var err error
	if r.Accuracy.Float, err = d.accuracy(demoFloat); err != nil {
		return err
	}
	d.say("%s %s: %s bytes, %s of %s test images right", demoTitle, text, commas(r.Bytes.Float), percent(r.Accuracy.Float), commas(int64(r.Accuracy.Examples)))

	k, err := step[packResult](d, fmt.Sprintf("pack %s -o %s", demoFloat, demoLossless), demoLossless)
	if err != nil {
		return err
	}
	r.Bytes.Lossless = k.Packed
	d.say("packed without loss: %s bytes, %s", commas(k.Packed), percent(float64(k.Packed)/float64(k.Original)))
	return nil
}

// small trains the network to be small.
func (d *demo) small(p *demoPlan, seed string) error {
	r := d.r
	s, err := step[trainResult](d, fmt.Sprintf("train --penalty hemp --net %s --init %s --data %s --lambda %s --epochs %d%s -o %s", demoNet, demoFloat, demoData, p.lambda, p.tune, seed, demoSmall), demoSmall)
	if err != nil {
		return err
	}
	r.Bytes.Small = s.Bytes
	if r.Accuracy.Small, err = d.accuracy(demoSmall); err != nil {
		return err
	}
	d.say("trained on to be small: %s bytes, %.1f times fewer, %s right", commas(s.Bytes), float64(r.Bytes.Float)/float64(s.Bytes), percent(r.Accuracy.Small))

	i, err := step[inspectResult](d, "inspect --stats "+demoSmall)
	if err != nil {
		return err
	}
	r.Ledger, d.page.small = i.Ledger, i
	tensors, sum := int64(0), int64(0)
	for _, l := range i.Ledger {
		sum += l.Bytes
		if l.Name != "" || l.Part == "tensors" {
			tensors += l.Bytes
		}
	}
	if sum != s.Bytes {
		return fmt.Errorf("%s has %d bytes, and its ledger adds up to %d", demoSmall, s.Bytes, sum)
	}
	weights, zeros := int64(0), int64(0)
	d.sparse = true
	for _, t := range i.Tensors {
		if len(t.Shape) > 1 && t.Stats != nil {
			weights += t.Stats.Values
			zeros += t.Stats.Zeros
			d.sparse = d.sparse && 2*t.Stats.Zeros >= t.Stats.Values
		}
	}
	d.say("where these bytes are: %s in tensors, %s in names, shapes, levels and checks; %s of %s weights are not zero",
		commas(tensors), commas(sum-tensors), commas(weights-zeros), commas(weights))
	return nil
}

// mark puts a mark into the small network.
func (d *demo) mark() error {
	r := d.r
	g, err := step[markKeygenResult](d, fmt.Sprintf("mark keygen -o %s --owner demo", demoKey), demoKey)
	if err != nil {
		return err
	}
	d.say("a secret key: %s", g.Key)

	m, err := step[markEmbedResult](d, fmt.Sprintf("mark embed %s --key %s --scheme grid --commitment %s -o %s", demoSmall, demoKey, demoCommitment, demoReleased), demoReleased, demoCommitment)
	if err != nil {
		return err
	}
	if m.Parameters == nil || m.Cost == nil || len(m.Files) != 1 {
		return errors.New("mark embed did not say what it did")
	}
	r.Bytes.Marked = m.Files[0].Bytes
	if r.Accuracy.Marked, err = d.accuracy(demoReleased); err != nil {
		return err
	}
	d.say("marked, to be released: %s of %s weights went to a neighbouring level; %s bytes, %s right",
		commas(m.Cost.Changed), commas(m.Cost.Weights), commas(r.Bytes.Marked), percent(r.Accuracy.Marked))
	return nil
}

// theft lets an attacker have the network, and finds out whose it was.
func (d *demo) theft() error {
	r := d.r
	seed := fmt.Sprintf(" --seed %d", r.Seed+1)
	a, err := step[attackResult](d, fmt.Sprintf("attack %s %s --map %s%s -o %s", demoAttack, demoReleased, demoTruth, seed, demoStolen), demoStolen, demoTruth)
	if err != nil {
		return err
	}
	for _, f := range a.Files {
		if f.Name == demoStolen {
			r.Bytes.Stolen = f.Bytes
		}
	}
	if r.Accuracy.Stolen, err = d.accuracy(demoStolen); err != nil {
		return err
	}
	pruned := ""
	if d.sparse {
		pruned = " (zeros already)"
	}
	d.say("stolen: half of each layer pruned%s, 6 bits left, all neurons shuffled and rescaled; %s right", pruned, percent(r.Accuracy.Stolen))

	v, err := step[verifyResult](d, fmt.Sprintf("verify %s --against %s --report %s", demoStolen, demoSmall, demoReport), demoReport)
	if err != nil {
		return err
	}
	if v.Comparison == nil {
		return errors.New("verify gave no verdict")
	}
	r.Verdict, r.Report, d.page.verify = string(v.Comparison.Verdict), demoReport, v
	d.say("compared with the original: %s (%s); %s is a page about it", r.Verdict, v.Summary, demoReport)

	l, err := step[alignResult](d, fmt.Sprintf("align --to %s %s --map %s -o %s", demoSmall, demoStolen, demoTruth, demoRestored), demoRestored)
	if err != nil {
		return err
	}
	r.Neurons, r.Certain, r.Aligned, d.page.align = l.Neurons, l.Certain, l.Verdict, l
	if l.Truth == nil {
		return errors.New("align did not compare with the truth")
	}
	r.Psi = l.Truth.Psi
	d.say("%s: %s of %s neurons are known again with certainty, and %.2f %% of all rightly", l.Verdict, commas(int64(l.Certain)), commas(int64(l.Neurons)), l.Truth.Psi)

	x, err := step[markExtractResult](d, fmt.Sprintf("mark extract %s --key %s --reference %s --commitment %s", demoStolen, demoKey, demoSmall, demoCommitment))
	if err != nil {
		return err
	}
	if x.Verdict == nil || x.Reading == nil {
		return errors.New("mark extract gave no verdict")
	}
	r.Present, r.Log10P, d.page.mark = x.Verdict.Present, x.Verdict.Log10P, x
	word := "absent"
	if r.Present {
		word = "present"
	}
	d.say("the mark is %s: probability of chance at most %s (threshold %s)", word, power(r.Log10P), power(x.Verdict.Threshold))
	return nil
}

// percent writes a part as a percentage.
func percent(part float64) string { return fmt.Sprintf("%.2f %%", 100*part) }

func (r *demoResult) text(w *bufio.Writer) {
	for i := range r.Steps {
		s := &r.Steps[i]
		fmt.Fprintf(w, "%2d  %s\n      $ %s\n", i+1, printable(s.Text), printable(s.Command))
	}
	fmt.Fprintf(w, "\n%s shows all of it with charts. Made in %s, seed %d.\nThe commands work in %s, with -f to replace what is there (but the key, which stays); so does this one\n      $ ropewalk eval FILE --data %s\n",
		printable(filepath.Join(r.Folder, r.Page)), clock(time.Duration(r.Seconds*float64(time.Second))), r.Seed, printable(r.Folder), r.Data)
}
