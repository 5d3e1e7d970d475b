package rope

import (
	"errors"
	"io"
	"sort"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// A piece is a run of bytes of an original file: of an array, or of the
// skeleton.
type piece struct {
	off   int64 // in the file
	size  int64
	array int   // -1 for skeleton
	skel  int64 // where it begins in the skeleton
}

// pieces cuts each file into runs of skeleton and arrays.
func (h *header) pieces() [][]piece {
	files := make([][]piece, len(h.fileSizes))
	skel := int64(0)
	next := 0
	for f, size := range h.fileSizes {
		end := int64(0)
		gap := func(to int64) {
			if to > end {
				files[f] = append(files[f], piece{end, to - end, -1, skel})
				skel += to - end
			}
		}
		for ; next < len(h.layout.Arrays) && h.layout.Arrays[next].File == f; next++ {
			a := &h.layout.Arrays[next]
			gap(a.Offset)
			if a.Size > 0 {
				files[f] = append(files[f], piece{a.Offset, a.Size, next, 0})
			}
			end = a.Offset + a.Size
		}
		gap(size)
	}
	return files
}

// A gather reads the skeleton out of the original files.
type gather struct {
	files  []layout.File
	pieces []piece // of skeleton only, in order
	file   []int   // of each piece
	size   int64
}

func newGather(h *header) *gather {
	g := &gather{files: h.layout.Files, size: h.skelSize}
	for f, ps := range h.pieces() {
		for _, p := range ps {
			if p.array < 0 {
				g.pieces = append(g.pieces, p)
				g.file = append(g.file, f)
			}
		}
	}
	return g
}

// Size returns the bytes of the skeleton.
func (g *gather) Size() int64 { return g.size }

// ReadAt implements [io.ReaderAt].
func (g *gather) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("rope: negative offset")
	}
	n := 0
	i := sort.Search(len(g.pieces), func(i int) bool { return g.pieces[i].skel+g.pieces[i].size > off })
	for ; i < len(g.pieces) && n < len(b); i++ {
		p := g.pieces[i]
		in := off + int64(n) - p.skel
		k := min(p.size-in, int64(len(b)-n))
		got, err := tensor.ReadRange(g.files[g.file[i]].Data, p.off+in, k, nil)
		if err != nil {
			return n, err
		}
		n += copy(b[n:], got)
		release(g.files[g.file[i]].Data, p.off+in, k)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
