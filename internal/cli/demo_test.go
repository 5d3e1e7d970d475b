package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ropewalk/checkpoint"
)

// The demo says what is so: every number that it prints is that of a file, and every
// command that it names makes the files again. ROPEWALK_DEMO takes the full demo in the
// place of the fast one, and types the trainings again, too.
func TestDemo(t *testing.T) {
	full := os.Getenv("ROPEWALK_DEMO") != ""
	if testing.Short() && !full {
		t.Skip("it trains two networks")
	}
	d := &demoFolderTest{t: t, dir: filepath.Join(t.TempDir(), "story"), full: full}
	args := []string{"demo", "-q", d.dir}
	if !full {
		args = append(args, "--fast")
	}
	start := time.Now()
	out := d.ropewalk(".", args...)
	t.Logf("%.0f s\n%s", time.Since(start).Seconds(), out)

	story := regexp.MustCompile(`(?m)^ ?\d+  (.*)\n      \$ ropewalk (.*)$`).FindAllStringSubmatch(out, -1)
	if len(story) != demoSteps {
		t.Fatalf("%d steps, want %d", len(story), demoSteps)
	}
	text := map[string]string{} // by verb and file
	for _, s := range story {
		text[about(s[2])] = s[1]
	}
	d.numbers(text)

	for _, s := range story {
		words := strings.Fields(s[2])
		if words[1] == "keygen" || words[0] == "train" && !full {
			continue
		}
		d.again(words)
	}
}

// about is the verb of a command and the file that it is about.
func about(command string) string {
	words := strings.Fields(command)
	verb := words[0]
	if verb == "mark" {
		return "mark " + words[1]
	}
	if i := len(words) - 2; words[i] == "-o" {
		return verb + " " + words[i+1]
	}
	return verb
}

type demoFolderTest struct {
	t    *testing.T
	dir  string
	full bool
}

// ropewalk runs the program in a folder and returns what it prints.
func (d *demoFolderTest) ropewalk(dir string, args ...string) string {
	d.t.Helper()
	cmd := exec.Command("ropewalk", args...)
	cmd.Dir = dir
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && args[0] == "verify" && exit.ExitCode() == exitNegative {
		err = nil // it is not what it was
	}
	if err != nil {
		d.t.Fatalf("ropewalk %s: %v\n%s", strings.Join(args, " "), err, talk.Bytes())
	}
	return out.String()
}

// result runs the program in the folder and reads the result.
func (d *demoFolderTest) result(to any, args ...string) {
	d.t.Helper()
	line := d.ropewalk(d.dir, append(args, "--json", "-q")...)
	if err := json.Unmarshal([]byte(line), to); err != nil {
		d.t.Fatalf("%q: %v", args, err)
	}
}

func (d *demoFolderTest) size(name string) string {
	st, err := os.Stat(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return commas(st.Size())
}

func (d *demoFolderTest) right(name string) string {
	var r evalResult
	d.result(&r, "eval", name, "--data", demoData)
	return percent(*r.Result.Top1)
}

// dtype is the type that all tensors of a file have.
func (d *demoFolderTest) dtype(name string) string {
	var r inspectResult
	d.result(&r, "inspect", name)
	for _, x := range r.Tensors {
		if x.DType != r.Tensors[0].DType {
			d.t.Errorf("%s has %s and %s", name, x.DType, r.Tensors[0].DType)
		}
	}
	return string(r.Tensors[0].DType)
}

// numbers holds the numbers of the story against the files.
func (d *demoFolderTest) numbers(text map[string]string) {
	all := func(key, pattern string, want ...string) {
		d.t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(text[key])
		if m == nil {
			d.t.Errorf("%s: %q does not match %q", key, text[key], pattern)
			return
		}
		for i, w := range want {
			if m[i+1] != w {
				d.t.Errorf("%s says %q where it is %q: %s", key, m[i+1], w, text[key])
			}
		}
	}
	if d.full {
		all("train float.safetensors", `on ([\d,]+) images: ([\d,]+) bytes, ([\d.]+ %) of ([\d,]+) test`, "6,000", d.size(demoFloat), d.right(demoFloat), "1,000")
	} else {
		all("unpack float.safetensors", `, in (\S+): ([\d,]+) bytes, ([\d.]+ %) of ([\d,]+) test`, d.dtype(demoFloat), d.size(demoFloat), d.right(demoFloat), "1,000")
	}

	var packed struct{ Float, Small int64 }
	for name, to := range map[string]*int64{demoFloat: &packed.Float, demoSmall: &packed.Small} {
		st, err := os.Stat(filepath.Join(d.dir, name))
		if err != nil {
			d.t.Fatal(err)
		}
		*to = st.Size()
	}
	lossless, err := os.Stat(filepath.Join(d.dir, demoLossless))
	if err != nil {
		d.t.Fatal(err)
	}
	all("pack float.rope", `: ([\d,]+) bytes, ([\d.]+ %)`, d.size(demoLossless), percent(float64(lossless.Size())/float64(packed.Float)))

	var i inspectResult
	d.result(&i, "inspect", "--stats", demoSmall)
	values, zeros := int64(0), int64(0)
	for _, w := range i.Tensors {
		if len(w.Shape) > 1 { // all of them are quantized
			values += w.Stats.Values
			zeros += w.Stats.Zeros
		}
	}
	times := strconv.FormatFloat(float64(packed.Float)/float64(packed.Small), 'f', 1, 64)
	all("train small.rope", `: ([\d,]+) bytes, ([\d.]+) times fewer, ([\d.]+ %) right`, d.size(demoSmall), times, d.right(demoSmall))

	weights := int64(0)
	for _, l := range i.Ledger {
		if l.Name != "" || l.Part == "tensors" {
			weights += l.Bytes
		}
	}
	all("inspect", `: ([\d,]+) in tensors, ([\d,]+) in .*; ([\d,]+) of ([\d,]+) weights`, commas(weights), commas(packed.Small-weights), commas(values-zeros), commas(values))

	var key markListResult
	d.result(&key, "mark", "list", demoKey)
	all("mark keygen", `: ([0-9a-f]+)$`, key.Files[0].Key)

	changed, of := d.changed()
	all("mark embed", `: ([\d,]+) of ([\d,]+) weights.*; ([\d,]+) bytes, ([\d.]+ %)`, commas(changed), commas(of), d.size(demoReleased), d.right(demoReleased))
	all("attack stolen.safetensors", `; ([\d.]+ %) right`, d.right(demoStolen))
	sparse := true
	for _, w := range i.Tensors {
		sparse = sparse && (len(w.Shape) < 2 || 2*w.Stats.Zeros >= w.Stats.Values)
	}
	if is := strings.Contains(text["attack stolen.safetensors"], "zeros already"); is != sparse {
		d.t.Errorf("half of each layer is zero: %v; the story says %q", sparse, text["attack stolen.safetensors"])
	}

	var v verifyResult
	d.result(&v, "verify", demoStolen, "--against", demoSmall)
	all("verify", `: (.*?) \((.*)\); (\S+) is a page`, string(v.Comparison.Verdict), v.Summary, demoReport)
	if page, err := os.ReadFile(filepath.Join(d.dir, demoReport)); err != nil || !bytes.Contains(page, []byte(v.Comparison.Verdict)) {
		d.t.Errorf("the page has no verdict %q (%v)", v.Comparison.Verdict, err)
	}

	var l alignResult
	d.result(&l, "align", "--to", demoSmall, demoStolen, "--map", demoTruth)
	all("align restored.safetensors", `^(.*): ([\d,]+) of ([\d,]+) neurons.* and ([\d.]+) %`,
		l.Verdict, commas(int64(l.Certain)), commas(int64(l.Neurons)), strconv.FormatFloat(l.Truth.Psi, 'f', 2, 64))

	var x markExtractResult
	d.result(&x, "mark", "extract", demoStolen, "--key", demoKey, "--reference", demoSmall, "--commitment", demoCommitment)
	all("mark extract", `the mark is (\w+): .* at most (\S+) \(threshold (\S+)\)`, "present", power(x.Verdict.Log10P), power(x.Verdict.Threshold))
	if !x.Verdict.Present || !x.Committed {
		d.t.Errorf("verdict %+v, committed %v", x.Verdict, x.Committed)
	}
}

// changed counts the weights that the mark has changed, and all in these tensors.
func (d *demoFolderTest) changed() (changed, of int64) {
	a, err := checkpoint.Open(filepath.Join(d.dir, demoSmall), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer a.Close()
	b, err := checkpoint.Open(filepath.Join(d.dir, demoReleased), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer b.Close()
	for _, x := range a.Tensors.All() {
		if len(x.Shape) < 2 {
			continue
		}
		before, err := x.Bytes()
		if err != nil {
			d.t.Fatal(err)
		}
		after, err := b.Tensors.Lookup(x.Name).Bytes()
		if err != nil {
			d.t.Fatal(err)
		}
		of += x.Elems()
		for i := 0; i < len(before); i += 4 {
			if !bytes.Equal(before[i:i+4], after[i:i+4]) {
				changed++
			}
		}
	}
	return changed, of
}

// again types a command in the folder, and sees that it makes the same files. A
// commitment has a time in it, and salt.
func (d *demoFolderTest) again(words []string) {
	before := map[string][]byte{}
	for _, w := range words[1:] {
		if b, err := os.ReadFile(filepath.Join(d.dir, w)); err == nil && w != demoCommitment && w != demoReport {
			before[w] = b
		}
	}
	made := false
	for i, w := range words {
		made = made || w == "-o"
		if w == "-o" || w == "--map" && words[0] == "attack" || w == "--report" || w == "--commitment" && words[1] == "embed" {
			if err := os.Remove(filepath.Join(d.dir, words[i+1])); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	if made && words[0] != "inspect" {
		words = append(slices.Clip(words), "-f")
	}
	d.ropewalk(d.dir, append(words, "-q")...)
	for name, was := range before {
		is, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			d.t.Fatal(err)
		}
		if !bytes.Equal(was, is) {
			d.t.Errorf("%s: %s is another file than the demo made", commandLine(words), name)
		}
	}
}

// Ctrl-C ends it, and says how to go on.
func TestDemoInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no way to send an interrupt to a process")
	}
	dir := t.TempDir()
	cmd := exec.Command("ropewalk", "demo", "--fast", "--seed", "3", "-q", "x y")
	cmd.Dir = dir
	var talk bytes.Buffer
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "x y", demoSmall+lockExt)); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || exit.ExitCode() != exitInterrupted {
		t.Errorf("it ended with %v, want status %d", exit, exitInterrupted)
	}
	if want := "x y holds what was made; ropewalk demo -f --fast --seed 3 'x y' begins anew"; !strings.Contains(talk.String(), want) {
		t.Errorf("it says %q, which has no %q", talk.String(), want)
	}
}

// Every command line of the demo is one that the program takes.
func TestAccepts(t *testing.T) {
	for _, tt := range []struct {
		line string
		ok   bool
	}{
		{"pack a -o b", true},
		{"mark keygen -o k", true},
		{"pack", false},
		{"pack a --nonsense", false},
		{"mark", false},
		{"", false},
		{"nonsense", false},
	} {
		if _, err := parse(strings.Fields(tt.line)); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.line, err)
		}
	}
}
