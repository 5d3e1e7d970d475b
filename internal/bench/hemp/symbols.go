package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"ropewalk/checkpoint"
)

// mostLevels is how many values a tensor of symbols has at most.
const mostLevels = 256

// xz returns the bytes that xz makes of the symbols of all quantized tensors, one
// byte each, biases on a grid included: 0 if there is no xz on this machine.
func (b *bench) xz(ctx context.Context, file string) (int64, error) {
	path, err := exec.LookPath("xz")
	if err != nil {
		return 0, nil //nolint:nilerr // the page says that it was not measured
	}
	c, err := checkpoint.Open(file, nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var stream []byte
	for _, t := range c.Tensors.All() {
		raw := make([]byte, t.Data.Size())
		if _, err := t.Data.ReadAt(raw, 0); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		stream = append(stream, symbolsOf(t.DType.AppendFloat32s(nil, raw))...)
	}
	in := filepath.Join(b.c.work, "symbols")
	if err := os.WriteFile(in, stream, 0o666); err != nil {
		return 0, err
	}
	defer os.Remove(in)
	least := int64(0)
	for _, lc := range []string{"0", "3"} {
		out, err := exec.CommandContext(ctx, path, "--format=lzma", "--lzma1=preset=9e,pb=0,lp=0,lc="+lc, "-k", "-c", in).Output()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if n := int64(len(out)); least == 0 || n < least {
			least = n
		}
	}
	return least, nil
}

// symbolsOf returns the index of each value among those of the tensor; nothing if
// there are too many.
func symbolsOf(values []float32) []byte {
	levels := slices.Clone(values)
	slices.Sort(levels)
	if levels = slices.Compact(levels); len(levels) > mostLevels {
		return nil
	}
	s := make([]byte, len(values))
	for i, x := range values {
		k, _ := slices.BinarySearch(levels, x)
		s[i] = byte(k)
	}
	return s
}
