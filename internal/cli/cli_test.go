package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"pgregory.net/rapid"

	"ropewalk/layout"
	"ropewalk/rope"
)

func TestExitStatus(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{fs.ErrNotExist, 1},
		{syscall.ENOSPC, 1},
		{usagef("wrong"), 2},
		{fmt.Errorf("wrapped: %w", usagef("wrong").withHint("right")), 2},
		{&verdict{status: exitNegative}, 3},
		{&layout.CorruptError{File: "a", Err: io.ErrUnexpectedEOF}, 4},
		{fmt.Errorf("wrapped: %w", &layout.UnsupportedError{File: "a"}), 4},
		{errors.Join(&layout.CorruptError{}, errors.New("close")), 4},
		{fmt.Errorf("%w: other", rope.ErrBase), 4},
		{budgetf("too small"), 5},
		{context.Canceled, 130},
		{errInterrupted, 130},
	}
	for _, tt := range tests {
		if got := exitStatus(tt.err); got != tt.want {
			t.Errorf("%v: status %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestReport(t *testing.T) {
	tests := []struct {
		err    error
		asJSON bool
		want   string
	}{
		{nil, false, ""},
		{&verdict{status: exitNegative}, true, ""},
		{fmt.Errorf("write |1: %w", syscall.EPIPE), false, ""},
		{errors.New("a\x1b[31m\nb"), false, "ropewalk: error: a\uFFFD[31m; b\n"},
		{usagef("x").withHint("y"), false, "ropewalk: error: x\nropewalk: hint: y\n"},
		{usagef("x").withHint("y"), true, `{"schema":"ropewalk/error/1","error":"x","hint":"y","kind":"usage","status":2}` + "\n"},
		{
			&layout.CorruptError{File: "f", Offset: 7, Reason: "bad"}, true,
			`{"schema":"ropewalk/error/1","error":"f: at byte 7: bad","kind":"refused","status":4,"file":"f","offset":7}` + "\n",
		},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		e := &env{stderr: &b}
		e.report(tt.err, tt.asJSON)
		if d := cmp.Diff(tt.want, b.String()); d != "" {
			t.Errorf("%v (-want +got):\n%s", tt.err, d)
		}
	}
}

// A panic is a failure with a stack, and not a crash.
func TestPanic(t *testing.T) {
	var b bytes.Buffer
	e := &env{stdout: io.Discard, stderr: &b, getenv: func(string) string { panic("boo") }}
	if got := e.run(t.Context(), []string{"version"}); got != exitFailure {
		t.Errorf("status %d, want 1", got)
	}
	if s := b.String(); !strings.HasPrefix(s, "ropewalk: error: internal error: boo\ngoroutine ") {
		t.Errorf("stderr: %q", s)
	}
}

// Every command has what a user needs: what it is for, at least two examples,
// and what its statuses mean.
func TestCommands(t *testing.T) {
	root := newRoot(&env{})
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			continue
		}
		t.Run(cmd.Name(), func(t *testing.T) {
			if cmd.Short == "" || cmd.Long == "" {
				t.Error("no purpose")
			}
			if n := strings.Count(cmd.Example, "  # "); n < 2 {
				t.Errorf("%d examples, want 2 or more", n)
			}
			if len(exitLines(cmd)) < 3 {
				t.Error("no exit statuses")
			}
			for line := range strings.Lines(cmd.Long) {
				if len(line) > 81 {
					t.Errorf("the line %q is too long", line)
				}
			}
			checkExamples(t, root, cmd)
		})
	}
}

// checkExamples parses the flags of each example.
func checkExamples(t *testing.T, root, cmd *cobra.Command) {
	for line := range strings.Lines(cmd.Example) {
		words := strings.Fields(strings.TrimSuffix(strings.SplitN(line, "|", 2)[0], "\n"))
		if len(words) < 2 || words[0] != root.Name() {
			continue
		}
		c, rest, err := root.Find(words[1:])
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestByteSize(t *testing.T) {
	tests := []struct {
		text string
		want byteSize
	}{
		{"0", 0},
		{"1024", 1024},
		{"512MiB", 512 << 20},
		{"64M", 64 << 20},
		{"64 m", 64 << 20},
		{"2GB", 2e9},
		{"2 GiB", 2 << 30},
		{"1.5k", 1536},
		{"1tb", 1e12},
	}
	for _, tt := range tests {
		var got byteSize
		if err := got.Set(tt.text); err != nil || got != tt.want {
			t.Errorf("%q: %d, %v, want %d", tt.text, int64(got), err, int64(tt.want))
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1XB", "1 MiB more", "1MiBB", "NaN", "Inf", "1e30", "9223372036854775808"} {
		var got byteSize
		if err := got.Set(text); err == nil {
			t.Errorf("%q is %d, want an error", text, int64(got))
		}
	}
}

func TestByteSizeString(t *testing.T) {
	for n, want := range map[byteSize]string{
		0: "0 B", 1: "1 B", 999: "999 B", 1000: "0.98 KiB", 1024: "1.00 KiB",
		10_234: "9.99 KiB", 10_235: "10.0 KiB", 907_827: "887 KiB", 1 << 20: "1.00 MiB",
		1_090_519: "1.04 MiB", 5 << 40: "5.00 TiB", math.MaxInt64: "8.00 EiB",
	} {
		if got := n.String(); got != want {
			t.Errorf("%d: %q, want %q", int64(n), got, want)
		}
	}
}

// What is printed reads back as about the same.
func TestByteSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := byteSize(rapid.Int64Range(0, 1<<49).Draw(t, "n"))
		var back byteSize
		if err := back.Set(n.String()); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(back-n)) > 0.0052*float64(n) { // half of the last of three digits
			t.Errorf("%d is printed as %v", int64(n), n)
		}
	})
}

func TestCommas(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -999: "-999", -123456: "-123,456"} {
		if got := commas(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	tests := []struct {
		amount  amount
		elapsed time.Duration
		want    string
	}{
		{amount{0, 100 << 20, false}, time.Second, "pack   0 %  0 B of 100 MiB"},
		{amount{25 << 20, 100 << 20, false}, 10 * time.Second, "pack  25 %  25.0 MiB of 100 MiB  2.50 MiB/s  0:30 left"},
		{amount{1 << 20, 10 << 30, false}, 10 * time.Second, "pack   0 %  1.00 MiB of 10.0 GiB  102 KiB/s  28:26:30 left"},
		{amount{200, 100, false}, time.Second, "pack 100 %  100 B of 100 B  100 B/s  0:00 left"},
		{amount{7, 0, false}, 70 * time.Second, "pack  1m10s"}, // a pipe
		{amount{25, 100, true}, 10 * time.Second, "pack  25 %  0:30 left"},
	}
	for _, tt := range tests {
		if got := tt.amount.line("pack", tt.elapsed); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.amount, got, tt.want)
		}
	}
}

// Callbacks that come late, or twice, do not count.
func TestProgressPart(t *testing.T) {
	e := &env{stderr: io.Discard, quiet: true}
	p := e.progress("pack", 100)
	defer p.stop()
	a, b := p.part(60), p.part(40)
	for _, n := range []int64{1, 5, 3, 5, 9} {
		a(n, 10)
	}
	b(1, 2)
	b(0, 0)
	if got := p.done.Load(); got != 74 {
		t.Errorf("%d bytes done, want 54 + 20", got)
	}
}

func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	p := &progress{w: &b, verb: "pack"}
	p.total.Store(1 << 20)
	p.done.Store(1 << 19)
	p.show(time.Second)
	p.clear()
	if want := "ropewalk: pack  50 %  512 KiB of 1.00 MiB  512 KiB/s  0:01 left\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	p.live = true
	p.show(time.Second)
	p.clear()
	p.clear()
	if want := "\rpack  50 %  512 KiB of 1.00 MiB  512 KiB/s  0:01 left\x1b[K\r\x1b[K"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestWildcard(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"", "anything", true},
		{"*", "", true},
		{"layers.*.weight", "layers.0.attn.weight", true},
		{"layers.?.weight", "layers.10.weight", false},
		{"layers.?.weight", "layersx1.weight", false},
		{"a", "ab", false},
		{"*[0]*", "x[0]y", true},
		{"*", "a\nb", true},
	}
	for _, tt := range tests {
		m, err := wildcard(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := m(tt.name); got != tt.want {
			t.Errorf("%q ~ %q: %v", tt.pattern, tt.name, got)
		}
	}
}

func TestTree(t *testing.T) {
	var ts []tensorInfo
	for _, name := range []string{
		"embed.weight", "layers.0.a.weight", "layers.0.a.bias", "layers.1.weight", "a", "a.b",
		"/model/x", "/model/y", "end.", "", strings.Repeat("d.", 100) + "x",
	} {
		in := tensorInfo{Bytes: 1}
		in.Name = name
		ts = append(ts, in)
	}
	var got strings.Builder
	for _, l := range treeOf(ts) {
		fmt.Fprintf(&got, "%s %d\n", l.label, l.bytes)
	}
	want := `embed.weight 1
layers. 3
  0.a. 2
    weight 1
    bias 1
  1.weight 1
a 1
a.b 1
/model/ 2
  x 1
  y 1
end. 1
"" 1
` + strings.Repeat("d.", 100) + "x 1\n"
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
}

// An interrupted run says so with its status and leaves no file.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no way to send an interrupt to a process")
	}
	if testing.Short() {
		t.Skip("codes some megabytes")
	}
	for name, args := range map[string][]string{
		"pack":  {"pack", "-q", "--effort", "max", "--threads", "1", "in.safetensors"},
		"step":  {"pack", "-q", "--effort", "max", "--step", "0.5", "in.safetensors"},
		"bits":  {"pack", "-q", "--effort", "max", "--bits", "3", "in.safetensors"},
		"stdin": {"pack", "-", "-o", "out.rope"}, // waits for input that never comes
	} {
		for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			t.Run(name+"/"+sig.String(), func(t *testing.T) { interrupt(t, args, sig) })
		}
	}
}

func interrupt(t *testing.T, args []string, sig os.Signal) {
	dir, temp := t.TempDir(), t.TempDir()
	if err := writeModel(filepath.Join(dir, "in.safetensors"), modelOf(1, 4<<20, 0.05)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ropewalk", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Work has begun when there is a temporary file.
	for begun := time.Now(); len(glob(t, dir, ".ropewalk-*"))+len(glob(t, temp, "*")) == 0; {
		if time.Since(begun) > time.Minute {
			t.Fatal("nothing happens")
		}
		runtime.Gosched()
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("%v, want status 130", err)
	}
	if got := stderr.String(); got != "ropewalk: error: interrupted\n" {
		t.Errorf("stderr: %q", got)
	}
	left := append(glob(t, dir, "*"), glob(t, temp, "*")...)
	if len(left) != 1 || filepath.Base(left[0]) != "in.safetensors" {
		t.Errorf("left behind: %q", left)
	}
}

// glob finds hidden files, too.
func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if ok, err := filepath.Match(pattern, e.Name()); ok && err == nil {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}

// A result that only standard output could take is not lost without a word.
func TestClosedStdout(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no shell")
	}
	dir := t.TempDir()
	if err := writeModel(filepath.Join(dir, "m.safetensors"), modelOf(1, 4096, 0.05)); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]int{
		"ropewalk inspect m.safetensors >&-":                                                  exitFailure,
		"ropewalk inspect m.safetensors >/dev/null":                                           exitOK,
		"ropewalk inspect m.safetensors 1<>/dev/full":                                         exitFailure,
		"ropewalk pack m.safetensors -o - >&-":                                                exitFailure,
		"ropewalk pack - < m.safetensors >&-":                                                 exitFailure,
		"ropewalk pack m.safetensors -o - >/dev/null":                                         exitOK,
		"ropewalk eval --net lenet5 --weights m.safetensors --data builtin:fashion-mnist >&-": exitFailure,
		// The result of these is a file, or a status.
		"ropewalk pack -f m.safetensors >&-":            exitOK,
		"ropewalk diff m.safetensors m.safetensors >&-": exitOK,
	} {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: status %d (%v), want %d; %s", line, got, err, want, out)
		}
		if closed := strings.Contains(string(out), "error: standard output is closed, and the answer would be lost"); closed != (want == exitFailure && strings.Contains(line, ">&-")) {
			t.Errorf("%s: %s", line, out)
		}
	}
}
