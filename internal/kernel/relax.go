//go:build (amd64 || arm64) && !purego

package kernel

// relax tells the processor, turns times, that the caller only waits: what shares a
// core with it goes ahead. turns is at least 1.
//
//go:noescape
func relax(turns int64)
