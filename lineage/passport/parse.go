package passport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

func (p *Passport) parseSpec(r *reader) {
	end := r.begin(tagSpec)
	if r.err != nil {
		return
	}
	at := r.at
	if end-at > maxSpec {
		r.fail(at, "a specification of %d bytes, at most %d are read", end-at, maxSpec)
		return
	}
	text := string(r.bytes(end - at))
	p.Spec = &symmetry.Spec{}
	if text != "" {
		spec, err := symmetry.Parse(text)
		if err != nil {
			r.fail(at, "its specification cannot be read: %v", err)
			return
		}
		p.Spec = spec
	}
	if p.Spec.String() != text {
		r.fail(at, "its specification is not written as it should be")
		return
	}
	r.finish(end)
}

// empty returns tensors of the passport's shapes without values.
func (p *Passport) empty() *tensor.Set {
	var list []*tensor.Tensor
	for i := range p.Tensors {
		t := &p.Tensors[i]
		size, err := t.Shape.Size(t.DType)
		if err != nil || !t.DType.Known() {
			size = 0
		}
		list = append(list, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: nothing(size)})
	}
	set, err := tensor.NewSet(list...)
	if err != nil { // shapes and names were checked
		return nil
	}
	return set
}

// nothing is data that cannot be read.
type nothing int64

func (n nothing) Size() int64 { return int64(n) }

func (n nothing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrUnexpectedEOF }

// MaxFile bounds a passport's file, in bytes.
const MaxFile = 1 << 32

// Open reads the passport in a file, and checks that it is signed as trust wants it. Nil
// trust takes signed and unsigned ones; a signature that is there has to be right in any
// case. Errors are those of [Parse] and [Passport.Check], with the file's name.
func Open(path string, trust *Trust) (*Passport, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readFile(f)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFile {
		return nil, fmt.Errorf("%s: a passport of more than %d bytes", path, int64(MaxFile))
	}
	p, err := Parse(b)
	if err == nil {
		err = p.Check(trust)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// maxTail is how much may follow the sections: a digest, and a signature with its key.
const maxTail = 32 + 1 + 2*(2+math.MaxUint16)

// readFile reads no more than a passport may have that begins as this one does.
func readFile(f io.Reader) ([]byte, error) {
	head := make([]byte, headerSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if head = head[:n]; n < headerSize || !Is(head) {
		return head, nil // which Parse refuses
	}
	length := min(binary.LittleEndian.Uint64(head[12:]), MaxFile)
	rest, err := io.ReadAll(io.LimitReader(f, min(int64(length)+maxTail+1, MaxFile+1-headerSize)))
	return append(head, rest...), err
}

// Is reports whether a file that begins with b is a passport, or begins as one.
func Is(b []byte) bool { return len(b) >= len(magic) && string(b[:len(magic)]) == magic }
