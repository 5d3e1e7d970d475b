package passport

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

// mend puts the right checksums and the right digest into a file.
func mend(b []byte) {
	if len(b) < headerSize {
		return
	}
	n := binary.LittleEndian.Uint64(b[12:])
	if n > uint64(len(b)-headerSize) {
		return
	}
	end := headerSize + int(n)
	for at := headerSize; end-at >= sectionOverhead; {
		n := binary.LittleEndian.Uint64(b[at+4:])
		if n > uint64(end-at-sectionOverhead) {
			return
		}
		sum := at + 12 + int(n)
		binary.LittleEndian.PutUint32(b[sum:], crc32.Checksum(b[at:sum], castagnoli))
		at = sum + 4
	}
	if len(b)-end >= 32 {
		d := sha256.Sum256(b[:end])
		copy(b[end:], d[:])
	}
}
