package safetensors

import (
	"fmt"
	"io"
	"math"
	"unicode/utf16"
	"unicode/utf8"

	"ropewalk/layout"
)

// A scanner reads JSON text (RFC 8259) and knows at which byte each token
// begins. It takes nothing that the standard does not allow, and leaves the
// check for equal keys to its user. It is not encoding/json because that
// repairs broken text (lone surrogates, bytes that are not UTF-8) and because
// the position of each token is wanted for errors.
type scanner struct {
	file string
	base int64 // offset in the file of the first byte of text
	text []byte
	pos  int
}

// newScanner refuses text that is not UTF-8, so that no string can be.
func newScanner(file string, base int64, text []byte) (*scanner, error) {
	s := &scanner{file: file, base: base, text: text}
	if utf8.Valid(text) {
		return s, nil
	}
	at := 0
	for {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n <= 1 {
			return nil, s.errorf(at, "JSON is not UTF-8")
		}
		at += n
	}
}

func (s *scanner) errorf(at int, format string, args ...any) error {
	return &layout.CorruptError{File: s.file, Offset: s.base + int64(at), Reason: fmt.Sprintf(format, args...)}
}

// unexpected reports the byte at the current position.
func (s *scanner) unexpected(want string) error {
	if s.pos >= len(s.text) {
		return &layout.CorruptError{
			File: s.file, Offset: s.base + int64(len(s.text)),
			Reason: "JSON ends where " + want + " is due", Err: io.ErrUnexpectedEOF,
		}
	}
	r, _ := utf8.DecodeRune(s.text[s.pos:])
	return s.errorf(s.pos, "%q where %s is due", r, want)
}

// peek skips white space and returns the next byte, or 0, which no token
// begins with, at the end.
func (s *scanner) peek() byte {
	for ; s.pos < len(s.text); s.pos++ {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) byte(c byte) error {
	if s.peek() != c {
		return s.unexpected(fmt.Sprintf("%q", c))
	}
	s.pos++
	return nil
}

// object calls member for each key; at is where the key stands. The member
// has to read the value. The key is valid until then.
func (s *scanner) object(member func(at int, key []byte) error) error {
	if err := s.byte('{'); err != nil {
		return err
	}
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		s.peek()
		at := s.pos
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.byte(':'); err != nil {
			return err
		}
		if err := member(at, key); err != nil {
			return err
		}
		if more, err := s.more('}'); !more {
			return err
		}
	}
}

// array calls item for each item, which it has to read.
func (s *scanner) array(item func() error) error {
	if err := s.byte('['); err != nil {
		return err
	}
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if more, err := s.more(']'); !more {
			return err
		}
	}
}

// more reads a comma, or the closing bracket.
func (s *scanner) more(closing byte) (bool, error) {
	switch s.peek() {
	case ',':
		s.pos++
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.unexpected(fmt.Sprintf("',' or %q", closing))
}

// str reads a string. The result may be part of the text.
func (s *scanner) str() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.unexpected("a string")
	}
	s.pos++
	from := s.pos
	var own []byte // what was read before from, once there is an escape
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			b := s.text[from:s.pos]
			s.pos++
			if own != nil {
				b = append(own, b...)
			}
			return b, nil
		case c == '\\':
			if own == nil {
				own = make([]byte, 0, s.pos-from+16)
			}
			own = append(own, s.text[from:s.pos]...)
			r, err := s.escape()
			if err != nil {
				return nil, err
			}
			own = utf8.AppendRune(own, r)
			from = s.pos
		case c < ' ':
			return nil, s.errorf(s.pos, "control character 0x%02x in a string", c)
		default:
			s.pos++
		}
	}
	return nil, s.unexpected(`'"'`)
}

// escape reads an escape sequence, or two that make a surrogate pair.
func (s *scanner) escape() (rune, error) {
	at := s.pos
	s.pos++ // the backslash
	if s.pos >= len(s.text) {
		return 0, s.unexpected("an escape")
	}
	c := s.text[s.pos]
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, err := s.hex4()
		if err != nil || !utf16.IsSurrogate(r) {
			return r, err
		}
		if len(s.text)-s.pos >= 2 && s.text[s.pos] == '\\' && s.text[s.pos+1] == 'u' {
			s.pos += 2
			low, err := s.hex4()
			if err != nil {
				return 0, err
			}
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, nil
			}
		}
		return 0, s.errorf(at, "half of a surrogate pair")
	}
	return 0, s.errorf(at, "unknown escape")
}

func (s *scanner) hex4() (rune, error) {
	var r rune
	for range 4 {
		if s.pos >= len(s.text) {
			return 0, s.unexpected("a hexadecimal digit")
		}
		c := s.text[s.pos]
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, s.unexpected("a hexadecimal digit")
		}
		s.pos++
	}
	return r, nil
}

// integer reads a whole number from 0 to 2^63-1, written in digits only: some
// parsers make a float of 1e3 or 1.0, and so may round it.
func (s *scanner) integer() (int64, error) {
	s.peek()
	at, n := s.pos, int64(0)
	for ; s.digit(); s.pos++ {
		d := int64(s.text[s.pos] - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, s.errorf(at, "number is above 2^63-1")
		}
		n = n*10 + d
	}
	switch {
	case s.pos == at:
		return 0, s.unexpected("a whole number without sign")
	case s.pos > at+1 && s.text[at] == '0':
		return 0, s.errorf(at, "number begins with 0")
	case s.pos < len(s.text) && (s.text[s.pos] == '.' || s.text[s.pos]|0x20 == 'e'):
		return 0, s.errorf(at, "number is not written as a whole number")
	}
	return n, nil
}

func (s *scanner) digit() bool {
	return s.pos < len(s.text) && '0' <= s.text[s.pos] && s.text[s.pos] <= '9'
}

// maxDepth bounds the nesting of values that are skipped. What people put
// into an index is at most three deep.
const maxDepth = 64

// skip reads any value. depth is how deep it is nested.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.errorf(s.pos, "values are nested more than %d deep", maxDepth)
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(func(int, []byte) error { return s.skip(depth + 1) })
	case c == '[':
		return s.array(func() error { return s.skip(depth + 1) })
	case c == '"':
		_, err := s.str()
		return err
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	}
	return s.unexpected("a value")
}

func (s *scanner) word(w string) error {
	for i := range len(w) {
		if s.pos >= len(s.text) || s.text[s.pos] != w[i] {
			return s.unexpected(w)
		}
		s.pos++
	}
	return nil
}

// number reads a number of any form.
func (s *scanner) number() error {
	at := s.pos
	if s.text[s.pos] == '-' {
		s.pos++
	}
	first := s.pos
	if err := s.digits(); err != nil {
		return err
	}
	if s.text[first] == '0' && s.pos > first+1 {
		return s.errorf(at, "number begins with 0")
	}
	if s.pos < len(s.text) && s.text[s.pos] == '.' {
		s.pos++
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.pos < len(s.text) && s.text[s.pos]|0x20 == 'e' {
		s.pos++
		if s.pos < len(s.text) && (s.text[s.pos] == '+' || s.text[s.pos] == '-') {
			s.pos++
		}
		return s.digits()
	}
	return nil
}

func (s *scanner) digits() error {
	if !s.digit() {
		return s.unexpected("a digit")
	}
	for s.digit() {
		s.pos++
	}
	return nil
}
