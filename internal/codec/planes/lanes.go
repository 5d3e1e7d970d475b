package planes

import "encoding/binary"

// A buffer holds the symbols of a plane. Its size is a power of two, so that a
// masked index needs no check; the room behind is for the eight bytes that a
// look-up writes.
type buffer [chunk + 8]byte

// A lane is what is left to do of a stream: its input in bits, its output in
// symbols.
type lane struct {
	bit, endBit uint64
	at, end     uint64
}

const (
	lookups      = 5                      // of a round; 7 + 5·11 bits fit a word
	roundSymbols = lookups*maxSymbols + 8 // what a round may write at most
	roundBytes   = (7 + lookups*maxBits) / 8
)

// rounds returns for how many rounds there is input and room in any case.
func (l *lane) rounds(in []byte) int {
	return min(int(l.end-l.at)/roundSymbols, (len(in)-8-int(l.bit>>3))/roundBytes)
}

// decodeLanes decodes all lanes side by side, so that a processor need not wait
// for one look-up before it begins another. It stops in front of the end of the
// shortest.
func decodeLanes(out *buffer, in []byte, t *table, lanes *[streams]lane) {
	for {
		n := min(lanes[0].rounds(in), lanes[1].rounds(in), lanes[2].rounds(in), lanes[3].rounds(in))
		if n <= 0 {
			return
		}
		for range n {
			for k := range lanes {
				l := &lanes[k]
				s := l.at << 6
				p := l.bit >> 3
				a := binary.LittleEndian.Uint64(in[p:p+8]) >> (l.bit & 7)
				e := uint64(t[a&(1<<maxBits-1)])
				binary.LittleEndian.PutUint64(out[s>>6&(chunk-1):], e)
				a >>= e / oneBit & 63
				s += e / oneBit
				e = uint64(t[a&(1<<maxBits-1)])
				binary.LittleEndian.PutUint64(out[s>>6&(chunk-1):], e)
				a >>= e / oneBit & 63
				s += e / oneBit
				e = uint64(t[a&(1<<maxBits-1)])
				binary.LittleEndian.PutUint64(out[s>>6&(chunk-1):], e)
				a >>= e / oneBit & 63
				s += e / oneBit
				e = uint64(t[a&(1<<maxBits-1)])
				binary.LittleEndian.PutUint64(out[s>>6&(chunk-1):], e)
				a >>= e / oneBit & 63
				s += e / oneBit
				e = uint64(t[a&(1<<maxBits-1)])
				binary.LittleEndian.PutUint64(out[s>>6&(chunk-1):], e)
				s += e / oneBit
				l.bit += s & 63
				l.at = s >> 6
			}
		}
	}
}

// finish decodes what is left of one lane, and reports whether its stream
// holds just as many symbols.
func (l *lane) finish(out *buffer, in []byte, t *table, c *code) bool {
	for l.rounds(in) > 0 {
		s := l.at << 6
		p := l.bit >> 3
		a := binary.LittleEndian.Uint64(in[p:p+8]) >> (l.bit & 7)
		for range lookups {
			e := uint64(t[a&(1<<maxBits-1)])
			binary.LittleEndian.PutUint64(out[s>>6&(chunk-1):], e)
			a >>= e / oneBit & 63
			s += e / oneBit
		}
		l.bit += s & 63
		l.at = s >> 6
	}
	for ; l.at < l.end; l.at++ {
		if l.bit >= l.endBit {
			return false
		}
		var last [8]byte
		copy(last[:], in[l.bit>>3:])
		a := binary.LittleEndian.Uint64(last[:]) >> (l.bit & 7)
		s := byte(t[a&(1<<maxBits-1)])
		out[l.at&(chunk-1)] = s
		l.bit += uint64(c[s])
	}
	// What is left of the last byte is zero.
	return l.bit <= l.endBit && l.endBit-l.bit < 8 && (l.bit&7 == 0 || in[l.bit>>3]>>(l.bit&7) == 0)
}

// decodeHuffman decodes n symbols into out, and returns what follows in coded.
func (d *Decoder) decodeHuffman(out *buffer, n int, coded []byte) (rest []byte, err error) {
	var c code
	in, err := c.read(coded)
	if err != nil {
		return nil, err
	}
	w := sizeBytes(n)
	if len(in) < streams*w {
		return nil, corrupt("cut in the sizes of the streams")
	}
	sizes, in := in[:streams*w], in[streams*w:]
	var lanes [streams]lane
	bit := 0
	for k := range lanes {
		size := 0
		for i := range w {
			size |= int(sizes[k*w+i]) << (8 * i)
		}
		from, to := quarter(n, k)
		lanes[k] = lane{uint64(bit), uint64(bit + 8*size), uint64(from), uint64(to)}
		bit += 8 * size
	}
	if bit/8 > len(in) {
		return nil, corrupt("cut in a stream")
	}
	in, rest = in[:bit/8], in[bit/8:]
	t := d.tables.build(&c, n)
	decodeLanes(out, in, t, &lanes)
	for k := range lanes {
		if !lanes[k].finish(out, in, t, &c) {
			return nil, corrupt("damaged stream")
		}
	}
	return rest, nil
}
