package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/mark"
)

func newMarkList(e *env) *cobra.Command {
	var pass passOptions
	cmd := &cobra.Command{
		Use:   "list FILE...",
		Short: "say what is in keys, commitments, evidence, and what fits into networks",
		Long: `Say of each FILE what it is about: of a key, its public name and owner, and no
secret; of a commitment, scheme and tensors; of evidence, what it says and
whether it is signed as it says; of a network, which schemes it could carry, and
how many bits. A sealed key is not opened.`,
		Example: example(
			"what is all this?", "ropewalk mark list *.key *.json",
			"how much fits?", "ropewalk mark list model.safetensors",
		),
		Args: arguments(1, 1<<20, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.markList(cmd.Context(), args, &pass) },
	}
	exits(cmd, exitUsage, exitNegative, exitRefused, exitInterrupted)
	return cmd
}

// markListResult is what mark list says.
type markListResult struct {
	Schema string         `json:"schema"`
	Files  []markListFile `json:"files"`
}

type markListFile struct {
	File   string `json:"file"`
	Kind   string `json:"kind" about:"key, layer key, commitment, evidence or network"`
	Key    string `json:"key,omitempty" about:"public name"`
	Owner  string `json:"owner,omitempty"`
	Sealed bool   `json:"sealed,omitempty" about:"a key with a passphrase"`
	Digest string `json:"digest,omitempty" about:"of a key or commitment"`
	// Created is what its maker says.
	Created    string           `json:"created,omitempty"`
	Parameters *mark.Parameters `json:"parameters,omitempty"`
	Verdict    *mark.Verdict    `json:"verdict,omitempty" about:"of evidence"`
	Signed     bool             `json:"signed,omitempty" about:"evidence is signed by the key that it names"`
	Subjects   []string         `json:"subjects,omitempty" about:"files that evidence is about"`
	Capacity   []markCapacity   `json:"capacity,omitempty" about:"of a network"`
}

type markCapacity struct {
	Scheme string `json:"scheme"`
	Bits   int    `json:"bits" about:"of payload; 0 says only whose it is"`
	Why    string `json:"why,omitempty" about:"why the scheme cannot be used"`
}

func (e *env) markList(ctx context.Context, paths []string, pass *passOptions) error {
	r := &markListResult{Schema: "ropewalk/mark-list/1"}
	for _, path := range paths {
		f, err := e.listOne(ctx, path, pass)
		if err != nil {
			return err
		}
		r.Files = append(r.Files, *f)
	}
	return e.answer(r)
}

func (e *env) listOne(ctx context.Context, path string, pass *passOptions) (*markListFile, error) {
	f := &markListFile{File: path}
	head := make([]byte, 0, 4096)
	if path != dash {
		b, err := e.readHead(path, cap(head))
		if err != nil {
			return nil, err
		}
		head = b
	}
	switch {
	case mark.Sniff(bytes.ReplaceAll(head, []byte("\r\n"), []byte("\n"))):
		return f, e.listKey(f, pass)
	case bytes.HasPrefix(bytes.TrimSpace(head), []byte("{")):
		text, err := readBounded(path, mark.MaxCommitment)
		if err != nil {
			return nil, err
		}
		known, err := f.fromJSON(text)
		if err != nil {
			return nil, markError(fmt.Errorf("%s: %w", path, err))
		}
		if known {
			return f, nil
		}
	}
	c, err := e.open(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	f.Kind = "network"
	for _, s := range mark.Schemes() {
		bits, err := s.Capacity(c.Tensors, nil)
		m := markCapacity{Scheme: s.Name(), Bits: bits}
		switch {
		case errors.Is(err, mark.ErrNetwork):
			m.Why = strings.TrimPrefix(err.Error(), mark.ErrNetwork.Error()+": ")
		case err != nil:
			return nil, err
		}
		f.Capacity = append(f.Capacity, m)
	}
	return f, nil
}

// listKey says what a key file says without being opened.
func (e *env) listKey(f *markListFile, pass *passOptions) error {
	text, err := readBounded(f.File, mark.MaxKeyFile)
	if err != nil {
		return err
	}
	f.Kind = "key"
	if f.Sealed = mark.IsSealed(text); f.Sealed {
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
			switch name {
			case "id":
				f.Key = value
			case "owner":
				f.Owner = value
			case "created":
				f.Created = value
			}
		}
		return nil
	}
	s, err := e.secrets(f.File, pass)
	if err != nil {
		return err
	}
	f.Key = s.ID()
	switch k := s.(type) {
	case *mark.Key:
		d := k.Commitment()
		f.Owner, f.Digest, f.Created = k.Owner, hex.EncodeToString(d[:]), k.Created.Format("2006-01-02T15:04:05Z07:00")
	case mark.LayerKey:
		d := k.Commitment()
		f.Kind, f.Owner, f.Digest = "layer key", k.Owner, hex.EncodeToString(d[:])
		f.Parameters = &mark.Parameters{Scheme: k.Scheme, Tensors: []string{k.Tensor}}
	}
	return nil
}

// fromJSON reads a commitment or evidence; false if it is neither.
func (f *markListFile) fromJSON(text []byte) (bool, error) {
	switch {
	case bytes.Contains(text, []byte(mark.CommitmentSchema)):
		c, err := mark.ParseCommitment(text)
		if err != nil {
			return false, err
		}
		f.Kind, f.Key, f.Owner, f.Digest, f.Created, f.Parameters = "commitment", c.Key, c.Owner, c.Digest, c.Created, c.Parameters
		return true, nil
	case bytes.Contains(text, []byte(`"payloadType"`)):
		s, err := mark.Verify(text, nil)
		if err != nil {
			return false, err
		}
		p := &s.Predicate
		f.Kind, f.Key, f.Owner, f.Created, f.Parameters, f.Verdict, f.Signed = "evidence", p.Key, p.Owner, p.Time, p.Parameters, p.Verdict, true
		for _, u := range s.Subject {
			f.Subjects = append(f.Subjects, u.Name)
		}
		return true, nil
	}
	return false, nil
}

func (r *markListResult) text(w *bufio.Writer) {
	for i := range r.Files {
		f := &r.Files[i]
		fmt.Fprintf(w, "%s: %s", printable(f.File), f.Kind)
		if f.Key != "" {
			fmt.Fprintf(w, " %s", printable(f.Key))
		}
		if f.Owner != "" {
			fmt.Fprintf(w, " of %s", printable(f.Owner))
		}
		if f.Created != "" {
			fmt.Fprintf(w, ", %s", printable(f.Created))
		}
		if f.Sealed {
			fmt.Fprint(w, ", sealed with a passphrase")
		}
		if p := f.Parameters; p != nil {
			fmt.Fprintf(w, ", scheme %s in %s", printable(p.Scheme), count(len(p.Tensors), "tensor"))
			if p.Bits > 0 {
				fmt.Fprintf(w, ", %d bits", p.Bits)
			}
		}
		if f.Verdict != nil {
			word := "absent from"
			if f.Verdict.Present {
				word = "present in"
			}
			fmt.Fprintf(w, ": %s %s, p <= %s; signed by the key that it names", word, printable(strings.Join(f.Subjects, ", ")), power(f.Verdict.Log10P))
		}
		fmt.Fprintln(w)
		for _, c := range f.Capacity {
			switch {
			case c.Why != "":
				fmt.Fprintf(w, "  %-8s no: %s\n", c.Scheme, printable(c.Why))
			case c.Bits == 0 && c.Scheme == "keyed":
				fmt.Fprintf(w, "  %-8s yes\n", c.Scheme)
			default:
				fmt.Fprintf(w, "  %-8s up to %d bits\n", c.Scheme, c.Bits)
			}
		}
	}
}
