// Pack measures how small and how fast ropewalk packs, beside other programs.
//
// It takes trained networks, makes rounded and quantized copies of them, lets
// every program that it finds on this machine compress and restore each file,
// compares the restored bytes with the original, and writes one page of tables:
//
//	go run ./internal/bench/pack -ropewalk bin/ropewalk -models onnx -python venv/bin/python > table.md
//
// Sizes are those of the compressed files, everything counted. A program that
// is not there is named as missing; a file that does not come back byte for byte
// ends the run. All programs use one thread.
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
	ropewalk string
	python   string
	data     string
	models   string
	own      string
	match    string
	csv      string
	speedMiB int
}

func main() {
	var c config
	flag.StringVar(&c.ropewalk, "ropewalk", "bin/ropewalk", "the `program` to measure")
	flag.StringVar(&c.python, "python", "", "a `python` that has zipnn; without it ZipNN is left out")
	flag.StringVar(&c.data, "data", "../shared/data", "a `folder` of *.safetensors")
	flag.StringVar(&c.models, "models", "", "a `folder` of *.onnx")
	flag.StringVar(&c.own, "testdata", "testdata", "the `folder` of the networks of the repository")
	flag.StringVar(&c.match, "match", ".", "measure only inputs whose name matches the `regexp`")
	flag.StringVar(&c.csv, "csv", "", "write every single measurement to this `file`, too")
	flag.IntVar(&c.speedMiB, "speed", 256, "`MiB` of each file of the speed table; 0 for no such table")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintf(os.Stderr, "pack: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *config) (err error) {
	match, err := regexp.Compile(c.match)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ropewalk-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	tools, err := findTools(ctx, c)
	if err != nil {
		return err
	}
	defer tools.close()

	inputs, err := gather(c, dir)
	if err != nil {
		return err
	}
	inputs = matching(inputs, match)
	results, err := measureAll(ctx, tools.present, inputs, dir)
	if err != nil {
		return err
	}

	var speed []result
	if c.speedMiB > 0 {
		large, err := synthesize(dir, c.speedMiB)
		if err != nil {
			return err
		}
		if speed, err = measureAll(ctx, tools.fast(), large, dir); err != nil {
			return err
		}
	}
	if c.csv != "" {
		if err := writeCSV(c.csv, append(results, speed...)); err != nil {
			return err
		}
	}
	return writePage(os.Stdout, &page{tools: tools, inputs: inputs, results: results, speed: speed})
}

func matching(inputs []input, match *regexp.Regexp) []input {
	var kept []input
	for _, in := range inputs {
		if match.MatchString(in.name) {
			kept = append(kept, in)
		}
	}
	return kept
}
