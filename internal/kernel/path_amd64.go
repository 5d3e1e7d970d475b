//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

//go:generate go run ./gen .

// assembly: this build has some.
const assembly = true

// available returns the paths that this machine has, the best one last.
func available() []*inner {
	all := []*inner{&portableInner}
	x := &cpu.X86
	if x.HasAVX2 && x.HasFMA && x.HasOSXSAVE {
		all = append(all, &avx2Inner)
	}
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL {
		all = append(all, &avx512Inner)
	}
	return all
}

var avx2Inner = inner{
	path: AVX2, lanes: 8, rows: 6, ops: opsAVX2,
	linear: linearTilesAVX2, narrow: linearTilesNarrowAVX2, table: tableTilesAVX2,
	dots:   dotTableAVX2,
	locate: locateEights, hatPull: hatPullEights, scatter: scatterAVX2, slopes: slopesAVX2,
	copyRows: copyRowsAVX2, packRows: packRowsAVX2, transpose: transposeAVX2, widen: widenAVX2,
}

var avx512Inner = inner{
	path: AVX512, lanes: 16, rows: 14, masks: true, ops: opsAVX512,
	linear: linearTilesAVX512, narrow: linearTilesNarrowAVX512, table: tableTilesAVX512,
	halves: halvesTilesAVX512,
	dots:   dotTableAVX512, dotHalves: dotHalvesTableAVX512, dotPairs: dotPairsTableAVX512,
	splitColumns: splitColumnsAVX512, joinColumns: joinColumnsAVX512, maxPool2: maxPool2AVX512, depthwise: depthwiseAVX512,
	locate: locateAVX512, hatPull: hatPullAVX512, scatter: scatterAVX512, slopes: slopesAVX512,
	copyRows: copyRowsAVX512, packRows: packRowsAVX512, transpose: transposeAVX512, widen: widenAVX512,
}
