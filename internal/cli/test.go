package cli

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
)

type testOptions struct{ base string }

func newTest(e *env) *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "check that checkpoints can be read, and write nothing",
		Long: `Decode all of each .rope FILE and check every checksum and digest in it. Other
formats have few or none: for them, check the structure and read all tensors.
All FILEs are tested, also after one that fails.`,
		Example: example(
			"before the original is deleted", "ropewalk test model.safetensors.rope && rm model.safetensors",
			"find damaged files", "ropewalk test --json *.rope 2>/dev/null | jq -r 'select(.ok | not).file'",
		),
		Args: arguments(1, 1<<20, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.test(cmd.Context(), &o, args) },
	}
	cmd.Flags().StringVar(&o.base, "base", "", "the checkpoint `OLD` that the FILEs were packed against")
	exits(cmd, exitUsage, exitRefused, exitInterrupted)
	return cmd
}

// testResult is what test says of one file.
type testResult struct {
	Schema  string       `json:"schema"`
	File    string       `json:"file"`
	OK      bool         `json:"ok"`
	Error   *errorResult `json:"error,omitempty"`
	Format  string       `json:"format,omitempty"`
	Tensors int          `json:"tensors"`
	Bytes   int64        `json:"bytes" about:"of the tensors"`
	Seconds float64      `json:"seconds"`
}

func (r *testResult) text(w *bufio.Writer) {
	if !r.OK {
		fmt.Fprintf(w, "%s: FAILED\n", printable(r.File)) // why is on stderr
		return
	}
	fmt.Fprintf(w, "%s: ok (%s, %s, %s bytes)\n", printable(r.File), r.Format, count(r.Tensors, "tensor"), commas(r.Bytes))
}

func (e *env) test(ctx context.Context, o *testOptions, inputs []string) error {
	if slices.Contains(inputs, dash) && o.base == dash {
		return usagef("input and base are both standard input")
	}
	total := int64(0)
	for _, in := range inputs {
		total += sizeOf(in)
	}
	p := e.progress("test", total)
	defer p.stop()
	worst := 0
	for _, in := range inputs {
		r, err := e.testOne(ctx, o, in, p)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.Error = newErrorResult(err)
			if worst == 0 || worst == exitFailure {
				worst = r.Error.Status // 4, never retry, says more than 1
			}
		}
		if err := e.answer(r); err != nil {
			return err
		}
		e.report(err, e.json)
	}
	if worst != 0 {
		return &verdict{status: worst}
	}
	return nil
}

func (e *env) testOne(ctx context.Context, o *testOptions, input string, p *progress) (*testResult, error) {
	start := time.Now()
	r := &testResult{Schema: "ropewalk/test/1", File: input}
	c, done, err := e.openBased(ctx, input, o.base)
	if err != nil {
		return r, err
	}
	defer done()
	r.Format, r.Tensors = c.Format, c.Tensors.Len()
	for _, t := range c.Tensors.All() {
		r.Bytes += t.Size()
	}
	p.total.Add(c.Size() - sizeOf(input))
	if c.Rope != nil {
		err = c.Rope.Test(ctx, p.part(c.Size()))
	}
	if err == nil {
		err = readAll(ctx, c)
	}
	r.OK = err == nil
	r.Seconds = time.Since(start).Seconds()
	return r, err
}

// readAll reads every tensor of a checkpoint that has no checksums, or only
// those that its format's decoders look at.
func readAll(ctx context.Context, c *checkpoint.Checkpoint) error {
	var todo []chunk
	for i := range c.Tensors.Len() {
		if c.Rope == nil || c.Layout.Views[i].Encoded != nil {
			todo = append(todo, chunks(c, i)...)
		}
	}
	return parallel(ctx, len(todo), func(i int) error {
		b, err := todo[i].read(c)
		if err != nil {
			return err
		}
		crc32.ChecksumIEEE(b) // touch mapped pages: a bad disk shows here
		todo[i].release(c)
		return nil
	})
}
