// Engine measures training and inference beside PyTorch and ONNX Runtime.
//
// All of them compute the same networks on inputs of the same shapes, with as many
// threads, in turn: some steps of ours, some of theirs, and so on for several
// rounds, so that other load on the machine meets both. A figure is the median of
// all steps of all rounds; CPU is the time that the processors spent on a step, on
// average, with what threads spin while they wait:
//
//	go run ./internal/bench/engine -torch python3 -ort venv/bin/python -models onnx > table.md
//
// A step of training is what users get: [train.Fit] with a batch that is at hand,
// loss, gradients and SGD with momentum; of PyTorch, zero_grad, forward, backward and
// optimizer.step. Peak memory is that of separate processes which make three steps,
// less what they had before the network was made.
//
// The libraries that PyTorch multiplies with are printed beside its version: with the
// reference BLAS that some distributions install it is twenty times slower than with
// OpenBLAS, which in turn wants OPENBLAS_CORETYPE where it does not know the processor.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
)

// config is what the flags say.
type config struct {
	torch, ort string
	models     string
	match      *regexp.Regexp
	threads    int
	rounds     int
	memory     string
}

func main() {
	c := config{match: regexp.MustCompile(".")}
	flag.StringVar(&c.torch, "torch", "", "a `python` that has torch and torchvision; without it PyTorch is left out")
	flag.StringVar(&c.ort, "ort", "", "a `python` that has onnxruntime; without it ONNX Runtime is left out")
	flag.StringVar(&c.models, "models", "", "a `folder` of *.onnx: the OCR models and Silero VAD")
	flag.Func("match", "measure only cases whose name matches the `regexp`", func(s string) (err error) {
		c.match, err = regexp.Compile(s)
		return err
	})
	flag.IntVar(&c.threads, "threads", runtime.NumCPU(), "threads of each")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds of steps, ours and theirs in turn")
	flag.StringVar(&c.memory, "memory", "", "make three steps of `NET` and print the memory that took (the benchmark starts itself so)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &c); err != nil {
		fmt.Fprintf(os.Stderr, "engine: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *config) error {
	if c.memory != "" {
		return printMemory(ctx, c)
	}
	p := &page{w: bufio.NewWriter(os.Stdout), c: c}
	torch := newPeer(ctx, "PyTorch", "torch", c.torch, c.threads)
	defer torch.close()
	ort := newPeer(ctx, "ONNX Runtime", "onnxruntime", c.ort, c.threads)
	defer ort.close()
	p.head(torch, ort)
	if err := p.training(ctx, torch); err != nil {
		return err
	}
	if err := p.forward(ctx, ort); err != nil {
		return err
	}
	if err := p.memory(ctx, torch); err != nil {
		return err
	}
	return p.w.Flush()
}
