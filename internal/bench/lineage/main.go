// Lineage measures whether what is said of two networks is true.
//
// It does all attacks and their pairs to networks and compares what lineage names with
// what was done; changes single places of shuffled networks and looks whether they are
// found; takes few neurons from an owner, and looks whether that shows; compares
// strangers, and counts claims. It writes one page of tables:
//
//	go run ./internal/bench/lineage -data ../shared/data -models ONNX > table.md
//
// What is measured goes into JSON lines in the folder of -store, too, and is not
// measured again by the next run: a run that was ended goes on. Networks that are not
// there are named as missing. Others are trained here, on the images that the program
// carries. All follows from the seeds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"regexp"
	"strings"
)

// config is what the flags say.
type config struct {
	data    string
	models  string
	cifar   string
	store   string
	match   *regexp.Regexp
	parts   *regexp.Regexp
	attacks *regexp.Regexp
	pairs   int
	seeds   int
	seed    uint64
	strange int
	quick   bool
	again   bool
	page    bool
	threads int
}

func main() {
	c := &config{match: regexp.MustCompile("."), parts: regexp.MustCompile("."), attacks: regexp.MustCompile(".")}
	expression := func(to **regexp.Regexp) func(string) error {
		return func(s string) (err error) {
			*to, err = regexp.Compile(s)
			return err
		}
	}
	flag.StringVar(&c.data, "data", "../shared/data", "a `folder` of *.safetensors")
	flag.StringVar(&c.models, "models", "", "a `folder` of *.onnx")
	flag.StringVar(&c.cifar, "cifar", "", "a `folder` of images for fine-tuning networks for CIFAR-10; without it they are not fine-tuned")
	flag.StringVar(&c.store, "store", "build/bench-lineage", "a `folder` for what was measured, which is not measured again")
	flag.Func("match", "measure only networks and populations whose name matches the `regexp`", expression(&c.match))
	flag.Func("parts", "make only tables whose name matches the `regexp`: matrix, places, power, strangers", expression(&c.parts))
	flag.Func("attacks", "make only attacks that match the `regexp`", expression(&c.attacks))
	flag.IntVar(&c.pairs, "pairs", 0, "measure `N` pairs of attacks of each network, drawn at random, and all single ones; 0 is all pairs")
	flag.IntVar(&c.seeds, "seeds", 20, "suspects of each kind whose places are changed; at most 5 of those with neurons of the owner")
	flag.Uint64Var(&c.seed, "seed", 0, "draw pairs of attacks, and all that attacks draw, by `N`: other cases, for another -store")
	flag.IntVar(&c.strange, "strangers", 0, "compare at most `N` pairs of each population of strangers; 0 is all")
	flag.BoolVar(&c.quick, "quick", false, "some networks, 20 pairs of attacks, two seeds, 100 strangers")
	flag.BoolVar(&c.again, "wrong", false, "measure again the cases of the matrix that were wrong")
	flag.BoolVar(&c.page, "page", false, "measure nothing: print what was measured")
	flag.IntVar(&c.threads, "threads", 1, "goroutines")
	flag.Parse()
	if c.quick {
		c.pairs, c.seeds, c.strange = 20, 2, 100
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintf(os.Stderr, "lineage: error: %v\n", err)
		os.Exit(1)
	}
}

// run makes the tables that are asked for, each written as soon as it is there.
func run(ctx context.Context, c *config) error {
	if err := os.MkdirAll(c.store, 0o755); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		make func(ctx context.Context, c *config, b *strings.Builder) error
	}{{"matrix", matrixTable}, {"places", placesTable}, {"power", powerTable}, {"strangers", strangersTable}} {
		if !c.parts.MatchString(part.name) {
			continue
		}
		var b strings.Builder
		err := part.make(ctx, c, &b)
		if _, failed := os.Stdout.WriteString(b.String()); failed != nil {
			return failed
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// missing says that a network is not there, and reports whether it is only that.
func missing(b *strings.Builder, name string, err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	fmt.Fprintf(b, "- missing, so not measured: %s (%v)\n", name, err)
	return true
}
