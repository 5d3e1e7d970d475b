// Align measures how well neurons are found again.
//
// It attacks networks as Find the Lady (arXiv 2312.14182) does, looks for their
// neurons by every method, compares with the truth, and writes one page of tables:
//
//	go run ./internal/bench/align -data ../shared/data > table.md
//
// Networks of data (resnet20_cifar10, resnet32_cifar10, mobilenet_v2, each
// .safetensors; mobilenetv2.py makes the last one) that are not there are named as
// missing. Others are trained here, on the images that the program carries, or have
// their initial weights. All follows from the seeds.
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
	match   *regexp.Regexp
	parts   *regexp.Regexp
	attacks *regexp.Regexp
	seeds   int
	outer   int
	epochs  int
	norms   float64
	quick   bool
	threads int
}

func main() {
	c := config{match: regexp.MustCompile("."), parts: regexp.MustCompile("."), attacks: regexp.MustCompile(".")}
	expression := func(to **regexp.Regexp) func(string) error {
		return func(s string) (err error) {
			*to, err = regexp.Compile(s)
			return err
		}
	}
	flag.StringVar(&c.data, "data", "../shared/data", "a `folder` of *.safetensors")
	flag.StringVar(&c.models, "models", "", "a `folder` of *.onnx")
	flag.Func("match", "measure only networks whose name matches the `regexp`", expression(&c.match))
	flag.Func("parts", "make only tables whose name matches the `regexp`: layer, cold, gauge", expression(&c.parts))
	flag.Func("attacks", "make only the rows that match the `regexp`", expression(&c.attacks))
	flag.IntVar(&c.seeds, "seeds", 5, "attacks of each kind")
	flag.IntVar(&c.outer, "outer", 5, "attacks of each kind that cold starts are compared on with known outer axes, which takes long")
	flag.IntVar(&c.epochs, "epochs", 3, "epochs of training of the networks that are trained here")
	flag.Float64Var(&c.norms, "norms", 0, "of cold starts: multiply biases and all of norms by 1 + so much Gaussian noise, too")
	flag.BoolVar(&c.quick, "quick", false, "some networks and attacks, two seeds")
	flag.IntVar(&c.threads, "threads", 1, "goroutines")
	flag.Parse()
	if c.quick {
		c.seeds = min(c.seeds, 2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintf(os.Stderr, "align: error: %v\n", err)
		os.Exit(1)
	}
}

// run makes the tables that are asked for, each written as soon as it is there.
func run(ctx context.Context, c *config) error {
	var missing []string
	for _, part := range []struct {
		name string
		make func(ctx context.Context, c *config, s *subject, b *strings.Builder) error
	}{{"layer", layerTable}, {"cold", coldTable}, {"gauge", gaugeTable}} {
		if !c.parts.MatchString(part.name) {
			continue
		}
		for _, p := range subjects {
			if !c.match.MatchString(p.name) || !strings.Contains(p.parts, part.name) || c.quick && !p.quick {
				continue
			}
			s, err := p.open(ctx, c)
			if errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, fmt.Sprintf("%s (%v)", p.name, err))
				continue
			}
			var b strings.Builder
			if err == nil {
				err = part.make(ctx, c, s, &b)
				s.close()
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", part.name, p.name, err)
			}
			if _, err := os.Stdout.WriteString(b.String() + "\n"); err != nil {
				return err
			}
		}
	}
	for _, m := range missing {
		fmt.Printf("- missing, so not measured: %s\n", m)
	}
	return nil
}
