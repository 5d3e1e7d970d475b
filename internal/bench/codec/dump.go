package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// dump writes each stream to a folder: for work on the coders, outside of this
// program.
func dump(dir string, streams []stream) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, s := range streams {
		if _, err := s.write(dir); err != nil {
			return err
		}
	}
	return nil
}

// write writes the indices to path.bin, and what they mean to path.json.
func (s *stream) write(dir string) (path string, err error) {
	type described struct {
		Name   string    `json:"name"`
		Shape  []int64   `json:"shape"`
		Levels []float32 `json:"levels"`
	}
	path = filepath.Join(dir, strings.ReplaceAll(s.name(), " ", "-"))
	if err := os.WriteFile(path+".bin", s.bytes(), 0o644); err != nil {
		return "", err
	}
	about := struct {
		Wide    bool        `json:"wide"` // two bytes for an index, the lower first
		Tensors []described `json:"tensors"`
	}{Wide: s.wide()}
	for _, t := range s.tensors {
		about.Tensors = append(about.Tensors, described{t.name, t.shape, t.levels})
	}
	text, err := json.Marshal(about)
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path+".json", append(text, '\n'), 0o644)
}
