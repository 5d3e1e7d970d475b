package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
)

// ropewalk is our own program, with one of its efforts.
type ropewalk struct {
	path   string
	effort string
}

func (r *ropewalk) name() string { return "ropewalk " + r.effort }

func (r *ropewalk) pack(ctx context.Context, in input, packed, restored string) (encode, decode float64, err error) {
	encode, err = r.run(ctx, "pack", "--effort", r.effort, in.path, "-o", packed)
	if err != nil {
		return 0, 0, err
	}
	decode, err = r.run(ctx, "unpack", packed, "-o", restored)
	return encode, decode, err
}

// run returns the seconds that the verb reports, or else those that passed. The
// first leave out the start of the process, as ZipNN's numbers do.
func (r *ropewalk) run(ctx context.Context, verb string, args ...string) (float64, error) {
	cmd := exec.CommandContext(ctx, r.path, append([]string{verb, "--threads", "1", "--json", "-f"}, args...)...)
	var answer bytes.Buffer
	cmd.Stdout = &answer
	wall, err := timed(cmd)
	if err != nil {
		return 0, err
	}
	var report struct {
		Seconds float64 `json:"seconds"`
	}
	if json.Unmarshal(answer.Bytes(), &report) == nil && report.Seconds > 0 {
		return report.Seconds, nil
	}
	return wall, nil
}
