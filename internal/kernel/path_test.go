package kernel

import "testing"

// eachPath runs f once for each path that this machine has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	old := current
	defer func() { current = old }()
	for _, in := range available() {
		current = in
		t.Run(string(in.path), f)
	}
}
