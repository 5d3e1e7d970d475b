package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ropewalk/internal/bench/rival"
)

// Runs shorter than shortRun are repeated, and the best of shortRuns counts:
// the noise of a machine only ever adds.
const (
	shortRun  = 5.0 // seconds
	shortRuns = 3
)

// A result is what one packer did to one input.
type result struct {
	packer         string
	input          input
	size           int64 // of the compressed file
	encode, decode rival.Cost
}

// ratio is the compressed size over the original one: smaller is better.
func (r *result) ratio() float64 { return float64(r.size) / float64(r.input.size) }

// measureAll lets every packer compress every input. It reports to stderr, as it
// takes minutes.
func measureAll(ctx context.Context, packers []packer, inputs []input, dir string) ([]result, error) {
	var results []result
	for i, in := range inputs {
		fmt.Fprintf(os.Stderr, "[%d/%d] %s, %d bytes\n", i+1, len(inputs), in.name, in.size)
		for _, p := range packers {
			r, err := measure(ctx, p, in, dir)
			if err != nil && (strings.HasPrefix(p.name(), "ropewalk") || ctx.Err() != nil) {
				return nil, fmt.Errorf("%s on %s: %w", p.name(), in.name, err)
			}
			if err != nil { // a rival that fails leaves a gap in the table
				fmt.Fprintf(os.Stderr, "\t%-14s failed: %v\n", p.name(), err)
				continue
			}
			fmt.Fprintf(os.Stderr, "\t%-14s %11d  %.4f  %8.3f s %8.3f s\n", p.name(), r.size, r.ratio(), r.encode.Wall, r.decode.Wall)
			results = append(results, r)
		}
	}
	return results, nil
}

func measure(ctx context.Context, p packer, in input, dir string) (result, error) {
	packed, restored := filepath.Join(dir, "packed"), filepath.Join(dir, "restored")
	r := result{packer: p.name(), input: in}
	for i := range shortRuns {
		encode, decode, err := p.pack(ctx, in, packed, restored)
		if err != nil {
			return result{}, err
		}
		if i == 0 {
			r.encode, r.decode = encode, decode
		}
		r.encode, r.decode = r.encode.Least(encode), r.decode.Least(decode)
		if encode.Wall+decode.Wall > shortRun {
			break
		}
	}
	if err := rival.SameBytes(in.path, restored); err != nil {
		return result{}, err
	}
	info, err := os.Stat(packed)
	if err != nil {
		return result{}, err
	}
	r.size = info.Size()
	return r, nil
}

// writeCSV writes one line for each result.
func writeCSV(path string, results []result) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	w.Write([]string{"input", "class", "bytes", "packer", "packed_bytes", "encode_wall", "decode_wall", "encode_cpu", "decode_cpu"})
	seconds := func(s float64) string { return strconv.FormatFloat(s, 'f', 6, 64) }
	for _, r := range results {
		w.Write([]string{
			r.input.name, string(r.input.class), strconv.FormatInt(r.input.size, 10), r.packer,
			strconv.FormatInt(r.size, 10), seconds(r.encode.Wall), seconds(r.decode.Wall), seconds(r.encode.CPU), seconds(r.decode.CPU),
		})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
