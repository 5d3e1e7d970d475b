//go:build !(amd64 || arm64) || purego

package kernel

// relax passes some time.
func relax(turns int64) {
	for range 8 * turns {
		_ = turns
	}
}
