package npz

import (
	"errors"
	"fmt"
	"io"
	"math"

	"ropewalk/tensor"
)

// A literal reads the Python dictionary that is the header of an array:
//
//	{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
//
// NumPy evaluates any literal; here it is this grammar only, with keys in any
// order.
type literal struct {
	text    []byte
	pos     int
	base    int64 // offset of text in the array
	longs   bool  // allow 3L, as Python 2 wrote it
	shapeAt int64
}

func (p *literal) at(pos int) int64 { return p.base + int64(pos) }

func (p *literal) unexpected(want string) error {
	if p.pos >= len(p.text) {
		return &npyError{at: p.at(len(p.text)), reason: "array header ends where " + want + " is due", err: io.ErrUnexpectedEOF}
	}
	return npyErrorf(p.at(p.pos), "array header has %q where %s is due", p.text[p.pos], want)
}

// peek skips white space and returns the next byte, or 0 at the end.
func (p *literal) peek() byte {
	for ; p.pos < len(p.text); p.pos++ {
		if c := p.text[p.pos]; c != ' ' && c != '\t' && c != '\n' {
			return c
		}
	}
	return 0
}

// take reads c if it is next.
func (p *literal) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.pos++
	return true
}

func (p *literal) want(c byte) error {
	if !p.take(c) {
		return p.unexpected(fmt.Sprintf("%q", c))
	}
	return nil
}

// header reads the whole text into h.
func (p *literal) header(h *npyHeader) error {
	if err := p.want('{'); err != nil {
		return err
	}
	var descr, order, shape bool
	for !p.take('}') {
		p.peek()
		at := p.pos
		key, err := p.str()
		if err != nil {
			return err
		}
		if err := p.want(':'); err != nil {
			return err
		}
		has := (*bool)(nil)
		switch key {
		case "descr":
			has, err = &descr, p.descr(h)
		case "fortran_order":
			has = &order
			h.fortran, err = p.boolean()
		case "shape":
			has, err = &shape, p.shape(h)
		default:
			return npyErrorf(p.at(at), "array header has the unknown key %.80q", key)
		}
		if *has {
			return npyErrorf(p.at(at), "array header has the key %q twice", key)
		}
		*has = true
		if err != nil {
			return err
		}
		if !p.take(',') && p.peek() != '}' {
			return p.unexpected("',' or '}'")
		}
	}
	if !descr || !order || !shape {
		return npyErrorf(p.base, "array header lacks descr, fortran_order or shape")
	}
	if p.peek() != 0 || p.pos < len(p.text) {
		return p.unexpected("white space")
	}
	return nil
}

// str reads a string without escapes: no key and no type needs one.
func (p *literal) str() (string, error) {
	quote := p.peek()
	if quote != '\'' && quote != '"' {
		return "", p.unexpected("a string")
	}
	p.pos++
	from := p.pos
	for ; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == quote:
			p.pos++
			return string(p.text[from : p.pos-1]), nil
		case c < ' ' || c == '\\' || c > '~':
			return "", p.unexpected("a plain character")
		}
	}
	return "", p.unexpected("a quote")
}

func (p *literal) descr(h *npyHeader) error {
	if p.peek() == '[' || p.peek() == '(' {
		return &npyError{at: p.at(p.pos), reason: "array has a structured type", unsupported: true}
	}
	at := p.pos
	s, err := p.str()
	if err != nil {
		return err
	}
	h.dtype, h.item, err = parseDescr(s)
	switch {
	case errors.Is(err, errObjects):
		return &npyError{at: p.at(at), reason: "array " + err.Error(), unsupported: true}
	case err != nil:
		return &npyError{at: p.at(at), reason: fmt.Sprintf("array has the unknown type %.80q", s), unsupported: true}
	}
	return nil
}

func (p *literal) boolean() (bool, error) {
	p.peek()
	for _, w := range []string{"True", "False"} {
		if rest := p.text[p.pos:]; len(rest) >= len(w) && string(rest[:len(w)]) == w {
			p.pos += len(w)
			return w == "True", nil
		}
	}
	return false, p.unexpected("True or False")
}

// shape reads a tuple: (), (3,), (3, 4).
func (p *literal) shape(h *npyHeader) error {
	p.peek()
	p.shapeAt = p.at(p.pos)
	h.shape = tensor.Shape{}
	if err := p.want('('); err != nil {
		return err
	}
	comma := true // after the last axis; the only axis must have one
	for !p.take(')') {
		if !comma {
			return p.unexpected("','")
		}
		if len(h.shape) == tensor.MaxRank {
			return npyErrorf(p.at(p.pos), "array has more than %d axes", tensor.MaxRank)
		}
		n, err := p.integer()
		if err != nil {
			return err
		}
		h.shape = append(h.shape, n)
		comma = p.take(',')
	}
	if len(h.shape) == 1 && !comma {
		return npyErrorf(p.shapeAt, "shape of the array is a number, not a tuple")
	}
	return nil
}

func (p *literal) integer() (int64, error) {
	p.peek()
	at, n := p.pos, int64(0)
	for ; p.pos < len(p.text) && '0' <= p.text[p.pos] && p.text[p.pos] <= '9'; p.pos++ {
		d := int64(p.text[p.pos] - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, npyErrorf(p.at(at), "axis of the array is above 2^63-1")
		}
		n = n*10 + d
	}
	switch {
	case p.pos == at:
		return 0, p.unexpected("a whole number")
	case p.pos > at+1 && p.text[at] == '0':
		return 0, npyErrorf(p.at(at), "number begins with 0")
	}
	if p.longs && p.pos < len(p.text) && p.text[p.pos] == 'L' {
		p.pos++
	}
	return n, nil
}
