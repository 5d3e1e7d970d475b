package mark

import "math"

// A carrier gives the signs that a tensor carries: those of the key, times the chips of
// a code if there is one.
//
//	number i carries sign(i)·chip(place(i))
//
// Places of a code go round: in each block of as many numbers as there are chips, every
// chip has one number, and where the block begins is drawn from the key. So no pattern of
// rows or columns that somebody changes hits some chips more than others.
type carrier struct {
	sign, place *stream
	chips       int // 0: none
}

func newCarrier(l *LayerKey, chips int) *carrier {
	c := &carrier{sign: l.signs(), chips: chips}
	if chips > 0 {
		c.place = l.places()
	}
	return c
}

// coins fills bits with the coins of the numbers from start on, which is a multiple
// of 8: bit i%8 of byte i/8.
func (c *carrier) coins(bits []byte, start int64) { c.sign.bytes(bits, start/8) }

// turn returns where a block begins in the code.
func (c *carrier) turn(block int64) int {
	var b [4]byte
	c.place.bytes(b[:], 4*block)
	return int((uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24) * uint64(c.chips) >> 32)
}

// fill sets d[i] to ±amplitude, the sign of number start+i times its chip.
func (c *carrier) fill(d []float32, start int64, amplitude float32, code []int8) {
	a := math.Float32bits(amplitude)
	from := start &^ 7
	bits := make([]byte, (start+int64(len(d))-from+7)/8)
	c.coins(bits, from)
	skip := int(start - from)
	for i := range d {
		k := i + skip
		s := uint32(bits[k>>3]>>(k&7)) & 1
		d[i] = math.Float32frombits(a ^ s<<31)
	}
	if c.chips == 0 {
		return
	}
	for i := 0; i < len(d); {
		block := (start + int64(i)) / int64(c.chips)
		at := int((start + int64(i)) % int64(c.chips))
		place := at + c.turn(block)
		if place >= c.chips {
			place -= c.chips
		}
		for ; at < c.chips && i < len(d); at++ {
			if code[place] < 0 {
				d[i] = -d[i]
			}
			if place++; place == c.chips {
				place = 0
			}
			i++
		}
	}
}

// sums are what a reading adds up: for one tensor, or all.
type sums struct {
	dot     float64   // Σ sign·y, without a code
	energy  float64   // Σ y²
	chips   []float64 // of each chip: Σ sign·y
	squares []float64 // of each chip: Σ y²
}

// read adds up what the numbers y, all of a tensor, say.
func (c *carrier) read(y []float32) *sums {
	s := &sums{}
	if c.chips > 0 {
		s.chips, s.squares = make([]float64, c.chips), make([]float64, c.chips)
	}
	var bits [chunk / 8]byte
	var signed [chunk]float32
	for start := 0; start < len(y); start += chunk {
		part := y[start:min(start+chunk, len(y))]
		b := bits[:(len(part)+7)/8]
		c.coins(b, int64(start))
		var dot, energy float32
		if c.chips == 0 {
			var dot2, energy2 float32 // two chains, as each addition waits for the one before
			for len(part) >= 8 {
				v := uint32(b[0])
				b = b[1:]
				p := part[:8]
				dot += flip(p[0], v<<31) + flip(p[1], v>>1<<31) + flip(p[2], v>>2<<31) + flip(p[3], v>>3<<31)
				dot2 += flip(p[4], v>>4<<31) + flip(p[5], v>>5<<31) + flip(p[6], v>>6<<31) + flip(p[7], v>>7<<31)
				energy += p[0]*p[0] + p[1]*p[1] + p[2]*p[2] + p[3]*p[3]
				energy2 += p[4]*p[4] + p[5]*p[5] + p[6]*p[6] + p[7]*p[7]
				part = part[8:]
			}
			for i, v := range part {
				dot += flip(v, uint32(b[0])>>i<<31)
				energy += v * v
			}
			s.dot += float64(dot) + float64(dot2)
			s.energy += float64(energy) + float64(energy2)
			continue
		}
		for i, v := range part {
			signed[i] = flip(v, uint32(b[i>>3])>>(i&7)<<31)
		}
		c.collect(s, signed[:len(part)], int64(start))
	}
	if c.chips > 0 {
		for _, v := range s.squares {
			s.energy += v
		}
	}
	return s
}

// collect adds numbers with their signs to their chips.
func (c *carrier) collect(s *sums, signed []float32, start int64) {
	for i := 0; i < len(signed); {
		block := (start + int64(i)) / int64(c.chips)
		at := int((start + int64(i)) % int64(c.chips))
		place := at + c.turn(block)
		if place >= c.chips {
			place -= c.chips
		}
		for ; at < c.chips && i < len(signed); at++ {
			v := float64(signed[i])
			s.chips[place] += v
			s.squares[place] += v * v
			if place++; place == c.chips {
				place = 0
			}
			i++
		}
	}
}

// flip returns v with its sign changed if the highest bit of s is set.
func flip(v float32, s uint32) float32 {
	return math.Float32frombits(math.Float32bits(v) ^ s&(1<<31))
}

// z is the correlation in standard deviations of chance; 0 if there is nothing.
func (s *sums) z() float64 {
	if !(s.energy > 0) {
		return 0
	}
	return s.dot / math.Sqrt(s.energy)
}

// merge adds other, of the same code.
func (s *sums) merge(other *sums) {
	s.dot += other.dot
	s.energy += other.energy
	if s.chips == nil && other.chips != nil {
		s.chips, s.squares = make([]float64, len(other.chips)), make([]float64, len(other.chips))
	}
	for i := range other.chips {
		s.chips[i] += other.chips[i]
		s.squares[i] += other.squares[i]
	}
}
