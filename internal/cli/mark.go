package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"ropewalk/internal/atomicfile"
	"ropewalk/internal/nearest"
	"ropewalk/mark"
)

func newMark(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mark COMMAND",
		Short: "put an owner's secret mark into networks, and read it from copies",
		Long: `Embed a mark that only who has the key can read, and that survives shuffling,
rescaling, pruning, quantizing, fine-tuning and packing; and read it from a
suspect, with the probability that the reading is chance.

  1. mark keygen makes a key: 32 secret bytes in a small file.
  2. mark embed writes the mark, and with --commitment what to publish, or have
     time-stamped, before the network is released.
  3. mark extract aligns a suspect to the unmarked network, reads, and gives a
     verdict; --evidence signs it.

Keep the key and the unmarked network. A mark says nothing of networks that were
trained anew on the outputs of the marked one.`,
		Example: example(
			"mark a network", "ropewalk mark keygen -o alice.key --owner Alice\nropewalk mark embed model.onnx --key alice.key -o marked.onnx --commitment alice.json",
			"is it mine?", "ropewalk mark extract suspect.onnx --key alice.key --reference model.onnx --commitment alice.json",
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
	cmd.AddCommand(newMarkKeygen(e), newMarkEmbed(e), newMarkExtract(e), newMarkList(e))
	return cmd
}

// markError gives errors of package mark their status.
func markError(err error) error {
	var v *verdict
	switch {
	case err == nil, errors.As(err, &v):
		return err
	case errors.Is(err, mark.ErrMarked):
		return (&verdict{status: exitRefused, err: err}).withHint("--reference names the unmarked network")
	case errors.Is(err, mark.ErrPassphrase):
		return &verdict{status: exitRefused, err: err}
	case errors.Is(err, mark.ErrSealed):
		return (&verdict{status: exitUsage, err: err}).withHint("--passphrase-file FILE, --passphrase-fd N, or a terminal to ask at")
	case errors.Is(err, mark.ErrCapacity), errors.Is(err, mark.ErrBound):
		return &verdict{status: exitBudget, err: err}
	case errors.Is(err, mark.ErrOptions):
		return &verdict{status: exitUsage, err: err}
	case errors.Is(err, mark.ErrKey), errors.Is(err, mark.ErrNetwork), errors.Is(err, mark.ErrCommitment), errors.Is(err, mark.ErrEvidence):
		return &verdict{status: exitRefused, err: err}
	}
	return err
}

// passOptions say where a passphrase comes from: never from the command line, which
// others can read.
type passOptions struct {
	file string
	fd   int
	ask  bool // keygen: at the terminal
}

func (o *passOptions) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.file, "passphrase-file", "", "the passphrase is the first line of `FILE`")
	fs.IntVar(&o.fd, "passphrase-fd", -1, "the passphrase is the first line of the open file `N`")
	fs.Lookup("passphrase-fd").DefValue = "-1"
}

// maxPassphrase bounds a passphrase, in bytes.
const maxPassphrase = 4096

// given returns the passphrase of file or descriptor; nil is none.
func (o *passOptions) given() ([]byte, error) {
	var r io.Reader
	switch {
	case o.file != "" && o.fd >= 0:
		return nil, usagef("--passphrase-file and --passphrase-fd both say where the passphrase is")
	case o.file != "":
		f, err := os.Open(o.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		r = f
	case o.fd >= 0:
		f := os.NewFile(uintptr(o.fd), "the passphrase's file")
		if f == nil {
			return nil, usagef("--passphrase-fd is %d, which is no open file", o.fd)
		}
		defer f.Close()
		r = f
	default:
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(r, maxPassphrase+1))
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	b, _, _ = bytes.Cut(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	if len(b) == 0 || len(b) > maxPassphrase {
		return nil, usagef("the passphrase has %d bytes, want 1 to %d", len(b), maxPassphrase)
	}
	return b, nil
}

// askPassphrase asks at the terminal, which need not be standard input.
func (e *env) askPassphrase(prompt string) ([]byte, error) {
	tty, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(tty.Fd())) {
		f, err := os.OpenFile(terminalPath, os.O_RDWR, 0)
		if err != nil {
			return nil, mark.ErrSealed
		}
		defer f.Close()
		tty = f
	}
	e.sayf("%s: ", prompt)
	b, err := term.ReadPassword(int(tty.Fd()))
	e.sayf("\n")
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	if len(b) == 0 {
		return nil, usagef("the passphrase is empty")
	}
	return b, nil
}

// secrets reads a key file of either kind.
func (e *env) secrets(path string, pass *passOptions) (mark.Secrets, error) {
	text, err := readBounded(path, mark.MaxKeyFile)
	if err != nil {
		return nil, err
	}
	if !mark.Sniff(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) {
		return nil, &verdict{status: exitRefused, err: fmt.Errorf("%s is no key file of ropewalk mark", path)}
	}
	if st, err := os.Stat(path); err == nil && exposed(st.Mode()) {
		e.notef("%s can be read by others; chmod 600 %s", path, path)
	}
	var phrase []byte
	if mark.IsSealed(text) {
		if phrase, err = pass.given(); err != nil {
			return nil, err
		}
		if phrase == nil {
			if phrase, err = e.askPassphrase("passphrase of " + path); err != nil {
				return nil, markError(err)
			}
		}
	}
	s, err := mark.ParseSecrets(text, phrase)
	if err != nil {
		return nil, markError(fmt.Errorf("%s: %w", path, err))
	}
	return s, nil
}

// key reads the key file of an owner.
func (e *env) key(path string, pass *passOptions) (*mark.Key, error) {
	if path == "" {
		return nil, usagef("--key is missing").withHint("ropewalk mark keygen -o KEY makes one")
	}
	s, err := e.secrets(path, pass)
	if err != nil {
		return nil, err
	}
	k, ok := s.(*mark.Key)
	if !ok {
		return nil, &verdict{status: exitRefused, err: fmt.Errorf("%s is a layer key, which reads a mark in one tensor, and does nothing else", path)}
	}
	return k, nil
}

// readBounded reads a small file.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = &verdict{status: exitRefused, err: fmt.Errorf("%s has more than %v, which is no such file", path, byteSize(most))}
	}
	return b, err
}

// readHead reads the beginning of a file.
func (e *env) readHead(path string, most int) ([]byte, error) {
	f, err := e.openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, most)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return b[:n], err
}

// writeSmall writes a small file; secret ones for the user alone.
func writeSmall(path string, text []byte, force, secret bool) error {
	f, err := atomicfile.Create(path, force)
	if err != nil {
		return err
	}
	defer f.Discard()
	if secret {
		if err := f.Chmod(0o600); err != nil { // before there is anything to read
			return err
		}
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Commit()
}

// payloadOf reads --payload: text, or hex behind 0x. nil is none.
func payloadOf(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	b := []byte(text)
	if digits, ok := strings.CutPrefix(text, "0x"); ok {
		var err error
		if b, err = hex.DecodeString(digits); err != nil || len(b) == 0 {
			return nil, usagef("--payload %s is no hex: want 0x and an even number of digits", text)
		}
	}
	if len(b) > mark.MaxPayload {
		return nil, budgetf("--payload has %d bits, at most %d fit", 8*len(b), 8*mark.MaxPayload)
	}
	return b, nil
}

// schemeOf returns a scheme by name.
func schemeOf(name string) (mark.Scheme, error) {
	s, err := mark.Find(name)
	if err != nil {
		v := usagef("--scheme: %w", err)
		if n := nearest.Name(name, schemeNames()); n != "" {
			return nil, v.withHint("did you mean %s?", n)
		}
		return nil, v
	}
	return s, nil
}

func schemeNames() []string {
	var names []string
	for _, s := range mark.Schemes() {
		names = append(names, s.Name())
	}
	return names
}

func completeScheme(cmd *cobra.Command) {
	complete(cmd, "scheme", cobra.FixedCompletions(schemeNames(), cobra.ShellCompDirectiveNoFileComp))
}

// readable shows a payload in hex as text too, if it is some.
func readable(inHex string) string {
	b, err := hex.DecodeString(inHex)
	if err != nil || slices.ContainsFunc(b, func(c byte) bool { return c < ' ' || c > '~' }) {
		return "0x" + inHex
	}
	return fmt.Sprintf("0x%s (%q)", inHex, b)
}
