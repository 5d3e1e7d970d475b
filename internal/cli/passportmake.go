package cli

import (
	"bufio"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/graph/nets"
	"ropewalk/lineage"
	"ropewalk/lineage/passport"
)

type passportMakeOptions struct {
	out, key   string
	force      bool
	numbers    int
	name       string
	metadata   []string
	files      bool
	commitment string
	net, spec  string
	heads      headsFlag
	report     reportFlag
}

func newPassportMake(e *env) *cobra.Command {
	var o passportMakeOptions
	cmd := &cobra.Command{
		Use:   "make MODEL -o OWNER.passport",
		Short: "make the passport of a network, in one pass over its weights",
		Long: `Make the passport of MODEL: digests of its tensors, what can move in it, and a
sketch of each neuron. Each file is read once.

--numbers says how many sums a neuron keeps at each place. 128 finds neurons as
the weights do up to noise of one standard deviation, 90 % pruning and 4 bits;
32 makes a passport of a quarter, and finds less of what was damaged.

--key signs, with a private key in PEM as openssl makes it: Ed25519, or ECDSA on
P-256. --commitment writes what to have time-stamped before the network is
released: the SHA-256 of all that the passport says, which shows nothing of it.

What can move follows from the graph, --net, or names of tensors; see align.`,
		Example: example(
			"make one and sign it", "openssl genpkey -algorithm ed25519 -out owner.pem\nropewalk passport make model.safetensors -o owner.passport --key owner.pem",
			"with something to time-stamp", "ropewalk passport make model.safetensors -o owner.passport --commitment owner.json",
		),
		Args: arguments(1, 1, "MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.passportMake(cmd.Context(), &o, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", "", "write the passport to `FILE`")
	fs.BoolVarP(&o.force, "force", "f", false, "replace existing outputs")
	fs.IntVar(&o.numbers, "numbers", 128, "keep `N` sums of each neuron at each place: 32, 64 or 128")
	fs.StringVar(&o.key, "key", "", "sign with the private key in `FILE` (PEM; Ed25519, or ECDSA on P-256)")
	fs.StringVar(&o.name, "name", "", "the network's `NAME`; else that of its file")
	fs.StringArrayVar(&o.metadata, "metadata", nil, "keep `KEY=VALUE` (again for more)")
	fs.BoolVar(&o.files, "hash-files", false, "keep the SHA-256 of whole files, too, which takes a second pass: equal files are then known as such")
	fs.StringVar(&o.commitment, "commitment", "", "write what to time-stamp to `FILE`")
	fs.StringVar(&o.net, "net", "", "the network of MODEL: a `NET` that train knows, or an ONNX file")
	fs.StringVar(&o.spec, "spec", "", "read what can move from `FILE`, and derive nothing")
	o.heads.addFlag(fs)
	o.report.addFlag(cmd, &o.force)
	complete(cmd, "numbers", cobra.FixedCompletions([]string{"32", "64", "128"}, cobra.ShellCompDirectiveNoFileComp))
	complete(cmd, "net", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nets.Names(), cobra.ShellCompDirectiveDefault
	})
	exits(cmd, exitUsage, exitRefused, exitInterrupted)
	return cmd
}

// passportMakeResult is what passport make says.
type passportMakeResult struct {
	Schema     string       `json:"schema"`
	Model      string       `json:"model"`
	Passport   passportInfo `json:"passport"`
	Share      float64      `json:"share" about:"bytes of the passport, of those of all tensors"`
	Commitment string       `json:"commitment,omitempty" about:"the file"`
	Seconds    float64      `json:"seconds"`
}

func (r *passportMakeResult) text(w *bufio.Writer) {
	r.Passport.text(w)
	fmt.Fprintf(w, "%.2f %% of the weights, in %.1f s\n", 100*r.Share, r.Seconds)
	if r.Commitment != "" {
		fmt.Fprintf(w, "wrote %s: what to time-stamp\n", printable(r.Commitment))
	}
}

// passportCommitment binds to a passport, and shows nothing of it.
type passportCommitment struct {
	Schema  string `json:"schema"`
	Digest  string `json:"digest" about:"SHA-256 of all that the passport says: what to time-stamp"`
	Signer  string `json:"signer,omitempty" about:"SHA-256 of the public key that signed it, as PKIX DER"`
	Created string `json:"created" about:"when it was made, as its maker says; a time stamp proves it"`
}

func (e *env) passportMake(ctx context.Context, o *passportMakeOptions, model string) error {
	start := time.Now()
	metadata, err := o.check()
	if err != nil {
		return err
	}
	if err := o.report.check(model, o.key, o.net, o.spec); err != nil {
		return err
	}
	var key crypto.Signer
	if o.key != "" {
		if key, err = readSigningKey(o.key); err != nil {
			return err
		}
	}
	c, err := e.open(ctx, model, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, path := range []string{o.out, o.commitment} {
		if path != "" && path != dash {
			if err := refuseInput(path, []*checkpoint.Checkpoint{c}); err != nil {
				return err
			}
		}
	}
	spec, err := e.symmetries(ctx, &alignOptions{to: model, net: o.net, spec: o.spec, heads: o.heads}, c)
	if err != nil {
		return err
	}
	n := lineage.Network{Set: c.Tensors, Spec: spec}
	if o.files {
		if n.Files, err = digestFiles(ctx, c); err != nil {
			return err
		}
	}
	var size int64
	for _, t := range c.Tensors.All() {
		size += t.Data.Size()
	}
	name := o.name
	if name == "" && model != dash {
		name = filepath.Base(model)
	}
	p := e.progress("passport", size)
	show := p.part(size)
	made, err := passport.Make(ctx, n, &passport.MakeOptions{
		Name: name, Numbers: o.numbers, Metadata: metadata, Threads: e.threads, Progress: counter(show, size),
	})
	p.stop()
	if err != nil {
		return passportError(model, err)
	}
	if key != nil {
		if err := made.Sign(key); err != nil {
			return passportError(o.key, err)
		}
	}
	out, err := e.create(ctx, o.out, o.force, c)
	if err != nil {
		return err
	}
	defer out.discard()
	if _, err := out.Write(made.Bytes()); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	r := &passportMakeResult{Schema: "ropewalk/passport-make/1", Model: model, Passport: newPassportInfo(o.out, made)}
	r.Share = float64(r.Passport.Bytes) / float64(max(1, size))
	if o.commitment != "" {
		text, err := json.MarshalIndent(&passportCommitment{
			Schema: "ropewalk/passport-commitment/1", Digest: r.Passport.Digest, Signer: r.Passport.Signer, Created: start.UTC().Format(time.RFC3339),
		}, "", "  ")
		if err != nil {
			return err
		}
		if err := writeSmall(o.commitment, append(text, '\n'), o.force, false); err != nil {
			return err
		}
		r.Commitment = o.commitment
	}
	r.Seconds = time.Since(start).Seconds()
	say := e.answer
	if out.isStdout() {
		say = e.remark
	}
	if err := say(r); err != nil || !o.report.wanted() {
		return err
	}
	return e.writeReport(&o.report, e.passportPage("passport make", &r.Passport, made, model), c)
}

// check checks the flags, and returns the metadata.
func (o *passportMakeOptions) check() (map[string]string, error) {
	if o.out == "" {
		return nil, usagef("-o FILE is missing").withHint("ropewalk passport make MODEL -o OWNER.passport")
	}
	if o.numbers != 32 && o.numbers != 64 && o.numbers != 128 {
		return nil, usagef("--numbers is %d, want 32, 64 or 128", o.numbers)
	}
	if o.report.wanted() && (o.report.path == o.out || o.report.path == o.commitment) {
		return nil, usagef("%s is the report and another output", o.report.path)
	}
	if o.spec != "" && o.net != "" {
		return nil, usagef("--spec and --net both say what can move")
	}
	if err := o.heads.check(); err != nil {
		return nil, err
	}
	m := map[string]string{}
	for _, x := range o.metadata {
		k, v, ok := strings.Cut(x, "=")
		if !ok || k == "" {
			return nil, usagef("--metadata is %q, want KEY=VALUE", x)
		}
		if _, twice := m[k]; twice {
			return nil, usagef("--metadata gives %s twice", k)
		}
		m[k] = v
	}
	return m, nil
}

// counter makes what a progress shows of amounts that are done, which come from several
// goroutines.
func counter(show func(done, total int64), total int64) func(int64) {
	type state struct{ done int64 }
	ch := make(chan *state, 1)
	ch <- &state{}
	return func(n int64) {
		s := <-ch
		s.done += n
		show(s.done, total)
		ch <- s
	}
}

// digestFiles returns the SHA-256 of the files of a checkpoint, by base name.
func digestFiles(ctx context.Context, c *checkpoint.Checkpoint) (map[string]string, error) {
	out := map[string]string{}
	for i := range c.Layout.Files {
		f := &c.Layout.Files[i]
		h := sha256.New()
		if _, err := io.Copy(h, &patientReader{ctx: ctx, r: io.NewSectionReader(f.Data, 0, f.Data.Size())}); err != nil {
			return nil, err
		}
		out[filepath.Base(f.Name)] = hex.EncodeToString(h.Sum(nil))
	}
	return out, nil
}
