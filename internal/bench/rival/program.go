// Package rival runs the compressors of others for the benchmarks, and writes
// the tables: programs with a command line, and Python packages behind a script.
package rival

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A Program is a general compressor with a command line.
type Program struct {
	Label   string   // short, with the options that matter
	Names   []string // as it may be called on this system; the first found is used
	Version []string // the arguments that make it print its version
	// Encode and Decode are arguments. IN and OUT stand for the files; without
	// OUT the program writes to its standard output. FIRST stands for the file
	// that was encoded, for those that keep its name.
	Encode, Decode []string
	// Suffix is what the program wants a packed file's name to end in.
	Suffix string

	path string
}

// Find looks for the program and reports whether it is on this machine.
func (p *Program) Find() bool {
	for _, name := range p.Names {
		if path, err := exec.LookPath(name); err == nil {
			p.path = path
			return true
		}
	}
	return false
}

// FullVersion returns what the program, which was found, says of itself.
func (p *Program) FullVersion(ctx context.Context) string {
	return FirstLine(ctx, p.path, p.Version...)
}

// Pack compresses in to packed and restores that to restored; it returns what
// each way cost. It does not compare.
func (p *Program) Pack(ctx context.Context, in, packed, restored string) (encode, decode Cost, err error) {
	if encode, err = p.run(ctx, p.Encode, in, packed, in); err != nil {
		return Cost{}, Cost{}, err
	}
	decode, err = p.run(ctx, p.Decode, packed, restored, in)
	return encode, decode, err
}

func (p *Program) run(ctx context.Context, template []string, in, out, first string) (Cost, error) {
	args := make([]string, len(template))
	toFile := true
	for i, a := range template {
		switch a {
		case "IN":
			a = in
		case "OUT":
			a, toFile = out, false
		case "FIRST":
			a = first
		}
		args[i] = a
	}
	if err := os.Remove(out); err != nil && !os.IsNotExist(err) { // 7z and zpaq add to an archive that exists
		return Cost{}, err
	}
	cmd := exec.CommandContext(ctx, p.path, args...)
	if toFile {
		f, err := os.Create(out)
		if err != nil {
			return Cost{}, err
		}
		defer f.Close()
		cmd.Stdout = f
	}
	return Timed(cmd)
}

// A Cost is in seconds. On a busy machine those of the processor say more.
type Cost struct {
	Wall, CPU float64
}

// Least returns the smaller of each.
func (c Cost) Least(d Cost) Cost { return Cost{min(c.Wall, d.Wall), min(c.CPU, d.CPU)} }

// Plus returns the sum.
func (c Cost) Plus(d Cost) Cost { return Cost{c.Wall + d.Wall, c.CPU + d.CPU} }

// Timed runs a command from the start of its process to the end.
func Timed(cmd *exec.Cmd) (Cost, error) {
	var talk bytes.Buffer
	cmd.Stderr = &talk
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return Cost{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, talk.Bytes())
	}
	wall := time.Since(start)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return Cost{wall.Seconds(), cpu.Seconds()}, nil
}

// FirstLine returns the first line with words that a program prints.
func FirstLine(ctx context.Context, path string, args ...string) string {
	out, _ := exec.CommandContext(ctx, path, args...).CombinedOutput() // some exit with 1 and still say it
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return path + ", of an unknown version"
}
