package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// building guards newRoot, which sets what cobra keeps for the whole process.
var building sync.Mutex

// inside runs a command line of our own in this process, quietly, and returns the last
// line of JSON that it prints: the result of the verb. There may be one beside an error:
// of a verb that has an answer, and a negative one. What the process has one of (how
// many processors it uses, how much memory) stays as it is.
func (e *env) inside(ctx context.Context, args []string) (line []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error in %q: %v", commandLine(args), p)
		}
	}()
	var out bytes.Buffer
	guest := &env{stdin: strings.NewReader(""), stdout: &out, stderr: io.Discard, getenv: func(string) string { return "" }, args: args, guest: true}
	building.Lock()
	root := newRoot(guest)
	building.Unlock()
	args = append(slices.Clip(args), "--json", "--quiet")
	if e.threads > 0 && !hasFlag(args, "--threads") {
		args = append(args, "--threads", strconv.Itoa(e.threads))
	}
	if e.memory > 0 && !hasFlag(args, "--memory") {
		args = append(args, "--memory", strconv.FormatInt(int64(e.memory), 10))
	}
	root.SetArgs(args)
	root.SetIn(guest.stdin)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err = root.ExecuteContext(ctx)
	if i := bytes.LastIndexByte(bytes.TrimRight(out.Bytes(), "\n"), '\n'); i >= 0 {
		out.Next(i + 1)
	}
	if !json.Valid(out.Bytes()) && err == nil {
		err = fmt.Errorf("%q printed no result", commandLine(args))
	}
	return out.Bytes(), err
}

// resultOf runs a command line as inside does, and reads its result. That of a verb with
// a negative answer counts, too.
func resultOf[T any](ctx context.Context, e *env, args []string) (*T, error) {
	line, err := e.inside(ctx, args)
	if err != nil && !isNegative(err) {
		return nil, err
	}
	r := new(T)
	if err := json.Unmarshal(line, r); err != nil {
		return nil, fmt.Errorf("result of %q: %w", commandLine(args), err)
	}
	return r, nil
}

// isNegative reports whether an error is but the status of an answer that was given.
func isNegative(err error) bool {
	v, ok := errors.AsType[*verdict](err)
	return ok && v.status == exitNegative && v.err == nil
}

func hasFlag(args []string, name string) bool {
	for _, a := range args {
		if a == name || strings.HasPrefix(a, name+"=") {
			return true
		}
	}
	return false
}

// commandLine writes arguments as they are typed; they have no blanks in them.
func commandLine(args []string) string { return "ropewalk " + strings.Join(args, " ") }

// parse finds the command of a line and says what is wrong with its flags and arguments,
// without running it. The command is there also if these are wrong.
func parse(args []string) (*cobra.Command, error) {
	guest := &env{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, guest: true}
	building.Lock()
	root := newRoot(guest)
	building.Unlock()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return nil, usagef("%w", err)
	}
	if cmd == root || cmd.HasSubCommands() {
		return nil, unknownVerb(cmd, strings.Join(rest[:min(1, len(rest))], ""))
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return cmd, flagError(cmd, err)
	}
	return cmd, checkArguments(cmd)
}

func checkArguments(cmd *cobra.Command) error {
	if cmd.Args == nil {
		return nil
	}
	return cmd.Args(cmd, cmd.Flags().Args())
}
