package dataset_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/dataset"
	"ropewalk/tensor"
)

// Split takes every example once, and the same share of each class.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := pixels(t, rapid.IntRange(30, 90).Draw(rt, "examples"))
		fraction := rapid.Float64Range(.1, .9).Draw(rt, "fraction")
		seed := rapid.Uint64().Draw(rt, "seed")
		kept, off, err := dataset.Split(s, fraction, seed)
		if err != nil {
			rt.Fatal(err)
		}
		all, _ := examples(t, s)
		a, la := examples(t, kept)
		b, lb := examples(t, off)
		less := func(x, y []float32) int { return slices.Compare(x, y) }
		got := slices.SortedFunc(slices.Values(slices.Concat(a, b)), less)
		slices.SortFunc(all, less)
		if !cmp.Equal(got, all) {
			rt.Fatal("kept and split off are not all examples")
		}
		for c := range 3 {
			in, out := 0, 0
			for _, l := range la {
				if l == c {
					in++
				}
			}
			for _, l := range lb {
				if l == c {
					out++
				}
			}
			if math.Abs(float64(out)-fraction*float64(in+out)) > .5 {
				rt.Fatalf("%d of %d examples of class %d are split off, want the fraction %v", out, in+out, c, fraction)
			}
		}
		_, again, err := dataset.Split(s, fraction, seed)
		if err != nil {
			rt.Fatal(err)
		}
		if c, _ := examples(t, again); !cmp.Equal(b, c) {
			rt.Fatal("the same seed splits in another way")
		}
	})
	for _, fraction := range []float64{0, 1, math.NaN(), .001} {
		if _, _, err := dataset.Split(pixels(t, 9), fraction, 1); err == nil {
			t.Errorf("the fraction %v gave no error", fraction)
		}
	}
}

func TestShuffleAndSubset(t *testing.T) {
	s := pixels(t, 30)
	a, _ := examples(t, dataset.Shuffle(s, 1))
	b, _ := examples(t, dataset.Shuffle(s, 1))
	c, _ := examples(t, dataset.Shuffle(s, 2))
	if !cmp.Equal(a, b) || cmp.Equal(a, c) {
		t.Error("the order does not follow from the seed")
	}
	sub, err := dataset.Subset(s, []int{4, 4, 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, labels := examples(t, sub); !cmp.Equal(labels, []int{1, 1, 2}) {
		t.Errorf("got labels %v", labels)
	}
	if _, err := dataset.Subset(s, []int{30}); err == nil || err.Error() != "index 0 of a subset is 30; want 0 to 29" {
		t.Errorf("got %v", err)
	}
	if n := dataset.First(s, 50).Len(); n != 30 {
		t.Errorf("the first 50 of 30 examples are %d", n)
	}
}

// What Measure finds makes means of zero and deviations of one.
func TestMeasure(t *testing.T) {
	s := pixels(t, 40)
	n, err := dataset.Measure(s)
	if err != nil {
		t.Fatal(err)
	}
	out, err := dataset.Normalise(s, n)
	if err != nil {
		t.Fatal(err)
	}
	again, err := dataset.Measure(out)
	if err != nil {
		t.Fatal(err)
	}
	for c := range 2 {
		if math.Abs(float64(again.Mean[c])) > 1e-5 || math.Abs(float64(again.Std[c])-1) > 1e-5 {
			t.Errorf("channel %d: mean %v, deviation %v", c, again.Mean[c], again.Std[c])
		}
	}
	parsed, err := dataset.ParseNormalisation(n.String(), s)
	if err != nil || !cmp.Equal(parsed, n) {
		t.Errorf("%v reads back as %v, %v", n, parsed, err)
	}
	constant, err := dataset.NewFloats(tensor.Shape{2}, []float32{3, 3}, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dataset.Measure(constant); err == nil {
		t.Error("a constant channel was measured")
	}
}

// Black is what surrounds an image: that of before the normalisation.
func TestBlackBorder(t *testing.T) {
	m, err := dataset.NewPixels(tensor.Shape{1, 1, 1}, []byte{255}, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	s, err := dataset.Normalise(m, dataset.Normalisation{Mean: []float32{.5}, Std: []float32{.25}})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[float32]bool{}
	l := loader(t, dataset.Shuffle(s, 1), &dataset.LoaderOptions{Augment: &dataset.Augmentation{Crop: 1}})
	for number := range uint64(30) {
		seen[epoch(t, l, number, 0)[0].Inputs[0]] = true
	}
	if !cmp.Equal(seen, map[float32]bool{2: true, -2: true}) {
		t.Errorf("got the pixels %v, want white (2) and black (-2)", seen)
	}
}
