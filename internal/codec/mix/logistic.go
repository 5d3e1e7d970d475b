package mix

// squashPoints is 65536/(1+exp(-x)) at x = -8, -7.75, … 8. They are constants,
// not computed, because they steer the decoder (package comment).
var squashPoints = [65]int32{
	22, 28, 36, 47, 60, 77, 98, 126, 162, 208, 267, 342, 439,
	562, 720, 922, 1179, 1506, 1921, 2446, 3108, 3938, 4971, 6249, 7812, 9702,
	11955, 14595, 17625, 21025, 24743, 28693, 32768, 36843, 40793, 44511, 47911, 50941, 53581,
	55834, 57724, 59287, 60565, 61598, 62428, 63090, 63615, 64030, 64357, 64614, 64816, 64974,
	65097, 65194, 65269, 65328, 65374, 65410, 65438, 65459, 65476, 65489, 65500, 65508, 65514,
}

const (
	logitMax = 2047 // logits are ln(p/(1-p)) in units of 1/256, clipped to ±8
	logitMin = -2047
)

var (
	squashTable  [4096]uint32 // logit+2048 → probability of 1, 16 bits
	stretchTable [4096]int32  // probability of 1, top 12 bits → logit
	reciprocal   [1024]int32  // n → 65536/(n+2)
)

func init() {
	for i := range squashTable {
		x := i // logit + 2048
		k, f := x>>6, int32(x&63)
		squashTable[i] = uint32(squashPoints[k] + (squashPoints[k+1]-squashPoints[k])*f>>6)
	}
	// stretch is the inverse of squash: the first logit whose probability
	// reaches the middle of the bucket.
	x := 0
	for i := range stretchTable {
		for x < len(squashTable)-1 && squashTable[x] < uint32(i)<<4+8 {
			x++
		}
		stretchTable[i] = min(max(int32(x-2048), logitMin), logitMax)
	}
	for i := range reciprocal {
		reciprocal[i] = int32(65536 / (i + 2))
	}
}
