package main

import (
	"go/format"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The assembly that lies there is the one that this program writes.
func TestUpToDate(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("coefficients may differ in the last bit where Go fuses multiplications and additions")
	}
	for name, want := range files() {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what gen writes: run go generate ./internal/kernel", name)
		}
		if filepath.Ext(name) == ".go" {
			if pretty, err := format.Source(got); err != nil || string(pretty) != want {
				t.Errorf("%s is not formatted: %v", name, err)
			}
		}
	}
	for _, pattern := range []string{"../*_amd64.s", "../*_arm64.s"} {
		there, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range there {
			if strings.HasPrefix(filepath.Base(path), "relax_") { // a loop around one instruction
				continue
			}
			if _, ok := files()[filepath.Base(path)]; !ok {
				t.Errorf("%s was not written by gen", path)
			}
		}
	}
}
