//go:build !amd64 || purego

package mix

// fast is what vector_amd64.go finds out.
const fast = false

func predictLanesAVX2(*lanes, *uint32, *[numInputs]int32, *[numInputs]int32) (da, db int32) {
	panic("mix: internal error: no AVX2")
}

func learnLanesAVX2(*lanes, *uint32, *[numInputs]int32, *[numInputs]int32, int32, int32, int32) {
	panic("mix: internal error: no AVX2")
}

func predictLinearAVX2(*linearLanes, *[numFixed]int32, *[numFeatures]int32, *divisor) (fixed, adapted, power int32) {
	panic("mix: internal error: no AVX2")
}

func learnLinearAVX2(*linearLanes, *[numFeatures]int32, int32) {
	panic("mix: internal error: no AVX2")
}
