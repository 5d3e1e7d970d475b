//go:build purego || !(amd64 || arm64)

package kernel

// assembly: this build has some.
const assembly = false

// available returns the paths that this machine has, the best one last.
func available() []*inner { return []*inner{&portableInner} }
