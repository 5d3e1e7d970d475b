//go:build !purego

package kernel

// locateEights and hatPullEights do by assembly what fills registers of eight lanes, and
// the rest in Go.
func locateEights(a *hatArgs) {
	locateAVX2(a)
	rest := a.afterEights()
	locate(&rest)
	a.zero |= rest.zero
}

func hatPullEights(a *hatArgs) {
	hatPullAVX2(a)
	rest := a.afterEights()
	hatPull(&rest)
	a.squares += rest.squares
}

// afterEights returns the operands of the last elements, less than eight.
func (a *hatArgs) afterEights() hatArgs {
	rest, at := *a, a.n&^7
	rest.n = a.n - at
	rest.w, rest.bins = a.w[at:], a.bins[at:]
	if a.shares != nil {
		rest.shares = a.shares[at:]
	}
	if a.dst != nil {
		rest.dst, rest.slopes = a.dst[at:], a.slopes[at:]
	}
	return rest
}
