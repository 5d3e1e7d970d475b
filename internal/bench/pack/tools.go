package main

import (
	"context"
	"os/exec"

	"ropewalk/internal/bench/rival"
)

// A packer compresses files. Names of columns are those of packers.
type packer interface {
	// name is short and says the options that matter.
	name() string
	// pack compresses in to packed and restores that to restored; it returns
	// what each way cost. It does not compare.
	pack(ctx context.Context, in input, packed, restored string) (encode, decode rival.Cost, err error)
}

// toolset is what was found on this machine.
type toolset struct {
	present  []packer
	versions []string // of the programs, for the page
	missing  []string // and what was looked for in vain
	python   *zipNN
}

func (s *toolset) close() {
	if s.python != nil {
		s.python.script.Close()
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

var programs = []rival.Program{
	{
		Label: "xz -9e", Names: []string{"xz"}, Version: []string{"--version"},
		Encode: []string{"-9e", "-T1", "-k", "-c", "IN"}, Decode: []string{"-d", "-c", "IN"},
	},
	{
		Label: "zstd -19", Names: []string{"zstd"}, Version: []string{"--version"},
		Encode: []string{"-19", "-T1", "-q", "-c", "IN"}, Decode: []string{"-d", "-q", "-c", "IN"},
	},
	{
		Label: "brotli -q 11", Names: []string{"brotli"}, Version: []string{"--version"},
		Encode: []string{"-q", "11", "-c", "IN"}, Decode: []string{"-d", "-c", "IN"},
	},
	{
		Label: "7z PPMd", Names: []string{"7z", "7zz", "7za"}, Version: []string{"i"},
		Encode: []string{"a", "-t7z", "-m0=PPMd:o=4:mem=256m", "-mmt=1", "-bd", "-sae", "OUT", "IN"}, Decode: []string{"x", "-so", "IN"},
	},
}

// findTools looks for every packer. One that is missing is no error.
func findTools(ctx context.Context, c *config) (*toolset, error) {
	s := &toolset{}
	for _, p := range programs {
		if !p.Find() {
			s.missing = append(s.missing, p.Label)
			continue
		}
		s.present = append(s.present, program{&p})
		s.versions = append(s.versions, p.FullVersion(ctx))
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
		s.versions = append(s.versions, "zipnn "+z.script.Version)
	}
	if path, err := exec.LookPath(c.ropewalk); err == nil {
		s.present = append(s.present, &ropewalk{path, "fast"}, &ropewalk{path, "max"})
		s.versions = append(s.versions, rival.FirstLine(ctx, path, "version"))
	} else {
		s.missing = append(s.missing, "ropewalk ("+c.ropewalk+")")
	}
	return s, nil
}

// program is a general compressor.
type program struct{ *rival.Program }

func (p program) name() string { return p.Label }

func (p program) pack(ctx context.Context, in input, packed, restored string) (encode, decode rival.Cost, err error) {
	return p.Pack(ctx, in.path, packed, restored)
}
