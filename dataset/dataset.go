package dataset

import (
	"errors"
	"fmt"
	"strconv"

	"ropewalk/tensor"
)

// A Source is a list of examples of one shape. Its methods are safe for
// concurrent use.
type Source interface {
	// Len is the number of examples.
	Len() int
	// Shape is that of one example, mostly (channels, height, width). It must not
	// be changed.
	Shape() tensor.Shape
	// Label is the class of example i, 0 <= i < Len.
	Label(i int) int
	// Example writes example i into dst, row-major, which has as many elements as
	// Shape says.
	Example(i int, dst []float32) error
}

// A blacker is a Source that knows the value of a black pixel of each channel:
// it surrounds images that are cropped with padding, shifted or rotated. That of
// other sources is zero.
type blacker interface {
	black() []float32
}

// A Dataset is labelled examples in splits. It is immutable.
type Dataset struct {
	// Name is that of the folder or file, or what follows "builtin:".
	Name string
	// Format is "idx", "cifar10", "cifar100", "images", "npz" or "safetensors".
	Format string
	// Shape is that of one example: (channels, height, width) for images.
	Shape tensor.Shape
	// Classes are the names of the classes; a label is an index of it. Where
	// nothing names them, their names are their numbers.
	Classes []string
	// Train, Test and Validation are nil where the data has no such split. Data
	// that says nothing about splits is Train.
	Train, Test, Validation Source
	// Normalisation is what has been done to the examples.
	Normalisation Normalisation
	// Skipped are the files that were left out because of Options.SkipBad, each
	// with the reason.
	Skipped []string
}

// MaxClasses bounds the number of classes, and so the labels.
const MaxClasses = 1 << 20

// Options say how to open a data set. Nil and the zero value are the default.
type Options struct {
	// Normalise is "unit" (or ""), "measured", the name of a data set whose
	// constants are known, or the numbers; see [ParseNormalisation].
	Normalise string `json:"normalise,omitempty"`
	// Size is the (height, width) that images shall have; zeros leave them as
	// they are. Images of a folder that differ in size need one.
	Size [2]int `json:"size,omitzero"`
	// Fit says how an image gets to Size: FitCrop (or "") scales it until it
	// covers Size and cuts the middle out; FitStretch changes its proportions.
	Fit string `json:"fit,omitempty"`
	// Channels is 1 for grey or 3 for colour; 0 leaves images as they are. Images
	// of a folder are then grey if all of them are.
	Channels int `json:"channels,omitempty"`
	// Layout is "nchw" or "nhwc", for arrays of images; by "" it is guessed: the
	// last axis holds channels if it has 1, 3 or 4 elements and the second has not.
	// Where both have, and differ, it has to be given.
	Layout string `json:"layout,omitempty"`
	// Classes is the number of classes that there may be: a label that is not
	// below it is an error. 0 is what the data has.
	Classes int `json:"classes,omitempty"`
	// SkipBad leaves out images that do not decode, and lists them in
	// Dataset.Skipped; else they are an error.
	SkipBad bool `json:"skip_bad,omitempty"`
	// Memory bounds the bytes of the examples; 0 is 4 GiB. Larger data is an error.
	Memory int64 `json:"-"`
	// Threads bounds the images that are decoded at a time; 0 is all cores.
	Threads int `json:"-"`
}

// Values of Options.Fit.
const (
	FitCrop    = "crop"
	FitStretch = "stretch"
)

const (
	defaultMemory = 4 << 30
	maxSide       = 1 << 14 // of Options.Size
)

// An OptionError reports options that are wrong whatever the data is.
type OptionError struct{ Reason string }

// Error implements error.
func (e *OptionError) Error() string { return e.Reason }

func optionError(format string, args ...any) error {
	return &OptionError{fmt.Sprintf(format, args...)}
}

// What is wrong with a folder of images, where an option helps.
var (
	// ErrImage reports images that do not decode; Options.SkipBad leaves them out.
	ErrImage = errors.New("images do not decode")
	// ErrSizes reports images that differ in size; Options.Size makes them alike.
	ErrSizes = errors.New("images of one size are wanted")
)

// settle returns the options with defaults filled in, or says what is wrong.
func (o *Options) settle() (*Options, error) {
	s := Options{}
	if o != nil {
		s = *o
	}
	if s.Memory == 0 {
		s.Memory = defaultMemory
	}
	if s.Fit == "" {
		s.Fit = FitCrop
	}
	switch {
	case s.Fit != FitCrop && s.Fit != FitStretch:
		return nil, optionError("fit %q is not known; want %s or %s", s.Fit, FitCrop, FitStretch)
	case s.Channels != 0 && s.Channels != 1 && s.Channels != 3:
		return nil, optionError("images cannot have %d channels; want 1 (grey) or 3 (colour)", s.Channels)
	case s.Layout != "" && s.Layout != "nchw" && s.Layout != "nhwc":
		return nil, optionError("layout %q is not known; want nchw or nhwc", s.Layout)
	case s.Size != [2]int{} && (min(s.Size[0], s.Size[1]) < 1 || max(s.Size[0], s.Size[1]) > maxSide):
		return nil, optionError("images cannot have the size %dx%d; want 1 to %d each", s.Size[0], s.Size[1], maxSide)
	case s.Classes < 0 || s.Classes > MaxClasses:
		return nil, optionError("there cannot be %d classes; want 1 to %d", s.Classes, MaxClasses)
	case s.Memory < 0 || s.Threads < 0:
		return nil, optionError("memory (%d) and threads (%d) cannot be negative", s.Memory, s.Threads)
	}
	return &s, nil
}

// The splits, as indices of loaded.splits.
const (
	train = iota
	test
	validation
	splits
)

var splitNames = [splits]string{"train", "test", "validation"}

// loaded is what a reader of a format has found.
type loaded struct {
	format  string
	classes []string // nil if nothing names them
	splits  [splits]*Memory
	skipped []string
}

// finish checks that all fits together, and normalises.
func (l *loaded) finish(name string, o *Options) (*Dataset, error) {
	d := &Dataset{Name: name, Format: l.format, Classes: l.classes, Skipped: l.skipped}
	highest := -1
	for k, m := range l.splits {
		if m == nil {
			continue
		}
		m, err := m.conform(o)
		if err != nil {
			return nil, fmt.Errorf("%s: the %s split: %w", name, splitNames[k], err)
		}
		l.splits[k] = m
		switch {
		case d.Shape == nil:
			d.Shape = m.shape
		case !d.Shape.Equal(m.shape):
			return nil, fmt.Errorf("%s: examples of the %s split are %v, those before %v; Options.Size and Options.Channels can make them equal", name, splitNames[k], m.shape, d.Shape)
		}
		for i, c := range m.labels {
			if limit := l.limit(o); c < 0 || c >= limit {
				return nil, fmt.Errorf("%s: example %d of the %s split has the label %d; want 0 to %d", name, i, splitNames[k], c, limit-1)
			}
			highest = max(highest, c)
		}
	}
	if highest < 0 {
		return nil, fmt.Errorf("%s: there are no examples in it", name)
	}
	if d.Classes == nil {
		for c := range max(highest+1, o.Classes) {
			d.Classes = append(d.Classes, strconv.Itoa(c))
		}
	}
	return d, l.normalise(d, o)
}

// limit is the number that labels have to be below.
func (l *loaded) limit(o *Options) int {
	limit := MaxClasses
	if l.classes != nil {
		limit = len(l.classes)
	}
	if o.Classes > 0 {
		limit = min(limit, o.Classes)
	}
	return limit
}

func (l *loaded) normalise(d *Dataset, o *Options) error {
	channels := 1
	if len(d.Shape) == 3 {
		channels = int(d.Shape[0])
	}
	measure := func() (Normalisation, error) {
		if l.splits[train] == nil {
			return Normalisation{}, fmt.Errorf("%s: there is no training split to measure the normalisation on; name one, or give its numbers", d.Name)
		}
		return Measure(l.splits[train])
	}
	var err error
	if d.Normalisation, err = parseNormalisation(o.Normalise, channels, measure); err != nil {
		return err
	}
	for k, to := range [splits]*Source{&d.Train, &d.Test, &d.Validation} {
		if m := l.splits[k]; m != nil {
			if *to, err = Normalise(m, d.Normalisation); err != nil {
				return err
			}
		}
	}
	return nil
}
