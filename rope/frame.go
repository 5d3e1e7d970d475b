package rope

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"ropewalk/internal/codec"
	"ropewalk/layout"
)

// coderID names the coder of one frame (docs/FORMAT.md, section 5).
type coderID uint8

const (
	coderRaw         coderID = iota // the bytes as they are
	coderZstd                       // RFC 8878
	coderFill                       // one value, repeated
	coderPlanes                     // byte planes, each with a Huffman code
	coderRotated                    // the same after a rotation that fills a plane with exponents
	coderFloats                     // context mixing of exponents, signs, mantissas
	coderCodebooks                  // the codebooks of a group; not a block
	coderIndexPlanes                // indices into codebooks, as byte planes
	coderLevels                     // indices into codebooks, by context mixing
	coderDeltaPlanes                // differences to the base, as byte planes
	coderDelta                      // differences to the base, by context mixing
	coderText                       // header or index, by context mixing; not a block
	coderLanes                      // indices into codebooks, by static tables
	numOfCoders
)

var coderNames = [numOfCoders]string{
	"raw", "zstd", "fill", "planes", "planes+exponent", "floats", "codebooks",
	"index planes", "levels", "delta planes", "delta", "text", "lanes",
}

func (c coderID) String() string {
	if c < numOfCoders {
		return coderNames[c]
	}
	return fmt.Sprintf("coder %d", uint8(c))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendFrame stores coder, length, payload and the CRC-32C of all three.
func appendFrame(dst []byte, c coderID, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, byte(c))
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	dst = append(dst, payload...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// minFrame is the least length of a frame: coder, length, checksum.
const minFrame = 6

// payloadOf returns the bytes of the payload of a frame of n bytes; 0 for none.
func payloadOf(n int64) int64 {
	for k := int64(1); k <= binary.MaxVarintLen64; k++ { // bytes of the length
		if p := n - 1 - k - 4; p >= 0 && (p>>(7*k) == 0 || 7*k > 62) && (k == 1 || p>>(7*(k-1)) > 0) {
			return p
		}
	}
	return 0
}

// parseFrame takes apart a frame that must fill b, and checks its sum.
func parseFrame(b []byte) (c coderID, payload []byte, err error) {
	if len(b) < minFrame {
		return 0, nil, io.ErrUnexpectedEOF
	}
	size, n := codec.Uvarint(b[1:])
	if n <= 0 || size != uint64(len(b)-1-n-4) || len(b) < 1+n+4 {
		return 0, nil, fmt.Errorf("the length of the frame is not that of the index")
	}
	end := len(b) - 4
	if sum, want := crc32.Checksum(b[:end], castagnoli), binary.LittleEndian.Uint32(b[end:]); sum != want {
		return 0, nil, fmt.Errorf("checksum is %08x, want %08x: the bytes are damaged", sum, want)
	}
	return coderID(b[0]), b[1+n : end], nil
}

func unsupported(reason string) error {
	return &layout.UnsupportedError{File: "", Offset: -1, Reason: reason}
}
