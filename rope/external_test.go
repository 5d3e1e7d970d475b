//go:build external

package rope

import (
	"os"
	"os/exec"
	"testing"
)

// A decoder that follows docs/FORMAT.md, in another language, decodes every
// vector. It needs the Python package zstandard.
func TestIndependentDecoder(t *testing.T) {
	python := os.Getenv("ROPEWALK_PYTHON")
	if python == "" {
		t.Skip("ROPEWALK_PYTHON names no Python with the package zstandard")
	}
	out, err := exec.Command(python, vectorDir+"/decode.py", "--all", vectorDir).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
