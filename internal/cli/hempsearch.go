package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

	"github.com/spf13/pflag"

	"ropewalk/compact"
	"ropewalk/engine"
	"ropewalk/internal/atomicfile"
	"ropewalk/tensor"
	"ropewalk/train"
)

// hempResult is what training for size adds to the result.
type hempResult struct {
	Method    string  `json:"method"`
	Lambda    float64 `json:"lambda" about:"nats per bit that the network was trained with; λ_H of the paper"`
	Nonzero   int     `json:"nonzero" about:"quantized weights that are not zero"`
	Quantized int     `json:"quantized" about:"weights that are quantized"`
	Trained   int64   `json:"trained_bytes" about:"of the packed file as training left it, whatever is written"`
	Thinned   int     `json:"thinned" about:"weights taken out after training, which cost less than their bits"`
	Sorted    int64   `json:"sorted_bytes" about:"what another order of units saved in the packed file"`
	Tries     []try   `json:"tries,omitempty" about:"of --max-drop"`
}

// A try is one training of a search.
type try struct {
	Lambda float64 `json:"lambda"`
	Bytes  int64   `json:"bytes"`
	Top1   float64 `json:"top1" about:"on the validation data"`
	OK     bool    `json:"ok"`
	Error  string  `json:"error,omitempty"`
}

// A finished network is what one training came to.
type finished struct {
	net        *compact.Network
	recipe     *compact.Recipe
	weights    [][]float32 // of the program, all of them: also statistics, which have no levels
	floats     [][]float32 // the same as training left them, if they are wanted
	report     *train.Report
	validation *train.Result
	bytes      int64
	hemp       hempResult
	kept       []byte // of a mark
	try        int    // of a search
}

// runHemp trains for size and writes the result.
func (r *trainRun) runHemp(ctx context.Context, stop func()) error {
	var best *finished
	var err error
	if r.hemp.maxDrop > 0 {
		best, err = r.search(ctx)
	} else {
		best, err = r.once(ctx)
	}
	short := err
	if _, ok := errors.AsType[*shortError](err); err != nil && !ok {
		return err
	}
	r.recipe = best.recipe
	setValues(r.program.Weights(), best.weights)
	res := &trainResult{
		Schema: "ropewalk/train/1", Type: "result", Output: r.out, Net: r.net.Name, Parameters: r.parameters,
		Data: r.dataOptions().data, Examples: r.examples(), Skipped: len(r.data.Skipped), Seed: r.t.Seed,
		Epochs: best.report.Epochs, Steps: int64(best.report.Steps), Loss: best.report.Loss,
		ValidateOn: r.validation, Validation: best.validation, Recipe: r.out + recipeExt, History: r.out + historyExt, Seconds: best.report.Seconds,
		Hemp: &best.hemp,
	}
	res.Validation.Name(r.data.Classes)
	if r.test != nil {
		if res.Test, err = r.judge(ctx, r.test); err != nil {
			return r.failed(ctx, err)
		}
		res.Test.Name(r.data.Classes)
	}
	set, err := r.stored(best.net.Values())
	if err != nil {
		return err
	}
	if res.Bytes, err = r.e.writeNetwork(ctx, r.net, set, r.settings, r.form, r.out, r.force); err != nil {
		return err
	}
	if r.form == formRope && res.Bytes != best.bytes {
		return errors.Join(fmt.Errorf("internal error: %s has %d bytes, and %d were measured", r.out, res.Bytes, best.bytes), os.Remove(r.out))
	}
	r.written = res.Bytes
	if err := r.writeMore(ctx, res, func() (*tensor.Set, error) { return r.stored(best.net.Values()) }, best.floats); err != nil {
		return err
	}
	if res.Mark, err = r.finishMark(ctx, best.kept); err != nil {
		return err
	}
	if err := r.keepSearch(best); err != nil {
		return err
	}
	stop()
	r.roomLeft(res.Bytes)
	if err := r.tell(res); err != nil {
		return err
	}
	if err := res.Mark.unread(); err != nil || short == nil {
		return err
	}
	return budgetf("%w", short).withHint("a lower --lambda to begin with, more --tries, more --epochs, or more --levels; %s is the best that was found", r.out)
}

// A shortError says that the best file is not what was asked for.
type shortError struct{ floor, best float64 }

// Error implements error.
func (e *shortError) Error() string {
	return fmt.Sprintf("--max-drop: no file keeps %.2f %% of the validation data right; the best one keeps %.2f %%", 100*e.floor, 100*e.best)
}

// once trains one time.
func (r *trainRun) once(ctx context.Context) (*finished, error) {
	report, err := train.Fit(ctx, r.program, r.fit, &r.t)
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	return r.finish(ctx, report)
}

func setValues(w []engine.Weight, values [][]float32) {
	for i := range w {
		copy(w[i].Values, values[i])
	}
}

func cloneValues(w []engine.Weight) [][]float32 {
	values := make([][]float32, len(w))
	for i := range w {
		values[i] = slices.Clone(w[i].Values)
	}
	return values
}

// score evaluates a network on the validation data.
func (r *trainRun) score(ctx context.Context, n *compact.Network) (*train.Result, error) {
	setValues(r.trained(), n.Values())
	v, err := r.judge(ctx, r.t.Validation)
	if err != nil {
		return nil, r.failed(ctx, err)
	}
	return v, nil
}

// thinnings are the prices of a bit that are tried after training, as parts of that
// in training.
var thinnings = []float64{0.1, 0.25, 0.5, 1, 2}

// roomLeft says that there was no use for all of the size that was asked for.
func (r *trainRun) roomLeft(bytes int64) {
	if target := int64(r.hemp.target); r.marked == nil && float64(bytes) < leastOfTarget*float64(target) {
		r.e.notef("%s has %s bytes, less than 98 %% of the %s of --target-size: with these --levels (and --prune) training found no use for more; more --levels or --epochs may", r.out, commas(bytes), commas(target))
	}
}

// leastOfTarget is the part of --target-size that a file has at least, if there is use for it.
const leastOfTarget = 0.98

// finish makes the most of a trained network: it takes out weights that cost less
// than their bits, puts units in order, and measures.
func (r *trainRun) finish(ctx context.Context, report *train.Report) (*finished, error) {
	f := &finished{report: report, recipe: r.recipe, kept: r.recipe.Kept()}
	if r.floats != "" {
		f.floats = cloneValues(r.program.Weights())
	}
	for _, w := range r.program.Weights() {
		copy(w.Values, r.coarse(w, w.Values)) // what is judged is what is stored
	}
	net, err := r.recipe.Finish(r.trained())
	if err != nil {
		return nil, err
	}
	if f.hemp.Trained, err = r.size(ctx, net); err != nil {
		return nil, err
	}
	f.hemp.Method, f.hemp.Lambda = r.recipe.Options().Method, r.recipe.Lambda()
	before, _ := net.Nonzero()
	if r.thins() {
		if net, err = r.thin(ctx, net, f.hemp.Trained); err != nil {
			return nil, err
		}
	}
	if r.hemp.target > 0 {
		if net, err = r.under(ctx, net); err != nil {
			return nil, err
		}
	}
	plain, err := r.size(ctx, net)
	if err != nil {
		return nil, err
	}
	if f.net, f.bytes, err = net.Sorted(); err != nil {
		return nil, err
	}
	f.hemp.Sorted = plain - f.bytes
	f.hemp.Nonzero, f.hemp.Quantized = f.net.Nonzero()
	f.hemp.Thinned = before - f.hemp.Nonzero
	if f.validation, err = r.score(ctx, f.net); err != nil {
		return nil, err
	}
	if err := r.alive(f); err != nil {
		return nil, err
	}
	f.weights = cloneValues(r.program.Weights()) // the next try has others
	return f, nil
}

// size returns the bytes of the file of a network.
func (r *trainRun) size(ctx context.Context, n *compact.Network) (int64, error) {
	return r.packedSize(ctx, n.Values())
}

// thins reports whether weights are taken out after training. With a mark, what the file
// can do without was asked when it was written: weights taken out later would read as
// noise. With a target, only what is too much is.
func (r *trainRun) thins() bool {
	return r.hemp.c.Method != compact.Paper && r.hemp.target == 0 && !(r.marked != nil && r.trainOptions.mark.scheme == markGrid)
}

// finishedSize returns the bytes of the file if training ended with this network, and leaves
// the weights as they are.
func (r *trainRun) finishedSize(ctx context.Context, n *compact.Network) (int64, error) {
	weights := r.trained()
	defer setValues(weights, cloneValues(weights))
	size, err := r.size(ctx, n)
	if err != nil {
		return 0, err
	}
	if n, err = r.thin(ctx, n, size); err != nil {
		return 0, err
	}
	_, size, err = n.Sorted()
	return size, err
}

// What thinning may cost on the validation data: points of accuracy, or a part of
// the loss where there is none.
const (
	thinTop1 = 0.001
	thinLoss = 0.02
)

// thin takes weights out as long as the file becomes smaller and the network stays
// as good.
func (r *trainRun) thin(ctx context.Context, net *compact.Network, least int64) (*compact.Network, error) {
	before, err := r.score(ctx, net)
	if err != nil {
		return nil, err
	}
	best := net
	for _, x := range thinnings {
		c := net.Thinned(ctx, x*r.recipe.Lambda(), r.updateExamples())
		v, err := r.score(ctx, c)
		if err != nil {
			return nil, err
		}
		if v.Top1 != nil && *v.Top1 < *before.Top1-thinTop1 || v.Loss > before.Loss*(1+thinLoss) {
			break
		}
		n, err := r.size(ctx, c)
		if err != nil {
			return nil, err
		}
		if n < least {
			best, least = c, n
		}
	}
	return best, ctx.Err()
}

// under takes as many weights out as the target needs, when units are in order: first by
// what they cost and are worth, and then, since many are taken out at one price, as many
// of the last ones as it needs.
func (r *trainRun) under(ctx context.Context, net *compact.Network) (*compact.Network, error) {
	target := int64(r.hemp.target)
	_, n, err := net.Sorted()
	if err != nil || n <= target {
		return net, err
	}
	enough := func(n int64) bool { return n <= target && float64(n) > 0.99*float64(target) }
	// Too much is a few bytes: signs changed since zeros were chosen.
	more, best, lo, hi := net, (*compact.Network)(nil), 0.0, 1e-9
	for range 40 {
		mid := hi
		if best != nil {
			mid = math.Sqrt(max(lo, 1e-12) * hi)
		}
		c := net.Thinned(ctx, mid, r.updateExamples())
		if _, n, err = c.Sorted(); err != nil {
			return nil, err
		}
		switch {
		case n <= target:
			best, hi = c, mid
		case best != nil:
			more, lo = c, mid
		default:
			more, lo, hi = c, hi, 4*hi
		}
		if enough(n) || best != nil && hi < 1.05*lo {
			break
		}
	}
	if best == nil {
		return nil, budgetf("--target-size: the file has %d bytes when weights have been taken out, and %d were wanted", n, target).
			withHint("a larger --target-size, or more --epochs; nothing was written")
	}
	if enough(n) {
		return best, ctx.Err()
	}
	to, without := more.Towards(best)
	for from := 0; to-from > 1; {
		mid := (from + to) / 2
		c := without(mid)
		if _, n, err = c.Sorted(); err != nil {
			return nil, err
		}
		if n > target {
			from = mid
			continue
		}
		best, to = c, mid
		if enough(n) {
			break
		}
	}
	return best, ctx.Err()
}

// alive refuses a network that does no better than chance.
func (r *trainRun) alive(f *finished) error {
	if f.validation.Top1 == nil || len(r.data.Classes) < 2 {
		return nil
	}
	const better = 1.5
	if chance := 1 / float64(len(r.data.Classes)); *f.validation.Top1 <= better*chance {
		return budgetf("training collapsed: the network gets %.2f %% of the validation data right, and chance %.2f %%", 100**f.validation.Top1, 100*chance).
			withHint("%s", r.revived("lambda"))
	}
	return nil
}

// revived says what keeps a network from collapsing.
func (r *trainRun) revived(knob string) string {
	if r.hemp.target > 0 {
		return "a larger --target-size, or more --epochs; nothing was written"
	}
	return fmt.Sprintf("a lower --%s, more --epochs, or a lower --rate; nothing was written", knob)
}

// searchExt is the file in which a search keeps what it has tried.
const searchExt = ".search.json"

// A searchState is that file.
type searchState struct {
	Settings  string  `json:"settings"`  // digest of what has to be the same when it goes on
	Reference float64 `json:"reference"` // accuracy of the weights it began with
	Tries     []try   `json:"tries"`
}

// searchSettings returns a digest of the options, but for how often to try, and of all
// that snapshots are compared by.
func (r *trainRun) searchSettings() (string, error) {
	options := map[string]any{}
	recipeFlags(r.flags, func(f *pflag.Flag) {
		if f.Name != "tries" {
			options[f.Name] = yamlValue(f)
		}
	})
	b, err := json.Marshal([]any{options, r.t.Identity})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// openSearch reads what an earlier process has tried, if this one goes on with it.
func (r *trainRun) openSearch(path string) (*searchState, error) {
	settings, err := r.searchSettings()
	s := &searchState{Settings: settings}
	if err != nil || !r.resume {
		return s, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if s.Settings != settings {
		return nil, (&verdict{status: exitRefused, err: fmt.Errorf("%s: it is of a search with other options or other data", path)}).
			withHint("leave the flags out that differ, or begin anew with -f")
	}
	return s, nil
}

// search finds the largest lambda with which the accuracy stays near enough.
func (r *trainRun) search(ctx context.Context) (*finished, error) {
	if r.net.built && r.trainOptions.net.weights == "" && r.net.settings == nil {
		return nil, usagef("--max-drop is against the weights that training begins with, and these are new").withHint("--init FILE has them; \"ropewalk train\" without --penalty makes them")
	}
	path := r.out + searchExt
	s, err := r.openSearch(path)
	if err != nil {
		return nil, err
	}
	if s.Tries == nil {
		setValues(r.program.Weights(), r.begun)
		v, err := r.judge(ctx, r.t.Validation)
		if err != nil {
			return nil, r.failed(ctx, err)
		}
		if v.Top1 == nil {
			return nil, usagef("--max-drop is about accuracy, and %s has no labels", r.data.Name)
		}
		s.Reference = *v.Top1
		r.e.notef("before: %s", scores(v.Summary(), v.Examples))
	}
	floor := s.Reference - float64(r.hemp.maxDrop)/100
	first := r.recipe.Options().Lambda
	found := map[int]*finished{}
	run := func(k int, lambda float64, resume bool) (*finished, error) {
		setValues(r.program.Weights(), r.begun)
		return r.try(ctx, k, lambda, resume)
	}
	for k := len(s.Tries); k < r.hemp.tries; k++ {
		t := try{Lambda: nextLambda(s.Tries, first)}
		f, err := run(k, t.Lambda, r.resume)
		switch {
		case err != nil && ctx.Err() == nil && exitStatus(err) == exitBudget:
			t.Error = err.Error()
		case err != nil:
			return nil, err
		default:
			found[k] = f
			t.Bytes, t.Top1 = f.bytes, *f.validation.Top1
			t.OK = t.Top1 >= floor
		}
		s.Tries = append(s.Tries, t)
		r.e.notef("try %d of %d: lambda %.3g, %d bytes, validation top-1 %.2f %%, wanted %.2f %%", k+1, r.hemp.tries, t.Lambda, t.Bytes, 100*t.Top1, 100*floor)
		if err := writeJSON(path, s); err != nil {
			return nil, err
		}
	}
	k := bestTry(s.Tries)
	if k < 0 {
		return nil, budgetf("--max-drop: every try collapsed; the last: %s", s.Tries[len(s.Tries)-1].Error).withHint("a lower --lambda, or more --epochs; nothing was written")
	}
	best := found[k]
	if best == nil { // of an earlier process: its snapshot is that of the end
		if best, err = run(k, s.Tries[k].Lambda, true); err != nil {
			return nil, err
		}
	}
	best.hemp.Tries, best.try = s.Tries, k
	if !s.Tries[k].OK {
		return best, &shortError{floor, s.Tries[k].Top1}
	}
	return best, nil
}

// bestTry returns the smallest file that is good enough, else the most accurate, or
// -1.
func bestTry(tries []try) int {
	best := -1
	for k, t := range tries {
		if t.Error != "" {
			continue
		}
		if best < 0 {
			best = k
			continue
		}
		b := tries[best]
		if t.OK && (!b.OK || t.Bytes < b.Bytes) || !t.OK && !b.OK && t.Top1 > b.Top1 {
			best = k
		}
	}
	return best
}

// Tries have files of their own, so that those of the best one are there in the end.
func (o *trainOptions) trySnapshot(k int) string { return o.tryFile(k, snapshotExt) }
func (o *trainOptions) tryHistory(k int) string  { return o.tryFile(k, historyExt) }
func (o *trainOptions) tryFile(k int, ext string) string {
	return fmt.Sprintf("%s.%d%s", o.out, k+1, ext)
}

// keepSearch has the recipe and the history of the result stay, and nothing else.
func (r *trainRun) keepSearch(best *finished) error {
	if len(best.hemp.Tries) == 0 {
		return r.keep()
	}
	if err := os.Rename(r.tryHistory(best.try), r.out+historyExt); err != nil {
		return err
	}
	more := []string{r.out + searchExt}
	for k := range best.hemp.Tries {
		more = append(more, r.trySnapshot(k), r.tryHistory(k))
	}
	return r.keep(more...)
}

// try trains once with a lambda, from the weights that the program has.
func (r *trainRun) try(ctx context.Context, k int, lambda float64, resume bool) (*finished, error) {
	r.hemp.c.Lambda = lambda
	if err := r.prepareHemp(ctx); err != nil {
		return nil, err
	}
	if err := identify(r.t.Identity, r.hemp.penalty, r.recipe.Options()); err != nil {
		return nil, err
	}
	r.t.Snapshot, r.t.History = r.trySnapshot(k), r.tryHistory(k)
	_, err := os.Stat(r.t.Snapshot)
	r.t.Resume = resume && err == nil
	return r.once(ctx)
}

// nextLambda bisects between what was good enough and what was not.
func nextLambda(tries []try, first float64) float64 {
	const widen = 2.5
	if len(tries) == 0 {
		return first
	}
	good, bad := 0.0, math.Inf(1)
	for _, t := range tries {
		if t.OK {
			good = max(good, t.Lambda)
		} else {
			bad = min(bad, t.Lambda)
		}
	}
	switch {
	case math.IsInf(bad, 1):
		return good * widen
	case good == 0 || good >= bad:
		return bad / widen
	}
	return math.Sqrt(good * bad)
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := atomicfile.Create(path, true)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(append(b, '\n')); err != nil {
		return err
	}
	return f.Commit()
}
