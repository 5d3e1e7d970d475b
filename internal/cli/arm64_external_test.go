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
// what the other wrote. Go fuses multiply-add on the one and not on the other, so
// a float that steers a coder shows here. It needs an emulator.
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
	for _, options := range [][]string{
		{"--effort", "fast"},
		{"--effort", "max"},
	} {
		t.Run(options[len(options)-1], func(t *testing.T) {
			name := func(arch, suffix string) string {
				return filepath.Join(dir, options[len(options)-1]+"-"+arch+suffix)
			}
			for _, p := range programs {
				run(p.command, append([]string{"pack", original, "-o", name(p.arch, ".rope")}, options...)...)
			}
			same("packed", name("amd64", ".rope"), name("arm64", ".rope"))
			for i, p := range programs {
				other := programs[1-i].arch
				run(p.command, "unpack", name(other, ".rope"), "-o", name(p.arch, ".safetensors"))
				same("unpacked by "+p.arch, original, name(p.arch, ".safetensors"))
			}
		})
	}
}
