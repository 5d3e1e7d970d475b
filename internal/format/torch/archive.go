package torch

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// Limits of the directory. A member takes about 100 bytes of it, and a large
// checkpoint has some 10,000 members.
const (
	MaxMembers   = 1 << 20
	MaxDirectory = 1 << 27 // bytes
)

// Signatures and sizes of the records of a zip archive. All numbers in them
// are little-endian.
const (
	sigLocal     = 0x04034b50 // before each member
	sigEntry     = 0x02014b50 // an entry of the directory
	sigEnd       = 0x06054b50 // end of directory, the last record
	sigEnd64     = 0x06064b50 // the same with 64-bit numbers
	sigLocator64 = 0x07064b50 // says where that one is

	lenLocal     = 30
	lenEntry     = 46
	lenEnd       = 22
	lenEnd64     = 56
	lenLocator64 = 20

	maxComment    = math.MaxUint16
	maxMemberName = math.MaxUint16
)

const (
	// flagDeferred says that a local header leaves the sizes to a record
	// after the member, and to the directory. torch.save sets it.
	flagDeferred = 1 << 3
	// flagsSecret are set if a member, or the directory, is encrypted or is
	// a patch.
	flagsSecret = 1<<0 | 1<<5 | 1<<6 | 1<<13

	methodStored = 0

	extraZip64 = 1 // tag of the extra field with sizes above 4 GiB
)

// A member is a file inside of the archive.
type member struct {
	name   string
	flags  uint16
	method uint16
	crc    uint32
	packed int64 // bytes in the archive
	size   int64 // bytes when unpacked
	header int64 // where the local header begins
	begin  int64 // where the bytes begin; set by locate
}

// An archive is the directory of a zip file.
type archive struct {
	file    string
	data    tensor.Data
	dir     int64    // where the directory begins
	members []member // sorted by header
	byName  map[string]*member
}

// openArchive reads the directory and all local headers.
func openArchive(file string, d tensor.Data) (*archive, error) {
	a, err := readDirectory(file, d)
	if err != nil {
		return nil, err
	}
	if err := a.locate(); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *archive) corrupt(off int64, format string, args ...any) error {
	return &layout.CorruptError{File: a.file, Offset: off, Reason: fmt.Sprintf(format, args...)}
}

func (a *archive) unsupported(off int64, format string, args ...any) error {
	return &layout.UnsupportedError{File: a.file, Offset: off, Reason: fmt.Sprintf(format, args...)}
}

// read returns the n bytes at off, which is known to lie inside of the file.
func (a *archive) read(off, n int64, buf []byte) ([]byte, error) {
	b, err := tensor.ReadRange(a.data, off, n, buf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	return b, nil
}

// readDirectory reads the directory without looking at the members.
func readDirectory(file string, d tensor.Data) (*archive, error) {
	a := &archive{file: file, data: d}
	count, end, err := a.readEnd()
	if err != nil {
		return nil, err
	}
	raw, err := a.read(a.dir, end-a.dir, nil)
	if err != nil {
		return nil, err
	}
	a.members = make([]member, 0, count)
	a.byName = make(map[string]*member, count)
	at := a.dir
	for range count {
		m, n, err := a.parseEntry(raw, at)
		if err != nil {
			return nil, err
		}
		if a.byName[m.name] != nil {
			return nil, a.corrupt(at, "two members are named %q", m.name)
		}
		a.members = append(a.members, m) // within its capacity: pointers stay valid
		a.byName[m.name] = &a.members[len(a.members)-1]
		raw, at = raw[n:], at+int64(n)
	}
	if len(raw) != 0 {
		return nil, a.corrupt(at, "%d bytes follow the %d entries of the directory", len(raw), count)
	}
	return a, nil
}

// readEnd finds the records at the end of the file. It sets a.dir and returns
// how many entries the directory has, and where it ends.
func (a *archive) readEnd() (count, end int64, err error) {
	size := a.data.Size()
	tail, err := a.read(max(size-lenEnd-maxComment, 0), min(size, lenEnd+maxComment), nil)
	if err != nil {
		return 0, 0, err
	}
	i := len(tail) - lenEnd
	for ; i >= 0; i-- {
		// A comment of exactly the bytes that follow; torch.save writes none.
		if le32(tail[i:]) == sigEnd && int(le16(tail[i+20:])) == len(tail)-i-lenEnd {
			break
		}
	}
	if i < 0 {
		return 0, 0, &layout.CorruptError{
			File: a.file, Offset: size, Err: io.ErrUnexpectedEOF,
			Reason: "the file does not end with the directory of a zip archive; it is cut short, or something was appended",
		}
	}
	end = size - int64(len(tail)-i)
	rec := tail[i:]
	disk, dirDisk := uint32(le16(rec[4:])), uint32(le16(rec[6:]))
	here, total := uint64(le16(rec[8:])), uint64(le16(rec[10:]))
	dirSize, dir := uint64(le32(rec[12:])), uint64(le32(rec[16:]))
	if i >= lenLocator64 && le32(tail[i-lenLocator64:]) == sigLocator64 {
		rec, at, err := a.readEnd64(tail[i-lenLocator64:i], end-lenLocator64)
		if err != nil {
			return 0, 0, err
		}
		end = at
		disk, dirDisk = le32(rec[16:]), le32(rec[20:])
		here, total = le64(rec[24:]), le64(rec[32:])
		dirSize, dir = le64(rec[40:]), le64(rec[48:])
	}
	switch {
	case disk != 0 || dirDisk != 0 || here != total:
		return 0, 0, a.unsupported(end, "the zip archive is split over several files")
	case dir > uint64(end) || dirSize != uint64(end)-dir:
		return 0, 0, a.corrupt(end, "the directory, %d bytes at %d, does not end here", dirSize, dir)
	case total > dirSize/lenEntry:
		return 0, 0, a.corrupt(end, "%d entries do not fit the %d bytes of the directory", total, dirSize)
	case total > MaxMembers || dirSize > MaxDirectory:
		return 0, 0, a.unsupported(end, "the directory has %d entries and %d bytes; at most %d and %d are read", total, dirSize, MaxMembers, MaxDirectory)
	}
	a.dir = int64(dir)
	return int64(total), end, nil
}

// readEnd64 follows the locator, which stands at off.
func (a *archive) readEnd64(locator []byte, off int64) (rec []byte, at int64, err error) {
	where := le64(locator[8:])
	if off < lenEnd64 || where > uint64(off-lenEnd64) {
		return nil, 0, a.corrupt(off, "the 64-bit end record at %d does not lie before its locator", where)
	}
	at = int64(where)
	if rec, err = a.read(at, lenEnd64, nil); err != nil {
		return nil, 0, err
	}
	if le32(rec) != sigEnd64 {
		return nil, 0, a.corrupt(at, "signature 0x%08x is not that of a 64-bit end record", le32(rec))
	}
	if n := le64(rec[4:]); n != uint64(off-at-12) {
		return nil, 0, a.corrupt(at+4, "the 64-bit end record has %d bytes, but %d to its locator", n, off-at-12)
	}
	return rec, at, nil
}

// parseEntry reads the entry at the start of b, which stands at off in the
// file, and returns its length.
func (a *archive) parseEntry(b []byte, off int64) (m member, n int, err error) {
	if len(b) < lenEntry {
		return m, 0, a.corrupt(off, "an entry of the directory takes %d bytes, %d remain", lenEntry, len(b))
	}
	if le32(b) != sigEntry {
		return m, 0, a.corrupt(off, "signature 0x%08x is not that of a directory entry", le32(b))
	}
	nameLen, extraLen, commentLen := int(le16(b[28:])), int(le16(b[30:])), int(le16(b[32:]))
	n = lenEntry + nameLen + extraLen + commentLen
	if n > len(b) {
		return m, 0, a.corrupt(off, "an entry of the directory takes %d bytes, %d remain", n, len(b))
	}
	packed, size, header := uint64(le32(b[20:])), uint64(le32(b[24:])), uint64(le32(b[42:]))
	extra := b[lenEntry+nameLen : lenEntry+nameLen+extraLen]
	if !widen(extra, &size, &packed, &header) {
		return m, 0, a.corrupt(off, "the 64-bit sizes of a member are missing")
	}
	m = member{
		name:   string(b[lenEntry : lenEntry+nameLen]),
		flags:  le16(b[8:]),
		method: le16(b[10:]),
		crc:    le32(b[16:]),
	}
	switch {
	case nameLen == 0:
		return m, 0, a.corrupt(off, "a member has no name")
	case m.flags&flagsSecret != 0:
		return m, 0, a.unsupported(off, "member %q is encrypted or patched", m.name)
	case le16(b[34:]) != 0:
		return m, 0, a.unsupported(off, "member %q is in another file", m.name)
	case header > uint64(a.dir) || packed > uint64(a.dir)-header || size > math.MaxInt64:
		return m, 0, a.corrupt(off, "member %q, %d bytes at %d, does not lie before the directory at %d", m.name, packed, header, a.dir)
	case m.method == methodStored && packed != size:
		return m, 0, a.corrupt(off, "member %q is stored as it is, but takes %d bytes for %d", m.name, packed, size)
	}
	m.packed, m.size, m.header = int64(packed), int64(size), int64(header)
	return m, n, nil
}

// widen replaces each number that 32 bits were too few for by the next one of
// the zip64 extra field. It reports whether all were there.
func widen(extra []byte, numbers ...*uint64) bool {
	var wide []byte
	for len(extra) >= 4 {
		n := int(le16(extra[2:]))
		if n > len(extra)-4 {
			break // torch.save pads with a field that may be cut
		}
		if le16(extra) == extraZip64 {
			wide = extra[4 : 4+n]
			break
		}
		extra = extra[4+n:]
	}
	for _, p := range numbers {
		if *p != math.MaxUint32 {
			continue
		}
		if len(wide) < 8 {
			return false
		}
		*p, wide = le64(wide), wide[8:]
	}
	return true
}

// locate reads the local header of each member: it tells where the bytes
// begin. It checks that headers agree with the directory, and that no two
// members overlap.
func (a *archive) locate() error {
	slices.SortStableFunc(a.members, func(x, y member) int { return cmp.Compare(x.header, y.header) })
	for i := range a.members {
		a.byName[a.members[i].name] = &a.members[i]
	}
	buf := make([]byte, lenLocal+maxMemberName)
	end := int64(0)
	for i := range a.members {
		m := &a.members[i]
		if m.header < end {
			return a.corrupt(m.header, "member %q overlaps the one before it, %q, which ends at %d", m.name, a.members[i-1].name, end)
		}
		limit := a.dir
		if i+1 < len(a.members) {
			limit = a.members[i+1].header
		}
		if err := a.locateOne(m, limit, buf); err != nil {
			return err
		}
		end = m.begin + m.packed
	}
	return nil
}

// locateOne reads the local header of m, which has to end, with the bytes of
// m, before limit.
func (a *archive) locateOne(m *member, limit int64, buf []byte) error {
	fixed := int64(lenLocal + len(m.name))
	if fixed > limit-m.header {
		return a.corrupt(m.header, "the header of member %q takes %d bytes, %d remain", m.name, fixed, limit-m.header)
	}
	b, err := a.read(m.header, fixed, buf)
	if err != nil {
		return err
	}
	if le32(b) != sigLocal {
		return a.corrupt(m.header, "signature 0x%08x is not that of a member", le32(b))
	}
	if int(le16(b[26:])) != len(m.name) || string(b[lenLocal:]) != m.name {
		return a.corrupt(m.header, "the directory names this member %q, its header does not", m.name)
	}
	const telling = flagsSecret | flagDeferred
	if flags, method := le16(b[6:]), le16(b[8:]); flags&telling != m.flags&telling || method != m.method {
		return a.corrupt(m.header, "member %q has flags 0x%x and method %d here, 0x%x and %d in the directory", m.name, flags, method, m.flags, m.method)
	}
	packed, size, extraLen := uint64(le32(b[18:])), uint64(le32(b[22:])), int64(le16(b[28:]))
	m.begin = m.header + fixed + extraLen
	if m.begin > limit || m.packed > limit-m.begin {
		return a.corrupt(m.header, "member %q takes %d bytes from %d and runs into what begins at %d", m.name, m.packed, m.begin, limit)
	}
	if m.flags&flagDeferred != 0 {
		return nil
	}
	if packed == math.MaxUint32 || size == math.MaxUint32 {
		extra, err := a.read(m.header+fixed, extraLen, nil)
		if err != nil {
			return err
		}
		if !widen(extra, &size, &packed) {
			return a.corrupt(m.header, "the 64-bit sizes of member %q are missing", m.name)
		}
	}
	if packed != uint64(m.packed) || size != uint64(m.size) {
		return a.corrupt(m.header, "member %q takes %d bytes for %d here, %d for %d in the directory", m.name, packed, size, m.packed, m.size)
	}
	return nil
}

// stored checks that m is not compressed.
func (a *archive) stored(m *member) error {
	if m.method != methodStored {
		return a.unsupported(m.header, "member %q is compressed (method %d); load the file with torch.load and save it again with torch.save", m.name, m.method)
	}
	return nil
}

// folders returns the folders of the archive that hold a file of that name.
func (a *archive) folders(file string) []string {
	var list []string
	for i := range a.members {
		folder, ok := strings.CutSuffix(a.members[i].name, "/"+file)
		if ok && !strings.Contains(folder, "/") {
			list = append(list, folder)
		}
	}
	return list
}

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
