package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A result is what one coder did to one stream.
type result struct {
	coder  string
	stream *stream
	measured
}

// bits returns the bits per weight.
func (r *result) bits() float64 { return 8 * float64(r.size) / float64(r.stream.weights()) }

// measureAll lets every coder code every stream. It reports to stderr, as it
// takes minutes.
func measureAll(ctx context.Context, coders []coder, streams []stream, dir string) ([]result, error) {
	var results []result
	for i := range streams {
		s := &streams[i]
		fmt.Fprintf(os.Stderr, "[%d/%d] %s, %d weights\n", i+1, len(streams), s.name(), s.weights())
		path, err := s.write(dir)
		if err != nil {
			return nil, err
		}
		for _, c := range coders {
			m, err := c.code(ctx, s, path)
			if err != nil && (strings.HasPrefix(c.name(), "ropewalk") || ctx.Err() != nil) {
				return nil, fmt.Errorf("%s on %s: %w", c.name(), s.name(), err)
			}
			if err != nil { // a rival that fails leaves a gap in the table
				fmt.Fprintf(os.Stderr, "\t%-14s failed: %v\n", c.name(), err)
				continue
			}
			r := result{c.name(), s, m}
			fmt.Fprintf(os.Stderr, "\t%-14s %9d  %.4f  %8.3f s %8.3f s\n", c.name(), r.size, r.bits(), r.encode, r.decode)
			results = append(results, r)
		}
	}
	return results, nil
}

// writeCSV writes one line for each result.
func writeCSV(path string, results []result) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	w.Write([]string{"stream", "weights", "coder", "bytes", "bits_per_weight", "encode", "decode"})
	for _, r := range results {
		w.Write([]string{
			r.stream.name(), strconv.Itoa(r.stream.weights()), r.coder, strconv.FormatInt(r.size, 10),
			strconv.FormatFloat(r.bits(), 'f', 4, 64), strconv.FormatFloat(r.encode, 'f', 6, 64), strconv.FormatFloat(r.decode, 'f', 6, 64),
		})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
