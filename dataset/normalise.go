package dataset

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Normalisation makes (value - Mean[c]) / Std[c] of the values of channel c. One
// number stands for all channels; the zero value changes nothing.
type Normalisation struct {
	Mean []float32 `json:"mean,omitempty"`
	Std  []float32 `json:"std,omitempty"`
}

// known are constants in common use, of the training split in 0..1.
var known = map[string]Normalisation{
	"mnist":         {[]float32{.1307}, []float32{.3081}},
	"fashion-mnist": {[]float32{.2860}, []float32{.3530}},
	"cifar10":       {[]float32{.4914, .4822, .4465}, []float32{.2470, .2435, .2616}},
	"cifar100":      {[]float32{.5071, .4865, .4409}, []float32{.2673, .2564, .2762}},
	"imagenet":      {[]float32{.485, .456, .406}, []float32{.229, .224, .225}},
}

// String returns the normalisation in the form that [ParseNormalisation] reads.
func (n Normalisation) String() string {
	if n.Mean == nil {
		return "unit"
	}
	list := func(values []float32) string {
		words := make([]string, len(values))
		for i, v := range values {
			words[i] = strconv.FormatFloat(float64(v), 'g', -1, 32)
		}
		return strings.Join(words, ",")
	}
	return list(n.Mean) + "/" + list(n.Std)
}

// check says whether n fits a number of channels.
func (n Normalisation) check(channels int) error {
	if len(n.Mean) != len(n.Std) {
		return optionError("a normalisation with %d means and %d deviations; want as many of each", len(n.Mean), len(n.Std))
	}
	if len(n.Mean) > 1 && len(n.Mean) != channels {
		return fmt.Errorf("the normalisation %v is for %d channels, and the examples have %d", n, len(n.Mean), channels)
	}
	for i := range n.Mean {
		m, s := float64(n.Mean[i]), float64(n.Std[i])
		if math.IsNaN(m) || math.IsInf(m, 0) || !(s > 0) || math.IsInf(s, 0) {
			return optionError("a normalisation by mean %v and deviation %v; want finite numbers, and deviations above zero", m, s)
		}
	}
	return nil
}

// ParseNormalisation reads "unit" (or "", which changes nothing), the name of a data
// set whose constants are known (mnist, fashion-mnist, cifar10, cifar100, imagenet),
// "measured" (what [Measure] finds in s), or numbers, as "0.5,0.5,0.4/0.2,0.2,0.2":
// means, then deviations, one for all channels or one for each.
func ParseNormalisation(text string, s Source) (Normalisation, error) {
	return parseNormalisation(text, channelsOf(s), func() (Normalisation, error) { return Measure(s) })
}

// CheckNormalisation reports, as an [*OptionError], a text that [ParseNormalisation]
// does not take for any data: one that comes from a file can be told from one that the
// user gave.
func CheckNormalisation(text string) error {
	if text == measured {
		return nil
	}
	n, err := readNormalisation(text)
	if err != nil {
		return err
	}
	return n.check(len(n.Mean))
}

const measured = "measured"

func parseNormalisation(text string, channels int, measure func() (Normalisation, error)) (Normalisation, error) {
	if text == measured {
		return measure()
	}
	n, err := readNormalisation(text)
	if err != nil {
		return n, err
	}
	return n, n.check(channels)
}

// readNormalisation reads all but "measured", and does not look at the numbers.
func readNormalisation(text string) (Normalisation, error) {
	n, ok := known[text]
	switch {
	case ok:
	case text == "" || text == "unit":
	default:
		means, stds, found := strings.Cut(text, "/")
		var err1, err2 error
		n.Mean, err1 = parseNumbers(means)
		n.Std, err2 = parseNumbers(stds)
		if !found || err1 != nil || err2 != nil {
			return n, optionError("normalisation %q is not known; want unit, measured, %s, or means and deviations as 0.5,0.5,0.5/0.2,0.2,0.2", text, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return Normalisation{slices.Clone(n.Mean), slices.Clone(n.Std)}, nil
}

func parseNumbers(text string) ([]float32, error) {
	var values []float32
	for word := range strings.SplitSeq(text, ",") {
		v, err := strconv.ParseFloat(strings.TrimSpace(word), 32)
		if err != nil {
			return nil, err
		}
		values = append(values, float32(v))
	}
	return values, nil
}

// channelsOf is the length of the first of three axes; other examples have one
// channel.
func channelsOf(s Source) int {
	if shape := s.Shape(); len(shape) == 3 {
		return int(shape[0])
	}
	return 1
}

func elemsOf(s Source) int {
	n, err := s.Shape().Elems()
	if err != nil {
		panic(fmt.Sprintf("dataset: a source with examples of %v: %v", s.Shape(), err))
	}
	return int(n)
}

// Measure returns mean and standard deviation of each channel over all examples of
// s. It fails for a channel that is the same everywhere.
func Measure(s Source) (Normalisation, error) {
	channels, size := channelsOf(s), elemsOf(s)
	if s.Len() == 0 || size == 0 {
		return Normalisation{}, errors.New("there is nothing to measure the normalisation on")
	}
	// Sums are kept for each example first, so that rounding does not grow with
	// their number.
	sum, square := make([]float64, channels), make([]float64, channels)
	x := make([]float32, size)
	for i := range s.Len() {
		if err := s.Example(i, x); err != nil {
			return Normalisation{}, err
		}
		for c := range channels {
			a, b := 0.0, 0.0
			for _, v := range x[c*size/channels : (c+1)*size/channels] {
				a += float64(v)
				b += float64(v) * float64(v)
			}
			sum[c] += a
			square[c] += b
		}
	}
	var n Normalisation
	count := float64(s.Len()) * float64(size/channels)
	for c := range channels {
		mean := sum[c] / count
		variance := square[c]/count - mean*mean
		if !(variance > 1e-12*max(mean*mean, 1e-12)) {
			return Normalisation{}, fmt.Errorf("channel %d is %v everywhere, so it has no deviation to divide by; give the normalisation as numbers", c, mean)
		}
		n.Mean = append(n.Mean, float32(mean))
		n.Std = append(n.Std, float32(math.Sqrt(variance)))
	}
	return n, nil
}

// Normalise returns s with n applied to its examples.
func Normalise(s Source, n Normalisation) (Source, error) {
	if err := n.check(channelsOf(s)); err != nil {
		return nil, err
	}
	if n.Mean == nil {
		return s, nil
	}
	return &normalised{s, n}, nil
}

type normalised struct {
	Source
	n Normalisation
}

func (s *normalised) Example(i int, dst []float32) error {
	if err := s.Source.Example(i, dst); err != nil {
		return err
	}
	k := len(s.n.Mean)
	for c := range k {
		mean, std := s.n.Mean[c], s.n.Std[c]
		part := dst[c*len(dst)/k : (c+1)*len(dst)/k]
		for i, v := range part {
			part[i] = (v - mean) / std
		}
	}
	return nil
}

func (s *normalised) black() []float32 {
	b := blackOf(s.Source)
	for c := range b {
		k := min(c, len(s.n.Mean)-1)
		b[c] = (b[c] - s.n.Mean[k]) / s.n.Std[k]
	}
	return b
}

// blackOf returns the value of black in each channel.
func blackOf(s Source) []float32 {
	if b, ok := s.(blacker); ok {
		return b.black()
	}
	return make([]float32, channelsOf(s))
}
