package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A store keeps what was measured as JSON lines. Of two lines with one key the later
// counts.
type store[T any] struct {
	key  func(*T) string
	keys []string // in the order in which they came
	all  map[string]*T
	file *os.File
}

// openStore reads what the folder has of a name. A last line that was cut off, as by an
// end of the program, is measured again.
func openStore[T any](folder, name string, key func(*T) string) (*store[T], error) {
	s := &store[T]{key: key, all: map[string]*T{}}
	path := filepath.Join(folder, name+".jsonl")
	f, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := int64(0)
	if err == nil {
		r := bufio.NewReader(f)
		for {
			line, err := r.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, errors.Join(err, f.Close())
			}
			v := new(T)
			if err := json.Unmarshal(line, v); err != nil {
				return nil, errors.Join(fmt.Errorf("%s at byte %d: %w; remove the file to measure all again", path, whole, err), f.Close())
			}
			whole += int64(len(line))
			s.put(v)
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	if s.file, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if err := s.file.Truncate(whole); err != nil {
		return nil, err
	}
	_, err = s.file.Seek(whole, io.SeekStart)
	return s, err
}

func (s *store[T]) put(v *T) {
	k := s.key(v)
	if s.all[k] == nil {
		s.keys = append(s.keys, k)
	}
	s.all[k] = v
}

// add keeps a line.
func (s *store[T]) add(v *T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	s.put(v)
	_, err = s.file.Write(append(b, '\n'))
	return err
}

func (s *store[T]) close() error { return s.file.Close() }
