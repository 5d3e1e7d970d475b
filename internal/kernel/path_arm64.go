//go:build !purego

package kernel

//go:generate go run ./gen .

// assembly: this build has some.
const assembly = true

// available returns the paths that this machine has, the best one last. All
// machines with arm64 have NEON.
func available() []*inner { return []*inner{&portableInner, &neonInner} }

var neonInner = inner{
	path: NEON, lanes: 4, rows: 12, ops: opsNEON,
	linear: linearTilesNEON, narrow: linearTilesNarrowNEON, table: tableTilesNEON,
	dots:     dotTableNEON,
	copyRows: copyRowsNEON, packRows: packRowsNEON, transpose: transposeNEON,
}
