package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"

	"ropewalk/internal/bench/rival"
)

// ropewalk is our own program, with one of its efforts.
type ropewalk struct {
	path   string
	effort string
}

func (r *ropewalk) name() string { return "ropewalk " + r.effort }

func (r *ropewalk) pack(ctx context.Context, in input, packed, restored string) (encode, decode rival.Cost, err error) {
	encode, err = r.run(ctx, "pack", "--effort", r.effort, in.path, "-o", packed)
	if err != nil {
		return rival.Cost{}, rival.Cost{}, err
	}
	decode, err = r.run(ctx, "unpack", packed, "-o", restored)
	return encode, decode, err
}

// run takes for the wall time the seconds that the verb reports: these leave out
// the start of the process, as ZipNN's do.
func (r *ropewalk) run(ctx context.Context, verb string, args ...string) (rival.Cost, error) {
	cmd := exec.CommandContext(ctx, r.path, append([]string{verb, "--threads", "1", "--json", "-f"}, args...)...)
	var answer bytes.Buffer
	cmd.Stdout = &answer
	c, err := rival.Timed(cmd)
	if err != nil {
		return rival.Cost{}, err
	}
	var report struct {
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(answer.Bytes(), &report); err != nil {
		return rival.Cost{}, fmt.Errorf("%s: %q: %w", verb, answer.Bytes(), err)
	}
	c.Wall = report.Seconds
	return c, nil
}
