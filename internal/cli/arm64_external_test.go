//go:build external

package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// The program for arm64 writes the same bytes as that for amd64, and each reads
// what the other wrote, also after quantizing. Go fuses multiply-add on the one and
// not on the other, so a float that steers a coder or a quantizer shows here. It
// needs an emulator.
func TestSameBytesOnARM64(t *testing.T) {
	emulator, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		t.Skip("no qemu-aarch64-static on the PATH (Debian: qemu-user-static)")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("one of the two programs has to run without the emulator: amd64 only")
	}
	const original = "../../testdata/fashion-cnn.safetensors"
	dir := t.TempDir()
	programs := []struct {
		arch    string
		command []string
	}{
		{"amd64", []string{filepath.Join(dir, "amd64")}},
		{"arm64", []string{emulator, filepath.Join(dir, "arm64")}},
	}
	for _, p := range programs {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, p.arch), "ropewalk/cmd/ropewalk")
		build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+p.arch, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building for %s: %v\n%s", p.arch, err, out)
		}
	}
	run := func(command []string, args ...string) {
		t.Helper()
		args = append(command[1:len(command):len(command)], args...)
		if out, err := exec.Command(command[0], args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", command[0], args, err, out)
		}
	}
	same := func(what, want, got string) {
		t.Helper()
		a, err := os.ReadFile(want)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(got)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %d and %d bytes, which differ", what, len(a), len(b))
		}
	}
	for _, tt := range []struct {
		name    string
		options []string
		lossy   bool
	}{
		{"fast", []string{"--effort", "fast"}, false},
		{"max", []string{"--effort", "max"}, false},
		{"step", []string{"--effort", "fast", "--step", "0.5"}, true},
		{"channels", []string{"--effort", "fast", "--step", "0.4", "--per-channel"}, true},
		{"lloyd", []string{"--effort", "fast", "--quantizer", "lloyd", "--levels", "11"}, true},
		{"ecsq", []string{"--effort", "fast", "--quantizer", "ecsq", "--lambda", "0.01"}, true},
		{"bits", []string{"--effort", "fast", "--bits", "3"}, true},
		{"rdo", []string{"--effort", "max", "--lambda", "0.05"}, true}, // symbols by what they cost
		{"size", []string{"--effort", "fast", "--target-size", "15KB"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := func(arch, suffix string) string { return filepath.Join(dir, tt.name+"-"+arch+suffix) }
			for _, p := range programs {
				run(p.command, append([]string{"pack", original, "-o", name(p.arch, ".rope")}, tt.options...)...)
			}
			same("packed", name("amd64", ".rope"), name("arm64", ".rope"))
			for i, p := range programs {
				other := programs[1-i].arch
				run(p.command, "unpack", name(other, ".rope"), "-o", name(p.arch, ".safetensors"))
			}
			same("unpacked", name("amd64", ".safetensors"), name("arm64", ".safetensors"))
			if !tt.lossy {
				same("restored", original, name("amd64", ".safetensors"))
			}
		})
	}
}
