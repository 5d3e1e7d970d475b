package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/compact"
	"ropewalk/internal/atomicfile"
	"ropewalk/mark"
	"ropewalk/tensor"
	"ropewalk/train"
)

// trainMarkOptions are the flags of train that write a mark.
type trainMarkOptions struct {
	key        string
	scheme     string
	tensor     string
	bits       int
	lambda     float64
	moves      int
	commitment string
	pass       passOptions
}

// The schemes that training knows.
const (
	markUchida = "uchida"
	markGrid   = "grid"
)

// unmarkedExt is the network before scheme grid moved weights, beside the result.
const unmarkedExt = ".unmarked"

func (o *trainMarkOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&o.key, "mark", "", "write the mark of the key in `KEY` while training, as \"ropewalk mark\" reads it")
	fs.StringVar(&o.scheme, "mark-scheme", "", "`SCHEME` uchida, or grid with --penalty hemp, where it is the default")
	fs.StringVar(&o.tensor, "mark-tensor", "", "into the weights `NAME`, for grid a pattern; else where most bits fit, for grid all that have levels")
	fs.IntVar(&o.bits, "mark-bits", 0, "uchida: of `N` bits (default 64, or the payload of the key)")
	fs.Float64Var(&o.lambda, "mark-lambda", 0, "uchida: what a bit that reads wrong costs, `L` (default 0.1)")
	fs.IntVar(&o.moves, "mark-moves", 0, "grid: move `N` weights to a neighbouring level")
	fs.StringVar(&o.commitment, "mark-commitment", "", "write the commitment to `FILE`: what to publish before the network")
	o.pass.addFlags(fs)
	complete(cmd, "mark-scheme", cobra.FixedCompletions([]string{markUchida, markGrid}, cobra.ShellCompDirectiveNoFileComp))
}

// check looks at the flags that need no network, and settles the scheme.
func (o *trainMarkOptions) check(h *hempOptions) error {
	if o.key == "" {
		// By their values: a recipe sets all flags.
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"mark-scheme", o.scheme != ""},
			{"mark-tensor", o.tensor != ""},
			{"mark-bits", o.bits != 0},
			{"mark-lambda", o.lambda != 0},
			{"mark-moves", o.moves != 0},
			{"mark-commitment", o.commitment != ""},
		} {
			if f.set {
				return usagef("--%s goes with --mark only", f.name)
			}
		}
		return nil
	}
	if o.scheme == "" {
		o.scheme = markUchida
		if h.penalty == penaltyHemp && h.c.Method != compact.Paper {
			o.scheme = markGrid
		}
	}
	switch {
	case o.scheme != markUchida && o.scheme != markGrid:
		return usagef("--mark-scheme is %q; training writes uchida or grid", o.scheme).withHint("\"ropewalk mark embed\" writes the others after training")
	case o.scheme == markGrid && h.penalty == "":
		return usagef("--mark-scheme grid is for weights on levels").withHint("--penalty hemp puts them there")
	case o.scheme == markGrid && h.c.Method == compact.Paper:
		return usagef("--mark-scheme grid does not go with --method paper").withHint("\"ropewalk mark embed --scheme grid\" marks the result")
	case o.scheme == markGrid && (o.bits != 0 || o.lambda != 0):
		return usagef("--mark-bits and --mark-lambda are of scheme uchida; grid writes the payload of the key")
	case o.scheme == markUchida && o.moves != 0:
		return usagef("--mark-moves is of scheme grid")
	case o.moves < 0 || o.bits < 0:
		return usagef("--mark-moves is %d and --mark-bits %d; want 1 or more", o.moves, o.bits)
	}
	if _, err := path.Match(o.tensor, ""); err != nil {
		return usagef("--mark-tensor %q is no pattern", o.tensor)
	}
	return nil
}

// A trainMark is a mark that is being written.
type trainMark struct {
	key    *mark.Key
	params *mark.Parameters // nil before scheme grid knows them
	before *tensor.Set      // uchida: the weights that training begins with
}

// prepareMark makes what writes the mark, if one is wanted.
func (r *trainRun) prepareMark() error {
	o := &r.trainOptions.mark
	if o.key == "" {
		return nil
	}
	key, err := r.e.key(o.key, &o.pass)
	if err != nil {
		return err
	}
	r.marked = &trainMark{key: key}
	if o.scheme == markGrid {
		r.markIdentity = fmt.Sprintf("%s by scheme grid in %q, %d moves", key.ID(), o.tensor, o.moves)
		return r.foresee()
	}
	var list []*tensor.Tensor
	for _, w := range r.trained() {
		if t := r.net.Weights.Lookup(w.Name); t != nil {
			list = append(list, t)
		}
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		return err
	}
	mo := &mark.Options{Bits: o.bits}
	if o.tensor != "" {
		mo.Only = []string{o.tensor}
	}
	p, err := mark.Assume(markUchida, set, key, mo)
	if err != nil {
		return markError(err)
	}
	name := p.Tensors[0]
	n, err := mark.NewPenalty(set.Lookup(name).Shape, key, p, &mark.PenaltyOptions{Lambda: o.lambda})
	if err != nil {
		return markError(err)
	}
	r.marked.params, r.marked.before = p, set
	r.marking = []train.Penalty{train.On([]string{name}, n)}
	r.t.Penalties = r.marking
	r.hemp.c.InOrder = true // the mark is in the places of the units before that layer
	r.markIdentity = fmt.Sprintf("%s in %s, %d bits, lambda %g", key.ID(), name, p.Bits, o.lambda)
	return nil
}

// carries reports whether a mark of scheme grid may be in the weights of that name, if they
// are on levels.
func (o *trainMarkOptions) carries(name string, weights int) bool {
	fits, _ := path.Match(o.tensor, name) // the pattern has been checked
	return weights >= mark.MinWeights && (o.tensor == "" || fits || o.tensor == name)
}

// foresee refuses what will not fit when moves are chosen, which is late: it plans for the
// network with two levels for all its weights. Less may fit if units are left out by then.
func (r *trainRun) foresee() error {
	o := &r.trainOptions.mark
	var list []*tensor.Tensor
	for _, w := range r.trained() {
		if len(w.Shape) < 2 || !o.carries(w.Name, len(w.Values)) {
			continue
		}
		signs := make([]float32, len(w.Values))
		for i := range signs {
			signs[i] = 1 - 2*float32(i%2)
		}
		list = append(list, &tensor.Tensor{Name: w.Name, DType: tensor.F32, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, signs))})
	}
	if len(list) == 0 {
		return usagef("no weights that get levels have a name like --mark-tensor %q", o.tensor).withHint("\"ropewalk inspect\" lists the names of weights")
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		return err
	}
	_, err = mark.PlanMoves(set, r.marked.key, &mark.Options{Moves: o.moves})
	return markError(err)
}

// keptMark is what scheme grid keeps from the time at which weights were moved.
type keptMark struct {
	Parameters *mark.Parameters
	Unmarked   []byte // a file
	Before     int64  // bytes of the packed network
	After      int64  // and with the moves
	Top1       float64
	Labels     bool // there is a Top1
}

// chooseMoves answers a recipe that asks for moves.
func (r *trainRun) chooseMoves(ctx context.Context, p *compact.Proposal) ([]compact.Move, []byte, error) {
	o := &r.trainOptions.mark
	set, err := r.stored(p.Unmarked.Values())
	if err != nil {
		return nil, nil, err
	}
	at := map[string]int{}
	mo := &mark.Options{Moves: o.moves}
	for i, t := range p.Tensors {
		if t.Up != nil && o.carries(t.Name, len(t.Up)) {
			at[t.Name] = i
			mo.Only = append(mo.Only, t.Name)
		}
	}
	if len(at) == 0 {
		return nil, nil, usagef("no weights with levels have a name like --mark-tensor %q", o.tensor)
	}
	k := &keptMark{}
	if k.Parameters, err = mark.PlanMoves(set, r.marked.key, mo); err != nil {
		return nil, nil, markError(err)
	}
	var prices []mark.Prices
	for _, name := range k.Parameters.Tensors {
		t := &p.Tensors[at[name]]
		if !t.Shape.Equal(set.Lookup(name).Shape) {
			return nil, nil, fmt.Errorf("internal error: prices of %s are of %s, and the file has %s", name, t.Shape, set.Lookup(name).Shape)
		}
		prices = append(prices, mark.Prices{Tensor: name, Up: t.Up, Down: t.Down})
	}
	list, err := mark.ChooseMoves(r.marked.key, k.Parameters, prices)
	if err != nil {
		return nil, nil, markError(err)
	}
	moves := make([]compact.Move, len(list))
	for i, m := range list {
		moves[i] = compact.Move{Tensor: at[k.Parameters.Tensors[m.Tensor]], Index: m.Index, Up: m.Up}
	}
	with, err := p.With(moves)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range []struct {
		size *int64
		net  *compact.Network
	}{{&k.Before, p.Unmarked}, {&k.After, with}} {
		var err error
		if *s.size, err = r.packedSize(ctx, s.net.Values()); err != nil {
			return nil, nil, err
		}
	}
	if k.Unmarked, err = r.encoded(ctx, set); err != nil {
		return nil, nil, err
	}
	now := r.trained()
	values := make([][]float32, len(now))
	for i, w := range now {
		values[i] = append([]float32(nil), w.Values...)
	}
	setValues(now, p.Unmarked.Values())
	v, err := r.judge(ctx, r.t.Validation)
	setValues(now, values)
	if err != nil {
		return nil, nil, r.failed(ctx, err)
	}
	if v.Top1 != nil {
		k.Top1, k.Labels = *v.Top1, true
	}
	var b bytes.Buffer
	err = gob.NewEncoder(&b).Encode(k)
	return moves, b.Bytes(), err
}

// encoded returns the file of the network with these weights, in the form of the result.
func (r *trainRun) encoded(ctx context.Context, set *tensor.Set) ([]byte, error) {
	switch r.form {
	case formRope:
		return r.e.packNetwork(ctx, r.net, set, r.settings, r.out)
	case formONNX:
		var b bytes.Buffer
		err := r.e.writeModel(&b, r.net, set)
		return b.Bytes(), err
	}
	var b bytes.Buffer
	err := writeTensors(&b, set, r.settings)
	return b.Bytes(), err
}

// trainMarkResult is what a mark adds to the result.
type trainMarkResult struct {
	Key        string           `json:"key" about:"public name of the key"`
	Parameters *mark.Parameters `json:"parameters"`
	Reading    *mark.Reading    `json:"reading" about:"of the output, against the network before the mark if there is one"`
	Reference  string           `json:"reference,omitempty" about:"scheme grid: file with the network before the mark; keep it, the mark is read against it"`
	Before     int64            `json:"bytes_before,omitempty" about:"scheme grid: of the packed network when weights were moved, without the moves"`
	After      int64            `json:"bytes_after,omitempty" about:"and with them"`
	Top1       *float64         `json:"top1_before,omitempty" about:"scheme grid: on the validation data, of the network before the mark"`
	Commitment string           `json:"commitment,omitempty" about:"the file"`
	Digest     string           `json:"digest,omitempty" about:"of the commitment: what to time-stamp"`
}

// finishMark reads the mark in the result, and writes what belongs to it. The result has
// been written; kept is what scheme grid kept.
func (r *trainRun) finishMark(ctx context.Context, kept []byte) (*trainMarkResult, error) {
	o := &r.trainOptions.mark
	if o.key == "" {
		return nil, nil
	}
	out, err := r.e.open(ctx, r.out, nil)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	res := &trainMarkResult{Key: r.marked.key.ID(), Parameters: r.marked.params}
	before, reference := r.marked.before, (*tensor.Set)(nil)
	if o.scheme == markGrid {
		var k keptMark
		if err := gob.NewDecoder(bytes.NewReader(kept)).Decode(&k); err != nil {
			return nil, fmt.Errorf("internal error: what the mark kept: %w", err)
		}
		c, err := checkpoint.OpenReader(ctx, r.out+unmarkedExt, bytes.NewReader(k.Unmarked), nil)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		before, reference = c.Tensors, c.Tensors
		res.Parameters, res.Reference, res.Before, res.After = k.Parameters, r.out+unmarkedExt, k.Before, k.After
		if k.Labels {
			res.Top1 = &k.Top1
		}
		if _, err := writeFile(res.Reference, r.force, func(f *atomicfile.File) error {
			_, err := f.Write(k.Unmarked)
			return err
		}); err != nil {
			return nil, err
		}
	}
	s, err := mark.Find(o.scheme)
	if err != nil {
		return nil, err
	}
	if res.Reading, err = s.Extract(out.Tensors, reference, r.marked.key, res.Parameters); err != nil {
		return nil, markError(err)
	}
	if o.commitment == "" {
		return res, nil
	}
	cm, err := mark.Commit(r.marked.key, res.Parameters, before, out.Tensors, time.Now())
	if err != nil {
		return nil, markError(err)
	}
	text, err := json.MarshalIndent(cm, "", "  ")
	if err != nil {
		return nil, err
	}
	res.Commitment, res.Digest = o.commitment, cm.Digest
	return res, writeSmall(o.commitment, append(text, '\n'), r.force, false)
}

// markInTheWay looks that no file would be lost that a mark writes.
func (o *trainOptions) markInTheWay() error {
	if o.mark.key == "" || o.force {
		return nil
	}
	list := []string{o.mark.commitment}
	if o.mark.scheme == markGrid {
		list = append(list, o.out+unmarkedExt)
	}
	for _, name := range list {
		if name == "" {
			continue
		}
		if _, err := os.Stat(name); err == nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		}
	}
	return nil
}

// unread says that the mark of a result does not read.
func (m *trainMarkResult) unread() error {
	if m == nil {
		return nil
	}
	if v := mark.Judge(m.Reading, &mark.Circumstances{Committed: true}); !v.Present {
		hint := "a higher --mark-lambda, fewer --mark-bits, or more --epochs"
		if m.Reading.Scheme == markGrid {
			hint = "more --mark-moves"
		}
		return budgetf("the mark reads with p <= %s only, and 10^-9 would be present", power(v.Log10P)).withHint("%s", hint)
	}
	return nil
}

func (m *trainMarkResult) text(w *bufio.Writer) {
	d := m.Reading
	fmt.Fprintf(w, "mark of key %s, scheme %s: ", m.Key, d.Scheme)
	if d.Scheme == markGrid {
		fmt.Fprintf(w, "%s moved, z = %.1f, ", count(m.Parameters.Moves, "weight"), d.Z)
	}
	if d.BER != nil {
		fmt.Fprintf(w, "BER %.2f %% (%d of %d bits), ", 100**d.BER, *d.Wrong, d.Bits)
	}
	fmt.Fprintf(w, "p <= %s\n", power(d.Log10P))
	if m.Reference != "" {
		fmt.Fprintf(w, "the moves made %d bytes %d (%+.2f %%)", m.Before, m.After, 100*(float64(m.After)/math.Max(1, float64(m.Before))-1))
		if m.Top1 != nil {
			fmt.Fprintf(w, "; top-1 before them %.2f %% of the validation data", 100**m.Top1)
		}
		fmt.Fprintf(w, "\nwrote %s: keep it, the mark is read against it, with --scheme grid or the commitment\n", printable(m.Reference))
	}
	if m.Commitment != "" {
		fmt.Fprintf(w, "wrote %s; publish or time-stamp it before the network: SHA-256 %s\n", printable(m.Commitment), m.Digest)
	}
}
