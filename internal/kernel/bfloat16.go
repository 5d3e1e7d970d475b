package kernel

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// BFloat16s puts the numbers of raw, which are little-endian bfloat16, into dst. It panics
// if raw has not two bytes for each element of dst.
func BFloat16s(dst []float32, raw []byte) {
	if len(raw) != 2*len(dst) {
		panic(fmt.Sprintf("kernel: %d bytes for %d numbers of bfloat16", len(raw), len(dst)))
	}
	done := 0
	if in := current; in.widen != nil && len(dst) >= in.lanes {
		a := copyArgs{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&raw[0]), vectors: len(dst) / in.lanes}
		in.widen(&a)
		done = a.vectors * in.lanes
	}
	for i := done; i < len(dst); i++ {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:])) << 16)
	}
}
