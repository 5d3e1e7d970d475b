package onnx

import (
	"errors"
	"io"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxVersion bounds what passes for an ir_version. It grows by about one a year
// and has not reached 20.
const maxVersion = 255

// Sniff reports whether a file of the given size that begins with head looks
// like an ONNX model. Protobuf has no magic number. So Sniff asks that head,
// as far as it goes, is a list of fields that a ModelProto has, with payloads
// that suit them, and that one of the fields is ir_version, which all writers
// put first. A graph after that ends the questions. 64 bytes of head are enough.
func Sniff(head []byte, size int64) bool {
	version, others := false, 0
	at := int64(0)
	// cut reports whether a number is short because head ends in it.
	cut := func(n int) bool {
		return errors.Is(protowire.ParseError(n), io.ErrUnexpectedEOF) && at+int64(len(head)) < size
	}
	for len(head) > 0 {
		num, typ, n := protowire.ConsumeTag(head)
		if n < 0 {
			return version && others > 0 && cut(n)
		}
		head, at = head[n:], at+int64(n)
		switch num {
		case modelIRVersion, modelVersion:
			v, n := protowire.ConsumeVarint(head)
			if typ != protowire.VarintType {
				return false
			}
			if n < 0 {
				return version && cut(n)
			}
			if num == modelIRVersion {
				if version || v == 0 || v > maxVersion {
					return false
				}
				version = true
			}
			head, at = head[n:], at+int64(n)
			continue
		case modelProducer, modelProducerVersion, modelDomain, modelDoc, modelGraph, modelOpset,
			modelMetadata, modelTraining, modelFunctions, modelConfiguration:
		default:
			return false
		}
		if typ != protowire.BytesType {
			return false
		}
		length, n := protowire.ConsumeVarint(head)
		if n < 0 {
			return version && cut(n)
		}
		head, at = head[n:], at+int64(n)
		if length > uint64(max(size-at, 0)) {
			return false
		}
		payload := head[:min(uint64(len(head)), length)]
		if !suits(num, payload, uint64(len(payload)) < length) {
			return false
		}
		if version && num == modelGraph {
			return true
		}
		others++
		head, at = head[len(payload):], at+int64(len(payload))
	}
	return version && others > 0
}

// suits reports whether a payload, or as much of it as there is, can be that of
// a field of a ModelProto.
func suits(num protowire.Number, b []byte, cut bool) bool {
	switch num {
	case modelProducer, modelProducerVersion, modelDomain:
		return isText(b, cut, false)
	case modelDoc:
		return isText(b, cut, true)
	}
	if len(b) == 0 {
		return true
	}
	first, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return cut
	}
	switch num {
	case modelGraph:
		// node, name, initializer, doc_string, input, output, value_info, ...
		return typ == protowire.BytesType && (first <= 2 || first == 5 || first >= 10 && first <= 16)
	case modelOpset:
		return first == opsetDomain && typ == protowire.BytesType || first == opsetVersion && typ == protowire.VarintType
	}
	// Entries, graphs and functions: all begin with strings or messages.
	return typ == protowire.BytesType
}

// isText reports whether b is UTF-8 without control characters. If b is cut
// off, its last rune may be incomplete.
func isText(b []byte, cut, lines bool) bool {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			return cut && len(b) < utf8.UTFMax && !utf8.FullRune(b)
		}
		if unicode.IsControl(r) && !(lines && unicode.IsSpace(r)) {
			return false
		}
		b = b[n:]
	}
	return true
}
