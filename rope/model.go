package rope

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"ropewalk/internal/codec"
)

// The skeleton of a small ONNX model repeats names of arrays, their shapes, and
// lengths of messages inside of messages. It is stored without what follows from the
// rest (docs/FORMAT.md, section 3.13), and with it go the places of the arrays.

const formatONNX = "onnx"

// A message is a kind of message of ONNX of which the fields are told apart.
type message uint8

const (
	messageModel message = iota
	messageGraph
	messageNode
	messageAttribute
	messageTensor
	messageValue
	messageType
	messageShaped
	messageShape
	messageLeaf // without messages
	notMessage
)

// inner returns the kind of the message in a field of a message.
func (m message) inner(field uint64) message {
	switch {
	case m == messageModel && field == 7:
		return messageGraph
	case m == messageModel && (field == 8 || field == 14):
		return messageLeaf // opset, metadata
	case m == messageGraph && field == 1:
		return messageNode
	case m == messageGraph && field == 5, m == messageAttribute && field == 5:
		return messageTensor
	case m == messageGraph && field >= 11 && field <= 13:
		return messageValue
	case m == messageNode && field == 5:
		return messageAttribute
	case m == messageValue && field == 2:
		return messageType
	case m == messageType && field == 1:
		return messageShaped
	case m == messageShaped && field == 2:
		return messageShape
	case m == messageShape && field == 1:
		return messageLeaf // axis
	}
	return notMessage
}

// What stands in the place of a key. Keys are from 8 on.
const (
	modelEnd    = iota // of a message
	modelValues        // field 9 of a tensor: the next array
	modelTensor        // field 5 of a graph: the next array, as most write it; its type follows
	modelInput         // field 1 of a node: the name of the next array
	modelLast          // field 1 of a node: the last output of a node
	modelName          // field 3 of a node: the last output, without as many bytes at its end
	firstKey    = 8
)

// Wire types of protobuf.
const (
	wireNumber = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

const (
	keyInput  = 1<<3 | wireBytes // of a node
	keyOutput = 2<<3 | wireBytes
	keyName   = 3<<3 | wireBytes
	keyTensor = 5<<3 | wireBytes // of a graph
	keyRaw    = 9<<3 | wireBytes // of a tensor
	maxKey    = 1<<32 - 1
)

// modelNames are what names in nodes are stored by.
type modelNames struct {
	array int    // the next one that is an input
	last  string // output
}

// tensorOf returns a TensorProto of array k without its values, and without its own
// length.
func (h *header) tensorOf(k int, dtype uint64) (b []byte) {
	a := &h.layout.Arrays[k]
	for _, n := range a.Shape {
		b = binary.AppendUvarint(append(b, 1<<3), uint64(n))
	}
	b = binary.AppendUvarint(append(b, 2<<3), dtype)
	b = appendString(append(b, 8<<3|wireBytes), a.Name)
	return binary.AppendUvarint(append(b, keyRaw), uint64(a.Size))
}

// A modelWriter makes a description of a skeleton.
type modelWriter struct {
	*header
	modelNames
	at    int   // in the skeleton
	next  int   // array
	sizes int64 // of arrays before
	out   []byte
}

// describeModel returns the skeleton without what follows from the rest, or nil if
// that is not possible.
func (h *header) describeModel() []byte {
	if h.layout.Format != formatONNX || len(h.fileSizes) != 1 || h.skelSize > maxInline {
		return nil
	}
	w := &modelWriter{header: h}
	if !w.message(messageModel, h.fileSizes[0]) {
		return nil
	}
	// A number may be longer than needed, or an array elsewhere.
	l := *h.layout
	l.Arrays = slices.Clone(l.Arrays)
	back := &header{layout: &l, fileSizes: []int64{0}}
	r := &wireReader{b: w.out}
	if back.parseModel(r); r.err != nil || !bytes.Equal(back.skeleton, h.skeleton) {
		return nil
	}
	for i := range l.Arrays {
		if l.Arrays[i].Offset != h.layout.Arrays[i].Offset {
			return nil
		}
	}
	return w.out
}

// place is where in the file it is.
func (w *modelWriter) place() int64 { return int64(w.at) + w.sizes }

// number reads a number of the skeleton.
func (w *modelWriter) number() (uint64, bool) {
	v, n := codec.Uvarint(w.skeleton[w.at:])
	w.at += max(n, 0)
	return v, n > 0
}

// take reads bytes of the skeleton, with no array in between.
func (w *modelWriter) take(n uint64) (string, bool) {
	if n > uint64(len(w.skeleton)-w.at) || w.next < len(w.layout.Arrays) && w.layout.Arrays[w.next].Offset < w.place()+int64(n) {
		return "", false
	}
	w.at += int(n)
	return string(w.skeleton[w.at-int(n) : w.at]), true
}

// values passes the next array, if it is here and has n bytes.
func (w *modelWriter) values(n uint64) bool {
	if w.next == len(w.layout.Arrays) || w.layout.Arrays[w.next].Offset != w.place() || uint64(w.layout.Arrays[w.next].Size) != n {
		return false
	}
	w.sizes += int64(n)
	w.next++
	return true
}

// message describes a message that ends at a place in the file.
func (w *modelWriter) message(kind message, end int64) bool {
	for w.place() < end {
		key, ok := w.number()
		if !ok || key < firstKey || key > maxKey {
			return false
		}
		switch key & 7 {
		case wireNumber:
			v, ok := w.number()
			if !ok {
				return false
			}
			w.out = binary.AppendUvarint(binary.AppendUvarint(w.out, key), v)
		case wire64, wire32:
			s, ok := w.take(8 - key&4)
			if !ok {
				return false
			}
			w.out = append(binary.AppendUvarint(w.out, key), s...)
		case wireBytes:
			n, ok := w.number()
			if !ok || n > uint64(end-w.place()) || !w.field(kind, key, n) {
				return false
			}
		default:
			return false
		}
	}
	w.out = append(w.out, modelEnd)
	return w.place() == end
}

// field describes a message or string of n bytes.
func (w *modelWriter) field(kind message, key, n uint64) bool {
	switch {
	case kind == messageTensor && key == keyRaw && w.values(n):
		w.out = append(w.out, modelValues)
		return true
	case kind == messageGraph && key == keyTensor && w.tensor(n):
		return true
	}
	if in := kind.inner(key >> 3); in != notMessage {
		w.out = binary.AppendUvarint(w.out, key)
		return w.message(in, w.place()+int64(n))
	}
	s, ok := w.take(n)
	if !ok {
		return false
	}
	if kind == messageNode {
		switch arrays := w.layout.Arrays; {
		case key == keyInput && s == w.last:
			w.out = append(w.out, modelLast)
			return true
		case key == keyInput && w.array < len(arrays) && s == arrays[w.array].Name:
			w.out = append(w.out, modelInput)
			w.array++
			return true
		case key == keyName && strings.HasPrefix(w.last, s):
			w.out = binary.AppendUvarint(append(w.out, modelName), uint64(len(w.last)-len(s)))
			return true
		case key == keyOutput:
			w.last = s
		}
	}
	w.out = appendString(binary.AppendUvarint(w.out, key), s)
	return true
}

// tensor describes a tensor of n bytes, if it is the next array as most write it.
func (w *modelWriter) tensor(n uint64) bool {
	if w.next == len(w.layout.Arrays) {
		return false
	}
	size := w.layout.Arrays[w.next].Offset - w.place()
	if size < 0 || size > int64(len(w.skeleton)-w.at) {
		return false
	}
	b := w.skeleton[w.at:][:size]
	for dtype := range uint64(32) {
		if bytes.Equal(b, w.tensorOf(w.next, dtype)) && n == uint64(len(b))+uint64(w.layout.Arrays[w.next].Size) {
			w.out = append(w.out, modelTensor, byte(dtype))
			w.at += len(b)
			return w.values(uint64(w.layout.Arrays[w.next].Size))
		}
	}
	return false
}

// A modelReader makes a skeleton of its description.
type modelReader struct {
	*header
	*wireReader
	modelNames
	next int // array
}

// parseModel reads what describeModel wrote. It sets the skeleton, and the places of
// arrays and the size of the file.
func (h *header) parseModel(r *wireReader) {
	if h.layout.Format != formatONNX || len(h.layout.Files) != 1 {
		r.fail("format %q, %d files: %w", h.layout.Format, len(h.layout.Files), errDescribe)
		return
	}
	m := &modelReader{header: h, wireReader: r}
	skel, sizes := m.message(messageModel)
	h.skeleton, h.fileSizes[0] = append([]byte{}, skel...), int64(len(skel))+sizes
	if h.fileSizes[0] > maxFileSize {
		r.fail("a model of %d bytes: %w", h.fileSizes[0], errWire)
	}
	if r.err == nil && m.next < len(h.layout.Arrays) {
		r.fail("%d arrays are not in the model: %w", len(h.layout.Arrays)-m.next, errWire)
	}
}

// message reads a message. It returns its part of the skeleton, and how many bytes
// of arrays are in it. Places of these arrays count from its beginning.
func (m *modelReader) message(kind message) (skel []byte, sizes int64) {
	arrays := m.layout.Arrays
	put := func(key uint64, s string) { skel = appendString(binary.AppendUvarint(skel, key), s) }
	values := func(key uint64, head []byte) {
		a := &arrays[m.next]
		m.next++
		if a.Size > maxFileSize {
			m.fail("array %q has %d bytes: %w", a.Name, a.Size, errWire)
			return
		}
		skel = binary.AppendUvarint(binary.AppendUvarint(skel, key), uint64(len(head))+uint64(a.Size))
		skel = append(skel, head...)
		a.Offset = int64(len(skel)) + sizes
		sizes += a.Size
	}
	for m.err == nil {
		key := m.uint("key", maxKey)
		switch {
		case m.err != nil || key == modelEnd:
			return skel, sizes
		case key == modelValues && kind == messageTensor && m.next < len(arrays):
			values(keyRaw, nil)
		case key == modelTensor && kind == messageGraph && m.next < len(arrays):
			values(keyTensor, m.tensorOf(m.next, m.uint("type", maxKey)))
		case key == modelInput && kind == messageNode && m.array < len(arrays):
			put(keyInput, arrays[m.array].Name)
			m.array++
		case key == modelLast && kind == messageNode:
			put(keyInput, m.last)
		case key == modelName && kind == messageNode:
			put(keyName, m.last[:len(m.last)-int(m.uint("name of a node", uint64(len(m.last))))])
		case key < firstKey:
			m.fail("key %d in a message of kind %d: %w", key, kind, errWire)
		case key&7 == wireNumber:
			skel = binary.AppendUvarint(binary.AppendUvarint(skel, key), m.uint("number", math.MaxUint64))
		case key&7 == wire64 || key&7 == wire32:
			skel = append(binary.AppendUvarint(skel, key), m.bytes("number", 8-key&4)...)
		case key&7 != wireBytes:
			m.fail("key %d: %w", key, errWire)
		case kind.inner(key>>3) != notMessage:
			first := m.next
			in, n := m.message(kind.inner(key >> 3))
			skel = binary.AppendUvarint(binary.AppendUvarint(skel, key), uint64(len(in))+uint64(n))
			for i := first; i < m.next; i++ {
				arrays[i].Offset += int64(len(skel)) + sizes
			}
			skel, sizes = append(skel, in...), sizes+n
		default:
			s := m.string("string")
			if put(key, s); kind == messageNode && key == keyOutput {
				m.last = s
			}
		}
		if len(skel) > maxInline || sizes > maxFileSize {
			m.fail("a model of more than %d bytes, or more than %d without arrays: %w", int64(maxFileSize), maxInline, errWire)
		}
	}
	return skel, sizes
}
