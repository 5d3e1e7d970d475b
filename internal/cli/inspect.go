package cli

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/layout"
	"ropewalk/rope"
)

type inspectOptions struct {
	base     string
	tensors  string
	stats    bool
	statsSet bool // --stats or --stats=false was given
	blocks   blockOptions
	groups   bool
	heads    headsFlag
	report   reportFlag
}

// autoStats is how many bytes of tensors inspect reads unasked.
const autoStats byteSize = 64 << 20

func newInspect(e *env) *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "show what is in a checkpoint, packed or not",
		Long: `Show the tensors as a tree of their dotted names, with type, shape and size, and
on what the bytes of the files are spent; those parts add up to the length of
the files. For a .rope also the bits that are stored per value; small tensors
share a block and its bytes, and header and index are counted apart.

Statistics need all values, so they are shown for up to 64 MiB of tensors, or
with --stats:
  entropy   order-0 entropy of the values, in bits per value
  by byte   the same of each byte of the values alone, summed up
  distinct  different values
  zeros     share of values that are 0

Entropy and distinct values are counted up to 65,536 different ones.

--entropy shows H_n/n, the entropy of blocks of n consecutive weights in bits
per weight, of each tensor whose values are levels: at most 4096 different ones,
each for more than 10 weights. Blocks do not overlap. The last line is for all
these tensors with one table of their indices, as HEMP measures it. It is an
entropy of what is there, without the price of a table: of few blocks it is too
low, since it cannot exceed the logarithm of their number. --levels N counts
other floats as the N levels that HEMP would give them.

--groups shows which neurons can be put in any order without a change of what
the network computes, where each is, and what it may be multiplied by; and what
has to stay, with the reason. It follows from the graph of an ONNX file or of a
network that ropewalk trained, else from the names of tensors: ResNet, VGG,
AlexNet, MobileNet, ViT, BERT, GPT-2, Llama and their kin. Names don't tell how
many heads attention has: config.json beside FILE does, or --heads N; else heads
stay.`,
		Example: example(
			"a first look", "ropewalk inspect model.onnx",
			"one part of a large model, with statistics", "ropewalk inspect --stats --tensors 'layers.0.*' model.safetensors.index.json",
			"how much order there is in a quantized network", "ropewalk inspect --entropy --order 1..4 lenet.rope",
			"which channels can change places", "ropewalk inspect --groups resnet.onnx",
			"the ten largest tensors", "ropewalk inspect --json model.pt | jq -c '.tensors | sort_by(-.bytes)[:10][] | [.name, .bytes]'",
		),
		Args: arguments(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.statsSet = cmd.Flags().Changed("stats")
			for _, name := range []string{"order", "levels"} {
				if cmd.Flags().Changed(name) && !o.blocks.show {
					return usagef("--%s is for --entropy", name)
				}
			}
			if err := o.blocks.check(); err != nil {
				return err
			}
			if cmd.Flags().Changed("heads") && !o.groups {
				return usagef("--heads is for --groups")
			}
			if err := o.heads.check(); err != nil {
				return err
			}
			return e.inspect(cmd.Context(), &o, args[0])
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.tensors, "tensors", "", "only tensors whose name matches `PATTERN`, with * for any text and ? for any letter")
	fs.BoolVar(&o.stats, "stats", false, "read all values for statistics; --stats=false never does")
	fs.StringVar(&o.base, "base", "", "the checkpoint `OLD` that FILE was packed against")
	fs.BoolVar(&o.blocks.show, "entropy", false, "show the entropy of blocks of weights, of tensors with levels")
	fs.StringVar(&o.blocks.order, "order", "1..4", "weights in a block: a number or a range `N..M`")
	fs.BoolVar(&o.groups, "groups", false, "show the groups of neurons that can be shuffled and rescaled")
	o.heads.addFlag(fs)
	fs.IntVar(&o.blocks.levels, "levels", 0, "count tensors of other floats as `N` Gaussian Lloyd-Max levels")
	o.report.addFlag(cmd, nil)
	complete(cmd, "tensors", e.completeTensor)
	exits(cmd, exitUsage, exitRefused, exitInterrupted)
	return cmd
}

// inspectResult is what inspect says.
type inspectResult struct {
	Schema   string        `json:"schema"`
	File     string        `json:"file"`
	Format   string        `json:"format"`
	Holds    string        `json:"holds,omitempty" about:"format of what a .rope restores"`
	Bytes    int64         `json:"bytes" about:"of the files of the checkpoint; the ledger adds up to it"`
	Original int64         `json:"original_bytes,omitempty" about:"of what a .rope restores"`
	Root     string        `json:"root,omitempty" about:"of a .rope: SHA-256 over header and index, in hex"`
	Files    []fileSize    `json:"files" about:"that make up the checkpoint, or that a .rope restores"`
	Metadata []layout.Pair `json:"metadata,omitempty"`
	Count    int           `json:"count" about:"of all tensors"`
	Values   int64         `json:"values" about:"of all tensors"`
	Tensors  []tensorInfo  `json:"tensors" about:"those that match --tensors"`
	Ledger   []rope.Entry  `json:"ledger"`

	Groups *groupsInfo `json:"symmetry,omitempty" about:"with --groups"`

	Pooled *pooledEntropy `json:"pooled,omitempty" about:"of the tensors with entropy, together"`
}

// tensorInfo is what inspect says of one tensor.
type tensorInfo struct {
	tensorHeading
	Bytes  int64        `json:"bytes"`
	Stored *float64     `json:"stored_bits,omitempty" about:"in a .rope, bits per value of the array that holds the tensor"`
	Coders string       `json:"coders,omitempty" about:"in a .rope, of its blocks, or what it is the same as"`
	Stats  *tensorStats `json:"stats,omitempty"`

	Levels  int            `json:"levels,omitempty" about:"different values that entropy counts, or levels by --levels"`
	Entropy []blockEntropy `json:"entropy,omitempty" about:"of blocks of weights, if the values are levels"`
}

func (e *env) inspect(ctx context.Context, o *inspectOptions, input string) error {
	if err := e.needStdout(); err != nil {
		return err
	}
	match, err := wildcard(o.tensors)
	if err != nil {
		return err
	}
	if err := o.report.check(input, o.base); err != nil {
		return err
	}
	c, done, err := e.openBased(ctx, input, o.base)
	if err != nil {
		return err
	}
	defer done()
	r := describe(c)
	var picked []int
	bytes := int64(0)
	for i, t := range c.Tensors.All() {
		r.Values += t.Elems()
		if match(t.Name) {
			picked = append(picked, i)
			bytes += t.Size()
		}
	}
	var stats []*tensorStats
	switch {
	case o.stats || !o.statsSet && bytes <= int64(autoStats):
		p := e.progress("inspect", bytes)
		stats, err = statsOf(ctx, c, picked, func(n int64) { p.done.Add(n) })
		p.stop()
		if err != nil {
			return err
		}
	case !o.statsSet:
		e.notef("--stats reads %v of values for entropy, distinct values and zeros", byteSize(bytes))
	}
	info := tensorInfos(c)
	r.Tensors = make([]tensorInfo, len(picked))
	for j, i := range picked {
		r.Tensors[j] = info(i)
		if stats != nil {
			r.Tensors[j].Stats = stats[i]
		}
	}
	if o.blocks.show {
		if err := e.blocksOf(ctx, c, &o.blocks, picked, r); err != nil {
			return err
		}
	}
	if o.groups {
		if r.Groups, err = e.groupsOf(c, input, o.heads); err != nil {
			return err
		}
	}
	if err := e.answer(&inspectText{r, e.verbose}); err != nil || !o.report.wanted() {
		return err
	}
	set := c.Tensors
	if stats == nil {
		set = nil // values were not to be read
	}
	p, err := e.inspectPage(r, set, e.command())
	if err != nil {
		return err
	}
	return e.writeReport(&o.report, p, c)
}

// wildcard returns the test for a pattern with * and ?; the empty one matches
// everything.
func wildcard(pattern string) (func(string) bool, error) {
	if pattern == "" {
		return func(string) bool { return true }, nil
	}
	quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	re, err := regexp.Compile(`(?s)^` + quoted + `$`)
	if err != nil {
		return nil, usagef("--tensors %q: %w", pattern, err)
	}
	return re.MatchString, nil
}

// describe returns all but the tensors.
func describe(c *checkpoint.Checkpoint) *inspectResult {
	r := &inspectResult{
		Schema: "ropewalk/inspect/1", File: c.Path, Format: c.Format,
		Metadata: c.Layout.Metadata, Count: c.Tensors.Len(),
	}
	total := int64(0)
	for _, f := range c.Layout.Files {
		r.Files = append(r.Files, fileSize{f.Name, f.Data.Size()})
		total += f.Data.Size()
	}
	if c.Rope != nil {
		root := c.Rope.Root()
		r.Root = hex.EncodeToString(root[:])
		r.Holds, r.Original, r.Bytes = c.Layout.Format, total, c.Rope.Size()
		r.Ledger = c.Rope.Ledger()
		return r
	}
	r.Bytes = total
	rest := total
	for i := range c.Layout.Arrays {
		a := &c.Layout.Arrays[i]
		r.Ledger = append(r.Ledger, rope.Entry{Part: rope.PartTensor, Name: a.Name, Bytes: a.Size})
		rest -= a.Size
	}
	r.Ledger = append(r.Ledger, rope.Entry{Part: rope.PartSkeleton, Bytes: rest})
	return r
}

// tensorInfos returns the function that describes tensor i.
func tensorInfos(c *checkpoint.Checkpoint) func(i int) tensorInfo {
	var arrays []rope.ArrayInfo
	if c.Rope != nil {
		arrays = c.Rope.Arrays()
	}
	return func(i int) tensorInfo {
		t, v := c.Tensors.At(i), &c.Layout.Views[i]
		in := tensorInfo{tensorHeading: headingOf(t), Bytes: t.Size()}
		if arrays == nil || v.Encoded != nil {
			return in
		}
		a := &arrays[v.Array]
		in.Coders = a.Coders
		if n := arrayValues(a); n > 0 {
			bits := float64(a.Stored) * 8 / float64(n)
			in.Stored = &bits
		}
		return in
	}
}

// arrayValues returns how many values an array has, or bytes if its type is
// not known.
func arrayValues(a *rope.ArrayInfo) int64 {
	if !a.DType.Known() {
		return a.Raw
	}
	n, _ := a.Shape.Elems()
	return n
}

// inspectText is an inspectResult and how much of it is shown as text.
type inspectText struct {
	*inspectResult
	verbose bool
}

func (r *inspectText) text(w *bufio.Writer) {
	fmt.Fprintf(w, "%s: %s", printable(r.File), r.Format)
	if r.Holds != "" {
		fmt.Fprintf(w, " of %s", r.Holds)
	}
	if len(r.Files) > 1 {
		fmt.Fprintf(w, " in %s", count(len(r.Files), "file"))
	}
	fmt.Fprintf(w, ", %s, %s values, %s bytes\n", count(r.Count, "tensor"), commas(r.Values), commas(r.Bytes))
	if r.Holds != "" && r.Original > 0 {
		fmt.Fprintf(w, "restores %s, %s bytes (packed to %.2f %%)\n", printable(r.Files[0].Name), commas(r.Original), 100*float64(r.Bytes)/float64(r.Original))
		fmt.Fprintf(w, "root %s\n", r.Root)
	}
	if r.verbose && len(r.Files) > 1 {
		for _, f := range r.Files {
			fmt.Fprintf(w, "  %s  %s bytes\n", printable(f.Name), commas(f.Bytes))
		}
	}
	for _, m := range r.Metadata {
		fmt.Fprintf(w, "  %s: %s\n", shorten(m.Key, r.verbose), shorten(m.Value, r.verbose))
	}
	r.tree(w)
	r.blocks(w)
	r.groups(w)
	r.ledger(w)
}

// shorten keeps the text of strangers on one line.
func shorten(s string, verbose bool) string {
	const most = 72
	s = printable(s)
	if rs := []rune(s); !verbose && len(rs) > most {
		return string(rs[:most]) + "…"
	}
	return s
}

func (r *inspectText) tree(w *bufio.Writer) {
	if len(r.Tensors) == 0 {
		return
	}
	hasStats := r.Tensors[0].Stats != nil
	head := []string{"tensor", "type", "shape", "bytes"}
	if r.Holds != "" {
		head = append(head, "stored")
	}
	if hasStats {
		head = append(head, "entropy", "by byte", "distinct", "zeros", "")
	}
	t := &table{left: map[int]bool{1: true, 2: true, len(head) - 1: hasStats}}
	t.row(head...)
	for _, l := range treeOf(r.Tensors) {
		if l.tensor == nil {
			t.row(l.label, "", "", commas(l.bytes))
			continue
		}
		in := l.tensor
		row := []string{l.label, printable(string(in.DType)), in.Shape.String(), commas(in.Bytes)}
		if r.Holds != "" {
			row = append(row, storedText(in))
		}
		if hasStats {
			row = append(row, statsCells(in.Stats)...)
		}
		t.row(row...)
	}
	w.WriteString("\n")
	t.write(w, "  ")
}

func storedText(in *tensorInfo) string {
	switch {
	case strings.HasPrefix(in.Coders, "same as "):
		return "same"
	case in.Stored == nil:
		return "-"
	}
	return fmt.Sprintf("%.2f", *in.Stored)
}

func statsCells(s *tensorStats) []string {
	distinct, bits, zeros, note := "> 65,536", "-", "-", ""
	if s.Distinct != nil {
		distinct = commas(*s.Distinct)
	}
	if s.Entropy != nil {
		bits = fmt.Sprintf("%.2f", *s.Entropy)
	}
	if s.Values > 0 {
		zeros = fmt.Sprintf("%.1f %%", 100*float64(s.Zeros)/float64(s.Values))
	}
	if s.NonFinite > 0 {
		note = commas(s.NonFinite) + " not finite"
	}
	return []string{bits, fmt.Sprintf("%.2f", s.Bytes), distinct, zeros, note}
}

// ledger prints the parts with all tensors as one.
func (r *inspectText) ledger(w *bufio.Writer) {
	t := &table{}
	sums := make(map[string]int64)
	total := int64(0)
	for _, l := range r.Ledger {
		sums[l.Part] += l.Bytes
		total += l.Bytes
	}
	parts := []struct{ part, name string }{
		{rope.PartHeader, "header (names, shapes)"},
		{rope.PartTensor, "tensors"},
		{rope.PartSkeleton, "skeleton (all else in the files)"},
		{rope.PartIndex, "index (lengths, digests)"},
		{rope.PartTrailer, "trailer"},
	}
	if _, long := sums[rope.PartTrailer]; !long {
		parts[0].name, parts[3].name = "header (names, shapes, levels)", "check"
	}
	share := func(n int64) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(max(total, 1))) }
	for _, p := range parts {
		if n, ok := sums[p.part]; ok {
			t.row(p.name, commas(n), share(n))
		}
	}
	t.row("all", commas(total), share(total))
	w.WriteString("\n")
	t.write(w, "  ")
}
