package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"ropewalk/checkpoint"
	"ropewalk/symmetry"
)

// headsFlag is --heads: how many heads of attention a layer has, which names and shapes
// of tensors don't say.
type headsFlag int

func (h *headsFlag) addFlag(fs *pflag.FlagSet) {
	fs.IntVar((*int)(h), "heads", 0, "`N` heads of attention in each layer; without it config.json beside the file says so")
}

// maxHeads is more than any network has.
const maxHeads = 1 << 16

func (h headsFlag) check() error {
	if h < 0 || h > maxHeads {
		return usagef("--heads is %d, want 1 to %d", h, maxHeads)
	}
	return nil
}

func (h headsFlag) notNeeded() error {
	return usagef("--heads %d is for networks that are known by the names of tensors alone, and this one is known better", h)
}

// configFile is what Hugging Face keeps beside weights, and maxConfig the most of it that
// is read.
const (
	configFile = "config.json"
	maxConfig  = 1 << 20
)

// byNames derives symmetries from the names of the tensors of c, the checkpoint in a
// file. It also says what told the number of heads of attention, "" if nothing did.
func (h headsFlag) byNames(c *checkpoint.Checkpoint, file string) (s *symmetry.Spec, told string, err error) {
	o := &symmetry.NamesOptions{Heads: int(h)}
	if h == 0 {
		if o, err = headsBeside(file); err != nil {
			return nil, "", err
		}
	}
	s, err = symmetry.DeriveNames(c.Tensors, o)
	switch {
	case errors.Is(err, symmetry.ErrHeads) && h != 0:
		return nil, "", usagef("--heads %d: %w", h, err)
	case errors.Is(err, symmetry.ErrHeads):
		return nil, "", &verdict{exitRefused, fmt.Errorf("%s: %w", printable(beside(file)), err), headsOverride}
	case err != nil:
		return nil, "", err
	case h != 0:
		told = fmt.Sprintf("--heads %d", h)
	case *o != symmetry.NamesOptions{}:
		told = configFile
	}
	return s, told, nil
}

// headsUnknown reports whether heads stay because nothing told their number.
func headsUnknown(s *symmetry.Spec) bool {
	return slices.ContainsFunc(s.Fixed, func(f symmetry.Fixed) bool { return f.Reason == symmetry.UnknownHeads })
}

// noteHeads says on standard error that heads stay.
func (e *env) noteHeads(s *symmetry.Spec) {
	if headsUnknown(s) {
		e.notef("heads of attention are taken to stay: %s", headsHint)
	}
}

const headsHint = "--heads N, or config.json beside the file, would say how many they are"

const headsOverride = "--heads N says how many heads of attention there are, and then that file is not read"

func beside(path string) string { return filepath.Join(filepath.Dir(path), configFile) }

// headsBeside reads what config.json beside a checkpoint says of heads: nothing if it is
// not there, or is of something else.
func headsBeside(path string) (*symmetry.NamesOptions, error) {
	o := &symmetry.NamesOptions{}
	if path == dash {
		return o, nil
	}
	name := beside(path)
	switch info, err := os.Stat(name); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular():
		return o, nil
	case err != nil:
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	refuse := func(format string, args ...any) error {
		return &verdict{exitRefused, fmt.Errorf("%s: "+format, append([]any{printable(name)}, args...)...), headsOverride}
	}
	if len(b) > maxConfig {
		return nil, refuse("it is longer than %v, which no description of a network is", byteSize(maxConfig))
	}
	var fields map[string]json.RawMessage // names in JSON tell capitals apart
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, refuse("%w", err)
	}
	number := func(keys ...string) (int, error) {
		for _, k := range keys {
			raw, ok := fields[k]
			if !ok || string(raw) == "null" {
				continue
			}
			var n int
			if err := json.Unmarshal(raw, &n); err != nil || n < 1 || n > 1<<30 {
				return 0, refuse("%s is %.20s, want a number of 1 or more", k, raw)
			}
			return n, nil
		}
		return 0, nil
	}
	for _, want := range []struct {
		to   *int
		keys []string
	}{
		{&o.Heads, []string{"num_attention_heads", "n_head"}},
		{&o.KeyValueHeads, []string{"num_key_value_heads"}},
		{&o.HeadSize, []string{"head_dim"}},
	} {
		if *want.to, err = number(want.keys...); err != nil {
			return nil, err
		}
	}
	if width, err := number("hidden_size", "n_embd"); err != nil {
		return nil, err
	} else if o.HeadSize == 0 && o.Heads != 0 && width != 0 && width%o.Heads == 0 {
		o.HeadSize = width / o.Heads
	}
	if o.Heads == 0 && o.HeadSize == 0 {
		return &symmetry.NamesOptions{}, nil // of something else
	}
	return o, nil
}
