package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A packer compresses files. Names of columns are those of packers.
type packer interface {
	// name is short and says the options that matter.
	name() string
	// pack compresses in to packed and restores that to restored; it returns
	// what each way cost. It does not compare.
	pack(ctx context.Context, in input, packed, restored string) (encode, decode cost, err error)
}

// A cost is in seconds. On a busy machine those of the processor say more.
type cost struct {
	Wall, CPU float64
}

func (c cost) least(d cost) cost { return cost{min(c.Wall, d.Wall), min(c.CPU, d.CPU)} }
func (c cost) plus(d cost) cost  { return cost{c.Wall + d.Wall, c.CPU + d.CPU} }

// toolset is what was found on this machine.
type toolset struct {
	present  []packer
	versions []string // of the programs, for the page
	missing  []string // and what was looked for in vain
	python   *zipNN
}

func (s *toolset) close() {
	if s.python != nil {
		s.python.close()
	}
}

// fast returns the packers for files of hundreds of megabytes.
func (s *toolset) fast() []packer {
	var list []packer
	for _, p := range s.present {
		switch p := p.(type) {
		case *zipNN:
			list = append(list, p)
		case *ropewalk:
			if p.effort == "fast" {
				list = append(list, p)
			}
		}
	}
	return list
}

// A program is a general compressor with a command line.
type program struct {
	label   string
	names   []string // as it may be called on this system; the first found is used
	version []string // the arguments that make it print its version
	encode  []string // IN and OUT stand for the files
	decode  []string
	path    string
}

var programs = []program{
	{
		label: "xz -9e", names: []string{"xz"}, version: []string{"--version"},
		encode: []string{"-9e", "-T1", "-k", "-c", "IN"}, decode: []string{"-d", "-c", "IN"},
	},
	{
		label: "zstd -19", names: []string{"zstd"}, version: []string{"--version"},
		encode: []string{"-19", "-T1", "-q", "-c", "IN"}, decode: []string{"-d", "-q", "-c", "IN"},
	},
	{
		label: "brotli -q 11", names: []string{"brotli"}, version: []string{"--version"},
		encode: []string{"-q", "11", "-c", "IN"}, decode: []string{"-d", "-c", "IN"},
	},
	{
		label: "7z PPMd", names: []string{"7z", "7zz", "7za"}, version: []string{"i"},
		encode: []string{"a", "-t7z", "-m0=PPMd:o=4:mem=256m", "-mmt=1", "-bd", "-sae", "OUT", "IN"}, decode: []string{"x", "-so", "IN"},
	},
}

// findTools looks for every packer. One that is missing is no error.
func findTools(ctx context.Context, c *config) (*toolset, error) {
	s := &toolset{}
	for _, p := range programs {
		for _, name := range p.names {
			if path, err := exec.LookPath(name); err == nil {
				p.path = path
				break
			}
		}
		if p.path == "" {
			s.missing = append(s.missing, p.label)
			continue
		}
		s.present = append(s.present, &p)
		s.versions = append(s.versions, firstLine(ctx, p.path, p.version...))
	}
	if c.python == "" {
		s.missing = append(s.missing, "ZipNN (no -python)")
	} else {
		z, err := startZipNN(ctx, c.python)
		if err != nil {
			return nil, err
		}
		s.python = z
		s.present = append(s.present, z)
		s.versions = append(s.versions, "zipnn "+z.version)
	}
	if path, err := exec.LookPath(c.ropewalk); err == nil {
		s.present = append(s.present, &ropewalk{path, "fast"}, &ropewalk{path, "max"})
		s.versions = append(s.versions, firstLine(ctx, path, "version"))
	} else {
		s.missing = append(s.missing, "ropewalk ("+c.ropewalk+")")
	}
	return s, nil
}

// firstLine returns the first line with words that a program prints.
func firstLine(ctx context.Context, path string, args ...string) string {
	out, _ := exec.CommandContext(ctx, path, args...).CombinedOutput() // some exit with 1 and still say it
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return path + ", of an unknown version"
}

func (p *program) name() string { return p.label }

func (p *program) pack(ctx context.Context, in input, packed, restored string) (encode, decode cost, err error) {
	if encode, err = p.run(ctx, p.encode, in.path, packed); err != nil {
		return cost{}, cost{}, err
	}
	decode, err = p.run(ctx, p.decode, packed, restored)
	return encode, decode, err
}

// run starts the program on the file in, and returns what that cost.
// Unless the arguments name OUT, its standard output becomes the file out.
func (p *program) run(ctx context.Context, template []string, in, out string) (cost, error) {
	args := make([]string, len(template))
	toFile := true
	for i, a := range template {
		switch a {
		case "IN":
			a = in
		case "OUT":
			a, toFile = out, false
		}
		args[i] = a
	}
	if err := os.Remove(out); err != nil && !os.IsNotExist(err) { // 7z adds to an archive that exists
		return cost{}, err
	}
	cmd := exec.CommandContext(ctx, p.path, args...)
	if toFile {
		f, err := os.Create(out)
		if err != nil {
			return cost{}, err
		}
		defer f.Close()
		cmd.Stdout = f
	}
	return timed(cmd)
}

// timed runs a command from the start of its process to the end.
func timed(cmd *exec.Cmd) (cost, error) {
	var talk bytes.Buffer
	cmd.Stderr = &talk
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, talk.Bytes())
	}
	wall := time.Since(start)
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return cost{wall.Seconds(), cpu.Seconds()}, nil
}
