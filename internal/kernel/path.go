package kernel

// A Path is a family of inner loops.
type Path string

// The paths there are.
const (
	Portable Path = "portable" // Go
	AVX2     Path = "avx2"     // amd64 with AVX2 and FMA
	AVX512   Path = "avx512"   // amd64 with AVX-512 F, BW, DQ and VL
	NEON     Path = "neon"     // arm64
)

// CurrentPath returns the path that kernels take.
func CurrentPath() Path { return current.path }

// inner are the inner loops of a path.
type inner struct {
	path Path
	ops  [numOps]func(*vecArgs)
}

var portableInner = inner{path: Portable, ops: portable}

// current is set once, when the program starts; tests change it.
var current = &portableInner

// available returns the paths that this machine has, the best one last.
func available() []*inner { return []*inner{&portableInner} }
