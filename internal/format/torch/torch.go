package torch

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"ropewalk/internal/format/torch/pickle"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// Format is the name of the format in a [layout.Layout].
const Format = "pytorch"

const (
	// MaxPickle bounds data.pkl in bytes. It takes some 100 bytes for each
	// tensor.
	MaxPickle = 1 << 28
	// maxSmall bounds the members of one short line.
	maxSmall = 64
	// maxVersion is the newest version of the archive that PyTorch knows.
	maxVersion = 10
)

// scriptHint says what to do with a TorchScript archive.
const scriptHint = "load it with torch.jit.load and save its state_dict() with torch.save"

// Is reports whether d is a zip archive with a member */data.pkl: what
// torch.save writes since PyTorch 1.6. It reads the directory only. Of a file
// that was cut short, and so lost its directory, it looks at the first member,
// so that [Parse] can say what is wrong.
func Is(d tensor.Data) bool {
	if a, err := readDirectory("", d); err == nil {
		return len(a.folders("data.pkl")) > 0
	}
	b, err := tensor.ReadRange(d, 0, min(d.Size(), lenLocal+maxMemberName), nil)
	if err != nil || len(b) < lenLocal || le32(b) != sigLocal {
		return false
	}
	name := b[lenLocal:min(len(b), lenLocal+int(le16(b[26:])))]
	return bytes.HasSuffix(name, []byte("/data.pkl"))
}

// SniffLegacy reports whether a file that begins with head was written by
// PyTorch before 1.6, or with _use_new_zipfile_serialization=False: a pickle
// of a magic number, or a tar archive of PyTorch 0.1. [Parse] refuses them.
// The first 512 bytes of a file are enough.
func SniffLegacy(head []byte) bool {
	// PROTO n, FRAME of 8 bytes by protocols 4 and 5, LONG1 of 10 bytes.
	if len(head) > 2 && head[0] == 0x80 && head[1] <= 5 {
		rest := head[2:]
		if len(rest) >= 9 && rest[0] == 0x95 {
			rest = rest[9:]
		}
		return bytes.HasPrefix(rest, []byte("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"))
	}
	if len(head) < 262 || string(head[257:262]) != "ustar" {
		return false
	}
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	switch string(name) {
	case "sys_info", "pickle", "tensors", "storages":
		return true
	}
	return false
}

// Parse reads the archive's directory and the pickle of d, but no values.
// Errors are [*layout.CorruptError] or [*layout.UnsupportedError], or those of
// reading d. Views have the full path of a tensor in the saved object for a
// name; see [Prefix].
func Parse(name string, d tensor.Data) (*layout.Layout, error) {
	head, err := tensor.ReadRange(d, 0, min(d.Size(), 512), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if SniffLegacy(head) {
		return nil, &layout.UnsupportedError{
			File: name, Offset: 0,
			Reason: "legacy PyTorch file; load it with torch.load and save it again with torch.save of PyTorch 1.6 or newer",
		}
	}
	a, err := openArchive(name, d)
	if err != nil {
		return nil, err
	}
	folder, err := a.folder()
	if err != nil {
		return nil, err
	}
	version, err := a.checkMarks(folder)
	if err != nil {
		return nil, err
	}
	root, err := a.unpickle(folder)
	if err != nil {
		return nil, err
	}
	tensors, err := collect(a, root)
	if err != nil {
		return nil, err
	}
	l := &layout.Layout{Format: Format, Files: []layout.File{{Name: name, Data: d}}}
	if l.Arrays, l.Views, err = arrange(a, tensors); err != nil {
		return nil, err
	}
	if version != "" {
		l.Metadata = append(l.Metadata, layout.Pair{Key: "pytorch.version", Value: version})
	}
	l.Metadata = append(l.Metadata, describe(root)...)
	return l, nil
}

// folder returns the one folder that holds a data.pkl.
func (a *archive) folder() (string, error) {
	list := a.folders("data.pkl")
	switch {
	case len(list) == 0:
		return "", a.unsupported(-1, "a zip archive without data.pkl; torch.save did not write it")
	case len(list) > 1:
		m := a.byName[list[1]+"/data.pkl"]
		return "", a.corrupt(m.header, "the archive holds two objects, %q and %q", list[0], list[1])
	}
	return list[0], nil
}

// checkMarks looks at the small members beside the pickle, and returns the
// version of the archive.
func (a *archive) checkMarks(folder string) (version string, err error) {
	if m := a.byName[folder+"/constants.pkl"]; m != nil {
		return "", a.unsupported(m.header, "the file is a TorchScript archive; %s", scriptHint)
	}
	order, m, err := a.small(folder + "/byteorder")
	switch {
	case err != nil:
		return "", err
	case order == "big":
		return "", a.unsupported(m.begin, "the values are big-endian; load the file with torch.load and save it again on a little-endian machine")
	case m != nil && order != "little":
		return "", a.corrupt(m.begin, "the byte order is %q, not \"little\" or \"big\"", order)
	}
	version, m, err = a.small(folder + "/version")
	if err != nil || m == nil {
		return "", err
	}
	version = strings.TrimSpace(version)
	n, err := strconv.ParseUint(version, 10, 32)
	switch {
	case err != nil:
		return "", a.corrupt(m.begin, "the version is %q, not a number", version)
	case n > maxVersion:
		return "", a.unsupported(m.begin, "version %d of the archive; up to %d is read", n, maxVersion)
	}
	return version, nil
}

// small returns the text of a short member, or a nil member if it is absent.
func (a *archive) small(name string) (string, *member, error) {
	m := a.byName[name]
	if m == nil {
		return "", nil, nil
	}
	if err := a.stored(m); err != nil {
		return "", nil, err
	}
	if m.size > maxSmall {
		return "", nil, a.corrupt(m.header, "member %q has %d bytes, more than %d", name, m.size, maxSmall)
	}
	b, err := a.read(m.begin, m.size, nil)
	return string(b), m, err
}

// unpickle reads data.pkl.
func (a *archive) unpickle(folder string) (any, error) {
	m := a.byName[folder+"/data.pkl"]
	if err := a.stored(m); err != nil {
		return nil, err
	}
	if m.size > MaxPickle {
		return nil, a.unsupported(m.begin, "the pickle has %d bytes, more than %d", m.size, MaxPickle)
	}
	b, err := a.read(m.begin, m.size, nil)
	if err != nil {
		return nil, err
	}
	// A sum of 0 means that PyTorch was told not to compute sums.
	if sum := crc32.ChecksumIEEE(b); m.crc != 0 && sum != m.crc {
		return nil, a.corrupt(m.begin, "the checksum of member %q is %08x, not %08x", m.name, sum, m.crc)
	}
	// The pickle is copied: strings of it live longer than the file is open.
	root, err := pickle.Read(string(b), &host{archive: a, folder: folder, base: m.begin})
	if err == nil {
		return root, nil
	}
	var e *pickle.Error
	if !errors.As(err, &e) {
		return nil, fmt.Errorf("%s: %w", a.file, err)
	}
	if e.Refused {
		return nil, a.unsupported(m.begin+e.Offset, "%s", e.Reason)
	}
	return nil, &layout.CorruptError{File: a.file, Offset: m.begin + e.Offset, Reason: e.Reason, Err: e.Err}
}
