package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// dump writes the indices of each stream to a file of that name, and what they
// mean beside it: for work on the coders, outside of this program.
func dump(dir string, streams []stream) error {
	type described struct {
		Name   string    `json:"name"`
		Shape  []int64   `json:"shape"`
		Levels []float32 `json:"levels"`
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, s := range streams {
		path := filepath.Join(dir, strings.ReplaceAll(s.name(), " ", "-"))
		if err := os.WriteFile(path+".bin", s.bytes(), 0o644); err != nil {
			return err
		}
		about := struct {
			Wide    bool        `json:"wide"`
			Tensors []described `json:"tensors"`
		}{Wide: s.wide()}
		for _, t := range s.tensors {
			about.Tensors = append(about.Tensors, described{t.name, t.shape, t.levels})
		}
		text, err := json.Marshal(about)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path+".json", append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
