package rope

import (
	"encoding/binary"
	"fmt"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// Magic begins every .rope file. The first byte and the line end show damage
// by transfer as text, as in PNG; the last byte is the version of the format.
const Magic = "\x89ROPE\r\n\x01"

// Limits of what a header may declare; they bound the memory that a damaged or
// hostile file can ask for (docs/FORMAT.md, section 9).
const (
	maxBlockValues = 1 << 22
	maxFileSize    = 1 << 60
	maxInline      = 1 << 16 // of a skeleton inside of the header
)

// Features of the header. A reader refuses those that it does not know.
const (
	featureBase      = 1 << iota // some arrays are coded against a base
	featureInline                // the skeleton stands at the end of the header
	featureDescribed             // the skeleton is stored by its differences to what the arrays tell
	featureModel                 // the skeleton is that of an ONNX model, without what follows from the rest
	featureKnown     = featureBase | featureInline | featureDescribed | featureModel
)

// How an array is stored.
type source uint8

const (
	sourceOwn   source = iota // in a group
	sourceTwin                // the same bytes as an earlier array
	sourceSame                // the same bytes as an array of the base
	sourceDelta               // in a group, as differences to an array of the base
)

// array is what the header says of a [layout.Array] beyond its place.
type array struct {
	source source
	ref    int // of a twin: the earlier array; else: the array of the base
}

// header is the decoded form of the header frame.
type header struct {
	blockValues int
	layout      *layout.Layout // without file data
	fileSizes   []int64
	arrays      []array
	groups      []group
	base        *[32]byte // content digest of the base
	skeleton    []byte    // if it is inline
	skelSize    int64     // bytes of the files that are not in arrays
}

// A group is the values of one or more arrays of one unit, one after the
// other. The id after the last array stands for the skeleton.
type group struct {
	members []int
	unit    unit
	values  int64 // in units
	delta   bool
}

// blocks returns the number of blocks of the group.
func (g *group) blocks(blockValues int) int {
	return int((g.values + int64(blockValues) - 1) / int64(blockValues))
}

// filesSize returns the bytes that the file restores.
func (h *header) filesSize() (total int64) {
	for _, s := range h.fileSizes {
		total += s
	}
	return total
}

// measure sets the size of the skeleton, once files and arrays are known.
func (h *header) measure() {
	h.skelSize = h.filesSize()
	for i := range h.layout.Arrays {
		h.skelSize -= h.layout.Arrays[i].Size
	}
}

// Codes of a view in the header.
const (
	viewNext  = iota // the array after that of the view before; same name, type and shape
	viewArray        // the same of any array
	viewPart         // another name, type, shape, or part of an array
	viewEncoded
)

func (h *header) append() (dst []byte) {
	l := h.layout
	number := func(v uint64) { dst = binary.AppendUvarint(dst, v) }
	features := uint64(0)
	if h.base != nil {
		features |= featureBase
	}
	skeleton := h.skeleton
	if h.skeleton != nil {
		features |= featureInline
		if d := h.appendDescribed(nil); d != nil && len(d) < len(skeleton) {
			skeleton, features = d, features^featureInline|featureDescribed
		}
		if d := h.describeModel(); d != nil {
			skeleton, features = d, features^featureInline|featureModel
		}
	}
	number(features)
	number(uint64(h.blockValues))
	dst = appendString(dst, l.Format)
	if h.base != nil {
		dst = append(dst, h.base[:]...)
	}
	number(uint64(len(l.Metadata)))
	for _, p := range l.Metadata {
		dst = appendString(dst, p.Key)
		dst = appendString(dst, p.Value)
	}
	number(uint64(len(l.Files)))
	for i, f := range l.Files {
		dst = appendString(dst, f.Name)
		if features&featureModel == 0 {
			number(uint64(h.fileSizes[i]))
		}
	}

	types, typeID := typeTable(l)
	number(uint64(len(types)))
	for _, t := range types {
		dst = appendString(dst, string(t))
	}
	// One property after the other, not one array after the other: like
	// stands beside like, which halves what the table costs.
	number(uint64(len(l.Arrays)))
	for i := range l.Arrays {
		dst = appendString(dst, l.Arrays[i].Name)
	}
	for i := range l.Arrays {
		number(typeID[l.Arrays[i].DType])
	}
	for i := range l.Arrays {
		dst = appendShape(dst, l.Arrays[i].Shape)
	}
	for i := range l.Arrays {
		if a := &l.Arrays[i]; !a.DType.Known() {
			number(uint64(a.Size))
		}
	}
	file, end := 0, int64(0)
	for i := range l.Arrays {
		a := &l.Arrays[i]
		if features&featureModel != 0 {
			break // places are those in the model
		}
		number(uint64(a.File - file))
		if a.File != file {
			file, end = a.File, 0
		}
		number(uint64(a.Offset - end))
		end = a.Offset + a.Size
	}
	for i, a := range h.arrays {
		dst = append(dst, byte(a.source))
		switch a.source {
		case sourceTwin:
			number(uint64(i - a.ref - 1))
		case sourceSame, sourceDelta:
			number(uint64(a.ref))
		}
	}

	number(uint64(len(l.Views)))
	next := 0
	for i := range l.Views {
		v := &l.Views[i]
		dst = appendView(dst, l, v, next, typeID)
		if v.Encoded == nil {
			next = v.Array + 1
		}
	}

	number(uint64(len(h.groups)))
	for _, g := range h.groups {
		number(uint64(len(g.members) - 1))
		last := -1
		for _, m := range g.members {
			number(uint64(m - last - 1))
			last = m
		}
	}
	return append(dst, skeleton...)
}

func typeTable(l *layout.Layout) (types []tensor.DType, id map[tensor.DType]uint64) {
	id = make(map[tensor.DType]uint64)
	add := func(t tensor.DType) {
		if _, ok := id[t]; !ok {
			id[t] = uint64(len(types))
			types = append(types, t)
		}
	}
	for i := range l.Arrays {
		add(l.Arrays[i].DType)
	}
	for i := range l.Views {
		add(l.Views[i].DType)
	}
	return types, id
}

func appendShape(dst []byte, s tensor.Shape) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	for _, d := range s {
		dst = binary.AppendUvarint(dst, uint64(d))
	}
	return dst
}

func appendView(dst []byte, l *layout.Layout, v *layout.View, next int, typeID map[tensor.DType]uint64) []byte {
	if e := v.Encoded; e != nil {
		dst = append(dst, viewEncoded)
		dst = appendString(dst, v.Name)
		dst = binary.AppendUvarint(dst, typeID[v.DType])
		dst = appendShape(dst, v.Shape)
		dst = appendString(dst, e.Encoding)
		dst = binary.AppendUvarint(dst, uint64(e.File))
		dst = binary.AppendUvarint(dst, uint64(e.Offset))
		return binary.AppendUvarint(dst, uint64(e.Size))
	}
	a := &l.Arrays[v.Array]
	if v.Name == a.Name && v.DType == a.DType && v.Shape.Equal(a.Shape) && v.Offset == 0 && v.Strides == nil {
		if v.Array == next {
			return append(dst, viewNext)
		}
		dst = append(dst, viewArray)
		return binary.AppendUvarint(dst, uint64(v.Array))
	}
	dst = append(dst, viewPart)
	dst = appendString(dst, v.Name)
	dst = binary.AppendUvarint(dst, typeID[v.DType])
	dst = appendShape(dst, v.Shape)
	dst = binary.AppendUvarint(dst, uint64(v.Array))
	dst = binary.AppendUvarint(dst, uint64(v.Offset))
	if v.Strides == nil {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	for _, s := range v.Strides {
		dst = binary.AppendUvarint(dst, uint64(s))
	}
	return dst
}

// parseHeader reads what append wrote, checking everything that it declares.
func parseHeader(b []byte) (*header, error) {
	r := &wireReader{b: b}
	h := &header{layout: &layout.Layout{}}
	l := h.layout
	features := r.uint("features", 1<<63)
	if r.err == nil && features&^featureKnown != 0 {
		return nil, unsupported(fmt.Sprintf("uses features %#x that this version does not know", features&^featureKnown))
	}
	h.blockValues = int(r.uint("block size", maxBlockValues))
	if r.err == nil && h.blockValues == 0 {
		r.fail("block size is 0: %w", errWire)
	}
	l.Format = r.string("format")
	if features&featureBase != 0 {
		var d [32]byte
		copy(d[:], r.bytes("digest of the base", 32))
		h.base = &d
	}
	for range r.count("metadata") {
		l.Metadata = append(l.Metadata, layout.Pair{Key: r.string("metadata key"), Value: r.string("metadata value")})
		if r.err != nil {
			break
		}
	}
	total := int64(0)
	names := make(map[string]bool)
	for range r.count("files") {
		name, size := r.string("file name"), int64(0)
		if features&featureModel == 0 {
			size = int64(r.uint("file size", maxFileSize))
		}
		if r.err == nil {
			clean, err := layout.LocalName(name)
			if err == nil && names[clean] {
				err = fmt.Errorf("two files are named %q: %w", clean, errWire)
			}
			if err != nil {
				r.fail("%w", err)
			}
			names[clean] = true
		}
		if r.err != nil {
			break
		}
		l.Files = append(l.Files, layout.File{Name: name})
		h.fileSizes = append(h.fileSizes, size)
		if total += size; total > maxFileSize {
			r.fail("files have more than %d bytes: %w", int64(maxFileSize), errWire)
		}
	}
	if r.err == nil && len(l.Files) == 0 {
		r.fail("no files: %w", errWire)
	}

	var types []tensor.DType
	for range r.count("types") {
		types = append(types, tensor.DType(r.string("type")))
		if r.err != nil {
			break
		}
	}
	h.parseArrays(r, types, features&featureModel == 0)
	h.parseViews(r, types)
	h.parseGroups(r)
	if r.err != nil {
		return nil, r.err
	}
	if features&featureModel != 0 {
		h.parseModel(r)
	}
	h.measure()
	switch size := h.skelSize; features & (featureInline | featureDescribed | featureModel) {
	case 0, featureModel:
	case featureDescribed:
		h.parseDescribed(r)
	case featureInline:
		if size > maxInline {
			return nil, fmt.Errorf("inline skeleton of %d bytes, the limit is %d: %w", size, maxInline, errWire)
		}
		h.skeleton = r.bytes("skeleton", uint64(size))
	default:
		r.fail("the skeleton is stored in two ways: %w", errWire)
	}
	if r.err == nil && len(r.b) != 0 {
		r.fail("%d bytes too many: %w", len(r.b), errWire)
	}
	if r.err != nil {
		return nil, r.err
	}
	return h, h.checkCoverage(h.skeleton != nil)
}

func (r *wireReader) dtype(types []tensor.DType) tensor.DType {
	if len(types) == 0 {
		r.fail("type of an array, but there are no types: %w", errWire)
		return ""
	}
	return types[r.uint("type", uint64(len(types)-1))]
}

func (r *wireReader) shape() tensor.Shape {
	n := int(r.uint("rank", tensor.MaxRank))
	s := make(tensor.Shape, n)
	for i := range s {
		s[i] = int64(r.uint("axis", 1<<62))
	}
	if r.err == nil {
		if _, err := s.Elems(); err != nil {
			r.err = err
		}
	}
	return s
}

// parseArrays reads the table of arrays. Placed says that it has their places.
func (h *header) parseArrays(r *wireReader, types []tensor.DType, placed bool) {
	l := h.layout
	n := int(r.uint("arrays", uint64(len(r.b)/4))) // each property takes a byte at least, but places
	if r.err != nil {
		return
	}
	l.Arrays = make([]layout.Array, n)
	h.arrays = make([]array, n)
	for i := range l.Arrays {
		l.Arrays[i].Name = r.string("array name")
	}
	for i := range l.Arrays {
		l.Arrays[i].DType = r.dtype(types)
	}
	for i := range l.Arrays {
		l.Arrays[i].Shape = r.shape()
	}
	for i := range l.Arrays {
		a := &l.Arrays[i]
		if !a.DType.Known() {
			a.Size = int64(r.uint("array size", maxFileSize))
			continue
		}
		var err error
		if a.Size, err = a.Shape.Size(a.DType); err != nil && r.err == nil {
			r.err = err
		}
	}
	file, end := 0, int64(0)
	for i := range l.Arrays {
		a := &l.Arrays[i]
		if !placed {
			break
		}
		if step := int(r.uint("file of an array", uint64(len(l.Files)))); step > 0 {
			file, end = file+step, 0
		}
		gap := int64(r.uint("place of an array", maxFileSize))
		if r.err != nil {
			return
		}
		a.File, a.Offset = file, end+gap
		if file >= len(l.Files) || a.Size > h.fileSizes[file] || a.Offset > h.fileSizes[file]-a.Size {
			r.fail("array %q ends outside of its file: %w", a.Name, errWire)
			return
		}
		end = a.Offset + a.Size
	}
	for i := range h.arrays {
		a := &h.arrays[i]
		s := r.bytes("source", 1)
		if r.err != nil {
			return
		}
		a.source = source(s[0])
		switch {
		case a.source == sourceOwn:
		case a.source == sourceTwin && i > 0:
			a.ref = i - 1 - int(r.uint("twin", uint64(i-1)))
			if t := h.arrays[a.ref].source; t == sourceTwin || l.Arrays[a.ref].Size != l.Arrays[i].Size {
				r.fail("array %q cannot be the twin of array %d: %w", l.Arrays[i].Name, a.ref, errWire)
			}
		case (a.source == sourceSame || a.source == sourceDelta) && h.base != nil:
			a.ref = int(r.uint("array of the base", 1<<31-1))
		default:
			r.fail("array %q has source %d: %w", l.Arrays[i].Name, a.source, errWire)
		}
	}
}

func (h *header) parseViews(r *wireReader, types []tensor.DType) {
	l := h.layout
	next := 0
	n := r.count("views")
	for range n {
		code := r.bytes("view", 1)
		if r.err != nil {
			return
		}
		var v layout.View
		switch code[0] {
		case viewNext, viewArray:
			i := next
			if code[0] == viewArray {
				i = int(r.uint("array of a view", 1<<31-1))
			}
			if r.err == nil && i >= len(l.Arrays) {
				r.fail("view of array %d of %d: %w", i, len(l.Arrays), errWire)
			}
			if r.err != nil {
				return
			}
			a := &l.Arrays[i]
			v = layout.View{Name: a.Name, DType: a.DType, Shape: a.Shape, Array: i}
		case viewPart:
			v = layout.View{Name: r.string("name"), DType: r.dtype(types), Shape: r.shape()}
			v.Array = int(r.uint("array of a view", 1<<31-1))
			v.Offset = int64(r.uint("offset of a view", maxFileSize))
			if r.uint("strides", 1) == 1 {
				v.Strides = make([]int64, len(v.Shape))
				for i := range v.Strides {
					v.Strides[i] = int64(r.uint("stride", maxFileSize))
				}
			}
		case viewEncoded:
			v = layout.View{Name: r.string("name"), DType: r.dtype(types), Shape: r.shape()}
			v.Encoded = &layout.Encoded{
				Encoding: r.string("encoding"),
				File:     int(r.uint("file of a view", 1<<31-1)),
				Offset:   int64(r.uint("offset of a view", maxFileSize)),
				Size:     int64(r.uint("size of a view", maxFileSize)),
			}
		default:
			r.fail("view has code %d: %w", code[0], errWire)
		}
		if r.err != nil {
			return
		}
		if v.Encoded == nil {
			next = v.Array + 1
		}
		l.Views = append(l.Views, v)
	}
}

func (h *header) parseGroups(r *wireReader) {
	n := r.count("groups")
	for range n {
		var g group
		last := -1
		for range r.count("members of a group") + 1 {
			m := last + 1 + int(r.uint("member of a group", uint64(len(h.arrays))))
			if r.err == nil && m > len(h.arrays) {
				r.fail("group of array %d of %d: %w", m, len(h.arrays), errWire)
			}
			if r.err != nil {
				return
			}
			g.members = append(g.members, m)
			last = m
		}
		h.groups = append(h.groups, g)
	}
}

// checkCoverage makes sure that each array that needs one is in exactly one
// group, and fills in what follows from the members.
func (h *header) checkCoverage(inline bool) error {
	seen := make([]bool, len(h.arrays)+1)
	for i := range h.groups {
		g := &h.groups[i]
		for k, m := range g.members {
			if seen[m] {
				return fmt.Errorf("array %d is in two groups: %w", m, errWire)
			}
			seen[m] = true
			u, size, delta := h.member(m)
			if size == 0 {
				return fmt.Errorf("group %d has the empty array %d: %w", i, m, errWire)
			}
			if k == 0 {
				g.unit, g.delta = u, delta
			} else if g.unit != u || g.delta != delta {
				return fmt.Errorf("group %d mixes arrays of different kinds: %w", i, errWire)
			}
			g.values += size / int64(u.width())
		}
		// Each member is found by decoding the block, so it must not be large.
		if len(g.members) > 1 && g.values > int64(min(h.blockValues, maxShared)) {
			return fmt.Errorf("group %d has %d arrays of %d values together: %w", i, len(g.members), g.values, errWire)
		}
	}
	for m, ok := range seen {
		want := m < len(h.arrays) && (h.arrays[m].source == sourceOwn || h.arrays[m].source == sourceDelta) && h.layout.Arrays[m].Size > 0
		if m == len(h.arrays) {
			want = !inline && h.skelSize > 0
		}
		if ok != want {
			return fmt.Errorf("array %d of %d: in a group: %t, want %t: %w", m, len(h.arrays), ok, want, errWire)
		}
	}
	return nil
}

// member returns the unit and size of a member of a group.
func (h *header) member(m int) (u unit, size int64, delta bool) {
	if m == len(h.arrays) {
		return unitBytes, h.skelSize, false
	}
	a := &h.layout.Arrays[m]
	return unitOf(a.DType), a.Size, h.arrays[m].source == sourceDelta
}
