package passport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"ropewalk/tensor"
)

// magic begins the file. Its first byte is none of a text, and a conversion of line ends
// spoils it.
const magic = "\x89RWP\r\n\x1a\n"

// headerSize is that of magic, version, a reserved number and the length of the sections.
const headerSize = 8 + 2 + 2 + 8

// The tags of sections, in their order; there is one tagGroup for each group.
const (
	tagHead    = "HEAD"
	tagSpec    = "SPEC"
	tagTensors = "TENS"
	tagGroup   = "GRUP"
)

// sectionOverhead is what a section takes beside its contents: tag, length, checksum.
const sectionOverhead = 4 + 8 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Limits of what is written and read.
const (
	maxText    = 1 << 16 // bytes of a name or a value of the metadata
	maxEntries = 1 << 20 // tensors, groups, places of a group, metadata, files
	maxSpec    = 1 << 28 // bytes of the specification
	maxNeurons = 1 << 24 // of a group
)

// encode returns all but the signature.
func (p *Passport) encode() ([]byte, error) {
	w := &writer{}
	w.b = append(w.b, magic...)
	w.b = w.u16(Version).u16(0).u64(0).b

	w.begin(tagHead)
	w.text(p.Name)
	w.u32(uint32(p.Numbers)).u64(p.Seed)
	w.pairs(p.Metadata)
	w.pairs(p.Files)
	w.end()

	w.begin(tagSpec)
	w.b = append(w.b, p.Spec.String()...)
	w.end()

	w.begin(tagTensors)
	w.u32(uint32(len(p.Tensors)))
	for i := range p.Tensors {
		t := &p.Tensors[i]
		w.text(t.Name)
		w.text(string(t.DType))
		w.b = append(w.b, uint8(len(t.Shape)))
		for _, d := range t.Shape {
			w.u64(uint64(d))
		}
		w.b = append(w.b, t.SHA256[:]...)
		w.u64(t.Unordered[0]).u64(t.Unordered[1])
		w.u64(math.Float64bits(t.Sum)).u64(math.Float64bits(t.Squares))
		w.u64(math.Float64bits(t.Least)).u64(math.Float64bits(t.Largest))
		w.u64(t.Zeros).u32(uint32(t.Levels))
	}
	w.end()

	for g := range p.Groups {
		w.begin(tagGroup)
		w.u32(uint32(p.Spec.Groups[g].Size)).u32(uint32(len(p.Groups[g].Places)))
		for k := range p.Groups[g].Places {
			q := &p.Groups[g].Places[k]
			w.u32(uint32(q.Numbers))
			w.floats(q.Values)
			w.floats(q.Lengths)
			w.b = append(w.b, q.Exponents...)
			for _, x := range q.Sums {
				w.b = append(w.b, uint8(x))
			}
			w.floats(q.Whole)
		}
		w.end()
	}
	binary.LittleEndian.PutUint64(w.b[12:], uint64(len(w.b)-headerSize))
	if w.err != nil {
		return nil, w.err
	}
	if len(p.Tensors) > maxEntries || len(p.Groups) > maxEntries {
		return nil, fmt.Errorf("passport: %d tensors and %d groups, at most %d are kept", len(p.Tensors), len(p.Groups), maxEntries)
	}
	return w.b, nil
}

// A writer puts numbers together.
type writer struct {
	b   []byte
	at  int // where the section began
	err error
}

func (w *writer) u16(x uint16) *writer { w.b = binary.LittleEndian.AppendUint16(w.b, x); return w }
func (w *writer) u32(x uint32) *writer { w.b = binary.LittleEndian.AppendUint32(w.b, x); return w }
func (w *writer) u64(x uint64) *writer { w.b = binary.LittleEndian.AppendUint64(w.b, x); return w }

func (w *writer) text(s string) {
	if len(s) > maxText || !utf8.ValidString(s) {
		w.err = fmt.Errorf("passport: %.40q has %d bytes or is no UTF-8; want at most %d", s, len(s), maxText)
		s = ""
	}
	w.u32(uint32(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) pairs(m map[string]string) {
	w.u32(uint32(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		w.text(k)
		w.text(m[k])
	}
}

func (w *writer) floats(x []float32) {
	for _, v := range x {
		w.u32(math.Float32bits(v))
	}
}

func (w *writer) begin(tag string) {
	w.at = len(w.b)
	w.b = append(w.b, tag...)
	w.u64(0)
}

func (w *writer) end() {
	binary.LittleEndian.PutUint64(w.b[w.at+4:], uint64(len(w.b)-w.at-12))
	w.u32(crc32.Checksum(w.b[w.at:], castagnoli))
}

// A CorruptError is what is wrong with a file.
type CorruptError struct {
	Offset    int64  // in bytes
	Reason    string // what
	Truncated bool   // the file ends too early
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("passport: at byte %d: %s", e.Offset, e.Reason)
}

// A VersionError reports a passport of a newer version than is known.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("passport: it was made by a newer version, in version %d of the format; this one reads up to %d", e.Version, Version)
}

// Parse reads a passport. It keeps b. Errors are [*CorruptError] and [*VersionError]. Who
// signed it is not looked at: see [Passport.Check].
func Parse(b []byte) (*Passport, error) {
	r := &reader{b: b, end: len(b)}
	p := &Passport{}
	err := p.parse(r)
	if err == nil {
		err = p.parseSignature(r)
	}
	if err == nil && r.at != len(b) {
		err = r.bad(r.at, "%d bytes follow the end", len(b)-r.at)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Passport) parse(r *reader) error {
	if n := min(len(magic), len(r.b)); string(r.b[:n]) != magic[:n] || n == 0 {
		return r.bad(0, "it does not begin as a passport does")
	}
	r.at = len(magic)
	version, reserved := r.u16(), r.u16()
	length := r.u64()
	switch {
	case r.err != nil:
		return r.err
	case version == 0:
		return r.bad(8, "version 0")
	case version > Version:
		return &VersionError{int(version)}
	case reserved != 0:
		return r.bad(10, "a reserved number is %d, want 0", reserved)
	case length > uint64(len(r.b)-headerSize):
		return &CorruptError{int64(len(r.b)), fmt.Sprintf("the file ends here, and its sections alone need %d bytes more", length-uint64(len(r.b)-headerSize)), true}
	}
	body := headerSize + int(length)
	p.body = r.b[:body]
	if err := sections(r.b, body); err != nil {
		return err
	}
	r.end = body
	p.parseHead(r)
	p.parseSpec(r)
	p.parseTensors(r)
	if r.err != nil {
		return r.err
	}
	if err := p.Spec.Fits(p.empty()); err != nil {
		return r.bad(headerSize, "its specification does not fit its tensors: %v", err)
	}
	p.parseGroups(r)
	if r.err == nil && r.at != body {
		return r.bad(r.at, "%d bytes follow the last section", body-r.at)
	}
	r.end = len(r.b)
	return r.err
}

// sections checks lengths and checksums of all sections, so that damage is known by its
// place.
func sections(b []byte, end int) error {
	for at := headerSize; at < end; {
		if end-at < sectionOverhead {
			return &CorruptError{int64(at), fmt.Sprintf("%d bytes are left, a section has at least %d", end-at, sectionOverhead), false}
		}
		n := binary.LittleEndian.Uint64(b[at+4:])
		if n > uint64(end-at-sectionOverhead) {
			return &CorruptError{int64(at + 4), fmt.Sprintf("a section of %d bytes, of which %d are there", n, end-at-sectionOverhead), false}
		}
		sum := at + 12 + int(n)
		if got, want := crc32.Checksum(b[at:sum], castagnoli), binary.LittleEndian.Uint32(b[sum:]); got != want {
			return &CorruptError{int64(at), fmt.Sprintf("the section %q is damaged: its checksum is %08x, want %08x", b[at:at+4], got, want), false}
		}
		at = sum + 4
	}
	return nil
}

func (p *Passport) parseHead(r *reader) {
	next := r.begin(tagHead)
	p.Name = r.text()
	p.Numbers = int(r.u32())
	if r.err == nil && !slices.Contains([]int{32, 64, 128}, p.Numbers) {
		r.fail(r.at-4, "sketches of %d numbers, want 32, 64 or 128", p.Numbers)
	}
	p.Seed = r.u64()
	p.Metadata = r.pairs()
	p.Files = r.pairs()
	r.finish(next)
}

func (p *Passport) parseTensors(r *reader) {
	next := r.begin(tagTensors)
	n := r.count("tensors", 4+4+1+32+16+32+12)
	seen := map[string]bool{}
	for range n {
		if r.err != nil {
			return
		}
		at := r.at
		t := Tensor{Name: r.text(), DType: tensor.DType(r.text())}
		rank := r.bytes(1)
		if r.err != nil {
			return
		}
		for range rank[0] {
			t.Shape = append(t.Shape, int64(r.u64()))
		}
		elems, err := t.Shape.Elems()
		switch {
		case r.err != nil:
			return
		case seen[t.Name]:
			r.fail(at, "a second tensor %q", t.Name)
		case err != nil || rank[0] > tensor.MaxRank || elems > maxElements:
			r.fail(at, "tensor %q has the shape %v", t.Name, t.Shape)
		}
		seen[t.Name] = true
		copy(t.SHA256[:], r.bytes(32))
		t.Unordered = [2]uint64{r.u64(), r.u64()}
		at = r.at
		for _, x := range []*float64{&t.Sum, &t.Squares, &t.Least, &t.Largest} {
			*x = math.Float64frombits(r.u64())
			if *x-*x != 0 {
				r.fail(at, "moments of tensor %q are not finite", t.Name)
			}
		}
		t.Zeros = r.u64()
		if t.Levels = int(r.u32()); t.Levels > maxLevels {
			r.fail(at, "tensor %q has %d levels, at most %d are counted", t.Name, t.Levels, maxLevels)
		}
		p.Tensors = append(p.Tensors, t)
	}
	r.finish(next)
}

// maxElements bounds a tensor.
const maxElements = 1 << 40

func (p *Passport) parseGroups(r *reader) {
	tensors := map[string]*Tensor{}
	for i := range p.Tensors {
		tensors[p.Tensors[i].Name] = &p.Tensors[i]
	}
	for g := range p.Spec.Groups {
		group := &p.Spec.Groups[g]
		next := r.begin(tagGroup)
		at := r.at
		size, places := int(r.u32()), int(r.u32())
		if r.err != nil {
			return
		}
		if size != group.Size || places != len(group.Places) || size > maxNeurons {
			r.fail(at, "group %s has %d neurons at %d places, and its specification has %d at %d", group.Name, size, places, group.Size, len(group.Places))
			return
		}
		own := Group{Places: make([]Place, places)}
		for k := range own.Places {
			place := &group.Places[k]
			q := &own.Places[k]
			at := r.at
			q.Numbers = int(r.u32())
			if q.Numbers == 0 || r.err != nil {
				continue
			}
			if place.Tensors != nil {
				r.fail(at, "group %s exchanges whole tensors, of which there are no sketches", group.Name)
				return
			}
			dim := dimOf(tensors[place.Tensor].Shape, place)
			switch {
			case q.Numbers < 1 || q.Numbers > dim:
				r.fail(at, "neurons of group %s have %d sums in %s of %d numbers", group.Name, q.Numbers, place.Tensor, dim)
				return
			case dim == 1:
				q.Values = r.floats(size, false)
				continue
			}
			q.Lengths = r.floats(size, true)
			q.Exponents = r.bytes(size)
			for _, x := range r.bytes(size * q.Numbers) {
				if x == 0x80 {
					r.fail(r.at, "a sum of -128 in the sketches of %s", place.Tensor)
					return
				}
				q.Sums = append(q.Sums, int8(x))
			}
			q.Whole = r.floats(q.Numbers, false)
			for i := range q.Exponents {
				if x := q.Sums; r.err == nil && float64(float32(stepOf(q.Lengths[i], q.Exponents[i]))*127)-float64(float32(stepOf(q.Lengths[i], q.Exponents[i]))*127) != 0 {
					r.fail(at, "neuron %d of group %s has sums of %d bits that are not finite in %s", i, group.Name, len(x), place.Tensor)
					return
				}
			}
		}
		p.Groups = append(p.Groups, own)
		r.finish(next)
	}
}

// A reader takes numbers apart. After an error it returns zeros.
type reader struct {
	b   []byte
	at  int
	end int // of what may be read
	err error
}

// fail notes what is wrong, unless something was before.
func (r *reader) fail(at int, format string, args ...any) {
	if r.err == nil {
		r.err = &CorruptError{Offset: int64(at), Reason: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) bad(at int, format string, args ...any) error {
	r.fail(at, format, args...)
	return r.err
}

// bytes lends the next n bytes, or nil.
func (r *reader) bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.end-r.at {
		r.fail(r.at, "%d bytes are missing", n-(r.end-r.at))
		if r.end == len(r.b) {
			if e, ok := errors.AsType[*CorruptError](r.err); ok {
				e.Truncated = true
			}
		}
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at : r.at]
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count returns a number of things each of which takes some bytes at least.
func (r *reader) count(what string, each int) int {
	at := r.at
	n := int(r.u32())
	if n > maxEntries || n > (r.end-r.at)/each {
		r.fail(at, "%d %s, for which there is no room", n, what)
		return 0
	}
	return n
}

func (r *reader) text() string {
	at := r.at
	n := int(r.u32())
	if n > maxText {
		r.fail(at, "a name of %d bytes, at most %d are read", n, maxText)
	}
	b := r.bytes(n)
	if !utf8.Valid(b) {
		r.fail(at, "a name is no UTF-8")
	}
	return string(b)
}

func (r *reader) pairs() map[string]string {
	n := r.count("entries", 8)
	m := map[string]string{}
	last := ""
	for i := range n {
		at := r.at
		k, v := r.text(), r.text()
		if i > 0 && k <= last && r.err == nil {
			r.fail(at, "entry %q follows %q: they are not in order", k, last)
		}
		m[k], last = v, k
	}
	return m
}

// floats returns n finite numbers.
func (r *reader) floats(n int, positive bool) []float32 {
	at := r.at
	b := r.bytes(4 * n)
	if b == nil {
		return nil
	}
	out := make([]float32, n)
	for i := range out {
		bits := binary.LittleEndian.Uint32(b[4*i:])
		x := math.Float32frombits(bits)
		if x-x != 0 || bits == 1<<31 || positive && x < 0 {
			r.fail(at+4*i, "the number %v, which cannot be here", x)
			return nil
		}
		out[i] = x
	}
	return out
}

// begin reads tag and length of a section, and returns where its contents end.
func (r *reader) begin(tag string) int {
	at := r.at
	got := r.bytes(4)
	n := r.u64()
	if r.err != nil {
		return 0
	}
	if string(got) != tag {
		r.fail(at, "a section %q, want %q", got, tag)
		return 0
	}
	return r.at + int(n) // which sections has checked
}

// finish goes on behind a section.
func (r *reader) finish(end int) {
	if r.err == nil && r.at != end {
		r.fail(r.at, "the contents of the section end here, and the section at byte %d", end)
	}
	r.bytes(4)
}
