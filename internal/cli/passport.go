package cli

import (
	"bufio"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/align"
	"ropewalk/layout"
	"ropewalk/lineage/passport"
	"ropewalk/tensor"
)

func newPassport(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passport COMMAND",
		Short: "keep of a network what is needed to know it again, in a percent of its size",
		Long: `Make a passport of a network, and hold suspects against passports instead of
networks.

A passport has the names, types and shapes of tensors, a SHA-256 of each and one
that does not depend on order, what can move, and a sketch of each neuron: sums
of its weights with random signs. It stands for the network wherever that is
compared, and is about a percent of the size of a large one.

  1. passport make makes one, in a single pass, and signs it with --key.
  2. passport match says which of many passports a suspect belongs to.
  3. align --to OWNER.passport finds which neuron is which, and can put the
     suspect back in order: what was only moved then has the owner's digests.

docs/PASSPORT.md describes every byte.`,
		Example: example(
			"make one and sign it", "openssl genpkey -algorithm ed25519 -out owner.pem\nropewalk passport make model.safetensors -o owner.passport --key owner.pem",
			"which of my models is this?", "ropewalk passport match suspect.safetensors passports/",
		),
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	exits(cmd, exitUsage, exitNegative)
	cmd.AddCommand(newPassportMake(e), newPassportShow(e), newPassportMatch(e))
	return cmd
}

// passportError gives errors of package passport their status; path is the passport.
func passportError(path string, err error) error {
	var v *verdict
	var corrupt *passport.CorruptError
	var newer *passport.VersionError
	named := func() error { return fmt.Errorf("%s: %w", path, err) }
	switch {
	case err == nil, errors.As(err, &v):
		return err
	case errors.As(err, &corrupt):
		reason := corrupt.Reason
		cause := error(nil)
		if corrupt.Truncated {
			reason, cause = "the passport is truncated: "+reason, io.ErrUnexpectedEOF
		} else {
			reason = "the passport is damaged: " + reason
		}
		return &layout.CorruptError{File: path, Offset: corrupt.Offset, Reason: reason, Err: cause}
	case errors.As(err, &newer):
		return &layout.UnsupportedError{File: path, Offset: 8, Reason: strings.TrimPrefix(newer.Error(), "passport: ")}
	case errors.Is(err, passport.ErrUnsigned):
		return (&verdict{status: exitNegative, err: named()}).withHint("passport make --key FILE signs")
	case errors.Is(err, passport.ErrSigner), errors.Is(err, passport.ErrSignature):
		return &verdict{status: exitNegative, err: named()}
	case errors.Is(err, passport.ErrKey):
		return &verdict{status: exitUsage, err: err}
	case errors.Is(err, passport.ErrNumbers):
		return &verdict{status: exitRefused, err: err}
	case errors.Is(err, passport.ErrMisfit):
		return &verdict{exitNegative, err, "networks of other layers, or other names of tensors, can't be compared"}
	case errors.Is(err, align.ErrMemory):
		return budgetf("%w", err)
	}
	return err
}

// trustFlags say whose passports are believed.
type trustFlags struct {
	signed bool
	signer string
}

func (t *trustFlags) addFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&t.signed, "require-signature", false, "refuse passports that nobody signed")
	fs.StringVar(&t.signer, "signer", "", "refuse passports that the public key in `FILE` (PEM) has not signed")
}

// trust returns what is demanded.
func (t *trustFlags) trust() (*passport.Trust, error) {
	out := &passport.Trust{Signed: t.signed}
	if t.signer != "" {
		text, err := readSmall(t.signer)
		if err != nil {
			return nil, err
		}
		if out.Signer, err = passport.ParsePublicKey(text); err != nil {
			return nil, usagef("--signer %s: %w", t.signer, err)
		}
	}
	return out, nil
}

// maxKeyFile bounds a file of keys.
const maxKeyFile = 1 << 16

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxKeyFile+1))
}

// openPassport reads a passport, and checks who signed it.
func openPassport(path string, t *trustFlags) (*passport.Passport, error) {
	trust, err := t.trust()
	if err != nil {
		return nil, err
	}
	p, err := passport.Open(path, trust)
	var corrupt *passport.CorruptError
	var newer *passport.VersionError
	if errors.As(err, &corrupt) || errors.As(err, &newer) {
		return nil, passportError(path, err)
	}
	for _, known := range []error{passport.ErrUnsigned, passport.ErrSigner, passport.ErrSignature} {
		if errors.Is(err, known) {
			own := strings.TrimPrefix(err.Error(), path+": passport: ")
			hint := ""
			if errors.Is(known, passport.ErrUnsigned) {
				hint = "passport make --key FILE signs one"
			}
			return nil, &verdict{exitNegative, fmt.Errorf("%s: %s%w", path, own, silent{known}), hint}
		}
	}
	return p, err
}

// silent is an error that is there to be recognized, and says nothing.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// isPassport reports whether a file is one, by its first bytes.
func isPassport(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // whoever opens it will say why
	}
	defer f.Close()
	b := make([]byte, 8)
	n, _ := io.ReadFull(f, b)
	return passport.Is(b[:n])
}

// readSigningKey reads --key.
func readSigningKey(path string) (crypto.Signer, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	k, err := passport.ParsePrivateKey(text)
	if err != nil {
		return nil, usagef("--key %s: %w", path, err).withHint("openssl genpkey -algorithm ed25519 -out FILE makes one")
	}
	return k, nil
}

// passportInfo is what is said of a passport.
type passportInfo struct {
	File      string            `json:"file"`
	Bytes     int64             `json:"bytes"`
	Name      string            `json:"name,omitempty" about:"of the network"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Version   int               `json:"version" about:"of the format"`
	Numbers   int               `json:"numbers" about:"sums of a neuron in large groups"`
	Tensors   int               `json:"tensors"`
	Elements  int64             `json:"elements" about:"numbers of all tensors"`
	Groups    int               `json:"groups"`
	Neurons   int               `json:"neurons" about:"in all groups"`
	Sketches  int               `json:"sketches" about:"places of groups that have sketches"`
	Digest    string            `json:"digest" about:"SHA-256 of all that is signed: what to time-stamp"`
	Signed    bool              `json:"signed"`
	Algorithm string            `json:"algorithm,omitempty" about:"of the signature"`
	Signer    string            `json:"signer,omitempty" about:"SHA-256 of the public key that signed, as PKIX DER"`
	Files     map[string]string `json:"files,omitempty" about:"SHA-256 of the network's files"`
	Ledger    []passport.Entry  `json:"ledger" about:"what the bytes are spent on"`
}

func newPassportInfo(path string, p *passport.Passport) passportInfo {
	d := p.Digest()
	i := passportInfo{
		File: path, Bytes: int64(len(p.Bytes())), Name: p.Name, Metadata: p.Metadata, Version: passport.Version, Numbers: p.Numbers,
		Tensors: len(p.Tensors), Elements: p.Elements(), Groups: len(p.Groups), Neurons: p.Neurons(), Digest: hex.EncodeToString(d[:]), Files: p.Files,
		Ledger: p.Ledger(),
	}
	for g := range p.Groups {
		for k := range p.Groups[g].Places {
			if p.Groups[g].Places[k].Numbers > 0 {
				i.Sketches++
			}
		}
	}
	if s := p.Signature; s != nil {
		i.Signed, i.Algorithm, i.Signer = true, s.Algorithm.String(), s.KeyID()
	}
	return i
}

func (i *passportInfo) text(w *bufio.Writer) {
	fmt.Fprintf(w, "%s: passport", printable(i.File))
	if i.Name != "" {
		fmt.Fprintf(w, " of %s", printable(i.Name))
	}
	fmt.Fprintf(w, ", %s bytes\n", commas(i.Bytes))
	fmt.Fprintf(w, "  %s with %s numbers, %s in %s\n", count(i.Tensors, "tensor"), commas(i.Elements), count(i.Neurons, "neuron"), count(i.Groups, "group"))
	fmt.Fprintf(w, "  sketches of %d sums or more at %s\n", i.Numbers, count(i.Sketches, "place"))
	keys := make([]string, 0, len(i.Metadata))
	for k := range i.Metadata {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(w, "  %s: %s\n", printable(k), printable(i.Metadata[k]))
	}
	fmt.Fprintf(w, "  digest %s\n", i.Digest)
	if i.Signed {
		fmt.Fprintf(w, "  signed (%s) by the key %s\n", i.Algorithm, i.Signer)
	} else {
		fmt.Fprintln(w, "  not signed")
	}
}

// passportMatch is match for a reference that is a passport.
func (e *env) passportMatch(ctx context.Context, p *passport.Passport, sus *tensor.Set) (*align.NetworkResult, error) {
	type result struct {
		r   *align.NetworkResult
		err error
	}
	limit := e.memory
	if limit == 0 {
		limit = heldMemory
	}
	done := make(chan result, 1)
	go func() {
		r, err := passport.Match(ctx, p, sus, &align.NetworkOptions{Options: align.Options{Threads: e.threads}, Memory: int64(limit)})
		done <- result{r, err}
	}()
	got := <-done
	return got.r, passportError("", got.err)
}
