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
	path  Path
	lanes int  // of a register
	rows  int  // of the largest tile, which has two registers of columns
	masks bool // tiles look at masks, of loads too; if not, all lanes must exist

	ops                   [numOps]func(*vecArgs)
	linear, narrow, table []func(*tileArgs) // by rows; narrow has one register of columns
	halves                []func(*tileArgs) // nil if there are none
	dots                  [][]func(*dotArgs)
	dotHalves, dotPairs   [][]func(*dotArgs) // nil if there are none
	// Those that are nil are left to Go.
	splitColumns, joinColumns, maxPool2 func(*columnArgs)
	depthwise                           func(*depthArgs)
	locate, hatPull                     func(*hatArgs)
	scatter, slopes                     [MaxBlock + 1]func(*hatArgs) // by the weights of a block

	copyRows, packRows, transpose func(*copyArgs)
	widen                         func(*copyArgs) // nil leaves it to Go
}

// width is how many columns the largest tile has.
func (in *inner) width() int { return 2 * in.lanes }

var portableInner = inner{
	path: Portable, lanes: portableLanes, rows: 4, ops: portable,
	linear:   []func(*tileArgs){1: portableLinear(1, 2), portableLinear(2, 2), portableLinear(3, 2), portableLinear(4, 2)},
	narrow:   []func(*tileArgs){1: portableLinear(1, 1), portableLinear(2, 1), portableLinear(3, 1), portableLinear(4, 1)},
	table:    []func(*tileArgs){1: portableTable(1), portableTable(2), portableTable(3), portableTable(4)},
	dots:     [][]func(*dotArgs){1: {1: portableDot(1, 1), portableDot(1, 2)}, {1: portableDot(2, 1), portableDot(2, 2)}},
	copyRows: portableCopyRows, packRows: portablePackRows, transpose: portableTranspose,
}

// current is set once, when the program starts; tests change it.
var current = best()

func best() *inner {
	all := available()
	return all[len(all)-1]
}
