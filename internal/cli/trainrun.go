package cli

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ropewalk/compact"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A trainRun is a run with all that it needs open.
type trainRun struct {
	*trainOptions
	e          *env
	form       string
	net        *network
	teacher    *network
	program    engine.Program
	taught     engine.Program
	data       *dataset.Dataset
	fit        *train.Examples
	test       *train.Examples // nil if it was the validation
	parameters int64
	settings   settings
	recipe     *compact.Recipe             // nil without a penalty
	buffers    []string                    // names of weights that training changes without a gradient
	sizes      map[[sha256.Size]byte]int64 // of packed networks, by the digests of their files
	begun      [][]float32                 // with --max-drop: all weights as training found them, none pruned
	written    int64                       // bytes of the result, once it is there

	marked       *trainMark      // nil if no mark is wanted
	marking      []train.Penalty // the penalty that writes it, for scheme uchida
	markIdentity string
}

func (r *trainRun) close() {
	for _, p := range []engine.Program{r.program, r.taught} {
		if p != nil {
			_ = p.Close() // gives memory back
		}
	}
	for _, n := range []*network{r.net, r.teacher} {
		if n != nil {
			n.close()
		}
	}
}

// prepare opens data and networks.
func (e *env) prepare(ctx context.Context, o *trainOptions, form string) (r *trainRun, err error) {
	r = &trainRun{trainOptions: o, e: e, form: form}
	if o.data.normalise == "" {
		if o.data.normalise, err = e.trainedNormalisation(ctx, &o.net); err != nil {
			return r, err
		}
	}
	if r.data, err = o.data.open(e); err != nil {
		return r, err
	}
	fit, validation, err := o.choose(r.data)
	if err != nil {
		return r, err
	}
	if o.teacher.net == "" && classesIn(fit) < 2 {
		v := &verdict{status: exitRefused, err: fmt.Errorf("%s to train on, all of one class: there is nothing to tell apart", count(fit.Len(), "example"))}
		if o.limit > 0 {
			return r, v.withHint("--limit takes the first examples, and they are in the order of their classes")
		}
		return r, v
	}
	build := &nets.Options{Classes: len(r.data.Classes), Input: r.data.Shape, Seed: o.t.Seed}
	if r.net, err = e.openNetwork(ctx, &o.net, build); err != nil {
		return r, err
	}
	for _, c := range r.net.files {
		if err := refuseInput(o.out, r.net.files); err != nil {
			return r, err
		}
		if c.Path == dash {
			return r, usagef("a network that is trained is read from a file, so that the run can be resumed")
		}
	}
	if validation != nil || r.data.Test != nil {
		e.noteBatchStatistics(r.net)
	}
	if form == formONNX && r.net.built {
		e.notef("%s is written as a new ONNX model", r.net.spec)
	}
	if r.fit, err = examplesFor(r.net, r.data, fit, e.threads); err != nil {
		return r, err
	}
	if err := o.augment.Check(fit); err != nil {
		return r, usagef("%w", err)
	}
	r.fit.Augment = &o.augment
	if validation != nil {
		if o.t.Validation, err = examplesFor(r.net, r.data, validation, e.threads); err != nil {
			return r, err
		}
	}
	if r.data.Test != nil && o.validation != splitTest {
		if r.test, err = examplesFor(r.net, r.data, r.data.Test, e.threads); err != nil {
			return r, err
		}
	}
	names, err := o.trainable(r.net)
	if err != nil {
		return r, err
	}
	if r.program, err = e.compile(r.net, engine.Options{Trainable: names, Frozen: o.frozenNorms, Seed: o.t.Seed}); err != nil {
		return r, err
	}
	for _, w := range r.program.Weights() {
		if w.Gradient != nil {
			r.parameters += int64(len(w.Values))
		}
	}
	if o.t.Objective, err = r.objective(ctx, build); err != nil {
		return r, err
	}
	if err := r.checkBatches(); err != nil {
		return r, err
	}
	if err := r.prepareMark(); err != nil {
		return r, err
	}
	if err := r.prepareHemp(ctx); err != nil {
		return r, err
	}
	return r, r.settle()
}

// objective returns the loss, and opens the teacher that it may need.
func (r *trainRun) objective(ctx context.Context, build *nets.Options) (train.Objective, error) {
	task := &train.CrossEntropy{Smoothing: r.smoothing, Probabilities: r.net.probabilities()}
	switch {
	case r.loss == "mse":
		return train.MSE{}, nil
	case r.trainOptions.teacher.net == "":
		return task, nil
	}
	var err error
	if r.teacher, err = r.e.openNetwork(ctx, &r.trainOptions.teacher, build); err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	if r.teacher.probabilities() {
		return nil, usagef("the teacher %s ends in probabilities, and distillation needs logits", r.teacher.spec)
	}
	if r.taught, err = r.e.compile(r.teacher, engine.Options{Fixed: true}); err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	return &train.Distill{Teacher: r.taught, Temperature: r.temperature, Weight: r.teacherWeight, Task: task}, nil
}

// settle fills in what follows from the data, and writes the recipe.
func (r *trainRun) settle() error {
	digest, err := digestOf(r.fit.Data)
	if err != nil {
		return err
	}
	t := &r.t
	t.Snapshot, t.History, t.Resume = r.out+snapshotExt, r.out+historyExt, r.resume
	t.Identity = map[string]string{
		"net": r.net.Name, "examples": digest, "normalise": r.data.Normalisation.String(), "validation": r.validation,
		"augmentation": fmt.Sprintf("%+v", r.augment), "freeze": strings.Join(r.freeze, " "), "frozen norms": strconv.FormatBool(r.frozenNorms),
		"engine": "native",
	}
	if r.recipe != nil {
		if err := identify(t.Identity, r.hemp.penalty, r.recipe.Options()); err != nil {
			return err
		}
		if err := r.fill(r.recipe.Options()); err != nil {
			return err
		}
	}
	if r.markIdentity != "" {
		t.Identity["mark"] = r.markIdentity
	}
	t.Threads = r.e.threads
	s, err := t.Settled()
	if err != nil {
		return usagef("%w", err)
	}
	t.Optimizer, t.Schedule, t.Best = s.Optimizer, s.Schedule, s.Best
	r.dataOptions().normalise = r.data.Normalisation.String()
	r.settings = settings{
		settingNormalise: r.data.Normalisation.String(),
	}
	if r.net.built {
		r.settings[settingNet] = r.net.Name
		r.settings[settingClasses] = strconv.Itoa(len(r.data.Classes))
		r.settings[settingInput] = r.data.Shape.String()
	}
	if r.resume {
		return nil
	}
	return writeRecipe(r.out+pendingExt, "train", r.flags)
}

// keep puts the recipe beside the result, once that is there; the one before belonged
// to the result before. Then nothing is lost without the snapshot.
func (r *trainRun) keep(more ...string) error {
	if err := os.Rename(r.out+pendingExt, r.out+recipeExt); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range append(more, r.t.Snapshot) {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// forget removes the recipe of a run that came to nothing and cannot be resumed, and all
// of a run that would come to the same again: a budget that cannot be met, or other classes.
func (r *trainRun) forget(err error) {
	names := []string{r.out + snapshotExt, r.out + searchExt}
	for k := range r.hemp.tries {
		names = append(names, r.trySnapshot(k))
	}
	var labels *train.LabelError
	var teacher *train.TeacherError
	if exitStatus(err) == exitBudget || errors.As(err, &labels) || errors.As(err, &teacher) {
		for k := range r.hemp.tries {
			names = append(names, r.tryHistory(k))
		}
		if r.written == 0 {
			names = append(names, r.out+historyExt)
		}
		for _, name := range names {
			_ = os.Remove(name) // it says nothing of the error that is told
		}
	}
	for _, name := range names {
		if _, err := os.Stat(name); err == nil {
			return
		}
	}
	_ = os.Remove(r.out + pendingExt)
}

func (r *trainRun) dataOptions() *dataOptions { return &r.trainOptions.data }

// checkBatches looks that a network, or a teacher, which takes batches of one size
// gets no others.
func (r *trainRun) checkBatches() error {
	for _, n := range []*network{r.net, r.teacher} {
		if n == nil {
			continue
		}
		size, fixed := batchOf(n)
		if !fixed {
			continue
		}
		if size != r.t.Batch || r.t.Batches != nil {
			return usagef("%s takes batches of %d only", n.spec, size).withHint("--batch %d", size)
		}
		if r.fit.Len() < size {
			return usagef("%s takes batches of %d only, and there are %s to train on", n.spec, size, count(r.fit.Len(), "example")).
				withHint("export the model with an open batch axis")
		}
		r.t.FixedBatch = true
	}
	if rest := r.fit.Len() - r.examples(); rest > 0 {
		r.e.notef("batches hold %d examples each, so %s of %s are left out of each epoch, others each time", r.t.Batch, commas(int64(rest)), commas(int64(r.fit.Len())))
	}
	return nil
}

// examples returns how many of them an epoch has.
func (r *trainRun) examples() int {
	n := r.fit.Len()
	if r.t.FixedBatch {
		n -= n % r.t.Batch
	}
	return n
}

// classesIn counts the classes that examples have, up to two.
func classesIn(s dataset.Source) int {
	for i := 1; i < s.Len(); i++ {
		if s.Label(i) != s.Label(0) {
			return 2
		}
	}
	return min(s.Len(), 1)
}

// sampled is how many examples a digest of data looks at.
const sampled = 256

// digestOf tells data apart from other data: by its size, all labels, and some
// examples.
func digestOf(s dataset.Source) (string, error) {
	h := sha256.New()
	n, err := s.Shape().Elems()
	if err != nil {
		return "", err
	}
	x := make([]float32, n)
	h.Write(fmt.Appendln(nil, s.Len(), s.Shape()))
	step := max(s.Len()/sampled, 1)
	for i := range s.Len() {
		h.Write(fmt.Appendln(nil, s.Label(i)))
		if i%step != 0 {
			continue
		}
		if err := s.Example(i, x); err != nil {
			return "", err
		}
		if err := binary.Write(h, binary.LittleEndian, x); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// run trains and writes the result.
func (r *trainRun) run(ctx context.Context) error {
	p := r.e.progress("train", 0)
	stopped := false
	stop := func() {
		if !stopped {
			p.stop()
			stopped = true
		}
	}
	defer stop()
	r.t.Progress = func(t train.Progress) { p.say(trainLine(t)) }
	r.t.Epoch = r.epoch
	if r.recipe != nil {
		return r.runHemp(ctx, stop)
	}
	report, err := train.Fit(ctx, r.program, r.fit, &r.t)
	if err != nil {
		return r.failed(ctx, err)
	}
	res := &trainResult{
		Schema: "ropewalk/train/1", Type: "result", Output: r.out, Net: r.net.Name, Parameters: r.parameters,
		Data: r.dataOptions().data, Examples: r.examples(), Skipped: len(r.data.Skipped), Seed: r.t.Seed,
		Epochs: report.Epochs, Steps: int64(report.Steps), Loss: report.Loss, Best: report.BestEpoch, Stopped: report.Stopped,
		ValidateOn: r.validation, Validation: report.Validation, Recipe: r.out + recipeExt, History: r.out + historyExt, Seconds: report.Seconds,
	}
	if res.Validation != nil {
		res.Validation.Name(r.data.Classes)
	}
	if r.test != nil {
		if res.Test, err = train.Evaluate(ctx, r.program, r.test, &train.EvaluateOptions{Batch: r.t.Batch, FixedBatch: r.t.FixedBatch, Objective: r.t.Objective}); err != nil {
			return r.failed(ctx, err)
		}
		res.Test.Name(r.data.Classes)
	}
	set, err := trainedSet(r.net, r.program.Weights())
	if err != nil {
		return err
	}
	if res.Bytes, err = r.e.writeNetwork(ctx, r.net, set, r.settings, r.form, r.out, r.force); err != nil {
		return r.failed(ctx, err)
	}
	if err := r.writeMore(ctx, res, func() (*tensor.Set, error) { return set, nil }, nil); err != nil {
		return err
	}
	if res.Mark, err = r.finishMark(ctx, nil); err != nil {
		return err
	}
	if err := r.keep(); err != nil {
		return err
	}
	stop()
	if err := r.tell(res); err != nil {
		return err
	}
	return res.Mark.unread()
}

// A moreOutput is a file that is written beside the output.
type moreOutput struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	Floats bool   `json:"floats,omitempty" about:"the weights behind the levels"`
}

// writeMore writes the files of --also and --floats. stored makes the weights of the
// network for r.form.
func (r *trainRun) writeMore(ctx context.Context, res *trainResult, stored func() (*tensor.Set, error), floats [][]float32) error {
	defer func(form string) { r.form = form }(r.form)
	write := func(path string, weights func() (*tensor.Set, error), floats bool) (err error) {
		if r.form, err = formOf(path); err != nil {
			return err
		}
		set, err := weights()
		if err != nil {
			return err
		}
		m := moreOutput{File: path, Floats: floats}
		if m.Bytes, err = r.e.writeNetwork(ctx, r.net, set, r.settings, r.form, path, r.force); err == nil {
			res.More = append(res.More, m)
		}
		return err
	}
	for _, path := range r.also {
		if err := write(path, stored, false); err != nil {
			return err
		}
	}
	if r.floats == "" {
		return nil
	}
	return write(r.floats, func() (*tensor.Set, error) {
		weights := slices.Clone(r.program.Weights())
		for i := range weights {
			weights[i].Values = floats[i]
		}
		return trainedSet(r.net, weights)
	}, true)
}

// tell prints the result, and writes its page.
func (r *trainRun) tell(res *trainResult) error {
	if err := r.e.answer(res); err != nil || !r.report.wanted() {
		return err
	}
	p, err := r.e.trainPage(res)
	if err != nil {
		return err
	}
	return r.e.writeReport(&r.report, p)
}

// resumeCommand goes on with this run. Recipes do not say where to write.
func (r *trainRun) resumeCommand() string {
	words := []string{"ropewalk", "train", "--resume", "-o", r.out}
	for _, path := range r.also {
		words = append(words, "--also", path)
	}
	if r.trainOptions.floats != "" {
		words = append(words, "--floats", r.trainOptions.floats)
	}
	if r.report.wanted() {
		words = append(words, "--report", r.report.path)
	}
	if r.force {
		words = append(words, "-f")
	}
	return shellWords(words...)
}

// failed says what can be done after an error of training.
func (r *trainRun) failed(ctx context.Context, err error) error {
	var mismatch *train.MismatchError
	var diverged *train.DivergedError
	resume := r.resumeCommand() + " goes on"
	if hemp := r.collapsed(err); hemp != nil {
		return hemp
	}
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return (&verdict{status: exitInterrupted, err: errors.New("interrupted")}).withHint("%s", resume)
	case errors.As(err, &mismatch):
		return (&verdict{status: exitRefused, err: err}).withHint("leave the flags out that differ, or begin anew with -f")
	case errors.As(err, &diverged):
		return (&verdict{status: exitFailure, err: err}).withHint("a lower --rate, --clip-norm or --warm-up may help; %s is from before", r.t.Snapshot)
	case errors.Is(err, syscall.ENOSPC):
		v := (&verdict{status: exitFailure, err: err}).withHint("free some space")
		if _, err := os.Stat(r.t.Snapshot); err == nil {
			return v.withHint("free some space; then %s", resume)
		}
		return v
	case errors.As(err, new(*train.TeacherError)):
		return (&verdict{status: exitRefused, err: err}).withHint("a teacher that was trained on the same classes in the same order")
	case errors.As(err, new(*train.LabelError)):
		return (&verdict{status: exitRefused, err: err}).withHint("%s has other classes than %s", r.net.spec, r.data.Name)
	case errors.As(err, new(*os.PathError)) || exitStatus(err) != exitFailure:
		return err
	}
	return r.net.wrap(err)
}

// epochLine is a line of JSON of an epoch.
type epochLine struct {
	Schema string `json:"schema"`
	*train.Event
}

// epoch tells of an epoch as soon as it is over.
func (r *trainRun) epoch(ev *train.Event) {
	if r.e.json {
		r.e.bar.clear()
		// An error of stdout comes back with the result.
		_ = json.NewEncoder(r.e.stdout).Encode(epochLine{"ropewalk/train-epoch/1", ev})
		return
	}
	text := fmt.Sprintf("epoch %d of %d: loss %.4f", ev.Epoch, r.t.Epochs, ev.Loss)
	if ev.Validation != nil {
		text += "; " + r.validationWord() + " " + scores(ev.Validation, 0)
		if ev.Best && r.recipe == nil { // with a penalty the last weights are what is stored
			text += ", the best so far"
		}
	}
	if n := ev.Notes["hemp"]; n["estimated"] > 0 {
		text += fmt.Sprintf("; the file has about %s bytes", commas(int64(n["estimated"])))
	}
	r.e.notef("%s", text)
}

func (r *trainRun) validationWord() string {
	return (&trainResult{ValidateOn: r.validation}).validationName()
}

// trainLine is the line of progress.
func trainLine(t train.Progress) string {
	line := fmt.Sprintf("train %3.0f %%  epoch %d of %d  loss %.4f  rate %.3g", 100*t.Moment.Progress(), min(t.Epoch+1, t.Epochs), t.Epochs, t.Loss, t.Rate)
	if t.Left > 0 {
		line += "  " + clock(t.Left.Round(time.Second)) + " left"
	}
	return line
}
