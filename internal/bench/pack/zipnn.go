package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

//go:embed zipnn.py
var zipNNScript string

// zipNN is the Python package of that name. One process serves all files, since
// it takes seconds to start; it measures in memory and by its own clock.
type zipNN struct {
	python  string
	version string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Scanner
}

// zipNNTypes are the names that ZipNN has for the elements of a file.
var zipNNTypes = map[class]string{fp32: "float32", bf16: "bfloat16", fp16: "float16", quantized: "float32"}

func startZipNN(ctx context.Context, python string) (*zipNN, error) {
	z := &zipNN{python: python, cmd: exec.CommandContext(ctx, python, "-W", "ignore", "-c", zipNNScript)}
	z.cmd.Stderr = os.Stderr
	var err error
	if z.stdin, err = z.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := z.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	z.answers = bufio.NewScanner(stdout)
	if err := z.cmd.Start(); err != nil {
		return nil, err
	}
	var hello struct{ Version string }
	if err := z.answer(&hello); err != nil {
		z.close()
		return nil, err
	}
	z.version = hello.Version
	return z, nil
}

func (z *zipNN) name() string { return "ZipNN" }

func (z *zipNN) pack(ctx context.Context, in input, packed, restored string) (encode, decode cost, err error) {
	question := map[string]string{"in": in.path, "packed": packed, "restored": restored, "dtype": zipNNTypes[in.class]}
	if err := json.NewEncoder(z.stdin).Encode(question); err != nil {
		return cost{}, cost{}, fmt.Errorf("zipnn: %w", err)
	}
	var spent struct{ Encode, Decode cost }
	if err := z.answer(&spent); err != nil {
		// It crashes on some files (0.5.4: an assertion of malloc); the next one
		// gets a new process.
		z.close()
		if again, startErr := startZipNN(ctx, z.python); startErr == nil {
			*z = *again
		}
		return cost{}, cost{}, err
	}
	return spent.Encode, spent.Decode, nil
}

// answer reads one line of the script into v.
func (z *zipNN) answer(v any) error {
	if !z.answers.Scan() {
		if err := z.answers.Err(); err != nil {
			return fmt.Errorf("zipnn: %w", err)
		}
		return fmt.Errorf("zipnn: the script ended early; its last words are above")
	}
	if err := json.Unmarshal(z.answers.Bytes(), v); err != nil {
		return fmt.Errorf("zipnn: %q: %w", z.answers.Text(), err)
	}
	return nil
}

// close ends the process. It has nothing to say after its last answer.
func (z *zipNN) close() {
	_ = z.stdin.Close()
	_ = z.cmd.Wait()
}
