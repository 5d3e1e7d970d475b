package torch

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
)

// A small assembler of pickles: each function returns the opcodes that push
// one value.

func program(v string) string { return "\x80\x02" + v + "." }

func str(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func num(n int64) string {
	if n == int64(int32(n)) {
		return "J" + string(binary.LittleEndian.AppendUint32(nil, uint32(n)))
	}
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func tup(items ...string) string { return "(" + strings.Join(items, "") + "t" }

func nums(list []int64) string {
	items := make([]string, len(list))
	for i, n := range list {
		items[i] = num(n)
	}
	return tup(items...)
}

func list(items ...string) string { return "](" + strings.Join(items, "") + "e" }

func dict(keysAndValues ...string) string { return "}(" + strings.Join(keysAndValues, "") + "u" }

func glob(full string) string {
	i := strings.LastIndexByte(full, '.')
	return "c" + full[:i] + "\n" + full[i+1:] + "\n"
}

func call(fn string, args ...string) string { return glob(fn) + tup(args...) + "R" }

func store(kind, key string, numel int64) string {
	return tup(str("storage"), glob(kind), str(key), str("cpu"), num(numel)) + "Q"
}

const noHooks = "ccollections\nOrderedDict\n)R"

// tens is a tensor by _rebuild_tensor_v2.
func tens(storage string, offset int64, shape, strides []int64, metadata ...string) string {
	args := append([]string{storage, num(offset), nums(shape), nums(strides), "\x89", noHooks}, metadata...)
	return call("torch._utils._rebuild_tensor_v2", args...)
}

// tens3 is a tensor by _rebuild_tensor_v3.
func tens3(storage, dtype string, offset int64, shape, strides []int64) string {
	return call("torch._utils._rebuild_tensor_v3", storage, num(offset), nums(shape), nums(strides), "\x89", noHooks, glob(dtype))
}

// vec is a whole storage of n float32 as a vector.
func vec(key string, n int64) string {
	return tens(store("torch.FloatStorage", key, n), 0, []int64{n}, []int64{1})
}

type ax = []int64

// An entry is a member of a zip archive that is about to be written. The zero
// values of the numbers mean the right ones.
type entry struct {
	name, data string
	method     uint16
	flags      uint16
	localName  string // if other than name
	crc        uint32
	zip64      bool
	header     int64 // instead of the true offset
	sizeDelta  int64 // added to the sizes in the directory
}

// zipFile writes a zip archive in the manner of torch.save: members stored,
// values aligned to 64 bytes by an extra field of the local header.
func zipFile(entries ...entry) []byte {
	le := binary.LittleEndian
	var out, dir []byte
	for _, e := range entries {
		header, size := int64(len(out)), int64(len(e.data))
		crc := e.crc
		if crc == 0 {
			crc = crc32.ChecksumIEEE([]byte(e.data))
		}
		localName := e.localName
		if localName == "" {
			localName = e.name
		}
		size32 := uint32(size)
		var extra []byte
		if e.zip64 {
			size32 = 0xffffffff
			extra = le.AppendUint16(extra, extraZip64)
			extra = le.AppendUint16(extra, 16)
			extra = le.AppendUint64(extra, uint64(size))
			extra = le.AppendUint64(extra, uint64(size))
		}
		dirExtra := slices.Clone(extra)
		pad := 64 - (len(out)+lenLocal+len(localName)+len(extra)+4)%64
		extra = append(append(extra, 'F', 'B', byte(pad), 0), strings.Repeat("Z", pad)...)

		out = le.AppendUint32(out, sigLocal)
		out = le.AppendUint16(out, 0)
		out = le.AppendUint16(out, e.flags)
		out = le.AppendUint16(out, e.method)
		out = le.AppendUint32(out, 0) // time
		if e.flags&flagDeferred != 0 {
			out = append(out, make([]byte, 12)...)
		} else {
			out = le.AppendUint32(out, crc)
			out = le.AppendUint32(out, size32)
			out = le.AppendUint32(out, size32)
		}
		out = le.AppendUint16(out, uint16(len(localName)))
		out = le.AppendUint16(out, uint16(len(extra)))
		out = append(append(append(out, localName...), extra...), e.data...)
		if e.flags&flagDeferred != 0 {
			out = le.AppendUint32(out, 0x08074b50)
			out = le.AppendUint32(out, crc)
			out = le.AppendUint32(out, uint32(size))
			out = le.AppendUint32(out, uint32(size))
		}

		if e.header != 0 {
			header = e.header
		}
		dir = le.AppendUint32(dir, sigEntry)
		dir = le.AppendUint32(dir, 0)
		dir = le.AppendUint16(dir, e.flags)
		dir = le.AppendUint16(dir, e.method)
		dir = le.AppendUint32(dir, 0)
		dir = le.AppendUint32(dir, crc)
		dir = le.AppendUint32(dir, size32+uint32(e.sizeDelta))
		dir = le.AppendUint32(dir, size32+uint32(e.sizeDelta))
		dir = le.AppendUint16(dir, uint16(len(e.name)))
		dir = le.AppendUint16(dir, uint16(len(dirExtra)))
		dir = append(dir, make([]byte, 10)...) // comment, disk, attributes
		dir = le.AppendUint32(dir, uint32(header))
		dir = append(append(dir, e.name...), dirExtra...)
	}
	begin := len(out)
	out = append(out, dir...)
	// torch.save always adds the 64-bit end record.
	at := len(out)
	out = le.AppendUint32(out, sigEnd64)
	out = le.AppendUint64(out, lenEnd64-12)
	out = append(out, make([]byte, 12)...)
	out = le.AppendUint64(out, uint64(len(entries)))
	out = le.AppendUint64(out, uint64(len(entries)))
	out = le.AppendUint64(out, uint64(len(dir)))
	out = le.AppendUint64(out, uint64(begin))
	out = le.AppendUint32(out, sigLocator64)
	out = le.AppendUint32(out, 0)
	out = le.AppendUint64(out, uint64(at))
	out = le.AppendUint32(out, 1)
	out = le.AppendUint32(out, sigEnd)
	out = le.AppendUint32(out, 0)
	out = append(out, 0xff, 0xff, 0xff, 0xff)
	out = le.AppendUint32(out, 0xffffffff)
	out = le.AppendUint32(out, 0xffffffff)
	return le.AppendUint16(out, 0)
}

// save writes what torch.save would for a pickle and its storages, given as
// keys and values.
func save(pickled string, storages ...string) []byte {
	entries := []entry{
		{name: "m/data.pkl", data: pickled, flags: flagDeferred},
		{name: "m/byteorder", data: "little"},
	}
	for i := 0; i < len(storages); i += 2 {
		entries = append(entries, entry{name: "m/data/" + storages[i], data: storages[i+1], flags: flagDeferred})
	}
	return zipFile(append(entries, entry{name: "m/version", data: "3\n"})...)
}

// seq returns n bytes 0, 1, 2, ...
func seq(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}
