package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ropewalk/internal/atomicfile"
	"ropewalk/internal/nearest"
	"ropewalk/layout"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// The exit statuses, which scripts rely on.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNegative    = 3
	exitRefused     = 4
	exitBudget      = 5
	exitInterrupted = 130
)

// meanings says what each status means, for help and manual.
var meanings = map[int]string{
	exitOK:          "done",
	exitFailure:     "something failed: a file could not be read or written",
	exitUsage:       "the command line is wrong",
	exitNegative:    "the checkpoints differ, do not fit each other, or are not related; the mark is absent",
	exitRefused:     "an input was refused: it is corrupt, unsupported, or the wrong base; trying again is of no use",
	exitBudget:      "cannot be done within the limit that was asked for",
	exitInterrupted: "interrupted; nothing was left behind, but by train a snapshot to go on from, by bench its results, and by demo what it had made",
}

// kinds are the names of the statuses in JSON.
var kinds = map[int]string{
	exitFailure:     "failure",
	exitUsage:       "usage",
	exitNegative:    "negative",
	exitRefused:     "refused",
	exitBudget:      "budget",
	exitInterrupted: "interrupted",
}

// A verdict is an error that knows its exit status.
type verdict struct {
	status int
	err    error  // nil if the answer has said it already
	hint   string // the likely intention, or ""
}

func (v *verdict) Error() string {
	if v.err == nil {
		return meanings[v.status]
	}
	return v.err.Error()
}

func (v *verdict) Unwrap() error { return v.err }

// withHint adds what the user may have wanted.
func (v *verdict) withHint(format string, args ...any) *verdict {
	v.hint = fmt.Sprintf(format, args...)
	return v
}

func usagef(format string, args ...any) *verdict {
	return &verdict{status: exitUsage, err: fmt.Errorf(format, args...)}
}

func budgetf(format string, args ...any) *verdict {
	return &verdict{status: exitBudget, err: fmt.Errorf(format, args...)}
}

var errInterrupted = &verdict{status: exitInterrupted, err: errors.New("interrupted")}

// exitStatus is the one place that maps errors to exit statuses.
func exitStatus(err error) int {
	var v *verdict
	var corrupt *layout.CorruptError
	var unsupported *layout.UnsupportedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &v):
		return v.status
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &corrupt), errors.As(err, &unsupported), errors.As(err, new(*tensor.RangeError)), errors.Is(err, rope.ErrBase):
		return exitRefused
	}
	return exitFailure
}

// hintFor returns a line of help for an error, or "".
func hintFor(err error) string {
	var v *verdict
	var tooLarge *tensor.RangeError
	switch {
	case errors.As(err, &v):
		return v.hint
	case errors.As(err, &tooLarge) && tooLarge.To == tensor.F16:
		return "BF16 has as few bits, and the range of F32"
	case errors.As(err, &tooLarge):
		return "a wider type holds it"
	case errors.Is(err, rope.ErrBase):
		return "name the checkpoint it was packed against with --base"
	case errors.Is(err, atomicfile.ErrIsDir):
		return "name a file"
	case errors.Is(err, fs.ErrExist):
		return "-f replaces it"
	case errors.Is(err, syscall.ENOSPC):
		return "free some space, or write elsewhere"
	}
	return ""
}

// errorResult is the JSON form of an error.
type errorResult struct {
	Schema string `json:"schema"`
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
	Kind   string `json:"kind" about:"failure, usage, negative, refused, budget or interrupted"`
	Status int    `json:"status" about:"the exit status"`
	File   string `json:"file,omitempty" about:"the file that was refused"`
	Offset *int64 `json:"offset,omitempty" about:"where in the file, in bytes"`
}

// report prints err on stderr and returns the exit status.
func (e *env) report(err error, asJSON bool) int {
	e.bar.clear()
	status := exitStatus(err)
	var v *verdict
	switch {
	case err == nil, errors.As(err, &v) && v.err == nil:
		return status // the answer said it
	case errors.Is(err, syscall.EPIPE):
		return status // nobody listens, as after "| head"
	case asJSON:
		b, _ := json.Marshal(newErrorResult(err)) // strings and numbers always marshal
		e.sayf("%s\n", b)
		return status
	}
	e.sayf("ropewalk: error: %s\n", printable(err.Error()))
	if h := hintFor(err); h != "" {
		e.sayf("ropewalk: hint: %s\n", printable(h))
	}
	return status
}

func newErrorResult(err error) *errorResult {
	status := exitStatus(err)
	r := &errorResult{Schema: "ropewalk/error/1", Error: err.Error(), Hint: hintFor(err), Kind: kinds[status], Status: status}
	var corrupt *layout.CorruptError
	var unsupported *layout.UnsupportedError
	at := int64(-1)
	switch {
	case errors.As(err, &corrupt):
		r.File, at = corrupt.File, corrupt.Offset
	case errors.As(err, &unsupported):
		r.File, at = unsupported.File, unsupported.Offset
	}
	if at >= 0 {
		r.Offset = &at
	}
	return r
}

// printable replaces what could steer a terminal: names in files of strangers
// end up in messages.
func printable(s string) string {
	s = strings.ReplaceAll(s, "\n", "; ") // from errors.Join
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

func unknownVerb(root *cobra.Command, name string) error {
	var verbs []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			verbs = append(verbs, c.Name())
		}
	}
	v := usagef("there is no command %q", name)
	if n := nearest.Name(name, verbs); n != "" {
		return v.withHint("did you mean %q?", "ropewalk "+n)
	}
	return v.withHint("\"ropewalk help\" lists the commands")
}

// flagError turns an error of the flag parser into a usage error.
func flagError(cmd *cobra.Command, err error) error {
	v := usagef("%w", err)
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		add := func(f *pflag.Flag) { names = append(names, "--"+f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		if n := nearest.Name("--"+unknown.GetSpecifiedName(), names); n != "" {
			return v.withHint("did you mean %s?", n)
		}
	}
	return v.withHint("%q lists the flags", cmd.CommandPath()+" --help")
}

// arguments checks the number of arguments of a verb.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		var v *verdict
		if len(args) < least {
			v = usagef("%s is missing", what)
		} else {
			v = usagef("%d arguments, want %s", len(args), what)
		}
		return v.withHint("ropewalk %s", cmd.Use)
	}
}
