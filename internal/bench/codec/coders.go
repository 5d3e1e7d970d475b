package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"ropewalk/internal/bench/rival"
)

// A coder turns indices into bytes. Names of columns are those of coders.
type coder interface {
	name() string
	// code codes a stream, which also lies in path.bin and path.json, and
	// restores it. It answers only if every index came back.
	code(ctx context.Context, s *stream, path string) (measured, error)
}

// measured is what a coder did to a stream. Seconds are those of one thread in
// memory, or 0: that a program takes long to start says nothing about its coder.
type measured struct {
	size           int64
	encode, decode float64
}

// roster is who was found.
type roster struct {
	coders   []coder
	versions []string
	missing  []string // and what was looked for in vain
	script   *rival.Script
}

func (r *roster) close() {
	if r.script != nil {
		r.script.Close()
	}
}

// A program is a general compressor, which gets the bytes of a stream. Of
// several settings the best counts.
type program struct {
	settings []*rival.Program
	dir      string
}

var programs = [][]rival.Program{
	{{
		Label: "xz -9e", Names: []string{"xz"}, Version: []string{"--version"},
		Encode: []string{"-9e", "-T1", "-k", "-c", "IN"}, Decode: []string{"-d", "-c", "IN"},
	}},
	{{
		Label: "zstd -22", Names: []string{"zstd"}, Version: []string{"--version"},
		Encode: []string{"--ultra", "-22", "-T1", "-q", "-c", "IN"}, Decode: []string{"-d", "-q", "-c", "IN"},
	}},
	{{
		Label: "brotli 11", Names: []string{"brotli"}, Version: []string{"--version"},
		Encode: []string{"-q", "11", "-w", "24", "-c", "IN"}, Decode: []string{"-d", "-c", "IN"},
	}},
	{ppmd("2"), ppmd("3"), ppmd("4"), ppmd("6")},
	{{
		Label: "zpaq -m5", Names: []string{"zpaq"}, Suffix: ".zpaq",
		Encode: []string{"add", "OUT", "IN", "-m5", "-t1"}, Decode: []string{"extract", "IN", "FIRST", "-to", "OUT", "-t1"},
	}},
}

// ppmd returns 7-Zip's PPMd of an order.
func ppmd(order string) rival.Program {
	return rival.Program{
		Label: "7z PPMd", Names: []string{"7z", "7zz", "7za"}, Version: []string{"i"},
		Encode: []string{"a", "-t7z", "-m0=PPMd:o=" + order + ":mem=256m", "-mmt=1", "-bd", "-sae", "OUT", "IN"}, Decode: []string{"x", "-so", "IN"},
	}
}

// recruit looks for every coder whose name matches. One that is missing is no
// error.
func recruit(ctx context.Context, c *config, dir string) *roster {
	r := &roster{}
	for _, settings := range programs {
		p := program{dir: dir}
		for i := range settings {
			p.settings = append(p.settings, &settings[i])
		}
		if !c.coders.MatchString(p.name()) {
			continue
		}
		if slices.ContainsFunc(p.settings, func(s *rival.Program) bool { return !s.Find() }) {
			r.missing = append(r.missing, p.name())
			continue
		}
		r.coders = append(r.coders, p)
		r.versions = append(r.versions, p.settings[0].FullVersion(ctx))
	}
	if c.coders.MatchString(nnCodecName) {
		r.recruitNNCodec(ctx, c.python)
	}
	for _, o := range ours {
		if c.coders.MatchString(o.name()) {
			r.coders = append(r.coders, o)
		}
	}
	return r
}

func (p program) name() string { return p.settings[0].Label }

func (p program) code(ctx context.Context, _ *stream, path string) (measured, error) {
	var best measured
	for _, s := range p.settings {
		packed, restored := filepath.Join(p.dir, "packed"+s.Suffix), filepath.Join(p.dir, "restored")
		if _, _, err := s.Pack(ctx, path+".bin", packed, restored); err != nil {
			return measured{}, err
		}
		if err := rival.SameBytes(path+".bin", restored); err != nil {
			return measured{}, err
		}
		size, err := fileSize(packed)
		if err != nil {
			return measured{}, err
		}
		if best.size == 0 || size < best.size {
			best.size = size
		}
	}
	return best, nil
}

//go:embed nncodec.py
var nnCodecScript string

const nnCodecName = "NNCodec"

// nnCodec is the entropy coder of the Python package of that name.
type nnCodec struct{ script *rival.Script }

func (r *roster) recruitNNCodec(ctx context.Context, python string) {
	if python == "" {
		r.missing = append(r.missing, nnCodecName+" (no -python)")
		return
	}
	script, err := rival.StartScript(ctx, python, "nncodec", nnCodecScript)
	if err != nil {
		r.missing = append(r.missing, fmt.Sprintf("%s (%s: %v)", nnCodecName, python, err))
		return
	}
	r.script = script
	r.coders = append(r.coders, nnCodec{script})
	r.versions = append(r.versions, "nncodec "+script.Version)
}

func (nnCodec) name() string { return nnCodecName }

func (n nnCodec) code(_ context.Context, _ *stream, path string) (measured, error) {
	var answer struct {
		Bytes          int64
		Encode, Decode float64
		Verified       bool
	}
	if err := n.script.Ask(map[string]string{"stream": path}, &answer); err != nil {
		return measured{}, err
	}
	if !answer.Verified {
		return measured{}, errors.New("other indices came back")
	}
	return measured{answer.Bytes, answer.Encode, answer.Decode}, nil
}
