package onnx

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// MaxModel is the largest main file that an edit may grow to: protobuf's
// runtimes refuse messages from 2 GiB on.
const MaxModel = math.MaxInt32

// An Edit is a plan to write the files of a model with other tensors. It is
// immutable and safe for concurrent use.
type Edit struct {
	model   *Model
	patches [][]patch // per file, sorted, disjoint
}

// A patch puts head and data in the place of skip bytes.
type patch struct {
	at, skip int64
	head     []byte
	data     tensor.Data // may be nil
}

// grows returns by how much the patch makes the file longer.
func (p *patch) grows() int64 {
	n := int64(len(p.head)) - p.skip
	if p.data != nil {
		n += p.data.Size()
	}
	return n
}

// Edit plans to write the model with the tensors of changed. Both sets have the
// tensors of the layout; base is what [layout.Layout.Set] returned, and changed
// is made of it with [tensor.Overlay]. A tensor is changed if it is not the same
// pointer in both; all others keep their bytes, so an Edit without changes
// writes the files as they are.
//
// A changed tensor may have another type and shape. Its dims, data_type and
// values are replaced, the values by raw_data, and the lengths of the messages
// around it follow; its other fields stay. The types that a graph declares for
// its inputs and values (ValueInfoProto) stay as they are. The list of a
// Constant's value_floats or value_ints can change in length only, since its
// type is that of the field.
//
// External data is replaced in its file if its size stays the same and no other
// tensor shares it, and the checksums of that file are dropped. Otherwise the
// new values move into raw_data of the main file, and the old bytes stay behind
// unused. An edit by which the main file exceeds [MaxModel] is refused with a
// [*layout.UnsupportedError].
func (m *Model) Edit(base, changed *tensor.Set) (*Edit, error) {
	l := m.Layout
	if base.Len() != len(l.Views) || changed.Len() != len(l.Views) {
		return nil, fmt.Errorf("onnx: sets of %d and %d tensors for a model with %d", base.Len(), changed.Len(), len(l.Views))
	}
	users := make([]int, len(l.Arrays))
	for i := range l.Views {
		if l.Views[i].Encoded == nil {
			users[l.Views[i].Array]++
		}
	}
	p := planner{
		Edit:   Edit{m, make([][]patch, len(l.Files))},
		r:      newReader(m.name, 0, l.Files[0].Data),
		growth: make([]int64, len(m.enclosures)),
		moved:  make([]bool, len(m.slots)),
	}
	for i, old := range base.All() {
		v := &l.Views[i]
		t := changed.Lookup(v.Name)
		if old.Name != v.Name || t == nil {
			return nil, fmt.Errorf("onnx: the sets lack tensor %q of the model, or have another order", v.Name)
		}
		if t == old {
			continue
		}
		if err := p.change(i, t, users); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
	}
	if err := p.dropChecksums(); err != nil {
		return nil, err
	}
	if err := p.fixLengths(); err != nil {
		return nil, err
	}
	for _, ps := range p.patches {
		slices.SortStableFunc(ps, func(a, b patch) int { return cmp.Compare(a.at, b.at) })
	}
	return &p.Edit, nil
}

// Changed reports whether a file of the layout is written with other bytes.
func (e *Edit) Changed(file int) bool { return len(e.patches[file]) > 0 }

// Size returns the number of bytes that WriteFile writes.
func (e *Edit) Size(file int) int64 {
	n := e.model.Layout.Files[file].Data.Size()
	for i := range e.patches[file] {
		n += e.patches[file][i].grows()
	}
	return n
}

// WriteFile writes a file of the layout, by its index. It copies from the files
// of the model, so w must not be one of them. It needs memory for one chunk, not
// for the file.
func (e *Edit) WriteFile(w io.Writer, file int) error {
	d := e.model.Layout.Files[file].Data
	buf := make([]byte, chunk)
	at := int64(0)
	for i := range e.patches[file] {
		p := &e.patches[file][i]
		if err := copyRange(w, d, at, p.at-at, buf); err != nil {
			return err
		}
		if _, err := w.Write(p.head); err != nil {
			return err
		}
		if p.data != nil {
			if err := copyRange(w, p.data, 0, p.data.Size(), buf); err != nil {
				return err
			}
		}
		at = p.at + p.skip
	}
	return copyRange(w, d, at, d.Size()-at, buf)
}

// chunk is how much WriteFile copies at a time.
const chunk = 256 << 10

// copyRange writes n bytes of d from off. buf is a chunk, for data that cannot
// be lent.
func copyRange(w io.Writer, d tensor.Data, off, n int64, buf []byte) error {
	for end := off + n; off < end; {
		b, err := tensor.ReadRange(d, off, min(chunk, end-off), buf)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// A planner makes an Edit.
type planner struct {
	Edit
	r      *reader
	growth []int64 // by how much each enclosure grows
	moved  []bool  // slots whose external data moved to the main file
}

// change plans to replace one tensor.
func (p *planner) change(i int, t *tensor.Tensor, users []int) error {
	s := &p.model.slots[i]
	v := &p.model.Layout.Views[i]
	inPlace := s.file > 0 && s.body.size() == t.Size() && users[v.Array] == 1
	if !inPlace && t.Size() > MaxModel { // also keeps the sums below from overflow
		return p.tooLarge(t.Size())
	}
	switch s.kind {
	case inFloats:
		if t.DType != tensor.F32 || len(t.Shape) != 1 {
			return p.r.unsupported(s.at, "value_floats cannot hold %s %v", t.DType, t.Shape)
		}
		return p.replace(s, raw(attributeFloats, t.Data), attributeFloats)
	case inInts:
		if t.DType != tensor.I64 || len(t.Shape) != 1 {
			return p.r.unsupported(s.at, "value_ints cannot hold %s %v", t.DType, t.Shape)
		}
		ints, err := packInts(t)
		if err != nil {
			return err
		}
		return p.replace(s, ints, attributeInts)
	}
	if t.DType != v.DType || !t.Shape.Equal(v.Shape) {
		head, err := header(t)
		if err != nil {
			return err
		}
		if err := p.replace(s, patch{head: head}, tensorDims, tensorType); err != nil {
			return err
		}
	}
	if inPlace {
		p.patches[s.file] = append(p.patches[s.file], patch{at: s.body.start, skip: s.body.size(), data: t.Data})
		return nil
	}
	p.moved[i] = s.external
	return p.replace(s, raw(tensorRaw, t.Data),
		tensorRaw, tensorFloat, tensorDouble, tensorInt32, tensorInt64, tensorUint64, tensorExternal, tensorLocation)
}

// raw returns a patch that is a field with the given bytes.
func raw(num protowire.Number, d tensor.Data) patch {
	head := protowire.AppendTag(nil, num, protowire.BytesType)
	return patch{head: protowire.AppendVarint(head, uint64(d.Size())), data: d}
}

// packInts returns a patch that is the packed field ints.
func packInts(t *tensor.Tensor) (patch, error) {
	b, err := t.Bytes()
	if err != nil {
		return patch{}, err
	}
	var packed []byte
	for ; len(b) >= 8; b = b[8:] {
		packed = protowire.AppendVarint(packed, binary.LittleEndian.Uint64(b))
	}
	return raw(attributeInts, tensor.Bytes(packed)), nil
}

// header returns the fields dims and data_type of a tensor.
func header(t *tensor.Tensor) ([]byte, error) {
	number, err := numberOf(t.DType)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, d := range t.Shape {
		b = protowire.AppendTag(b, tensorDims, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(d))
	}
	b = protowire.AppendTag(b, tensorType, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(number)), nil
}

// replace plans to put by in the place of the first of the fields with the
// given numbers, or at the end if there is none, and to drop the others.
func (p *planner) replace(s *slot, by patch, nums ...protowire.Number) error {
	msg := p.model.enclosures[s.enclosure].body
	ps := p.patches[0]
	mark := len(ps)
	err := p.r.fields(msg, func(f field) error {
		if !slices.Contains(nums, f.num) {
			return nil
		}
		n := f.body.end - f.start
		switch {
		case len(ps) == mark:
			by.at, by.skip = f.start, n
			ps = append(ps, by)
		case ps[len(ps)-1].at+ps[len(ps)-1].skip == f.start:
			ps[len(ps)-1].skip += n
		default:
			ps = append(ps, patch{at: f.start, skip: n})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(ps) == mark {
		by.at = msg.end
		ps = append(ps, by)
	}
	for i := range ps[mark:] {
		p.growth[s.enclosure] += ps[mark+i].grows()
	}
	p.patches[0] = ps
	return nil
}

// dropChecksums plans to drop the checksums of external files that change.
// They are of the whole file, so those of unchanged tensors are wrong as well.
func (p *planner) dropChecksums() error {
	for i := range p.model.slots {
		s := &p.model.slots[i]
		if !s.checksum || p.moved[i] || s.file == 0 || !p.Changed(s.file) {
			continue
		}
		err := p.r.fields(p.model.enclosures[s.enclosure].body, func(f field) error {
			if f.num != tensorExternal {
				return nil
			}
			key, _, err := entry(p.r, f)
			if err == nil && key == "checksum" {
				drop := patch{at: f.start, skip: f.body.end - f.start}
				p.patches[0] = append(p.patches[0], drop)
				p.growth[s.enclosure] += drop.grows()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fixLengths plans the lengths of all messages that grow or shrink. Children
// come after their parents, so one pass from the end does it.
func (p *planner) fixLengths() error {
	growth := int64(0) // of the file
	for i := len(p.growth) - 1; i >= 0; i-- {
		if p.growth[i] == 0 {
			continue // keep the length as it is written, which may be longer than needed
		}
		e := &p.model.enclosures[i]
		n := patch{at: e.lenAt, skip: e.body.start - e.lenAt, head: protowire.AppendVarint(nil, uint64(e.body.size()+p.growth[i]))}
		p.patches[0] = append(p.patches[0], n)
		g := p.growth[i] + n.grows()
		if e.parent < 0 {
			growth += g
		} else {
			p.growth[e.parent] += g
		}
	}
	if size := p.r.all().size() + growth; growth > 0 && size > MaxModel {
		return p.tooLarge(size)
	}
	return nil
}

func (p *planner) tooLarge(size int64) error {
	return &layout.UnsupportedError{
		File:   p.model.name,
		Offset: -1,
		Reason: fmt.Sprintf("the model would have %d bytes or more, and protobuf allows %d", size, int64(MaxModel)),
	}
}
