package passport

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"

	"ropewalk/tensor"
)

// ErrNumbers reports weights that are not finite: nothing can be measured of them.
var ErrNumbers = errors.New("passport: a number is not finite")

// maxLevels is how many values are counted.
const maxLevels = 1 << 16

// A digester takes in the bytes of a tensor and makes all of [Tensor] but its name.
type digester struct {
	t      *Tensor
	width  int // bytes of an element: 1, 2, 4 or 8
	sha    hash.Hash
	counts []uint64 // of elements of two bytes, by their bits; nil for others, and few
	levels levels
	at     int64 // elements so far
	bad    int64 // the first number that is not finite, or -1
	sums   [4]float64
	square [4]float64
}

func newDigester(t *Tensor) *digester {
	d := &digester{t: t, width: 1, sha: sha256.New(), bad: -1}
	if bits := t.DType.Bits(); bits == 16 || bits == 32 || bits == 64 {
		d.width = bits / 8
	}
	t.Least, t.Largest = math.Inf(1), math.Inf(-1)
	if n, err := t.Shape.Elems(); err == nil && d.width == 2 && n >= maxLevels/2 {
		d.counts = make([]uint64, 1<<16)
	} else {
		d.levels.slots = make([]uint64, 64)
	}
	return d
}

// unordered returns what an element of the given bits adds to the sums that do not depend
// on order.
func unordered(bits uint64) (a, b uint64) {
	a = (bits + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	a = (a ^ a>>32) * 0x94d049bb133111eb
	a ^= a >> 29
	b = a * 0xd6e8feb86659fd93
	return a, b ^ b>>32
}

// write takes in some bytes, whole elements, and their values if they are numbers.
func (d *digester) write(raw []byte, values []float32) {
	d.sha.Write(raw)
	le := binary.LittleEndian
	switch {
	case d.counts != nil:
		for ; len(raw) >= 8; raw = raw[8:] {
			u := le.Uint64(raw)
			d.counts[uint16(u)]++
			d.counts[uint16(u>>16)]++
			d.counts[uint16(u>>32)]++
			d.counts[u>>48]++
		}
		for ; len(raw) >= 2; raw = raw[2:] {
			d.counts[le.Uint16(raw)]++
		}
		d.at += int64(len(values))
		return
	case d.width == 2:
		for ; len(raw) >= 2; raw = raw[2:] {
			d.element(uint64(le.Uint16(raw)))
		}
	case d.width == 4:
		a, b := d.t.Unordered[0], d.t.Unordered[1]
		for ; len(raw) >= 4; raw = raw[4:] {
			x, y := unordered(uint64(le.Uint32(raw)))
			a, b = a+x, b+y
			if d.levels.slots != nil {
				d.levels.add(x)
			}
		}
		d.t.Unordered = [2]uint64{a, b}
	case d.width == 8:
		for ; len(raw) >= 8; raw = raw[8:] {
			d.element(le.Uint64(raw))
		}
	default:
		for _, x := range raw {
			d.element(uint64(x))
		}
	}
	d.moments(values)
}

func (d *digester) element(bits uint64) {
	x, y := unordered(bits)
	d.t.Unordered[0] += x
	d.t.Unordered[1] += y
	if d.levels.slots != nil {
		d.levels.add(x)
	}
}

// moments adds up numbers, in four sums that are added at the end: the same on every
// machine, as products of two float32 are exact in float64.
func (d *digester) moments(values []float32) {
	least, largest := float32(math.Inf(1)), float32(math.Inf(-1))
	zeros := uint64(0)
	k := 0
	for ; k+4 <= len(values); k += 4 {
		v := (*[4]float32)(values[k:])
		for i, x := range v {
			y := float64(x)
			d.sums[i] += y
			d.square[i] += y * y
			if x == 0 {
				zeros++
			}
			least, largest = min(least, x), max(largest, x)
		}
	}
	for i, x := range values[k:] {
		y := float64(x)
		d.sums[i] += y
		d.square[i] += y * y
		if x == 0 {
			zeros++
		}
		least, largest = min(least, x), max(largest, x)
	}
	if len(values) > 0 && (least-least != 0 || largest-largest != 0) && d.bad < 0 { // min and max of NaN are NaN
		for i, x := range values {
			if x-x != 0 {
				d.bad = d.at + int64(i)
				break
			}
		}
	}
	d.at += int64(len(values))
	d.t.Zeros += zeros
	d.t.Least, d.t.Largest = min(d.t.Least, float64(least)), max(d.t.Largest, float64(largest))
}

// finish fills in what is known at the end. It returns false if a number is not finite.
func (d *digester) finish() bool {
	t := d.t
	d.sha.Sum(t.SHA256[:0])
	numeric := t.DType.Numeric()
	if d.counts != nil {
		var raw [2]byte
		var value [1]float32
		for bits, n := range d.counts {
			if n == 0 {
				continue
			}
			t.Levels++
			x, y := unordered(uint64(bits))
			t.Unordered[0] += n * x
			t.Unordered[1] += n * y
			if !numeric {
				continue
			}
			binary.LittleEndian.PutUint16(raw[:], uint16(bits))
			v := float64(t.DType.AppendFloat32s(value[:0], raw[:])[0])
			if v-v != 0 {
				return false
			}
			t.Sum += float64(float64(n) * v) // as everywhere: rounded before it is added
			t.Squares += float64(float64(n) * float64(v*v))
			if v == 0 {
				t.Zeros += n
			}
			t.Least, t.Largest = min(t.Least, v), max(t.Largest, v)
		}
	} else {
		t.Levels = d.levels.count
		t.Sum = d.sums[0] + d.sums[1] + d.sums[2] + d.sums[3]
		t.Squares = d.square[0] + d.square[1] + d.square[2] + d.square[3]
	}
	if d.levels.many {
		t.Levels = 0
	}
	if !numeric || t.Least > t.Largest {
		t.Moments = Moments{Levels: t.Levels}
	}
	t.Least += 0 // -0 is 0
	t.Largest += 0
	return d.bad < 0
}

// notFinite names the first number that is not finite.
func notFinite(t *tensor.Tensor) error {
	at := int64(0)
	width := int64(t.DType.Bits() / 8)
	var values []float32
	var buf []byte
	for off := int64(0); off < t.Data.Size(); off += pieceBytes {
		b, err := tensor.ReadRange(t.Data, off, min(pieceBytes, t.Data.Size()-off), buf)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		values = t.DType.AppendFloat32s(values[:0], b)
		for i, x := range values {
			if x-x != 0 {
				return fmt.Errorf("%w: tensor %s has %v at %d; there is nothing to compare it by", ErrNumbers, t.Name, x, at+int64(i))
			}
		}
		at += int64(len(b)) / width
	}
	return fmt.Errorf("%w: numbers of tensor %s are too large to be squared", ErrNumbers, t.Name)
}

// levels counts distinct hashes, up to maxLevels.
type levels struct {
	slots []uint64 // by hash, 0 for free ones; nil when there are too many
	zero  bool     // whether the hash 0 is one of them
	count int
	many  bool
}

func (l *levels) add(h uint64) {
	if h == 0 {
		if !l.zero {
			l.zero = true
			l.count++
		}
		return
	}
	mask := uint64(len(l.slots) - 1)
	at := h & mask
	for l.slots[at] != 0 {
		if l.slots[at] == h {
			return
		}
		at = (at + 1) & mask
	}
	l.slots[at] = h
	if l.count++; l.count > maxLevels {
		l.slots, l.many = nil, true
		return
	}
	if 2*l.count > len(l.slots) {
		old := l.slots
		l.slots = make([]uint64, 2*len(old))
		mask = uint64(len(l.slots) - 1)
		for _, x := range old {
			if x == 0 {
				continue
			}
			at := x & mask
			for l.slots[at] != 0 {
				at = (at + 1) & mask
			}
			l.slots[at] = x
		}
	}
}
