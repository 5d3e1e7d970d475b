package train_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ropewalk/checkpoint"
	"ropewalk/engine"
	"ropewalk/layout"
	"ropewalk/train"
)

// childDir names the folder in which the test binary trains instead of testing.
const childDir = "ROPEWALK_TEST_TRAIN_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

// killOptions are those of the run that is killed.
func killOptions(dir string) *train.Options {
	return &train.Options{
		Epochs: 4, Batch: 8, Accumulate: 2, Validation: held(), Average: 0.8, Best: true,
		Optimizer: train.Optimizer{Kind: train.Adam, Rate: 0.02}, Schedule: train.Schedule{Kind: train.Cosine, WarmUp: 0.5},
		Penalties: []train.Penalty{&shrink{Factor: 0.01}, train.On([]string{"fc1.weight"}, &square{})}, Hooks: []train.Hook{&signs{Level: 0.3}},
		Snapshot: filepath.Join(dir, "snapshot"), SnapshotSteps: 2, History: filepath.Join(dir, "history"),
	}
}

// child trains, or goes on, and writes the weights. It is slow enough to be killed
// at any moment.
func child(dir string) int {
	o := killOptions(dir)
	_, err := os.Stat(o.Snapshot)
	o.Resume = err == nil
	o.Progress = func(train.Progress) { time.Sleep(2 * time.Millisecond) }
	p := newPerceptron(width, 10, classes, 3)
	if _, err := train.Fit(context.Background(), p, examples(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := os.WriteFile(filepath.Join(dir, "weights"), encoded(p.values()), 0o666); err != nil {
		return 1
	}
	return 0
}

func encoded(values [][]float32) []byte {
	var b []byte
	for _, v := range values {
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
	}
	return b
}

// A process that is killed at random moments, again and again, ends with the same
// weights and the same history, bit for bit.
func TestKill(t *testing.T) {
	want := newPerceptron(width, 10, classes, 3)
	dir := t.TempDir()
	fit(t, want, killOptions(dir))
	history := events(t, filepath.Join(dir, "history"))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for round := range 4 {
		dir := t.TempDir()
		rng := rand.New(rand.NewPCG(uint64(round), 0))
		for try := 0; ; try++ {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), childDir+"="+dir)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Later and later, so that the run ends in the end.
			patience := time.Duration(10+rng.IntN(20+20*try)) * time.Millisecond
			kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			err := cmd.Wait()
			kill.Stop()
			if err == nil {
				break
			}
			if cmd.ProcessState.ExitCode() >= 0 {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			kills++
		}
		got, err := os.ReadFile(filepath.Join(dir, "weights"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, encoded(want.values())) {
			t.Fatalf("round %d: other weights", round)
		}
		if d := cmp.Diff(history, events(t, filepath.Join(dir, "history"))); d != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, d)
		}
	}
	if kills < 4 {
		t.Errorf("killed only %d times", kills)
	}
}

// snapshotOf returns a snapshot in the middle of a run.
func snapshotOf(t *testing.T, o *train.Options) []byte {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := train.Fit(ctx, &counted{newPerceptron(width, 10, classes, 3), 20, cancel}, examples(), o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b, err := os.ReadFile(o.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func resume(t *testing.T, p engine.Program, o *train.Options) error {
	t.Helper()
	o.Resume = true
	_, err := train.Fit(t.Context(), p, examples(), o)
	return err
}

// A breaking hook fails in the middle of an update, as the run is interrupted.
type breaking struct {
	at   int
	stop func()
}

func (*breaking) Name() string { return "breaking" }

func (b *breaking) Adjust([]engine.Weight) error {
	if b.at--; b.at > 0 {
		return nil
	}
	b.stop()
	return context.Canceled
}

// What is half done is not what a run goes on from.
func TestSnapshotOfWholeUpdates(t *testing.T) {
	o := killOptions(t.TempDir())
	o.SnapshotSteps, o.SnapshotEvery = 0, time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Hooks = []train.Hook{&breaking{at: 5, stop: cancel}}
	if _, err := train.Fit(ctx, newPerceptron(width, 10, classes, 3), examples(), o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(o.Snapshot, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	begun := newPerceptron(width, 10, classes, 3)
	for _, w := range begun.weights {
		got, err := c.Tensors.Lookup("weights/" + w.Name).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, encoded([][]float32{w.Values})) {
			t.Errorf("%s is not what the run began with", w.Name)
		}
	}
}

// A snapshot is a checkpoint like any other.
func TestSnapshotIsReadable(t *testing.T) {
	o := killOptions(t.TempDir())
	snapshotOf(t, o)
	c, err := checkpoint.Open(o.Snapshot, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range []string{"weights/norm.running_mean", "weights/fc1.weight", "first/fc1.weight", "second/fc2.bias", "average/fc1.bias", "best/fc1.weight"} {
		if c.Tensors.Lookup(name) == nil {
			t.Errorf("no tensor %s", name)
		}
	}
}

// Every cut and every changed byte is found, or changes nothing.
func TestSnapshotDamage(t *testing.T) {
	o := killOptions(t.TempDir())
	whole := snapshotOf(t, o)
	want := newPerceptron(width, 10, classes, 3)
	if err := resume(t, want, o); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(t.TempDir(), "damaged")
	refused := 0
	check := func(what string, b []byte) {
		if err := os.WriteFile(damaged, b, 0o666); err != nil {
			t.Fatal(err)
		}
		o := killOptions(t.TempDir())
		o.Snapshot = damaged
		p := newPerceptron(width, 10, classes, 3)
		switch err := resume(t, p, o); {
		case err == nil:
			if !cmp.Equal(want.values(), p.values()) {
				t.Fatalf("%s: not found", what)
			}
		case errors.As(err, new(*layout.CorruptError)), errors.As(err, new(*layout.UnsupportedError)):
			refused++
			if !cmp.Equal(newPerceptron(width, 10, classes, 3).values(), p.values()) {
				t.Fatalf("%s: refused, but the weights have changed", what)
			}
		default:
			t.Fatalf("%s: %v", what, err)
		}
	}
	step := 7 // each is a run of its own
	if testing.Short() {
		step = 61
	}
	n := 0
	for i := 0; i < len(whole); i += step {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i / step % 8)
		check(fmt.Sprint("byte ", i), b)
		n++
	}
	for i := 0; i < len(whole); i += 97 {
		check(fmt.Sprint("cut at ", i), whole[:i])
		n++
	}
	if refused < n*9/10 {
		t.Errorf("%d of %d refused", refused, n)
	}
	o = killOptions(t.TempDir())
	o.Snapshot = "../testdata/fashion-cnn.safetensors"
	if err := resume(t, newPerceptron(width, 10, classes, 3), o); err == nil || !strings.Contains(err.Error(), "is no snapshot of a training run") {
		t.Errorf("another file: %v", err)
	}
}

// A snapshot of another recipe or network says what is different.
func TestSnapshotMismatch(t *testing.T) {
	dir := t.TempDir()
	made := killOptions(dir)
	made.Identity = map[string]string{"network": "lenet5"}
	whole := snapshotOf(t, made)
	tests := []struct {
		name   string
		change func(o *train.Options)
		p      engine.Program
		want   string
	}{
		{"rate", func(o *train.Options) { o.Optimizer.Rate = 0.5 }, nil, "optimizer.rate was 0.02, and is 0.5 now"},
		{"epochs", func(o *train.Options) { o.Epochs = 9 }, nil, "epochs was 4, and is 9 now"},
		{"seed", func(o *train.Options) { o.Seed = 9 }, nil, "seed was 0, and is 9 now"},
		{"penalty", func(o *train.Options) { o.Penalties = nil }, nil, `terms.penalty shrink.Factor was 0.01, and is not set now`},
		{"setting of a penalty", func(o *train.Options) { o.Penalties = []train.Penalty{&shrink{Factor: 0.5}} }, nil, "terms.penalty shrink.Factor was 0.01, and is 0.5 now"},
		{"objective", func(o *train.Options) { o.Objective = train.MSE{} }, nil, `objective.name was "cross-entropy", and is "mse" now`},
		{"identity", func(o *train.Options) { o.Identity = map[string]string{"network": "vgg16"} }, nil, `identity.network was "lenet5", and is "vgg16" now`},
		{"network", func(*train.Options) {}, newPerceptron(width, 11, classes, 3), "weights/fc1.weight is F32 10x6 there, and F32 11x6 here"},
	}
	for _, tt := range tests {
		o := killOptions(dir)
		o.Identity = made.Identity
		tt.change(o)
		p := tt.p
		if p == nil {
			p = newPerceptron(width, 10, classes, 3)
		}
		err := resume(t, p, o)
		if m, ok := errors.AsType[*train.MismatchError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v (%v), want %s", tt.name, err, m, tt.want)
		}
		now, err := os.ReadFile(made.Snapshot)
		if err != nil || !bytes.Equal(now, whole) {
			t.Fatalf("%s: the snapshot was changed", tt.name)
		}
	}
}
