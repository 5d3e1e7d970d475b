package rope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// The skeleton of a safetensors file repeats what the header says of arrays:
// only how it differs from what the format's writers make of it is stored
// (docs/FORMAT.md, section 3.12).

// maxDescribed bounds a skeleton that is stored by its differences.
const maxDescribed = 1 << 20

const formatSafetensors = "safetensors"

var errDescribe = errors.New("the skeleton does not follow from the arrays")

// skeletonText returns what safetensors would write before the values, without
// the length before it and the spaces behind it. It stops beyond limit bytes.
func (h *header) skeletonText(limit int64) ([]byte, error) {
	l := h.layout
	if l.Format != formatSafetensors || len(l.Files) != 1 {
		return nil, fmt.Errorf("format %q, %d files: %w", l.Format, len(l.Files), errDescribe)
	}
	t := []byte{'{'}
	text := func(s string) {
		t = append(t, '"')
		for i := range len(s) {
			if s[i] == '"' || s[i] == '\\' {
				t = append(t, '\\')
			}
			t = append(t, s[i])
		}
		t = append(t, '"')
	}
	if len(l.Metadata) > 0 {
		t = append(t, `"__metadata__":`...)
		for i, p := range l.Metadata {
			t = append(t, "{,"[min(i, 1)])
			text(p.Key)
			t = append(t, ':')
			text(p.Value)
		}
		t = append(t, '}', ',')
	}
	for i := range l.Views {
		v := &l.Views[i]
		if v.Encoded != nil || int64(len(t)) > limit {
			return nil, errDescribe
		}
		a := &l.Arrays[v.Array]
		if i > 0 {
			t = append(t, ',')
		}
		text(v.Name)
		t = append(t, `:{"dtype":"`...)
		t = append(t, v.DType...)
		t = append(t, `","shape":[`...)
		for k, d := range v.Shape {
			if k > 0 {
				t = append(t, ',')
			}
			t = strconv.AppendInt(t, d, 10)
		}
		t = append(t, `],"data_offsets":[`...)
		begin := a.Offset - h.skelSize
		if begin < 0 {
			return nil, errDescribe
		}
		t = strconv.AppendInt(t, begin, 10)
		t = append(t, ',')
		t = strconv.AppendInt(t, begin+a.Size, 10)
		t = append(t, "]}"...)
	}
	if t = append(t, '}'); int64(len(t)) > limit {
		return nil, errDescribe
	}
	return t, nil
}

// appendDescribed stores the skeleton by its differences to that text: how
// many bytes at its beginning and at its end are the same, and those between
// them. It returns nil if the skeleton is not like that.
func (h *header) appendDescribed(dst []byte) []byte {
	s := h.skeleton
	if len(s) < 8 || binary.LittleEndian.Uint64(s) != uint64(len(s)-8) {
		return nil
	}
	text, err := h.skeletonText(maxDescribed)
	if err != nil {
		return nil
	}
	s = bytes.TrimRight(s[8:], " ")
	head, tail := 0, 0
	for head < len(s) && head < len(text) && s[head] == text[head] {
		head++
	}
	for tail < len(s)-head && tail < len(text)-head && s[len(s)-1-tail] == text[len(text)-1-tail] {
		tail++
	}
	dst = binary.AppendUvarint(dst, uint64(len(text)-head-tail))
	dst = appendString(dst, string(s[head:len(s)-tail]))
	if head+tail == len(text) && head+tail == len(s) {
		return dst // nothing differs
	}
	return binary.AppendUvarint(dst, uint64(head))
}

// parseDescribed reads what appendDescribed wrote.
func (h *header) parseDescribed(r *wireReader) {
	size := h.skelSize
	if size < 8 || size > maxDescribed {
		r.fail("described skeleton of %d bytes: %w", size, errWire)
	}
	if r.err != nil {
		return
	}
	text, err := h.skeletonText(maxDescribed)
	if err != nil {
		r.fail("%w: %w", err, errWire)
		return
	}
	left := r.uint("left out of the skeleton", uint64(len(text)))
	put := r.string("put into the skeleton")
	at := uint64(0)
	if left > 0 || put != "" {
		at = r.uint("place in the skeleton", uint64(len(text))-left)
	}
	if r.err != nil {
		return
	}
	s := binary.LittleEndian.AppendUint64(nil, uint64(size-8))
	s = append(s, text[:at]...)
	s = append(s, put...)
	s = append(s, text[at+left:]...)
	if int64(len(s)) > size {
		r.fail("the skeleton has %d bytes, of %d: %w", len(s), size, errWire)
		return
	}
	h.skeleton = append(s, bytes.Repeat([]byte{' '}, int(size)-len(s))...)
}
