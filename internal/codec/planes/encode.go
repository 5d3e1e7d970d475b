package planes

import "slices"

// An Encoder codes blocks. Its zero value is ready; what it needs it allocates
// once, up to 256 KiB for each plane, so that further blocks need nothing. It
// must not be used by two goroutines at once.
type Encoder struct {
	planes   [8][]byte
	plans    [8]plan
	pairs    pairs
	gathered []byte // the symbols of a class
	mask     []byte // of a sparse chunk
	values   []byte
	sparse   []byte // its coded form
}

// Append is like the function Append.
func (e *Encoder) Append(dst, src []byte, width int, t Transform) []byte {
	check(len(src), width, t)
	for len(src) > 0 {
		n := min(len(src), chunk*width)
		dst = e.appendChunk(dst, src[:n], width, t)
		src = src[n:]
	}
	return dst
}

// Parts of a thousand elements that must be zero for a bitmap to be tried, for
// one to be tried with elements of a byte, and for nothing else to be tried.
const (
	someZeros = 60
	halfZeros = 500
	manyZeros = 250
)

func (e *Encoder) appendChunk(dst, src []byte, width int, t Transform) []byte {
	z := zeros(src, width)
	if z < someZeros || width == 1 && z < halfZeros {
		return e.appendDense(dst, src, width, t)
	}
	start := len(dst)
	if z >= manyZeros && t == Rotate && width > 1 {
		// The bitmap takes less than a bit for each zero of a float; each plane
		// would take as much.
		if dst = e.appendSparse(dst, src, width, t); len(dst)-start > len(src) {
			return appendRaw(dst[:start], src)
		}
		return dst
	}
	dst = e.appendDense(dst, src, width, t)
	e.sparse = e.appendSparse(e.sparse[:0], src, width, t)
	if len(e.sparse) < len(dst)-start {
		dst = append(dst[:start], e.sparse...)
	}
	return dst
}

func appendRaw(dst, src []byte) []byte { return append(append(dst, chunkRaw), src...) }

// appendDense codes planes, or the elements as they are if that is not longer.
func (e *Encoder) appendDense(dst, src []byte, width int, t Transform) []byte {
	n := len(src) / width
	start := len(dst)
	var stored [8]int
	s := 0
	size := 1 + width
	dst = append(dst, chunkPlanes)
	dst = append(dst, make([]byte, width)...)
	top := width - 1
	for p := range width {
		plan := &e.plans[p]
		plan.kind = planeStored
		if !looksRandom(src, width, p, t) {
			e.planes[p] = resize(e.planes[p], n)
			if p == top && s == top && (width == 2 || width == 4) {
				// All others are stored: both in one go.
				at := len(dst)
				dst = slices.Grow(dst, s*n)[:at+s*n]
				split(dst[at:], e.planes[p], src, width, t)
			} else {
				extract(e.planes[p], src, width, p, t)
			}
			plan.make(e.planes[p], true)
		}
		if plan.kind == planeStored {
			stored[s] = p
			s++
			size += n
		} else {
			size += plan.size
		}
		dst[start+1+p] = plan.kind
	}
	if size < len(src) {
		if len(dst) == start+1+width {
			dst = appendStored(dst, src, width, stored[:s], t)
		}
		for p := range width {
			dst = e.appendPlane(dst, e.planes[p], &e.plans[p])
		}
		if len(dst)-start <= len(src) {
			return dst
		}
	}
	return appendRaw(dst[:start], src)
}

// A plan says how a plane will be coded.
type plan struct {
	kind    byte
	size    int // of the coded plane, about
	code    code
	classes classing
}

// make decides how to code a plane, with classes if it may.
func (p *plan) make(plane []byte, classes bool) {
	n := len(plane)
	p.kind = planeStored
	if classes && n >= minClassed {
		p.classes.classify(plane)
		if p.classes.n > 1 {
			if p.size = int(p.classes.cost >> (costShift + 3)); worth(p.size, n) {
				p.kind = planeClasses
			}
			return
		}
	}
	var h histogram
	h.count(plane)
	if n == 0 || int(h[plane[0]]) == n {
		p.kind, p.size = planeFill, 1
		return
	}
	p.code.build(&h)
	if p.size = p.code.size(&h); worth(p.size, n) {
		p.kind = planeHuffman
	}
}

// worth reports whether a plane of n symbols is coded in size bytes, rather
// than stored: to save a hundredth is not worth the time of decoding it.
func worth(size, n int) bool { return size < n-n/64 }

// appendPlane appends what a plane needs beside its kind. A stored one needs
// nothing here.
func (e *Encoder) appendPlane(dst, plane []byte, p *plan) []byte {
	switch p.kind {
	case planeFill:
		return append(dst, plane[0])
	case planeHuffman:
		return e.appendHuffman(dst, plane, &p.code)
	case planeClasses:
		return e.appendClasses(dst, plane, &p.classes)
	}
	return dst
}

// appendClasses appends the number of classes, the class of each segment, and
// the symbols of each class, as planes that stand alone.
func (e *Encoder) appendClasses(dst, plane []byte, cl *classing) []byte {
	dst = append(dst, byte(cl.n))
	n := (len(plane) + segment - 1) / segment
	for i := 0; i < n; i += 4 {
		var b byte
		for k, c := range cl.of[i:min(i+4, n)] {
			b |= c << (2 * k)
		}
		dst = append(dst, b)
	}
	for k := range cl.n {
		e.gathered = cl.gather(e.gathered[:0], plane, k)
		dst = e.appendBytes(dst, e.gathered)
	}
	return dst
}

// appendBytes codes a plane that stands alone: its kind, and what it needs.
func (e *Encoder) appendBytes(dst, plane []byte) []byte {
	var p plan
	p.make(plane, false)
	dst = append(dst, p.kind)
	if p.kind == planeStored {
		return append(dst, plane...)
	}
	return e.appendPlane(dst, plane, &p)
}

// sampleSize is about how many elements are looked at to find out what to try.
// A wrong guess costs size, never correctness.
const sampleSize = 4096

// stride returns the step that takes the sample. It is odd, so that it does not
// fall into step with the rows of a matrix.
func stride(n int) int { return max(n/sampleSize, 1) | 1 }

// looksRandom reports whether a sample of a plane has no structure that would
// pay for a Huffman code.
func looksRandom(src []byte, width, p int, t Transform) bool {
	n := len(src) / width
	if n < 4*sampleSize {
		return false // cheap enough to find out
	}
	var hist histogram
	seen := uint64(0)
	for i := 0; i < n; i += stride(n) {
		hist[byte(load(src[i*width:], width, t)>>(8*p))]++
		seen++
	}
	// The sum of squares of a uniform plane is near seen²/256 + seen. An eighth
	// more is a sixth of a bit less in each byte.
	sum := uint64(0)
	for _, h := range hist {
		sum += uint64(h) * uint64(h)
	}
	uniform := seen*seen/256 + seen
	return sum < uniform+uniform/8
}

// resize returns b with length n and any contents.
func resize(b []byte, n int) []byte { return slices.Grow(b[:0], n)[:n] }
