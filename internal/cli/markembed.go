package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/checkpoint"
	"ropewalk/engine"
	"ropewalk/graph/nets"
	"ropewalk/mark"
	"ropewalk/rope"
	"ropewalk/symmetry"
	"ropewalk/tensor"
	"ropewalk/train"
)

// markOptions are flags that embed and extract share.
type markOptions struct {
	pass    passOptions
	scheme  string
	only    []string
	epsilon float64
	payload string
	bits    int
	net     string
	spec    string
	flags   *pflag.FlagSet
}

func (o *markOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	o.flags = fs
	fs.StringVar(&o.scheme, "scheme", schemeNames()[0], "`SCHEME` keyed, payload, grid or uchida")
	fs.StringArrayVar(&o.only, "tensor", nil, "mark tensors whose names match `PATTERN` (again for more); else all larger ones")
	fs.Float64Var(&o.epsilon, "epsilon", 0, "keyed, payload: change each weight by `E` standard deviations of its tensor")
	fs.StringVar(&o.payload, "payload", "", "what is written: `TEXT`, or hex behind 0x; else that of the key")
	fs.IntVar(&o.bits, "bits", 0, "the payload has `N` bits")
	o.pass.addFlags(fs)
	completeScheme(cmd)
}

// options are those of package mark.
func (o *markOptions) options() (*mark.Options, error) {
	p, err := payloadOf(o.payload)
	if err != nil {
		return nil, err
	}
	switch {
	case o.bits < 0:
		return nil, usagef("--bits is %d, want 1 or more", o.bits)
	case p != nil && o.scheme == "keyed":
		return nil, usagef("scheme keyed carries no payload").withHint("--scheme payload does")
	}
	return &mark.Options{Only: o.only, Epsilon: o.epsilon, Payload: p, Bits: o.bits}, nil
}

type embedOptions struct {
	markOptions
	key        string
	out        string
	force      bool
	maxChange  float64
	margin     float64
	moves      int
	original   string
	commitment string
	data       dataOptions
	split      string
	maxDrop    percentFlag
	report     reportFlag
}

func newMarkEmbed(e *env) *cobra.Command {
	o := embedOptions{maxDrop: 0.1}
	cmd := &cobra.Command{
		Use:   "embed MODEL --key KEY -o OUT",
		Short: "write a mark into a network",
		Long: `Write MODEL with the mark of KEY to OUT, in its own format. Keep MODEL: without
the unmarked network the mark can hardly be read.

  keyed    each weight of the larger tensors is changed by ± epsilon standard
           deviations, with signs from the key; no training
  payload  the same, and the signs carry up to 256 bits: for whom a copy is
  grid     for quantized networks: some weights go to a neighbouring level, so
           that packing keeps the mark exactly; those that cost fewest bytes
  uchida   bits in the mean kernel of one layer, as published, in closed form

Without --epsilon the mark is as strong as --max-change allows: the relative
change of outputs that is predicted. With --data the accuracy is measured, and
the mark is weakened until it costs at most --max-drop.

--commitment writes what to publish, or have time-stamped, before OUT is
released: digests of key, parameters and tensors, from which no secret follows.
With it, a reading counts from p = 1e-9 on, without it from 2^-128.`,
		Example: example(
			"mark a network", "ropewalk mark embed model.safetensors --key alice.key -o marked.safetensors --commitment alice.json",
			"a copy for each customer", "ropewalk mark embed model.onnx --key alice.key --scheme payload --payload cust0042 -o copy.onnx",
			"a quantized network, and what it costs", "ropewalk unpack small.rope -o small.safetensors\nropewalk mark embed small.safetensors --key alice.key --scheme grid -o marked.safetensors",
		),
		Args: arguments(1, 1, "MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.markEmbed(cmd.Context(), &o, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.key, "key", "", "the key, in `FILE`")
	fs.StringVarP(&o.out, "out", "o", "", "write to `OUT`: a file, a folder, or - for standard output; .rope packs it")
	fs.BoolVarP(&o.force, "force", "f", false, "replace existing outputs")
	o.addFlags(cmd)
	fs.Float64Var(&o.maxChange, "max-change", 0, "predicted relative change of outputs, at most `X` (default 0.05; 0.15 for grid and uchida)")
	fs.Float64Var(&o.margin, "margin", 0, "uchida: how clearly bits read, in units of a random direction (default `M` 4, if --max-change allows)")
	fs.IntVar(&o.moves, "moves", 0, "grid: move `N` weights to a neighbouring level")
	fs.StringVar(&o.original, "original", "", "grid: the network before it was quantized, in `FILE`: weights near the other level go first")
	fs.StringVar(&o.commitment, "commitment", "", "write the commitment to `FILE`")
	fs.StringVar(&o.net, "net", "", "the network of MODEL: a `NET` that train knows, or an ONNX file")
	o.data.addFlags(cmd)
	fs.StringVar(&o.split, "split", "", "measure on `SPLIT` validation, test or train; else the first that there is of test, validation, train")
	fs.Var(&o.maxDrop, "max-drop", "with --data: lose at most `PERCENT` points of accuracy")
	o.report.addFlag(cmd, &o.force)
	exits(cmd, exitUsage, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

// markEmbedResult is what mark embed says.
type markEmbedResult struct {
	Schema     string           `json:"schema"`
	Model      string           `json:"model"`
	Key        string           `json:"key" about:"public name of the key"`
	Parameters *mark.Parameters `json:"parameters"`
	Cost       *mark.Cost       `json:"cost"`
	Changes    []tensorChange   `json:"changes,omitempty" about:"with --report: what the mark did to each tensor that it changed"`
	Capacity   int              `json:"capacity" about:"bits of payload that would fit"`
	Packed     *markPacked      `json:"packed,omitempty" about:"scheme grid, and with --report: sizes of packed files"`
	Accuracy   *markAccuracy    `json:"accuracy,omitempty" about:"with --data"`
	Commitment string           `json:"commitment,omitempty" about:"the file"`
	Digest     string           `json:"digest,omitempty" about:"of the commitment: what to time-stamp"`
	Files      []fileSize       `json:"files" about:"that were written"`
	Seconds    float64          `json:"seconds"`
}

type markPacked struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

type markAccuracy struct {
	Data   string  `json:"data"`
	Split  string  `json:"split"`
	Before float64 `json:"before"`
	After  float64 `json:"after"`
	Tries  int     `json:"tries" about:"strengths that were measured"`
}

func (e *env) markEmbed(ctx context.Context, o *embedOptions, model string) error {
	start := time.Now()
	if o.out == "" {
		return usagef("-o OUT is missing").withHint("ropewalk mark embed MODEL --key KEY -o OUT")
	}
	if o.original != "" && o.scheme != "grid" {
		return usagef("--original goes with --scheme grid only")
	}
	if o.report.wanted() && (o.report.path == o.out || o.report.path == o.commitment) {
		return usagef("%s is the report and another output", o.report.path)
	}
	if err := o.report.check(model, o.key, o.original, o.net, o.data.data); err != nil {
		return err
	}
	s, err := schemeOf(o.scheme)
	if err != nil {
		return err
	}
	mo, err := o.options()
	if err != nil {
		return err
	}
	mo.MaxChange, mo.Margin, mo.Moves = o.maxChange, o.margin, o.moves
	key, err := e.key(o.key, &o.pass)
	if err != nil {
		return err
	}
	c, err := e.open(ctx, model, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	inputs := []*checkpoint.Checkpoint{c}
	if o.original != "" {
		u, err := e.open(ctx, o.original, nil)
		if err != nil {
			return err
		}
		defer u.Close()
		mo.Original = u.Tensors
		inputs = append(inputs, u)
	}
	if o.scheme == "uchida" {
		mo.Axes = e.filterAxes(ctx, &alignOptions{to: model, net: o.net}, c)
	}
	r := &markEmbedResult{Schema: "ropewalk/mark-embed/1", Model: model, Key: key.ID()}
	made, err := e.markWithin(ctx, o, s, mo, key, model, c.Tensors, r)
	if err != nil {
		return markError(err)
	}
	r.Parameters, r.Cost = made.Parameters, made.Cost
	if r.Capacity, err = s.Capacity(c.Tensors, mo); err != nil {
		return markError(err)
	}
	var commitment []byte
	if o.commitment != "" {
		cm, err := mark.Commit(key, made.Parameters, c.Tensors, made.Set, time.Now())
		if err != nil {
			return markError(err)
		}
		if commitment, err = json.MarshalIndent(cm, "", "  "); err != nil {
			return err
		}
		r.Commitment, r.Digest = o.commitment, cm.Digest
		if err := refuseInput(o.commitment, inputs); err != nil {
			return err
		}
		if err := refuseFiles([]string{o.commitment, o.out}, []string{o.key, o.pass.file}); err != nil {
			return err
		}
	}
	if o.report.wanted() {
		if r.Changes, err = changesOf(ctx, c.Tensors, made.Set); err != nil {
			return err
		}
	}
	if o.scheme == "grid" || o.report.wanted() {
		if r.Packed, err = e.packedSizes(ctx, c, made.Set); err != nil {
			return err
		}
	}
	if r.Files, err = e.rewrite(ctx, "mark", model, c, made.Set, o.out, o.force, inputs...); err != nil {
		return err
	}
	if commitment != nil {
		if err := writeSmall(o.commitment, append(commitment, '\n'), o.force, false); err != nil {
			return err
		}
	}
	r.Seconds = time.Since(start).Seconds()
	say := e.answer
	if o.out == dash {
		say = e.remark
	}
	if err := say(r); err != nil || !o.report.wanted() {
		return err
	}
	page, err := e.embedPage(r, o, c.Tensors, made.Set)
	if err != nil {
		return err
	}
	return e.writeReport(&o.report, page, inputs...)
}

// filterAxes says where output filters are not on the first axis, as far as the graph
// or names of tensors tell.
func (e *env) filterAxes(ctx context.Context, o *alignOptions, c *checkpoint.Checkpoint) map[string]int {
	spec, err := e.symmetries(ctx, o, c)
	if err != nil {
		e.notef("output filters are taken to be on the first axis of each tensor: %v", err)
		return nil
	}
	axes := map[string]int{}
	for i := range spec.Groups {
		for _, p := range spec.Groups[i].Places {
			if p.Role == symmetry.Incoming && p.Axis > 0 {
				axes[p.Tensor] = p.Axis
			}
		}
	}
	return axes
}

// markWithin embeds a mark; with data, one that costs no more accuracy than allowed.
func (e *env) markWithin(ctx context.Context, o *embedOptions, s mark.Scheme, mo *mark.Options, key *mark.Key, model string, set *tensor.Set, r *markEmbedResult) (*mark.Embedded, error) {
	try := func() (*mark.Embedded, error) {
		p, err := s.Plan(set, key, mo)
		if err != nil {
			return nil, err
		}
		return s.Embed(set, key, p)
	}
	if o.data.data == "" {
		if o.flags.Changed("max-drop") || o.split != "" {
			return nil, usagef("--max-drop and --split go with --data only")
		}
		return try()
	}
	accuracy, done, err := e.measureMark(ctx, o, model)
	if err != nil {
		return nil, err
	}
	defer done()
	a := &markAccuracy{Data: o.data.data}
	if a.Before, a.Split, err = accuracy(set); err != nil {
		return nil, err
	}
	const most = 8
	for {
		made, err := try()
		if err != nil {
			return nil, err
		}
		if a.After, _, err = accuracy(made.Set); err != nil {
			return nil, err
		}
		a.Tries++
		r.Accuracy = a
		drop := a.Before - a.After
		p := made.Parameters
		switch {
		case 100*drop <= float64(o.maxDrop)+1e-9:
			return made, nil
		case o.epsilon != 0 || o.margin != 0 || o.moves != 0 || a.Tries == most:
			return nil, budgetf("the mark costs %.2f points of accuracy, and --max-drop allows %.2f", 100*drop, float64(o.maxDrop))
		}
		mo.Epsilon, mo.Margin, mo.Moves = p.Epsilon*math.Sqrt2/2, p.Margin*math.Sqrt2/2, p.Moves*7/10
	}
}

// measureMark opens network and data, and returns what measures the accuracy with some
// weights, and what closes them.
func (e *env) measureMark(ctx context.Context, o *embedOptions, model string) (func(*tensor.Set) (float64, string, error), func(), error) {
	no := netOptions{net: model}
	if o.net != "" {
		no = netOptions{net: o.net, weights: model}
	}
	eo := &evalOptions{net: no, data: o.data, split: o.split, flags: o.flags}
	var er evalResult
	n, data, err := e.evalInputs(ctx, eo, &er)
	if err != nil {
		if n != nil {
			n.close()
		}
		return nil, nil, err
	}
	return func(set *tensor.Set) (float64, string, error) {
		own := *n
		if own.built {
			g, err := nets.Load(n.Graph, set)
			if err != nil {
				return 0, "", err
			}
			own.Graph = g
		} else if err := own.load(model, set); err != nil {
			return 0, "", err
		}
		p, err := e.compile(&own, engine.Options{Fixed: true})
		if err != nil {
			return 0, "", err
		}
		defer p.Close()
		res, err := train.Evaluate(ctx, p, data, &train.EvaluateOptions{
			Batch: eo.batch, FixedBatch: eo.fixedBatch, Objective: &train.CrossEntropy{Probabilities: own.probabilities()},
		})
		if err != nil {
			return 0, "", evalError(&own, err)
		}
		if res.Top1 == nil {
			return 0, "", &verdict{status: exitRefused, err: fmt.Errorf("%s is no classifier, so there is no accuracy to keep", model)}
		}
		return *res.Top1, er.Split, nil
	}, n.close, nil
}

// packedSizes returns the sizes of the packed files without and with the mark.
func (e *env) packedSizes(ctx context.Context, c *checkpoint.Checkpoint, set *tensor.Set) (*markPacked, error) {
	before, err := e.packedSize(ctx, c, c.Tensors)
	if err != nil {
		return nil, err
	}
	after, err := e.packedSize(ctx, c, set)
	return &markPacked{before, after}, err
}

// packedSize packs a checkpoint with other tensors, and returns the bytes.
func (e *env) packedSize(ctx context.Context, c *checkpoint.Checkpoint, set *tensor.Set) (int64, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(checkpoint.Convert(w, "safetensors", set, c.Layout.Metadata)) }()
	defer r.Close() // which ends the goroutine
	u, err := checkpoint.OpenReader(ctx, "the marked network", r, &checkpoint.Options{Threads: e.threads})
	if err != nil {
		return 0, err
	}
	defer u.Close()
	return rope.Size(ctx, u.Layout, e.packOptions())
}

func (r *markEmbedResult) text(w *bufio.Writer) {
	p, c := r.Parameters, r.Cost
	fmt.Fprintf(w, "marked by %s, scheme %s: ", r.Key, p.Scheme)
	switch {
	case p.Epsilon > 0:
		fmt.Fprintf(w, "each weight ± %.3g deviations of its tensor", p.Epsilon)
	case p.Moves > 0:
		fmt.Fprintf(w, "%s moved to a neighbouring level", count(p.Moves, "weight"))
	default:
		fmt.Fprintf(w, "margin %.3g", p.Margin)
	}
	if p.Bits > 0 {
		fmt.Fprintf(w, ", %d bits of %d that fit", p.Bits, r.Capacity)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "cost: %s of %s weights in %s changed, by %.2g of their norm; outputs change by about %.2g (predicted)\n",
		commas(c.Changed), commas(c.Weights), count(c.Tensors, "tensor"), c.Change, c.Output)
	if a := r.Accuracy; a != nil {
		fmt.Fprintf(w, "top-1 on %s (%s): %.2f %% before, %.2f %% after\n", printable(a.Data), a.Split, 100*a.Before, 100*a.After)
	}
	if k := r.Packed; k != nil {
		fmt.Fprintf(w, "packed: %s bytes before, %s after (%+.2f %%)\n", commas(k.Before), commas(k.After), 100*(float64(k.After)/float64(k.Before)-1))
	}
	for _, f := range r.Files {
		fmt.Fprintf(w, "wrote %s (%s bytes)\n", printable(f.Name), commas(f.Bytes))
	}
	if r.Commitment != "" {
		fmt.Fprintf(w, "wrote %s; publish or time-stamp it before the network: SHA-256 %s\n", printable(r.Commitment), r.Digest)
	}
}
