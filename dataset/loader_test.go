package dataset_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/dataset"
	"ropewalk/tensor"
)

// pixels makes a source of n small images with labels i % 3.
func pixels(t testing.TB, n int) *dataset.Memory {
	t.Helper()
	shape := tensor.Shape{2, 6, 5}
	labels := make([]int, n)
	for i := range labels {
		labels[i] = i % 3
	}
	m, err := dataset.NewPixels(shape, ramp(n*60), labels)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func loader(t testing.TB, s dataset.Source, o *dataset.LoaderOptions) *dataset.Loader {
	t.Helper()
	l, err := dataset.NewLoader(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// epoch returns copies of the batches.
func epoch(t testing.TB, l *dataset.Loader, number uint64, from int) []dataset.Batch {
	t.Helper()
	var all []dataset.Batch
	for b, err := range l.Epoch(t.Context(), number, from) {
		if err != nil {
			t.Fatal(err)
		}
		c := *b
		c.Shape, c.Inputs, c.Labels = slices.Clone(b.Shape), slices.Clone(b.Inputs), slices.Clone(b.Labels)
		c.Soft, c.Indices = slices.Clone(b.Soft), slices.Clone(b.Indices)
		all = append(all, c)
	}
	return all
}

// An epoch has every example once, as the source has it.
func TestEpoch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, batch := rapid.IntRange(1, 40).Draw(rt, "examples"), rapid.IntRange(1, 15).Draw(rt, "batch")
		o := &dataset.LoaderOptions{
			Batch: batch, Shuffle: rapid.Bool().Draw(rt, "shuffle"), Seed: rapid.Uint64().Draw(rt, "seed"),
			Workers: rapid.IntRange(1, 5).Draw(rt, "workers"), Prefetch: rapid.IntRange(1, 6).Draw(rt, "prefetch"),
			DropLast: n >= batch && rapid.Bool().Draw(rt, "drop last"),
		}
		s := pixels(t, n)
		l := loader(t, s, o)
		want, labels := examples(t, s)
		var seen []int
		for k, b := range epoch(t, l, rapid.Uint64().Draw(rt, "epoch"), 0) {
			if b.Number != k || b.Shape[0] != int64(len(b.Indices)) || len(b.Inputs) != 60*len(b.Indices) || b.Soft != nil {
				rt.Fatalf("batch %d: number %d, shape %v, %d indices, %d inputs", k, b.Number, b.Shape, len(b.Indices), len(b.Inputs))
			}
			for at, i := range b.Indices {
				if !slices.Equal(b.Inputs[at*60:(at+1)*60], want[i]) || b.Labels[at] != labels[i] {
					rt.Fatalf("batch %d: example %d differs from the source's", k, i)
				}
			}
			seen = append(seen, b.Indices...)
		}
		if !o.Shuffle && !slices.IsSorted(seen) {
			rt.Fatalf("the order is %v", seen)
		}
		slices.Sort(seen)
		expect := n
		if o.DropLast {
			expect = n / batch * batch
		}
		if len(slices.Compact(seen)) != expect {
			rt.Fatalf("%d different examples, want %d", len(slices.Compact(seen)), expect)
		}
	})
}

var everything = &dataset.Augmentation{Rotate: 20, Shift: .2, Scale: .2, Crop: 2, Flip: true, Mixup: .4, CutMix: 1}

// Batches do not depend on the number of workers, and an epoch can go on in the
// middle.
func TestDeterministic(t *testing.T) {
	s, err := dataset.Normalise(pixels(t, 50), dataset.Normalisation{Mean: []float32{.4, .6}, Std: []float32{.2, .3}})
	if err != nil {
		t.Fatal(err)
	}
	o := dataset.LoaderOptions{Batch: 7, Shuffle: true, Seed: 5, Augment: everything, Classes: 3, Workers: 1, Prefetch: 1}
	want := epoch(t, loader(t, s, &o), 3, 0)
	for _, c := range []struct{ workers, prefetch, from int }{{1, 8, 0}, {4, 3, 0}, {8, 20, 0}, {3, 2, 4}, {2, 2, 8}} {
		o.Workers, o.Prefetch = c.workers, c.prefetch
		if diff := cmp.Diff(want[c.from:], epoch(t, loader(t, s, &o), 3, c.from), cmp.Transformer("slice", func(b []dataset.Batch) []dataset.Batch { return append([]dataset.Batch{}, b...) })); diff != "" {
			t.Errorf("%+v: %s", c, diff)
		}
	}
	// The example, not its place, decides how it is varied.
	o.Shuffle, o.Augment = false, &dataset.Augmentation{Rotate: 20, Crop: 2, Flip: true}
	straight := epoch(t, loader(t, s, &o), 3, 0)
	o.Shuffle = true
	for _, b := range epoch(t, loader(t, s, &o), 3, 0) {
		for at, i := range b.Indices {
			if !slices.Equal(b.Inputs[at*60:(at+1)*60], straight[i/7].Inputs[i%7*60:(i%7+1)*60]) {
				t.Fatalf("example %d is varied in another way at another place", i)
			}
		}
	}
	// Seeds and epochs matter.
	for _, other := range []struct{ seed, number uint64 }{{6, 3}, {5, 4}} {
		o.Seed = other.seed
		if cmp.Equal(want[0].Indices, epoch(t, loader(t, s, &o), other.number, 0)[0].Indices) {
			t.Errorf("%+v has the same order", other)
		}
	}
}

// Soft targets are shares.
func TestSoft(t *testing.T) {
	s := pixels(t, 40)
	mixed := 0
	for _, a := range []*dataset.Augmentation{nil, {Mixup: 1}, {CutMix: 1}, everything} {
		for _, b := range epoch(t, loader(t, s, &dataset.LoaderOptions{Batch: 40, Augment: a, Classes: 3}), 0, 0) {
			for at, c := range b.Labels {
				sum := float32(0)
				for _, v := range b.Soft[at*3 : at*3+3] {
					if sum += v; v < 0 {
						t.Errorf("a share of %v", v)
					}
				}
				if math.Abs(float64(sum-1)) > 1e-6 {
					t.Errorf("shares have the sum %v", sum)
				}
				if own := b.Soft[at*3+c]; a == nil && own != 1 {
					t.Errorf("without mixing, the share of the own class is %v", own)
				} else if own < 1 {
					mixed++
				}
			}
		}
	}
	if mixed < 30 {
		t.Errorf("only %d of 120 examples are mixed with another class", mixed)
	}
}

// failing fails for one example, and counts what is going on.
type failing struct {
	dataset.Source
	at    int
	calls atomic.Int64
}

var errTest = errors.New("the disk is gone")

func (f *failing) Example(i int, dst []float32) error {
	f.calls.Add(1)
	if i == f.at {
		return errTest
	}
	return f.Source.Example(i, dst)
}

// However an epoch ends, its goroutines have ended, too; and no more is read ahead
// than what may wait.
func TestEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	f := &failing{Source: pixels(t, 100), at: 50}
	l := loader(t, f, &dataset.LoaderOptions{Batch: 5, Workers: 4, Prefetch: 3})

	got := 0
	for b, err := range l.Epoch(t.Context(), 0, 0) {
		if err != nil {
			if !errors.Is(err, errTest) || err.Error() != "example 50: the disk is gone" {
				t.Errorf("got %v", err)
			}
			break
		}
		got = b.Number
	}
	if got != 9 {
		t.Errorf("the last batch before the error is %d, want 9", got)
	}

	f.calls.Store(0)
	for _, err := range l.Epoch(t.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		break
	}
	if n := f.calls.Load(); n > 4*5 {
		t.Errorf("%d examples were read for the first batch and three ahead, want at most 20", n)
	}

	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n := 0
	for _, err := range l.Epoch(ctx, 0, 0) {
		if n++; n == 2 {
			cancel(cause)
		}
		if n > 5 || err != nil {
			if !errors.Is(err, cause) {
				t.Errorf("got %v, want the cause", err)
			}
			break
		}
	}

	func() {
		defer func() {
			if _, ok := recover().(*runtime.PanicNilError); !ok { // of panic(nil): there is no error
				t.Error("the panic of the loop's body is gone")
			}
		}()
		for _, err := range l.Epoch(t.Context(), 0, 0) {
			panic(err)
		}
	}()
	for i := 0; runtime.NumGoroutine() > before && i < 100; i++ {
		time.Sleep(time.Millisecond) // a goroutine that is done may still be counted
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
}

func TestBadLoader(t *testing.T) {
	s := pixels(t, 9)
	flat, err := dataset.NewFloats(tensor.Shape{2}, []float32{1, 2}, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]func() (*dataset.Loader, error){
		"there is no such split in the data":     func() (*dataset.Loader, error) { return dataset.NewLoader(nil, nil) },
		"there are no examples":                  func() (*dataset.Loader, error) { return dataset.NewLoader(dataset.First(s, 0), nil) },
		"example 2 has the label 2; want 0 to 1": func() (*dataset.Loader, error) { return dataset.NewLoader(s, &dataset.LoaderOptions{Classes: 2}) },
		"mixed examples have soft targets; say how many classes there are": func() (*dataset.Loader, error) {
			return dataset.NewLoader(s, &dataset.LoaderOptions{Augment: &dataset.Augmentation{Mixup: 1}})
		},
		"9 examples do not fill one batch of 10, and incomplete batches are to be left out": func() (*dataset.Loader, error) {
			return dataset.NewLoader(s, &dataset.LoaderOptions{Batch: 10, DropLast: true})
		},
		"augmentation: rotate is NaN; want 0 to 180": func() (*dataset.Loader, error) {
			return dataset.NewLoader(s, &dataset.LoaderOptions{Augment: &dataset.Augmentation{Rotate: math.NaN()}})
		},
		"augmentation: examples are 2; only mixup is possible where they are not images (channels, height, width)": func() (*dataset.Loader, error) {
			return dataset.NewLoader(flat, &dataset.LoaderOptions{Augment: &dataset.Augmentation{Flip: true}})
		},
		"batch (-1), prefetch (2), workers (1) and classes (0) cannot be negative": func() (*dataset.Loader, error) {
			return dataset.NewLoader(s, &dataset.LoaderOptions{Batch: -1, Workers: 1})
		},
	} {
		if _, err := f(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func BenchmarkEpoch(b *testing.B) {
	d := open(b, "builtin:fashion-mnist", &dataset.Options{Normalise: "fashion-mnist"})
	for _, a := range []*dataset.Augmentation{nil, {Crop: 2, Flip: true}, {Rotate: 10, Shift: .1}} {
		b.Run(fmt.Sprintf("%+v", a != nil && a.Rotate > 0), func(b *testing.B) {
			l := loader(b, d.Train, &dataset.LoaderOptions{Shuffle: true, Augment: a})
			for b.Loop() {
				for _, err := range l.Epoch(b.Context(), 1, 0) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.SetBytes(6000 * 784 * 4)
		})
	}
}
