package cli

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/mark"
)

type keygenOptions struct {
	out            string
	owner, payload string
	pass           passOptions
	from           string
	scheme, layer  string
}

func newMarkKeygen(e *env) *cobra.Command {
	var o keygenOptions
	cmd := &cobra.Command{
		Use:   "keygen -o KEY",
		Short: "make a key, or take that of one layer out of it",
		Long: `Write a new key to KEY, a small text file that only its owner can read: 32
secret bytes, from which all that is random in a mark follows, and who the owner
is. --passphrase asks for a passphrase that seals it (scrypt, AES-256-GCM). A
key is never replaced.

With --from, write the key of one layer: it reads the mark in that tensor, and
nothing can be derived from it about other layers. In a dispute it is enough to
show that; the commitment proves that it is a part of the key.`,
		Example: example(
			"a key of one's own", "ropewalk mark keygen -o alice.key --owner 'Alice <alice@example.org>' --passphrase",
			"what a judge may see", "ropewalk mark keygen --from alice.key --scheme keyed --tensor layer3.0.conv1.weight -o shown.key",
		),
		Args:              arguments(0, 0, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return e.markKeygen(&o) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&o.out, "out", "o", "", "write the key to `KEY`")
	fs.StringVar(&o.owner, "owner", "", "who the owner is, one line of `TEXT`")
	fs.StringVar(&o.payload, "payload", "", "what the key writes by default: `TEXT`, or hex behind 0x, up to 32 bytes")
	fs.BoolVar(&o.pass.ask, "passphrase", false, "ask for a passphrase that seals the key")
	o.pass.addFlags(fs)
	fs.StringVar(&o.from, "from", "", "take a layer key out of `KEY`")
	fs.StringVar(&o.scheme, "scheme", schemeNames()[0], "of that `SCHEME`")
	fs.StringVar(&o.layer, "tensor", "", "in that tensor, by `NAME`")
	completeScheme(cmd)
	exits(cmd, exitUsage, exitRefused, exitBudget)
	return cmd
}

// markKeygenResult is what mark keygen says.
type markKeygenResult struct {
	Schema string `json:"schema"`
	File   string `json:"file"`
	Key    string `json:"key" about:"its public name"`
	Digest string `json:"digest" about:"SHA-256 that binds to the secret and hides it"`
	Owner  string `json:"owner"`
	Sealed bool   `json:"sealed" about:"with a passphrase"`
	Scheme string `json:"scheme,omitempty" about:"of a layer key"`
	Tensor string `json:"tensor,omitempty" about:"of a layer key"`
}

func (r *markKeygenResult) text(w *bufio.Writer) {
	fmt.Fprintf(w, "%s: key %s", printable(r.File), r.Key)
	if r.Tensor != "" {
		fmt.Fprintf(w, " for scheme %s in %s alone", r.Scheme, printable(r.Tensor))
	}
	if r.Owner != "" {
		fmt.Fprintf(w, " of %s", printable(r.Owner))
	}
	if r.Sealed {
		fmt.Fprint(w, ", sealed with a passphrase")
	}
	fmt.Fprintln(w)
}

func (e *env) markKeygen(o *keygenOptions) error {
	switch {
	case o.out == "":
		return usagef("-o KEY is missing").withHint("ropewalk mark keygen -o KEY")
	case o.out == dash:
		return usagef("a key is written to a file, so that nobody else sees it")
	case o.from == "" && o.layer != "":
		return usagef("--tensor goes with --from only")
	case o.from != "" && o.layer == "":
		return usagef("--tensor is missing: whose key shall it be?")
	case o.from != "" && (o.owner != "" || o.payload != "" || o.pass.ask):
		return usagef("--owner, --payload and --passphrase are about new keys, and --from names one")
	case o.pass.ask && (o.pass.file != "" || o.pass.fd >= 0):
		return usagef("--passphrase asks, and --passphrase-file and --passphrase-fd answer; give one")
	}
	if o.from != "" {
		return e.layerKeygen(o)
	}
	payload, err := payloadOf(o.payload)
	if err != nil {
		return err
	}
	k, err := mark.NewKey(rand.Reader, mark.Identity{Owner: o.owner, Payload: payload, Created: time.Now()})
	if err != nil {
		return markUsage(err)
	}
	phrase, err := o.pass.given()
	if err != nil {
		return err
	}
	if o.pass.ask {
		if phrase, err = e.askPassphrase("new passphrase"); err != nil {
			return markError(err)
		}
		again, err := e.askPassphrase("once more")
		if err != nil {
			return markError(err)
		}
		if !bytes.Equal(phrase, again) {
			return usagef("these are two passphrases")
		}
	}
	text, err := k.Marshal(phrase, &mark.SealOptions{Random: rand.Reader})
	if err != nil {
		return err
	}
	if err := writeKey(o.out, text); err != nil {
		return err
	}
	digest := k.Commitment()
	return e.answer(&markKeygenResult{
		Schema: "ropewalk/mark-keygen/1", File: o.out, Key: k.ID(), Digest: hex.EncodeToString(digest[:]), Owner: k.Owner, Sealed: phrase != nil,
	})
}

// layerKeygen writes a layer key, unsealed: it is there to be shown.
func (e *env) layerKeygen(o *keygenOptions) error {
	if _, err := schemeOf(o.scheme); err != nil {
		return err
	}
	k, err := e.key(o.from, &o.pass)
	if err != nil {
		return err
	}
	l, err := k.Layer(o.scheme, o.layer)
	if err != nil {
		return err
	}
	text, err := l.Marshal(nil, nil)
	if err != nil {
		return err
	}
	if err := writeKey(o.out, text); err != nil {
		return err
	}
	digest := l.Commitment()
	return e.answer(&markKeygenResult{
		Schema: "ropewalk/mark-keygen/1", File: o.out, Key: l.Of, Digest: hex.EncodeToString(digest[:]), Owner: l.Owner, Scheme: l.Scheme, Tensor: l.Tensor,
	})
}

// writeKey writes a new key. There is no way to replace one: a lost key is lost.
func writeKey(path string, text []byte) error {
	err := writeSmall(path, text, false, true)
	if errors.Is(err, fs.ErrExist) {
		return &verdict{exitFailure, err, "keys are never replaced; name another file"}
	}
	return err
}

// markUsage is markError for what the command line said.
func markUsage(err error) error {
	if errors.Is(err, mark.ErrKey) {
		return &verdict{status: exitUsage, err: err}
	}
	return markError(err)
}
