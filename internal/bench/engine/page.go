package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"ropewalk/graph"
	"ropewalk/internal/kernel"
	"ropewalk/tensor"
)

// A page is the tables.
type page struct {
	w *bufio.Writer
	c *config
}

func (p *page) head(peers ...*peer) {
	fmt.Fprintf(p.w, "Medians of %d rounds in turn, %d threads each; %s, %s/%s, kernels %v.\n", p.c.rounds, p.c.threads, runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel.CurrentPath())
	for _, o := range peers {
		if o.missing != "" {
			fmt.Fprintf(p.w, "\n%s is missing: %s.\n", o.name, o.missing)
			continue
		}
		fmt.Fprintf(p.w, "\n%s %s.\n", o.name, o.version)
	}
}

// trainings are the networks that are trained, with the examples of a batch and the
// steps of a round.
var trainings = []struct {
	net          string
	batch, steps int
}{
	{"lenet-300-100", 100, 100}, {"lenet5", 100, 10}, {"resnet20", 128, 3}, {"resnet32", 128, 2}, {"mobilenet_v2_cifar", 64, 2},
}

func (p *page) training(ctx context.Context, torch *peer) error {
	fmt.Fprintf(p.w, "\n| training step | batch | ropewalk | PyTorch | ratio | CPU | CPU PyTorch | ratio |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, t := range trainings {
		if !p.c.match.MatchString("train " + t.net) {
			continue
		}
		j, err := training(t.net, t.batch, p.c.threads)
		if err != nil {
			return fmt.Errorf("%s: %w", t.net, err)
		}
		var theirs func(n int) (*spent, error)
		if torch.missing == "" {
			theirs = func(n int) (*spent, error) {
				return torch.steps(map[string]any{"do": "train", "net": t.net, "batch": t.batch}, n)
			}
		}
		err = p.row(ctx, fmt.Sprintf("%s | %d", t.net, t.batch), j, theirs, t.steps)
		j.close()
		if err != nil {
			return fmt.Errorf("%s: %w", t.net, err)
		}
	}
	return nil
}

// rest is how long both sides sleep before each turn: workers look out for more work
// for a while after the last, and would do so in the time of the other side.
const rest = 100 * time.Millisecond

// row measures both sides in turn and prints a row.
func (p *page) row(ctx context.Context, name string, ours *job, theirs func(n int) (*spent, error), steps int) error {
	if _, err := ours.steps(2); err != nil { // warm up
		return err
	}
	var a, b spent
	for range p.c.rounds {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		time.Sleep(rest)
		s, err := ours.steps(steps)
		if err != nil {
			return err
		}
		a.add(s)
		if theirs == nil {
			continue
		}
		time.Sleep(rest)
		if s, err = theirs(steps); err != nil {
			return err
		}
		b.add(s)
	}
	if theirs == nil {
		fmt.Fprintf(p.w, "| %s | %s | missing | | %s | | |\n", name, milliseconds(median(a.Seconds)), milliseconds(a.perStep()))
	} else {
		fmt.Fprintf(p.w, "| %s | %s | %s | %.2f | %s | %s | %.2f |\n", name,
			milliseconds(median(a.Seconds)), milliseconds(median(b.Seconds)), median(a.Seconds)/median(b.Seconds),
			milliseconds(a.perStep()), milliseconds(b.perStep()), a.perStep()/b.perStep())
	}
	return p.w.Flush()
}

func (s *spent) add(o *spent) {
	s.Seconds = append(s.Seconds, o.Seconds...)
	s.CPU += o.CPU
}

// perStep is the time of processors for a step, in seconds.
func (s *spent) perStep() float64 { return s.CPU / float64(len(s.Seconds)) }

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func milliseconds(s float64) string { return fmt.Sprintf("%.3g ms", 1e3*s) }

// forwards are the models that are run. Those without a file are exported.
func (p *page) forwards() []forward {
	rate := int64(16000)
	return []forward{
		{"resnet20, batch 1", "", []input{{Name: "input", Shape: tensor.Shape{1, 3, 32, 32}}}, 30},
		{"resnet20, batch 128", "", []input{{Name: "input", Shape: tensor.Shape{128, 3, 32, 32}}}, 3},
		{"OCR detector, 1x3x320x320", "ch_PP-OCRv4_det_infer.onnx", []input{{Name: "x", Shape: tensor.Shape{1, 3, 320, 320}}}, 10},
		{"OCR recogniser, 1x3x48x320", "ch_PP-OCRv4_rec_infer.onnx", []input{{Name: "x", Shape: tensor.Shape{1, 3, 48, 320}}}, 10},
		{"Silero VAD v5, 512 samples", "silero_vad_v5.onnx", []input{
			{Name: "input", Shape: tensor.Shape{1, 512}}, {Name: "state", Shape: tensor.Shape{2, 1, 128}}, {Name: "sr", Shape: tensor.Shape{}, Value: &rate},
		}, 100},
	}
}

// A forward is a model with its inputs, and the runs of a round.
type forward struct {
	name, file string
	inputs     []input
	steps      int
}

func (p *page) forward(ctx context.Context, ort *peer) error {
	dir, err := os.MkdirTemp("", "ropewalk-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	resnet := filepath.Join(dir, "resnet20.onnx")
	if err := exported("resnet20", resnet); err != nil {
		return err
	}
	fmt.Fprintf(p.w, "\n| forward | ropewalk | ONNX Runtime | ratio | CPU | CPU ONNX Runtime | ratio |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, f := range p.forwards() {
		if !p.c.match.MatchString("forward " + f.name) {
			continue
		}
		model := resnet
		if f.file != "" {
			model = filepath.Join(p.c.models, f.file)
		}
		if _, err := os.Stat(model); err != nil {
			fmt.Fprintf(p.w, "| %s | %s is missing | | | | | |\n", f.name, f.file)
			continue
		}
		j, err := running(model, f.inputs, p.c.threads)
		var lacking *graph.UnsupportedError
		switch {
		case errors.As(err, &lacking):
			fmt.Fprintf(p.w, "| %s | cannot: %d nodes, such as %s | | | | | |\n", f.name, len(lacking.Missing), lacking.Missing[0].Op)
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", f.name, err)
		}
		var theirs func(n int) (*spent, error)
		if ort.missing == "" {
			theirs = func(n int) (*spent, error) {
				return ort.steps(map[string]any{"do": "forward", "model": model, "inputs": f.inputs}, n)
			}
		}
		err = p.row(ctx, f.name, j, theirs, f.steps)
		j.close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}
