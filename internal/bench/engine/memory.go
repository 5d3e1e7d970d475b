package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// Peak memory is measured for one network.
const (
	memoryNet   = "resnet20"
	memoryBatch = 128
)

// A usage is what a process has had at most, in bytes: before the network was made,
// and after some steps.
type usage struct {
	Baseline int64 `json:"baseline"`
	Peak     int64 `json:"peak"`
}

// highWater returns the most memory that this process has had. Linux only.
func highWater() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("peak memory is known on Linux only: %w", err)
	}
	_, rest, ok := bytes.Cut(b, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0, fmt.Errorf("/proc/self/status has no VmHWM")
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return n << 10, err
}

// printMemory makes three steps in this process, and prints its usage.
func printMemory(_ context.Context, c *config) error {
	baseline, err := highWater()
	if err != nil {
		return err
	}
	j, err := training(c.memory, memoryBatch, c.threads)
	if err != nil {
		return err
	}
	defer j.close()
	if _, err := j.steps(3); err != nil {
		return err
	}
	peak, err := highWater()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(usage{baseline, peak})
}

func (p *page) memory(ctx context.Context, torch *peer) error {
	if !p.c.match.MatchString("memory " + memoryNet) {
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, exe, "-memory", memoryNet, "-threads", strconv.Itoa(p.c.threads)).Output()
	if err != nil {
		return fmt.Errorf("memory of %s: %w", memoryNet, err)
	}
	var ours, theirs usage
	if err := json.Unmarshal(out, &ours); err != nil {
		return err
	}
	fmt.Fprintf(p.w, "\n| peak memory of a step, less the baseline | ropewalk | PyTorch | ratio |\n|---|---:|---:|---:|\n")
	mine := float64(ours.Peak-ours.Baseline) / (1 << 20)
	name := fmt.Sprintf("%s, batch %d", memoryNet, memoryBatch)
	if torch.missing != "" {
		fmt.Fprintf(p.w, "| %s | %.0f MiB | missing | |\n", name, mine)
		return nil
	}
	fresh := newPeer(ctx, torch.name, torch.kind, torch.python, torch.threads)
	defer fresh.close()
	if fresh.missing != "" {
		return fmt.Errorf("%s: %s", torch.name, fresh.missing)
	}
	if err := fresh.ask(map[string]any{"do": "memory", "net": memoryNet, "batch": memoryBatch}, &theirs); err != nil {
		return err
	}
	other := float64(theirs.Peak-theirs.Baseline) / (1 << 20)
	fmt.Fprintf(p.w, "| %s | %.0f MiB | %.0f MiB | %.2f |\n", name, mine, other, mine/other)
	return nil
}
