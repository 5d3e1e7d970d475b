package kernel

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/cpu"
)

// eachPath runs f once for each path that this machine has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	old := current
	defer func() { current = old }()
	for _, in := range available() {
		current = in
		t.Run(string(in.path), f)
	}
}

// The best path that the machine has is the one that runs, and it is all there: a
// fast path that lies dead would pass every other test.
func TestPath(t *testing.T) {
	want := Portable
	if assembly {
		switch {
		case runtime.GOARCH == "arm64":
			want = NEON
		case cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL:
			want = AVX512
		case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
			want = AVX2
		}
	}
	if CurrentPath() != want {
		t.Errorf("the path is %s, want %s", CurrentPath(), want)
	}
	t.Logf("the path is %s", CurrentPath())
	for _, in := range available() {
		for o, f := range in.ops {
			if f == nil {
				t.Errorf("%s has no op %d", in.path, o)
			}
		}
		if len(in.linear) != in.rows+1 || len(in.narrow) != in.rows+1 || len(in.table) != in.rows+1 || in.rows*2*in.lanes > tileScratch {
			t.Errorf("%s: tables of tiles have %d, %d and %d rows, want %d", in.path, len(in.linear), len(in.narrow), len(in.table), in.rows+1)
		}
		if in.path == AVX512 && (in.halves == nil || in.dotHalves == nil || in.dotPairs == nil || in.splitColumns == nil || in.joinColumns == nil || in.maxPool2 == nil || in.depthwise == nil) {
			t.Errorf("%s is not complete", in.path)
		}
	}
}

// The tests of arm64 pass, too, where something can run them.
func TestARM64(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	if runtime.GOARCH == "arm64" || runtime.GOOS != "linux" {
		t.Skip("runs on Linux, on other processors than arm64")
	}
	emulator, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		t.Skip("qemu-aarch64-static is not on the PATH")
	}
	program := filepath.Join(t.TempDir(), "kernel.test")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Env = append(build.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(emulator, program, "-test.short", "-test.v", "-test.run", "^(TestPath|TestGemm|TestVectors|TestFunctions)$/^(neon)?$").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
