package rival

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// A Script is a Python program that answers one line for each that it reads,
// all in JSON. One process serves all questions, as it takes seconds to start.
type Script struct {
	// Version is that of the package, which the script says when it starts.
	Version string

	name    string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers *bufio.Scanner
}

// StartScript starts the text of a script. The name is for messages.
func StartScript(ctx context.Context, python, name, text string) (*Script, error) {
	s := &Script{name: name, cmd: exec.CommandContext(ctx, python, "-W", "ignore", "-c", text)}
	s.cmd.Stderr = os.Stderr
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.answers = bufio.NewScanner(stdout)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	var hello struct{ Version string }
	if err := s.answer(&hello); err != nil {
		s.Close()
		return nil, err
	}
	s.Version = hello.Version
	return s, nil
}

// Ask sends a question and reads the answer into v.
func (s *Script) Ask(question, v any) error {
	if err := json.NewEncoder(s.stdin).Encode(question); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return s.answer(v)
}

// answer reads one line of the script into v.
func (s *Script) answer(v any) error {
	if !s.answers.Scan() {
		if err := s.answers.Err(); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		return fmt.Errorf("%s: the script ended early; its last words are above", s.name)
	}
	if err := json.Unmarshal(s.answers.Bytes(), v); err != nil {
		return fmt.Errorf("%s: %q: %w", s.name, s.answers.Text(), err)
	}
	return nil
}

// Close ends the process. It has nothing to say after its last answer.
func (s *Script) Close() {
	_ = s.stdin.Close()
	_ = s.cmd.Wait()
}
