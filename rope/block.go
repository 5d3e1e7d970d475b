package rope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"

	"ropewalk/internal/codec"
	"ropewalk/internal/codec/lanes"
	"ropewalk/internal/codec/mix"
	"ropewalk/internal/codec/planes"
)

// A blockInfo is what both directions know about a block before its bytes.
type blockInfo struct {
	unit     unit
	segments []codec.Segment
	base     []byte      // co-located values of the base, or nil
	books    []*codebook // of the segments, or nil
}

// A frameBody is a coder with its payload.
type frameBody struct {
	coder   coderID
	payload []byte
}

// smaller returns the shorter of two bodies; a tie goes to the first.
func smaller(a, b frameBody) frameBody {
	if len(b.payload) < len(a.payload) {
		return b
	}
	return a
}

// encodeBlock returns the smallest form of src that the effort looks for.
func encodeBlock(src []byte, info *blockInfo, effort Effort) frameBody {
	w := info.unit.width()
	if isFill(src, w) {
		return frameBody{coderFill, bytes.Clone(src[:w])}
	}
	best := frameBody{coderRaw, src}
	if info.base != nil {
		best = smaller(best, encodeDelta(src, info, effort))
	}
	if info.books != nil {
		return smaller(best, encodeIndices(src, info, effort))
	}
	return smaller(best, encodePlain(src, info, effort))
}

// encodeQuick codes the values as they are in little time, to see whether a
// codebook pays.
func encodeQuick(src []byte, u unit) frameBody {
	best := frameBody{coderRaw, src}
	if repeats(src) {
		best = smaller(best, frameBody{coderZstd, compress(src)})
	}
	if u.isFloat() {
		return smaller(best, frameBody{coderRotated, planes.Append(borrow(), src, u.width(), planes.Rotate)})
	}
	return smaller(best, frameBody{coderPlanes, planes.Append(borrow(), src, u.width(), planes.None)})
}

// encodePlain codes the values as they are.
func encodePlain(src []byte, info *blockInfo, effort Effort) frameBody {
	w := info.unit.width()
	best := frameBody{coderRaw, src}
	if info.unit == unitBytes || repeats(src) || effort == Max && !info.unit.isFloat() {
		best = smaller(best, frameBody{coderZstd, compress(src)})
	}
	switch {
	case info.unit == unitBytes:
		return best
	case !info.unit.isFloat():
		return smaller(best, frameBody{coderPlanes, planes.Append(borrow(), src, w, planes.None)})
	case effort == Max:
		best = smaller(best, frameBody{coderFloats, mix.AppendFloats(nil, src, info.unit.kind(), info.segments)})
	}
	return smaller(best, frameBody{coderRotated, planes.Append(borrow(), src, w, planes.Rotate)})
}

// encodeIndices codes the values as indices into the codebooks.
func encodeIndices(src []byte, info *blockInfo, effort Effort) frameBody {
	syms := indicesOf(src, info.books, info.segments)
	wide, iw := indexBytes(syms, mostLevels(info.books))
	best := frameBody{coderIndexPlanes, planes.Append(nil, wide, iw, planes.None)}
	if effort == Max {
		return smaller(best, frameBody{coderLevels, mix.AppendLevels(nil, syms, info.segments)})
	}
	return smaller(best, frameBody{coderLanes, lanes.Append(nil, syms, info.segments)})
}

// encodeDelta codes the values as differences to the base.
func encodeDelta(src []byte, info *blockInfo, effort Effort) frameBody {
	kind := info.unit.kind()
	diff := make([]byte, len(src))
	mix.Differences(diff, src, info.base, kind)
	best := frameBody{coderDeltaPlanes, planes.Append(nil, diff, kind.Width, planes.None)}
	if effort == Max {
		best = smaller(best, frameBody{coderDelta, mix.AppendDelta(nil, src, info.base, kind, info.segments)})
	}
	return best
}

// indexBytes returns symbols as little-endian bytes of the least width.
func indexBytes(syms []uint16, k int) (b []byte, width int) {
	if k <= 256 {
		b = make([]byte, len(syms))
		for i, s := range syms {
			b[i] = byte(s)
		}
		return b, 1
	}
	b = make([]byte, 2*len(syms))
	for i, s := range syms {
		binary.LittleEndian.PutUint16(b[2*i:], s)
	}
	return b, 2
}

// decodeBlock fills dst from a frame.
func decodeBlock(dst []byte, f frameBody, info *blockInfo) error {
	w := info.unit.width()
	switch f.coder {
	case coderRaw:
		if len(f.payload) != len(dst) {
			return fmt.Errorf("%d raw bytes, want %d", len(f.payload), len(dst))
		}
		copy(dst, f.payload)
		return nil
	case coderZstd:
		return decompress(dst, f.payload)
	case coderFill:
		if len(f.payload) != w {
			return fmt.Errorf("%d bytes to fill with, want %d", len(f.payload), w)
		}
		for n := copy(dst, f.payload); n < len(dst); n *= 2 {
			copy(dst[n:], dst[:n])
		}
		return nil
	case coderPlanes:
		return planes.Decode(dst, f.payload, w, planes.None)
	case coderRotated:
		return planes.Decode(dst, f.payload, w, planes.Rotate)
	case coderFloats:
		if !info.unit.isFloat() {
			return fmt.Errorf("coder %q for values that are not floats", f.coder)
		}
		return mix.DecodeFloats(dst, f.payload, info.unit.kind(), info.segments)
	case coderIndexPlanes, coderLevels, coderLanes:
		if info.books == nil {
			return fmt.Errorf("coder %q for values without a codebook", f.coder)
		}
		return decodeIndices(dst, f, info)
	case coderDeltaPlanes, coderDelta:
		if info.base == nil {
			return fmt.Errorf("coder %q in a group without a base", f.coder)
		}
		kind := info.unit.kind()
		if f.coder == coderDelta {
			return mix.DecodeDelta(dst, f.payload, info.base, kind, info.segments)
		}
		if err := planes.Decode(dst, f.payload, w, planes.None); err != nil {
			return err
		}
		mix.ApplyDifferences(dst, info.base, kind)
		return nil
	}
	return unsupported(fmt.Sprintf("a block uses %s, which this version does not know", f.coder))
}

func decodeIndices(dst []byte, f frameBody, info *blockInfo) error {
	syms := make([]uint16, len(dst)/info.unit.width())
	var err error
	switch f.coder {
	case coderLevels:
		err = mix.DecodeLevels(syms, f.payload, info.segments)
	case coderLanes:
		err = lanes.Decode(syms, f.payload, info.segments)
	default:
		err = decodeIndexPlanes(syms, f.payload, mostLevels(info.books))
	}
	if err != nil {
		return err
	}
	return expandAll(dst, syms, info.books, info.segments)
}

func decodeIndexPlanes(syms []uint16, payload []byte, levels int) error {
	iw := 1
	if levels > 256 {
		iw = 2
	}
	b := make([]byte, len(syms)*iw)
	if err := planes.Decode(b, payload, iw, planes.None); err != nil {
		return err
	}
	for i := range syms {
		syms[i] = uint16(mix.Load(b[i*iw:], iw))
	}
	return nil
}

// isFill reports whether all values of src are the same.
func isFill(src []byte, w int) bool {
	return len(src) >= w && bytes.Equal(src[w:], src[:len(src)-w])
}

// repeats reports whether so many parts of src occur twice that looking for
// matches may pay. In trained weights it hardly ever does.
func repeats(src []byte) bool {
	const grain = 32
	var seen [1 << 12]uint64 // a set of 2^18 hashes
	n, hits := 0, 0
	for i := 0; i+grain <= len(src); i += grain {
		h := binary.LittleEndian.Uint64(src[i:]) ^ binary.LittleEndian.Uint64(src[i+grain/2:])*3
		h = h * 0x9e3779b97f4a7c15 >> (64 - 18)
		if seen[h>>6]>>(h&63)&1 != 0 {
			hits++
		}
		seen[h>>6] |= 1 << (h & 63)
		n++
	}
	return hits*4 > n // chance alone gives up to 1 in 8
}

var zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		panic("rope: internal error: " + err.Error())
	}
	return e
})

func compress(src []byte) []byte { return zstdEncoder().EncodeAll(src, nil) }

// maxWindow bounds what a zstd frame may ask the decoder to keep.
const maxWindow = 32 << 20

var zstdDecoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		panic("rope: internal error: " + err.Error())
	}
	return d
}}

// decompress fills dst from one zstd frame. It reads no further than dst is
// long, so that a frame cannot expand beyond what was declared.
func decompress(dst, src []byte) error {
	if len(src) == 0 {
		return errors.New("zstd: no frame")
	}
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	if err := d.Reset(bytes.NewReader(src)); err != nil {
		return err
	}
	if _, err := io.ReadFull(d, dst); err != nil {
		return fmt.Errorf("zstd: %w", noEOF(err))
	}
	var more [1]byte
	if n, err := d.Read(more[:]); n != 0 || !errors.Is(err, io.EOF) {
		return errors.New("zstd: more bytes than declared")
	}
	return nil
}

// noEOF turns the end of a reader into a truncation.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
