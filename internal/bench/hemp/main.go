// Hemp measures how small networks become that are trained to be small.
//
// It trains the rows of its tables with the ropewalk binary, several seeds each,
// and writes one page of tables with medians and spreads:
//
//	go run ./internal/bench/hemp -ropewalk bin/ropewalk -mnist mnist -fashion fashion-mnist -seeds 5 > hemp.md
//
// Every run that is done is a line of JSON in the work folder, and is not done
// again: a bench that was stopped goes on where it was, and more seeds add to those
// that are there. A line belongs to the options that it was made with; if those of a
// row change, its lines are left out and the row is run again.
//
// Bytes are those of the .rope, all counted, and the errors are those of that file,
// read back by "ropewalk eval". Rows were chosen by errors on validation data, which
// are a part of the training data; the errors of the test data are only reported.
//
// With -cost it measures what a step of training takes with and without a penalty.
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
	work     string
	mnist    string
	fashion  string
	cifar    string
	given    string
	match    string
	seeds    int
	first    int
	threads  int
	quick    bool
	dry      bool
	cost     bool
}

func main() {
	var c config
	flag.StringVar(&c.ropewalk, "ropewalk", "bin/ropewalk", "the `program` that trains")
	flag.StringVar(&c.work, "work", "build/bench-hemp", "the `folder` of runs")
	flag.StringVar(&c.mnist, "mnist", "../shared/data", "a `folder` with MNIST, as IDX")
	flag.StringVar(&c.fashion, "fashion", "", "a `folder` with Fashion-MNIST, as IDX; without it its rows are left out")
	flag.StringVar(&c.cifar, "cifar", "", "a `folder` with CIFAR-10; without it its rows are left out")
	flag.StringVar(&c.given, "given", "../shared/data", "a `folder` with resnet20_cifar10.safetensors and resnet32_cifar10.safetensors, with which rows of CIFAR-10 begin")
	flag.StringVar(&c.match, "match", ".", "run only rows whose name matches the `regexp`")
	flag.IntVar(&c.seeds, "seeds", 5, "`runs` of each row")
	flag.IntVar(&c.first, "first-seed", 0, "the first `seed`")
	flag.IntVar(&c.threads, "threads", 1, "`processors` of a run")
	flag.BoolVar(&c.quick, "quick", false, "few rows, one seed, on the images that the program carries: it shows that all works, and measures nothing")
	flag.BoolVar(&c.dry, "n", false, "run nothing: print the page of what is there")
	flag.BoolVar(&c.cost, "cost", false, "measure only what a step costs")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintf(os.Stderr, "hemp: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *config) error {
	if c.cost {
		return writeCosts(ctx, os.Stdout)
	}
	match, err := regexp.Compile(c.match)
	if err != nil {
		return err
	}
	rows := allRows
	if c.quick {
		rows, c.seeds = quickRows, 1
	}
	b, err := openBench(c)
	if err != nil {
		return err
	}
	defer b.close()
	var chosen []*row
	for i := range rows {
		r := &rows[i]
		if match.MatchString(r.name) && b.folder(r.data) != "" {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no row matches %q", c.match)
	}
	// Seed by seed, so that a bench that is stopped has a little of every row.
	for seed := c.first; !c.dry && seed < c.first+c.seeds; seed++ {
		for _, r := range chosen {
			if err := b.measure(ctx, r, seed); err != nil {
				return fmt.Errorf("%s, seed %d: %w", r.name, seed, err)
			}
		}
	}
	return writePage(os.Stdout, b, chosen)
}
