package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed peer.py
var peerScript []byte

//go:embed nets.py
var netsScript []byte

// A peer is another engine in a process of its own, or none.
type peer struct {
	name    string
	version string
	missing string // why there is none
	python  string
	kind    string
	threads int
	dir     string
	stop    func()
	in      io.Writer
	out     *bufio.Reader
}

// newPeer starts a peer. One that cannot be is named as missing.
func newPeer(ctx context.Context, name, kind, python string, threads int) *peer {
	p := &peer{name: name, kind: kind, python: python, threads: threads, stop: func() {}}
	if python == "" {
		p.missing = "no Python with it was named"
		return p
	}
	if err := p.start(ctx); err != nil {
		p.missing = err.Error()
	}
	return p
}

func (p *peer) start(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "ropewalk-bench-")
	if err != nil {
		return err
	}
	p.dir = dir
	for name, text := range map[string][]byte{"peer.py": peerScript, "nets.py": netsScript} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, p.python, filepath.Join(dir, "peer.py"), strconv.Itoa(p.threads), p.kind)
	// Threads that spin while they wait take the processors of the other side.
	cmd.Env = append(os.Environ(), "OMP_WAIT_POLICY=passive", "OMP_NUM_THREADS="+strconv.Itoa(p.threads))
	var talk bytes.Buffer
	cmd.Stderr = &talk
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.in, p.out = in, bufio.NewReader(out)
	p.stop = func() {
		_ = in.Close() // ends its loop
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}
	var answer struct{ Version string }
	if err := p.ask(map[string]any{"do": "version"}, &answer); err != nil {
		lines := strings.Split(strings.TrimSpace(talk.String()), "\n")
		p.stop()
		p.stop = func() {}
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	p.version = answer.Version
	return nil
}

// ask sends a request and reads the answer.
func (p *peer) ask(request map[string]any, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s gave no answer: %w", p.name, err)
	}
	return json.Unmarshal(line, answer)
}

// steps makes some steps.
func (p *peer) steps(request map[string]any, n int) (*spent, error) {
	request["steps"] = n
	var answer spent
	err := p.ask(request, &answer)
	return &answer, err
}

func (p *peer) close() { p.stop() }
