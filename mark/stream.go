package mark

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math"
)

// A stream is an endless text of random bytes that can be read anywhere: AES-256 in
// counter mode. Without the key nobody tells it from fair coins; that is what stands
// for "the signs are independent of the suspect" in all proofs.
type stream struct{ block cipher.Block }

func newStream(key [secretSize]byte) *stream {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic("internal error: " + err.Error()) // only for keys of other sizes
	}
	return &stream{b}
}

// bytes fills dst with the stream from offset off, off >= 0.
func (s *stream) bytes(dst []byte, off int64) {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(off)/aes.BlockSize)
	c := cipher.NewCTR(s.block, iv[:])
	if skip := off % aes.BlockSize; skip > 0 {
		var drop [aes.BlockSize]byte
		c.XORKeyStream(drop[:skip], drop[:skip])
	}
	clear(dst)
	c.XORKeyStream(dst, dst)
}

// normals fills dst with independent numbers of the standard normal distribution,
// those from number from on (a multiple of 2), by the transform of Box and Muller.
func (s *stream) normals(dst []float32, from int64) {
	var raw [16 * 256]byte
	for len(dst) > 0 {
		n := min(len(dst), 512)
		b := raw[:(n+1)/2*16]
		s.bytes(b, from*8)
		for i := range (n + 1) / 2 {
			// In (0, 1], so that the logarithm is finite.
			u := (float64(binary.LittleEndian.Uint64(b[16*i:])>>11) + 1) * 0x1p-53
			v := float64(binary.LittleEndian.Uint64(b[16*i+8:])>>11) * 0x1p-53
			r := math.Sqrt(-2 * math.Log(u))
			sin, cos := math.Sincos(2 * math.Pi * v)
			dst[2*i] = float32(r * cos)
			if 2*i+1 < n {
				dst[2*i+1] = float32(r * sin)
			}
		}
		dst = dst[n:]
		from += int64(n)
	}
}

// signs are the coins of a layer: bit i%8 of byte i/8 of its stream is that of number
// i, and 1 is minus.
func (l *LayerKey) signs() *stream { return newStream(derive(l.secret[:], "signs")) }

// matrix is the stream of normal numbers of a layer.
func (l *LayerKey) matrix() *stream { return newStream(derive(l.secret[:], "matrix")) }

// places is the stream that says which number carries which chip of a code.
func (l *LayerKey) places() *stream { return newStream(derive(l.secret[:], "places")) }
