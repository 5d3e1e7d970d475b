// Package cli is the command line: one verb per file, and the only place that
// knows flags, exit codes, JSON and terminals.
//
// A verb is an options struct, a function that makes its command, and a
// function that does the work and gives its result, a plain struct:
//
//	flags ──► options ──► run ──► result ──► text on stdout, or one line of JSON
//	                       │
//	                       └────► error ──► "ropewalk: error: …" on stderr, exit code
//
// The answer goes to stdout and everything else to stderr. Results are defined
// by docs/schema; fields are only ever added.
package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// Main runs the program with the arguments and files of the process and
// returns its exit status.
func Main() int {
	// A reader that went away is an error of the write, which removes
	// temporary files on its way up, not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, lost: isLost(os.Stdout)}
	return e.run(ctx, os.Args[1:])
}

// An env is what verbs know of the world outside: standard files, and the
// flags that all verbs share.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lost           bool     // stdout was closed
	args           []string // the command line
	guest          bool     // a verb runs it, inside of its own process
	getenv         func(string) string

	json, quiet, verbose bool

	threads int
	memory  byteSize

	bar *progress // of the job that goes on, or nil

	// opener opens what is read, in the place of os.Open: in a folder that nothing leads out of.
	opener func(path string) (*os.File, error)
	// history bounds histories of runs, in bytes; 0 is maxHistory.
	history int64
}

// openFile opens a file to be read.
func (e *env) openFile(path string) (*os.File, error) {
	if e.opener != nil {
		return e.opener(path)
	}
	return os.Open(path)
}

// run runs one command line and returns the exit status.
func (e *env) run(ctx context.Context, args []string) (status int) {
	defer func() {
		if p := recover(); p != nil {
			status = e.report(fmt.Errorf("internal error: %v", p), e.json)
			e.sayf("%s", debug.Stack())
		}
	}()
	e.args = args
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	err := root.ExecuteContext(ctx)
	var own *verdict // which knows how to go on
	if err != nil && ctx.Err() != nil && !(errors.As(err, &own) && own.status == exitInterrupted) {
		err = errInterrupted
	}
	// Flags that could not be parsed leave e.json as it was.
	return e.report(err, e.json || slices.Contains(args, "--json"))
}

// newRoot returns the whole tree of commands.
func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "ropewalk",
		Short: "pack neural-network checkpoints without loss",
		Long: `Ropewalk makes the files of neural networks smaller and restores them byte for
byte; it trains and judges networks, attacks them, and finds which neuron is
which. It reads safetensors (also sharded), ONNX (also with external data),
PyTorch, npz and npy files, and its own .rope files, told apart by their
contents. It never changes its inputs and never uses the network.`,
		Example: example(
			"pack a checkpoint, look at what is in it, and restore it", "ropewalk pack model.safetensors\nropewalk inspect model.safetensors.rope\nropewalk unpack model.safetensors.rope -o restored.safetensors",
			"through a pipe", "ropewalk pack - < model.onnx | ssh host 'ropewalk unpack - > model.onnx'",
		),
		Args:               cobra.ArbitraryArgs,
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true, // see unknownVerb
		Version:            programVersion(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownVerb(cmd, args[0])
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return e.settle(cmd.Flags())
		},
	}
	cobra.EnableCommandSorting = false // the verbs of every day first
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _ = writeHelp(cmd.OutOrStdout(), cmd) })
	root.SetFlagErrorFunc(flagError)
	fs := root.PersistentFlags()
	fs.SortFlags = false
	fs.BoolVar(&e.json, "json", false, "print results, and errors, as one line of JSON each")
	fs.BoolVarP(&e.quiet, "quiet", "q", false, "no progress and no remarks on standard error")
	fs.BoolVarP(&e.verbose, "verbose", "v", false, "say more")
	fs.IntVar(&e.threads, "threads", 0, "use `N` processors; 0 is all (ROPEWALK_THREADS)")
	fs.Var(&e.memory, "memory", "keep blocks in work below that, as 512MiB or 2GB (ROPEWALK_MEMORY)")
	fs.Lookup("memory").DefValue = "0" // else help says (default 0 B)
	exits(root, exitUsage)
	root.SetHelpCommand(newHelp())
	root.AddCommand(
		newPack(e), newUnpack(e), newInspect(e), newDiff(e), newTest(e),
		newTrain(e), newEval(e), newAlign(e), newVerify(e), newPassport(e), newAttack(e), newMark(e),
		newReport(e), newServe(e), newDemo(e), newBench(e),
		newCompletion(), newMan(), newVersion(e),
	)
	return root
}

// settle takes flags that were not given from the environment, and checks them.
func (e *env) settle(fs *pflag.FlagSet) error {
	for name, key := range map[string]string{"threads": "ROPEWALK_THREADS", "memory": "ROPEWALK_MEMORY"} {
		v := e.getenv(key)
		if v == "" || fs.Changed(name) {
			continue
		}
		if err := fs.Lookup(name).Value.Set(v); err != nil {
			return usagef("%s=%s: %v", key, v, err)
		}
	}
	if e.threads < 0 {
		return usagef("--threads is %d, want 0 (all) or more", e.threads)
	}
	if e.threads > 0 && !e.guest {
		runtime.GOMAXPROCS(e.threads)
	}
	if e.memory > 0 {
		if e.memory < minMemory {
			return budgetf("--memory is %v, the least is %v", e.memory, minMemory)
		}
		if !e.guest {
			debug.SetMemoryLimit(int64(e.memory)) // the collector works harder close to it
		}
	}
	return nil
}

// minMemory holds one block in work, with the models that code it.
const minMemory byteSize = 32 << 20

// An answer is the result of a verb. Its fields are its JSON form.
type answer interface {
	text(w *bufio.Writer)
}

// answer prints the result of a verb on stdout.
func (e *env) answer(a answer) error { return e.print(e.stdout, a) }

// remark prints the result of a verb on stderr, because its data is on stdout.
func (e *env) remark(a answer) error {
	if e.quiet {
		return nil
	}
	return e.print(e.stderr, a)
}

func (e *env) print(w io.Writer, a answer) error {
	e.bar.clear()
	if e.json {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(a)
	}
	b := bufio.NewWriter(w)
	a.text(b)
	return b.Flush()
}

// notef says something on stderr that is neither answer nor error.
func (e *env) notef(format string, args ...any) {
	if !e.quiet {
		e.bar.clear()
		e.sayf("ropewalk: %s\n", printable(fmt.Sprintf(format, args...)))
	}
}

// sayf prints on stderr. If that fails, nobody is left to be told.
func (e *env) sayf(format string, args ...any) { _, _ = fmt.Fprintf(e.stderr, format, args...) }

// isTerminal reports whether a standard file is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
