package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// ropewalk is our own program, with one of its efforts.
type ropewalk struct {
	path   string
	effort string
}

func (r *ropewalk) name() string { return "ropewalk " + r.effort }

func (r *ropewalk) pack(ctx context.Context, in input, packed, restored string) (encode, decode cost, err error) {
	encode, err = r.run(ctx, "pack", "--effort", r.effort, in.path, "-o", packed)
	if err != nil {
		return cost{}, cost{}, err
	}
	decode, err = r.run(ctx, "unpack", packed, "-o", restored)
	return encode, decode, err
}

// run takes for the wall time the seconds that the verb reports: these leave out
// the start of the process, as ZipNN's do.
func (r *ropewalk) run(ctx context.Context, verb string, args ...string) (cost, error) {
	cmd := exec.CommandContext(ctx, r.path, append([]string{verb, "--threads", "1", "--json", "-f"}, args...)...)
	var answer bytes.Buffer
	cmd.Stdout = &answer
	c, err := timed(cmd)
	if err != nil {
		return cost{}, err
	}
	var report struct {
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(answer.Bytes(), &report); err != nil {
		return cost{}, fmt.Errorf("%s: %q: %w", verb, answer.Bytes(), err)
	}
	c.Wall = report.Seconds
	return c, nil
}
