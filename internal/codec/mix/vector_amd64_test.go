//go:build !purego

package mix

import (
	"encoding/binary"
	"math/rand"
	"os"
	"slices"
	"strings"
	"testing"
)

// The fast path is in use where the machine has it.
func TestFastPathRuns(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Skip("no /proc/cpuinfo to compare with")
	}
	if want := slices.Contains(strings.Fields(string(info)), "avx2"); fast != want {
		t.Errorf("fast path: %v, AVX2 by /proc/cpuinfo: %v", fast, want)
	}
}

// vectorState is all that the fast paths read and write, within the bounds
// that the model keeps.
type vectorState struct {
	lanes    lanes
	counters [64]uint32
	a, b     [numInputs]int32

	linear linearLanes
	coefs  [numFixed]int32
	w      [numFeatures]int32
	by     divisor
}

// draw fills the state. next gives a number; between keeps one in bounds and
// takes the ends often.
func (v *vectorState) draw(next func() uint32) (ea, eb, target, g int32) {
	between := func(lo, hi int64) int32 {
		switch r := next(); r % 8 {
		case 0:
			return int32(lo)
		case 1:
			return int32(hi)
		default:
			return int32(lo + int64(r/8)%(hi-lo+1))
		}
	}
	counter := func(limit int64) uint32 {
		return uint32(between(counterMin, 1<<22-counterMin))<<10 | uint32(between(0, limit))
	}
	for i := range v.counters {
		v.counters[i] = counter(250)
	}
	for i := range v.lanes.base {
		v.lanes.base[i] = int32(i*8) + between(0, 7)
	}
	for i := laneMap; i < laneOrder; i++ {
		v.lanes.val[i] = counter(600)
	}
	v.lanes.val[laneOrder] = counter(1000)
	for i := numVals; i < numInputs; i++ {
		v.lanes.in[i] = between(-2047, 2047)
	}
	for i := range v.a {
		v.a[i], v.b[i] = between(-weightMax, weightMax), between(-weightMax, weightMax)
	}
	for i := range v.linear.f {
		v.linear.f[i] = between(-valueMax, valueMax)
		v.w[i] = between(-linearMax, linearMax)
	}
	for i := range v.coefs {
		v.coefs[i] = between(-255, 255)
	}
	v.by = newDivisor(between(-100, scaleMax))
	// The largest steps: an error of 1 by the largest rate, of 12 magnitudes without power.
	return between(-20976, 20976), between(-20976, 20976), between(0, 1) << 22, between(-15720, 15720)
}

func checkVectors(t *testing.T, next func() uint32) {
	t.Helper()
	var slow vectorState
	ea, eb, target, g := slow.draw(next)
	quick := slow
	da, db := predictLanes(&slow.lanes, slow.counters[:], &slow.a, &slow.b)
	qa, qb := predictLanesAVX2(&quick.lanes, &quick.counters[0], &quick.a, &quick.b)
	if da != qa || db != qb || slow != quick {
		t.Fatalf("predictLanes: %d, %d, fast %d, %d; state %v, fast %v", da, db, qa, qb, slow.lanes, quick.lanes)
	}
	learnLanes(&slow.lanes, slow.counters[:], &slow.a, &slow.b, ea, eb, target)
	learnLanesAVX2(&quick.lanes, &quick.counters[0], &quick.a, &quick.b, ea, eb, target)
	if slow != quick {
		t.Fatalf("learnLanes: %v\nfast %v", slow, quick)
	}
	f, a, p := predictLinear(&slow.linear, &slow.coefs, &slow.w, &slow.by)
	qf, qa, qp := predictLinearAVX2(&quick.linear, &quick.coefs, &quick.w, &quick.by)
	if f != qf || a != qa || p != qp || slow != quick {
		t.Fatalf("predictLinear: %d, %d, %d, fast %d, %d, %d; %v", f, a, p, qf, qa, qp, slow.by)
	}
	learnLinear(&slow.linear, &slow.w, g)
	learnLinearAVX2(&quick.linear, &quick.w, g)
	if slow != quick {
		t.Fatalf("learnLinear: %v\nfast %v", slow.w, quick.w)
	}
}

func TestVectors(t *testing.T) {
	if !fast {
		t.Skip("no AVX2")
	}
	r := rand.New(rand.NewSource(1))
	for range 20000 {
		checkVectors(t, r.Uint32)
	}
	for ends := range uint32(2) { // all at one end
		checkVectors(t, func() uint32 { return ends })
	}
}

func FuzzVectors(f *testing.F) {
	if !fast {
		f.Skip("no AVX2")
	}
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(b, 0, 0, 0, 0)
		n := 0
		checkVectors(t, func() uint32 {
			n++
			return binary.LittleEndian.Uint32(b[(n-1)*4%(len(b)-3):])
		})
	})
}
