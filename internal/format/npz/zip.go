package npz

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// This file reads the directory of a ZIP archive. It is not archive/zip since
// that neither compares the local headers with the directory nor tells where
// either lies, which errors here have to say.

// MaxDirectory bounds the directory of an archive in bytes. A member takes
// about 60, so that is room for more than a million of them.
const MaxDirectory = 100_000_000

// Sizes of the fixed parts of the records.
const (
	localSize     = 30
	entrySize     = 46
	endSize       = 22
	end64Size     = 56
	locatorSize   = 20
	maxComment    = math.MaxUint16
	zip64ExtraID  = 1
	full32        = math.MaxUint32 // "see the zip64 field"
	methodStored  = 0
	methodDeflate = 8
)

// Bits of the flags of a member.
const (
	flagDescriptor = 1 << 3                         // sizes follow the data
	flagEncrypted  = 1<<0 | 1<<5 | 1<<6 | 1<<13     // or a patch, or masked
	flagsCompared  = flagDescriptor | flagEncrypted // local against directory
	maxRatio       = 1032                           // of deflate: 258 bytes for two bits
)

// Signatures of the records.
var (
	localSig   = []byte("PK\x03\x04")
	entrySig   = []byte("PK\x01\x02")
	endSig     = []byte("PK\x05\x06")
	end64Sig   = []byte("PK\x06\x06")
	locatorSig = []byte("PK\x06\x07")
)

var le = binary.LittleEndian

// A member is one file of an archive.
type member struct {
	name   string
	entry  int64 // offset of its entry in the directory
	local  int64 // offset of its local header
	data   int64 // offset of its data
	flags  uint16
	method uint16
	crc    uint32
	packed int64 // bytes in the archive
	size   int64 // bytes after decompression
}

// An archive is a file whose directory is being read.
type archive struct {
	file string
	data tensor.Data
}

func (a archive) errorf(at int64, format string, args ...any) error {
	return &layout.CorruptError{File: a.file, Offset: at, Reason: fmt.Sprintf(format, args...)}
}

func (a archive) unsupported(at int64, format string, args ...any) error {
	return &layout.UnsupportedError{File: a.file, Offset: at, Reason: fmt.Sprintf(format, args...)}
}

// read returns n bytes at off, which the caller has checked against the size.
func (a archive) read(off, n int64) ([]byte, error) {
	b, err := tensor.ReadRange(a.data, off, n, nil)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &layout.CorruptError{File: a.file, Offset: off, Reason: fmt.Sprintf("file ends within %d bytes", n), Err: err}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	return b, nil
}

// members returns what the directory lists, in its order, without a look at
// the local headers.
func (a archive) members() (ms []member, dir int64, err error) {
	dir, size, n, err := a.findDirectory()
	if err != nil {
		return nil, 0, err
	}
	b, err := a.read(dir, size)
	if err != nil {
		return nil, 0, err
	}
	ms = make([]member, 0, n) // findDirectory made sure that n of them fit
	seen := make(map[string]struct{}, n)
	for at := dir; len(b) > 0; {
		m, length, err := a.parseEntry(b, at)
		if err != nil {
			return nil, 0, err
		}
		if _, dup := seen[m.name]; dup {
			return nil, 0, a.errorf(at, "archive has two members %.80q", m.name)
		}
		seen[m.name] = struct{}{}
		ms = append(ms, m)
		b = b[length:]
		at += int64(length)
	}
	if len(ms) != n {
		return nil, 0, a.errorf(dir, "directory has %d entries, its end says %d", len(ms), n)
	}
	return ms, dir, nil
}

// findDirectory returns where the directory is, its size, and the number of
// its entries.
func (a archive) findDirectory() (off, size int64, n int, err error) {
	total := a.data.Size()
	tail := min(total, endSize+maxComment)
	b, err := a.read(total-tail, tail)
	if err != nil {
		return 0, 0, 0, err
	}
	i := len(b) - endSize
	for ; i >= 0; i-- {
		if bytes.HasPrefix(b[i:], endSig) && int(le.Uint16(b[i+20:])) == len(b)-endSize-i {
			break
		}
	}
	if i < 0 {
		return 0, 0, 0, &layout.CorruptError{
			File: a.file, Offset: total, Err: io.ErrUnexpectedEOF,
			Reason: "no end of a ZIP directory, which should end the file",
		}
	}
	b = b[i:]
	end := total - tail + int64(i) // of the directory, if there is no zip64
	at := end
	entries, length, start := uint64(le.Uint16(b[10:])), uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:]))
	onDisk, disks := uint64(le.Uint16(b[8:])), le.Uint16(b[4:])|le.Uint16(b[6:])
	if disks == math.MaxUint16 {
		disks = 0 // said by zip64
	}
	e64, off64, err := a.findEnd64(end)
	if err != nil {
		return 0, 0, 0, err
	}
	if e64 != nil {
		at, end = off64, off64
		for _, f := range []struct{ short, full, long uint64 }{
			{onDisk, math.MaxUint16, le.Uint64(e64[24:])},
			{entries, math.MaxUint16, le.Uint64(e64[32:])},
			{length, full32, le.Uint64(e64[40:])},
			{start, full32, le.Uint64(e64[48:])},
		} {
			if f.short != f.full && f.short != f.long {
				return 0, 0, 0, a.errorf(at, "end of the directory has %d, its zip64 record %d", f.short, f.long)
			}
		}
		onDisk, entries, length, start = le.Uint64(e64[24:]), le.Uint64(e64[32:]), le.Uint64(e64[40:]), le.Uint64(e64[48:])
		disks |= uint16(le.Uint32(e64[16:]) | le.Uint32(e64[20:]))
	}
	switch {
	case disks != 0 || onDisk != entries:
		return 0, 0, 0, a.unsupported(at, "archive in several parts")
	case length > uint64(end) || start != uint64(end)-length:
		return 0, 0, 0, a.errorf(at, "directory of %d bytes at %d does not end at its end record, byte %d", length, start, end)
	case length > MaxDirectory:
		return 0, 0, 0, a.errorf(at, "directory of %d bytes, the limit is %d", length, MaxDirectory)
	case entries > length/entrySize:
		return 0, 0, 0, a.errorf(at, "%d entries in a directory of %d bytes", entries, length)
	}
	return int64(start), int64(length), int(entries), nil
}

// findEnd64 returns the zip64 record of the end of the directory, or nil if
// there is none before the plain one at end.
func (a archive) findEnd64(end int64) (rec []byte, off int64, err error) {
	at := end - locatorSize
	if at < 0 {
		return nil, 0, nil
	}
	loc, err := a.read(at, locatorSize)
	if err != nil || !bytes.HasPrefix(loc, locatorSig) {
		return nil, 0, err
	}
	p := le.Uint64(loc[8:])
	if at < end64Size || p > uint64(at-end64Size) {
		return nil, 0, a.errorf(at+8, "zip64 record at %d does not fit before its locator", p)
	}
	if le.Uint32(loc[4:]) != 0 || le.Uint32(loc[16:]) > 1 {
		return nil, 0, a.unsupported(at, "archive in several parts")
	}
	off = int64(p)
	rec, err = a.read(off, end64Size)
	if err != nil {
		return nil, 0, err
	}
	if !bytes.HasPrefix(rec, end64Sig) || le.Uint64(rec[4:]) != uint64(at-off-12) {
		return nil, 0, a.errorf(off, "no zip64 record that reaches to its locator")
	}
	return rec, off, nil
}

// parseEntry reads the entry that b begins with and returns its length.
func (a archive) parseEntry(b []byte, at int64) (m member, length int, err error) {
	if len(b) < entrySize || !bytes.HasPrefix(b, entrySig) {
		return m, 0, a.errorf(at, "no entry of a ZIP directory")
	}
	name := entrySize + int(le.Uint16(b[28:]))
	extra := name + int(le.Uint16(b[30:]))
	length = extra + int(le.Uint16(b[32:]))
	if length > len(b) {
		return m, 0, a.errorf(at, "entry of %d bytes, the directory has %d left", length, len(b))
	}
	m = member{
		name:   string(b[entrySize:name]),
		entry:  at,
		flags:  le.Uint16(b[8:]),
		method: le.Uint16(b[10:]),
		crc:    le.Uint32(b[16:]),
	}
	if !utf8.ValidString(m.name) {
		return m, 0, a.unsupported(at+entrySize, "name of a member is not UTF-8")
	}
	// The order is that of the fields of the zip64 extra field.
	v := [3]uint64{uint64(le.Uint32(b[24:])), uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[42:]))}
	if !zip64(b[name:extra], v[:]) {
		return m, 0, a.errorf(at+int64(name), "member %.80q: extra field is broken", m.name)
	}
	if le.Uint16(b[34:]) != 0 {
		return m, 0, a.unsupported(at, "archive in several parts")
	}
	if m.flags&flagEncrypted != 0 {
		return m, 0, a.unsupported(at+8, "member %.80q is encrypted", m.name)
	}
	size, packed, local := v[0], v[1], v[2]
	switch {
	case local >= uint64(at) || packed > uint64(at)-local:
		return m, 0, a.errorf(at, "member %.80q: %d bytes at %d do not fit before the directory", m.name, packed, local)
	case m.method == methodStored && size != packed:
		return m, 0, a.errorf(at+24, "member %.80q: stored, but takes %d bytes for %d", m.name, packed, size)
	case m.method == methodDeflate && size/maxRatio > packed:
		return m, 0, a.errorf(at+24, "member %.80q: deflate cannot make %d bytes of %d", m.name, size, packed)
	case size > math.MaxInt64:
		return m, 0, a.errorf(at+24, "member %.80q: %d bytes", m.name, size)
	}
	m.size, m.packed, m.local = int64(size), int64(packed), int64(local)
	return m, length, nil
}

// zip64 replaces those of v that are full by their 64-bit values. It reports
// whether the extra field has them and is well-formed.
func zip64(extra []byte, v []uint64) bool {
	var field []byte
	for len(extra) >= 4 { // less is left over by tools that align members
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if n > len(extra)-4 {
			return false
		}
		if id == zip64ExtraID && field == nil {
			field = extra[4 : 4+n]
		}
		extra = extra[4+n:]
	}
	for i := range v {
		if v[i] != full32 {
			continue
		}
		if len(field) < 8 {
			return false
		}
		v[i] = le.Uint64(field)
		field = field[8:]
	}
	return true
}

// locate reads the local headers, sets where the data of each member begins,
// and makes sure that members do not overlap. dir is where the directory is.
func (a archive) locate(ms []member, dir int64) error {
	order := make([]*member, len(ms))
	for i := range ms {
		order[i] = &ms[i]
	}
	slices.SortStableFunc(order, func(x, y *member) int { return cmp.Compare(x.local, y.local) })
	for i, m := range order {
		end := dir
		if i+1 < len(order) {
			end = order[i+1].local
		}
		if err := a.readLocal(m, end); err != nil {
			return err
		}
	}
	return nil
}

// readLocal checks the local header of m, which with its data has to end at end.
func (a archive) readLocal(m *member, end int64) error {
	if end-m.local < localSize {
		return a.errorf(m.local, "member %.80q: local header overlaps what follows at %d", m.name, end)
	}
	b, err := a.read(m.local, localSize)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(b, localSig) {
		return a.errorf(m.local, "member %.80q: no local header", m.name)
	}
	nameLen, extraLen := int64(le.Uint16(b[26:])), int64(le.Uint16(b[28:]))
	m.data = m.local + localSize + nameLen + extraLen
	if m.data > end || m.packed > end-m.data {
		return a.errorf(m.local, "member %.80q: %d bytes at %d overlap what follows at %d", m.name, m.packed, m.data, end)
	}
	more, err := a.read(m.local+localSize, nameLen+extraLen)
	if err != nil {
		return err
	}
	if string(more[:nameLen]) != m.name {
		return a.errorf(m.local+localSize, "local header names %.80q, the directory %.80q", more[:nameLen], m.name)
	}
	flags, method := le.Uint16(b[6:]), le.Uint16(b[8:])
	if (flags^m.flags)&flagsCompared != 0 {
		return a.errorf(m.local+6, "member %.80q: local header has flags %#x, the directory %#x", m.name, flags, m.flags)
	}
	if method != m.method {
		return a.errorf(m.local+8, "member %.80q: local header has method %d, the directory %d", m.name, method, m.method)
	}
	if flags&flagDescriptor != 0 {
		return nil // checksum and sizes follow the data; the directory has them too
	}
	if crc := le.Uint32(b[14:]); crc != m.crc {
		return a.errorf(m.local+14, "member %.80q: local header has checksum %08x, the directory %08x", m.name, crc, m.crc)
	}
	v := [2]uint64{uint64(le.Uint32(b[22:])), uint64(le.Uint32(b[18:]))}
	if !zip64(more[nameLen:], v[:]) {
		return a.errorf(m.local+localSize+nameLen, "member %.80q: extra field is broken", m.name)
	}
	if v[0] != uint64(m.size) || v[1] != uint64(m.packed) {
		return a.errorf(m.local+18, "member %.80q: local header has %d bytes packed to %d, the directory %d to %d", m.name, v[0], v[1], m.size, m.packed)
	}
	return nil
}
