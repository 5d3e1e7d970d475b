// Codec measures the coders of quantized weights beside those of others.
//
// It takes trained networks, quantizes them by fixed recipes, and lets every
// coder code the indices:
//
//	go run ./internal/bench/codec -models onnx -python venv/bin/python > table.md
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
)

// config is what the flags say.
type config struct {
	data   string
	models string
	dump   string
	match  *regexp.Regexp
}

func main() {
	var c config
	flag.StringVar(&c.data, "data", "../shared/data", "a `folder` of *.safetensors")
	flag.StringVar(&c.models, "models", "", "a `folder` of *.onnx")
	flag.StringVar(&c.dump, "dump", "", "write the streams to this `folder`, and end")
	match := flag.String("match", ".", "measure only streams whose name matches the `regexp`")
	flag.Parse()
	var err error
	if c.match, err = regexp.Compile(*match); err == nil {
		err = run(&c)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "codec: error: %v\n", err)
		os.Exit(1)
	}
}

func run(c *config) error {
	streams, missing, err := gather(c)
	if err != nil {
		return err
	}
	for _, m := range missing {
		fmt.Fprintf(os.Stderr, "missing: %s\n", m)
	}
	for _, s := range streams {
		fmt.Fprintf(os.Stderr, "%s: %d tensors, %d weights, %.2f dB\n", s.name(), len(s.tensors), s.weights(), s.snr())
	}
	if c.dump != "" {
		return dump(c.dump, streams)
	}
	return nil
}
