"""A decoder of .rope files, version 1, of all coders, that follows docs/FORMAT.md and shares nothing with the Go code.

    python decode.py FILE.rope OUT [BASE.bin]     decode one file
    python decode.py --all DIR                    decode and compare each vector of DIR/vectors.txt

It exists to show that the document suffices: each function cites its section. It needs `pip install zstandard`, keeps
everything in memory, and is slow. Section numbers are those of docs/FORMAT.md.
"""

import functools
import hashlib
import math
import os
import posixpath
import struct
import sys
from collections import defaultdict, namedtuple

import zstandard


class Refused(Exception):
    """The file breaks a rule of the format."""


def must(condition, what):
    if not condition:
        raise Refused(what)


def clip(x, lo, hi):
    return lo if x < lo else hi if x > hi else x


def div(a, b):
    """Integer division that truncates towards zero (introduction); b > 0."""
    return a // b if a >= 0 else -(-a // b)


def unzigzag(u):
    return u >> 1 ^ -(u & 1)


# Introduction: numbers and strings


class Cursor:
    """Reads the primitive fields of the introduction."""

    def __init__(self, data, pos=0, end=None):
        self.data, self.pos, self.end = data, pos, len(data) if end is None else end

    def take(self, n):
        must(n <= self.end - self.pos, "truncated")
        self.pos += n
        return self.data[self.pos - n : self.pos]

    def rest(self):
        return self.take(self.end - self.pos)

    def byte(self):
        return self.take(1)[0]

    def number(self):
        value = 0
        for i in range(10):
            b = self.byte()
            value |= (b & 0x7F) << 7 * i
            if b < 0x80:
                must(b or not i, "number longer than needed")
                must(value < 1 << 64, "number of more than 64 bits")
                return value
        raise Refused("number of more than ten bytes")

    def signed(self):
        return unzigzag(self.number())

    def string(self):
        return self.take(self.number()).decode("utf-8", "surrogateescape")

    def finish(self):
        must(self.pos == self.end, "bytes left over")


# Section 2: frames


def make_crc32c_table():
    table = []
    for c in range(256):
        for _ in range(8):
            c = c >> 1 ^ (0x82F63B78 if c & 1 else 0)
        table.append(c)
    return table


CRC32C = make_crc32c_table()


def crc32c(data):
    """Section 2: CRC-32C (Castagnoli)."""
    c = 0xFFFFFFFF
    for b in data:
        c = c >> 8 ^ CRC32C[(c ^ b) & 0xFF]
    return c ^ 0xFFFFFFFF


def read_frame(cur):
    """Section 2: one frame; returns coder and payload."""
    start = cur.pos
    coder = cur.byte()
    payload = cur.take(cur.number())
    end = cur.pos
    must(struct.unpack("<I", cur.take(4))[0] == crc32c(cur.data[start:end]), "checksum of a frame")
    return coder, payload


def zstd(payload, size):
    """Section 5, coder 1: one Zstandard frame, read only up to the declared size (section 9)."""
    must(payload[:4] == b"\x28\xb5\x2f\xfd", "not a Zstandard frame")
    decoder = zstandard.ZstdDecompressor(max_window_size=32 << 20).decompressobj()
    out, pos = bytearray(), 0
    try:
        while pos < len(payload) and not decoder.eof:
            out += decoder.decompress(payload[pos : pos + 64])
            pos += 64
            must(len(out) <= size, "more content than declared")
    except zstandard.ZstdError as e:
        raise Refused(str(e))
    must(decoder.eof and not decoder.unused_data and pos >= len(payload), "not exactly one Zstandard frame")
    must(len(out) == size, "less content than declared")
    return bytes(out)


def read_content(cur):
    """Section 2: the content of the frame of the header or of the index."""
    coder, payload = read_frame(cur)
    must(coder in (0, 1, 11), "coder of header or index")
    if coder == 0:
        must(len(payload) <= 1 << 30, "content too long")
        return Cursor(payload)
    inner = Cursor(payload)
    size, packed = inner.number(), inner.rest()
    must(size <= 1 << 30 and (size <= 1 << 18 or size // 64 <= len(packed)), "content too long")
    return Cursor(zstd(packed, size) if coder == 1 else read_text(packed, size))


# Section 3: header

BITS = {"F4": 4, "I4": 4, "U4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E8M0": 8,
        "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
        "U32": 32, "I32": 32, "F32": 32, "C64": 64, "U64": 64, "I64": 64, "F64": 64, "C128": 128}  # fmt: skip

COPY, BASE_COPY, BASE_REFERENCE = 1, 2, 3  # sources; 0 is "in a group"


class Array:
    """Section 3.8. An array of the header, or the skeleton as a member of a group."""

    def __init__(self, name="", type="", shape=(), size=0):
        self.name, self.type, self.shape, self.size = name, type, shape, size
        self.file = self.offset = self.source = self.other = 0


Header = namedtuple("Header", "block_size format base metadata files arrays skeleton_size skeleton groups")


def read_shape(cur):
    axes = cur.number()
    must(axes <= 64, "more than 64 axes")
    shape = tuple(cur.number() for _ in range(axes))
    must(math.prod(shape) <= 1 << 62, "elements of a tensor")
    return shape


def pick(items, index):
    must(index < len(items), "index out of range")
    return items[index]


def read_header(cur, base):
    """Section 3."""
    features = cur.number()
    must(features < 16 and features & 14 in (0, 2, 4, 8), "unknown features")
    block_size = cur.number()
    must(1 <= block_size <= 1 << 22, "block size")
    format_ = cur.string()
    base_digest = cur.take(32) if features & 1 else None
    if base_digest is not None:
        must(base is not None, "needs a base")
        must(base_digest == content_digest(base), "content digest of the base")
    metadata = [(cur.string(), cur.string()) for _ in range(cur.number())]
    files = read_files(cur, features & 8)
    types = [cur.string() for _ in range(cur.number())]
    arrays = read_arrays(cur, files, types, base if base_digest is not None else None, features & 8)
    views = read_views(cur, files, types, arrays)
    groups = read_group_lists(cur)
    skeleton = None
    if features & 8:
        must(format_ == "onnx" and len(files) == 1, "skeleton of a model of another format")
        skeleton = Model(cur, arrays).read()
        files = [(files[0][0], len(skeleton) + sum(a.size for a in arrays))]
    skeleton_size = sum(size for _, size in files) - sum(a.size for a in arrays)
    if features & 2:
        must(skeleton_size <= 65536, "inline skeleton too long")
        skeleton = cur.take(skeleton_size)
    if features & 4:
        must(format_ == "safetensors" and len(files) == 1, "described skeleton of another format")
        skeleton = read_described(cur, skeleton_size, skeleton_text(metadata, views, skeleton_size))
    cur.finish()
    check_groups(groups, arrays, skeleton_size if skeleton is None else 0)
    return Header(block_size, format_, base_digest, metadata, files, arrays, skeleton_size, skeleton, groups)


def read_files(cur, model):
    """Section 3.6."""
    files = [(cur.string(), 0 if model else cur.number()) for _ in range(cur.number())]
    must(files, "no file")
    clean = [posixpath.normpath(name) for name, _ in files]
    for (name, _), path in zip(files, clean):
        must(name and path != "." and not set(name) & set("\\:\0"), "name of a file")
        must(path[0] != "/" and path.split("/")[0] != "..", "name of a file")
    must(len(set(clean)) == len(clean), "two files of one name")
    must(sum(size for _, size in files) <= 1 << 60, "sizes of files")
    return files


def read_arrays(cur, files, types, base, model):
    """Section 3.8."""
    n = cur.number()
    must(n <= cur.end - cur.pos, "truncated")
    arrays = [Array(cur.string()) for _ in range(n)]
    for a in arrays:
        a.type = pick(types, cur.number())
    for a in arrays:
        a.shape = read_shape(cur)
    for a in arrays:
        bits = BITS.get(a.type)
        a.size = cur.number() if bits is None else (math.prod(a.shape) * bits + 7) // 8
    file = end = 0
    for a in () if model else arrays:
        step = cur.number()
        file, end = file + step, 0 if step else end
        a.file, a.offset = file, end + cur.number()
        end = a.offset + a.size
        must(end <= pick(files, file)[1], "array outside of its file")
    for i, a in enumerate(arrays):
        a.source = cur.byte()
        must(a.source <= 3, "source")
        if a.source == COPY:
            a.other = i - 1 - cur.number()
            must(a.other >= 0 and arrays[a.other].source != COPY and arrays[a.other].size == a.size, "source 1")
        elif a.source:
            must(base is not None, "source needs a base")
            a.other = cur.number()
            must(len(pick(base, a.other)[2]) == a.size, "size of the array of the base")
    return arrays


def read_views(cur, files, types, arrays):
    """Section 3.9: name, type, shape and array of each view, or None for one of kind 3. Only section 3.12 needs them."""
    array, views = -1, []  # array: of the view before
    for _ in range(cur.number()):
        kind = cur.byte()
        must(kind <= 3, "kind of a view")
        if kind == 0 or kind == 1:
            array = array + 1 if kind == 0 else cur.number()
            a = pick(arrays, array)
            views.append((a.name, a.type, a.shape, a))
            continue
        name = cur.string()
        type_, shape = pick(types, cur.number()), read_shape(cur)
        if kind == 3:
            cur.string()
            file, offset, size = cur.number(), cur.number(), cur.number()
            must(offset + size <= pick(files, file)[1], "view outside of its file")
            views.append(None)
            continue
        array, offset, strided = cur.number(), cur.number(), cur.byte()
        must(strided <= 1, "strides of a view")
        dense = [math.prod(max(axis, 1) for axis in shape[i + 1 :]) for i in range(len(shape))]
        strides = [cur.number() for _ in shape] if strided else dense
        a = pick(arrays, array)
        views.append((name, type_, shape, a))
        if offset == 0 and strides == dense and is_whole(type_, shape, a):
            continue
        bits = BITS.get(type_)
        must(bits and bits % 8 == 0, "type of a view of a part")
        must(max(offset, *strides, 0) <= 1 << 60, "offset or stride of a view")
        last = offset + sum((axis - 1) * stride for axis, stride in zip(shape, strides))
        if math.prod(shape):
            must((last + 1) * bits <= 8 * a.size, "view outside of its array")
            must(math.prod(shape) * bits // 8 <= 64 * (a.size + (1 << 14)) + 63, "view much larger than its array")
    return views


def is_whole(type_, shape, array):
    """Section 3.9: whether a view without offset and strides is its whole array."""
    if type_ not in BITS:
        return type_ == array.type and shape == array.shape
    return type_ == array.type and (math.prod(shape) * BITS[type_] + 7) // 8 == array.size


def skeleton_text(metadata, views, skeleton_size):
    """Section 3.12: the text that follows from metadata and views."""

    def quoted(s):
        return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'

    parts = []
    if metadata:
        parts.append('"__metadata__":{' + ",".join(quoted(k) + ":" + quoted(v) for k, v in metadata) + "}")
    text = "{"
    if metadata:
        text += parts.pop() + ","
    for view in views:
        must(view is not None, "described skeleton with a view of kind 3")
        name, type_, shape, array = view
        begin = array.offset - skeleton_size
        must(begin >= 0, "array in the skeleton")
        axes = ",".join(str(axis) for axis in shape)
        parts.append('%s:{"dtype":"%s","shape":[%s],"data_offsets":[%d,%d]}' % (quoted(name), type_, axes, begin, begin + array.size))
    text = (text + ",".join(parts) + "}").encode("utf-8", "surrogateescape")
    must(len(text) <= 1 << 20, "text of a described skeleton")
    return text


def read_described(cur, size, text):
    """Section 3.12: how the skeleton differs from that text."""
    must(8 <= size <= 1 << 20, "size of a described skeleton")
    left_out, put = cur.number(), cur.take(cur.number())
    at = cur.number() if left_out or put else 0
    must(at + left_out <= len(text), "place in a described skeleton")
    skeleton = struct.pack("<Q", size - 8) + text[:at] + put + text[at + left_out :]
    must(len(skeleton) <= size, "described skeleton too long")
    return skeleton + b" " * (size - len(skeleton))


class Model:
    """Section 3.13: the skeleton of a model."""

    INNER = {
        "model": {7: "graph", 8: "leaf", 14: "leaf"},
        "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value"},
        "node": {5: "attribute"},
        "attribute": {5: "tensor"},
        "value": {2: "type"},
        "type": {1: "shaped"},
        "shaped": {2: "shape"},
        "shape": {1: "leaf"},
    }

    def __init__(self, cur, arrays):
        self.cur, self.arrays, self.next, self.named, self.output = cur, arrays, 0, 0, b""

    def read(self):
        skeleton, _ = self.message("model")
        must(self.next == len(self.arrays), "arrays that are not in the model")
        must(len(skeleton) + sum(a.size for a in self.arrays) <= 1 << 60, "size of the file")
        return skeleton

    def take_array(self):
        self.next += 1
        return pick(self.arrays, self.next - 1)

    def message(self, kind):
        """The skeleton of a message, and the bytes of arrays in it; offsets of these are in the message."""
        n, string = number_bytes, lambda s: number_bytes(len(s)) + s
        out, sizes, cur = b"", 0, self.cur
        while True:
            must(len(out) <= 65536, "skeleton of a model too long")
            key = cur.number()
            must(key < 1 << 32, "key")
            if key == 0:
                return out, sizes
            if (key, kind) in ((1, "tensor"), (2, "graph")):
                a, head = self.take_array(), b""
                if key == 2:
                    head = b"".join(b"\x08" + n(axis) for axis in a.shape) + b"\x10" + n(cur.number())
                    head += b"\x42" + string(a.name.encode("utf-8", "surrogateescape")) + b"\x4a" + n(a.size)
                out += (b"\x2a" if key == 2 else b"\x4a") + n(len(head) + a.size) + head
                a.file, a.offset = 0, len(out) + sizes
                sizes += a.size
            elif key == 3 and kind == "node":
                out += b"\x0a" + string(pick(self.arrays, self.named).name.encode("utf-8", "surrogateescape"))
                self.named += 1
            elif key == 4 and kind == "node":
                out += b"\x0a" + string(self.output)
            elif key == 5 and kind == "node":
                cut = cur.number()
                must(cut <= len(self.output), "name of a node")
                out += b"\x1a" + string(self.output[: len(self.output) - cut])
            else:
                must(key >= 8 and key & 7 in (0, 1, 2, 5), "key")
                inner = self.INNER.get(kind, {}).get(key >> 3)
                out += n(key)
                if key & 7 != 2:
                    out += n(cur.number()) if key & 7 == 0 else cur.take(8 if key & 7 == 1 else 4)
                elif inner:
                    first = self.next
                    content, size = self.message(inner)
                    out += n(len(content) + size)
                    for a in self.arrays[first : self.next]:
                        a.offset += len(out) + sizes
                    out, sizes = out + content, sizes + size
                else:
                    content = cur.take(cur.number())
                    out += string(content)
                    if (kind, key) == ("node", 0x12):
                        self.output = content


def read_group_lists(cur):
    """Section 3.10: the members of each group, as indices of arrays."""
    groups = []
    for _ in range(cur.number()):
        members, last = [], -1
        for _ in range(cur.number() + 1):
            last += cur.number() + 1
            members.append(last)
        groups.append(members)
    return groups


def check_groups(groups, arrays, skeleton_size):
    """Section 3, end: who must be a member of a group."""
    expected = [i for i, a in enumerate(arrays) if a.source in (0, BASE_REFERENCE) and a.size]
    if skeleton_size:
        expected.append(len(arrays))
    must(sorted(m for members in groups for m in members) == expected, "members of groups")


# Section 4: groups and blocks

Unit = namedtuple("Unit", "name width exponent mantissa")
BYTES = Unit("bytes", 1, 0, 0)
UNITS = {
    "BOOL U8 F8_E8M0": Unit("U8", 1, 0, 0),
    "I8": Unit("I8", 1, 0, 0),
    "F8_E4M3 F8_E5M2 F8_E4M3FNUZ F8_E5M2FNUZ": Unit("F8", 1, 0, 0),
    "U16": Unit("U16", 2, 0, 0),
    "I16": Unit("I16", 2, 0, 0),
    "F16": Unit("F16", 2, 5, 10),
    "BF16": Unit("BF16", 2, 8, 7),
    "U32": Unit("U32", 4, 0, 0),
    "I32": Unit("I32", 4, 0, 0),
    "F32 C64": Unit("F32", 4, 8, 23),
    "U64": Unit("U64", 8, 0, 0),
    "I64": Unit("I64", 8, 0, 0),
    "F64 C128": Unit("F64", 8, 11, 52),
}
UNIT_OF = {type_: unit for types, unit in UNITS.items() for type_ in types.split()}


def unit_of(array):
    return UNIT_OF.get(array.type, BYTES)


# What the decoder of a block (section 4: of a part) knows: n values of a unit, the segments that they lie in (section 7.2),
# whether these have codebooks, and the co-located values of the base or None.
Block = namedtuple("Block", "unit n segments indexed base")
# In a segment, width is the w of section 7.3, and row counts the values for each scale of form 7.
Segment = namedtuple("Segment", "columns taps width first count row book")

# A codebook: values, or with a list of scales the integers of form 7; and its levels (section 5.3).
Book = namedtuple("Book", "values scales levels")


def unpack(data, width):
    return list(struct.unpack("<%d%s" % (len(data) // width, {1: "B", 2: "H", 4: "I", 8: "Q"}[width]), data))


def pack(values, width):
    return struct.pack("<%d%s" % (len(values), {1: "B", 2: "H", 4: "I", 8: "Q"}[width]), *values)


def read_group(cur, members, block_size, lengths, codebooks_length, digest, base):
    """Section 4: the bytes of each member of a group."""
    unit = unit_of(members[0])
    must(all(unit_of(m) == unit for m in members), "units of a group")
    delta = members[0].source == BASE_REFERENCE
    must(all((m.source == BASE_REFERENCE) == delta for m in members), "references of a group")
    counts = [m.size // unit.width for m in members]
    total = sum(counts)
    must(len(members) == 1 or total <= min(block_size, 1 << 19), "group of several members in several blocks")
    books = [None] * len(members)
    if codebooks_length:
        coder, payload = sized_frame(cur, codebooks_length)
        must(coder == 6, "frame of codebooks")
        books = read_codebooks(payload, members, counts, unit)
        must(len(members) > 1 or books[0], "codebook of the only member")
    parts = [bytearray() for _ in members]
    for start, frames in zip(range(0, total, block_size), lengths):
        end = min(start + block_size, total)
        for indexed, length in zip((True, False), frames):
            own = [i for i, book in enumerate(books) if (book is not None) == indexed]
            found = segments(members, counts, books, start, end, own)
            must(bool(found) == bool(length), "parts of a block")
            if not found:
                continue
            reference = None
            if delta:
                cut = [base[members[i].other][2][s.first * unit.width : (s.first + s.count) * unit.width] for i, s in found]
                reference = unpack(b"".join(cut), unit.width)
            coder, payload = sized_frame(cur, length)
            block = Block(unit, sum(s.count for _, s in found), [s for _, s in found], indexed, reference)
            data = Cursor(read_block(coder, payload, block))
            for i, s in found:
                parts[i] += data.take(s.count * unit.width)
            data.finish()
    parts = [bytes(part) for part in parts]

    must(digest is None or group_digest(parts) == digest, "digest of a group")
    return parts


def group_digest(parts):
    if len(parts) == 1:
        return hashlib.sha256(parts[0]).digest()
    return hashlib.sha256(b"".join(hashlib.sha256(p).digest() for p in parts)).digest()


def sized_frame(cur, length):
    frame = Cursor(cur.data, cur.pos, cur.pos + length)
    must(frame.end <= cur.end, "truncated")
    result = read_frame(frame)
    frame.finish()
    cur.pos = frame.end
    return result


# Section 5: coders


def read_block(coder, payload, block):
    """Section 5: the bytes of a block."""
    unit, n = block.unit, block.n
    width = unit.width
    if coder == 0:
        must(len(payload) == n * width, "length of a raw block")
        return payload
    if coder == 1:
        return zstd(payload, n * width)
    if coder == 2:
        must(len(payload) == width, "length of a fill block")
        return payload * n
    if coder == 3 or coder == 4:
        values = read_planes(payload, n, width, coder == 4)
    elif coder == 5:
        must(unit.exponent, "coder 5 for a unit that is not of floats")
        values = read_floats(payload, block)
    elif coder in (7, 8, 12):
        must(block.indexed, "coder needs a codebook")
        if coder == 7:
            most = max(len(s.book.values) for s in block.segments)
            indices = read_planes(payload, n, 1 if most <= 256 else 2, False)
        else:
            indices = read_levels(payload, block) if coder == 8 else read_lanes(payload, block)
        values = []
        for s in block.segments:
            for i in range(s.first, s.first + s.count):
                value = pick(s.book.values, indices[len(values)])
                values.append(product(s.book.scales[i // s.row], value) if s.book.scales else value)
    elif coder == 9 or coder == 10:
        must(block.base is not None, "coder needs a base")
        if coder == 9:
            differences = [unzigzag(u) for u in read_planes(payload, n, width, False)]
        else:
            differences = read_delta(payload, block)
        values = [add_difference(b, d, unit) for b, d in zip(block.base, differences)]
    else:
        raise Refused("unknown coder %d" % coder)
    return pack(values, width)


def ordered(value, unit):
    """Section 5: the ordered integer of a value."""
    bits = 8 * unit.width
    top = 1 << (bits - 1)
    if unit.name[0] == "I":
        return value ^ top
    if unit.name in ("F8", "F16", "BF16", "F32", "F64"):
        return value ^ ((1 << bits) - 1) if value & top else value | top
    return value


def from_ordered(o, unit):
    """Section 5: the value of an ordered integer."""
    bits = 8 * unit.width
    top = 1 << (bits - 1)
    if unit.name[0] == "I":
        return o ^ top
    if unit.name in ("F8", "F16", "BF16", "F32", "F64"):
        return o ^ top if o & top else o ^ ((1 << bits) - 1)
    return o


def add_difference(value, d, unit):
    """Section 5: in differences all integer units, F8 and bytes count as signed integers; modulo 2^bits that is a sum."""
    if unit.exponent == 0:
        return (value + d) % (1 << 8 * unit.width)
    return from_ordered((ordered(value, unit) + d) % (1 << 8 * unit.width), unit)


def read_planes(payload, n, width, rotate):
    """Section 5.1: the chunks of a payload."""
    cur = Cursor(payload)
    values = []
    while len(values) < n:
        values += read_chunk(cur, min(n - len(values), 1 << 18), width, rotate)
    cur.finish()
    return values


def read_chunk(cur, n, width, rotate):
    """Section 5.1: one chunk of any mode."""
    if cur.data[cur.pos : cur.pos + 1] != b"\2":
        return read_turned(cur, n, width, rotate)
    cur.byte()
    kind = cur.byte()
    must(kind <= 2, "kind of a mask")
    mask = read_plane(cur, kind, (n + 7) // 8)
    bits = [mask[i // 8] >> i % 8 & 1 for i in range(8 * len(mask))]
    must(not any(bits[n:]), "mask behind the last value")
    count = sum(bits)
    others = iter(read_turned(cur, count, width, rotate) if count else [])
    return [next(others) if bit else 0 for bit in bits[:n]]


def read_turned(cur, n, width, rotate):
    """Section 5.1: modes 0 and 1."""
    mode = cur.byte()
    must(mode <= 1, "mode of planes")
    if mode == 0:
        return unpack(cur.take(n * width), width)
    kinds = [cur.byte() for _ in range(width)]
    must(max(kinds) <= 3 and any(kinds), "kinds of planes")
    planes = [None] * width
    stored = [p for p, kind in enumerate(kinds) if kind == 0]
    data = cur.take(n * len(stored))
    for i, p in enumerate(stored):
        planes[p] = data[i :: len(stored)]
    for p, kind in enumerate(kinds):
        if kind:
            planes[p] = read_plane(cur, kind, n)
    if width == 2:
        planes = [in_order(plane) for plane in planes]
    values = [int.from_bytes(v, "little") for v in zip(*planes)]
    if rotate:
        top = 8 * width - 1
        values = [v >> 1 | (v & 1) << top for v in values]
    return values


def in_order(plane):
    """Section 5.1: the order of the planes of two-byte values, undone."""
    whole = len(plane) // 8 * 8
    out = bytearray(plane)
    for at in range(0, whole, 8):
        for i, v in enumerate((0, 4, 1, 5, 2, 6, 3, 7)):
            out[at + v] = plane[at + i]
    return bytes(out)


def read_plane(cur, kind, n):
    """Section 5.1: a plane of n bytes of any kind."""
    if kind == 0:
        return cur.take(n)
    if kind == 1:
        return cur.take(1) * n
    if kind == 2:
        return read_huffman(cur, n)
    return read_classes(cur, n)


def read_classes(cur, n):
    """Section 5.1: segments of 128 bytes, each of one of some classes."""
    count = cur.byte()
    must(2 <= count <= 4, "number of classes")
    segments = (n + 127) // 128
    packed = cur.take((segments + 3) // 4)
    ids = [packed[i // 4] >> 2 * (i % 4) & 3 for i in range(4 * len(packed))]
    must(not any(ids[segments:]), "ids behind the last segment")
    ids = ids[:segments]
    must(max(ids) < count, "id of a class")
    sizes = [min(128, n - 128 * i) for i in range(segments)]
    parts = []
    for k in range(count):
        kind = cur.byte()
        must(kind <= 2, "kind of a class")
        parts.append(Cursor(read_plane(cur, kind, sum(s for i, s in zip(ids, sizes) if i == k))))
    return b"".join(parts[i].take(s) for i, s in zip(ids, sizes))


def read_lengths(cur):
    """Section 5.1: the lengths of the words of a Huffman plane."""
    nibbles = []

    def nibble():
        if not nibbles:
            b = cur.byte()
            nibbles.extend((b & 15, b >> 4))
        return nibbles.pop(0)

    lengths, left = [], 1 << 11
    while left > 0:
        x = nibble()
        must(x <= 13, "nibble of the lengths")
        if x == 12:
            lengths += [0] * (3 + nibble())
        elif x == 13:
            lengths += [0] * (19 + nibble() + 16 * nibble())
        else:
            lengths.append(x)
            left -= 1 << 11 >> x if x else 0
        must(len(lengths) <= 256, "symbol above 255")
    must(left == 0 and not any(nibbles), "incomplete code")
    return lengths


def read_huffman(cur, n):
    """Section 5.1: one Huffman plane of n bytes."""
    lengths = read_lengths(cur)
    words, word = {}, 0
    for length in range(1, 12):
        word *= 2
        for symbol, l in enumerate(lengths):
            if l == length:
                words[length, word] = symbol
                word += 1
    width = 2 if n <= 1 << 17 else 3
    sizes = [int.from_bytes(cur.take(width), "little") for _ in range(4)]
    quarter = (n + 3) // 4
    out = bytearray()
    for k, size in enumerate(sizes):
        todo = max(0, min((k + 1) * quarter, n) - k * quarter)
        bits = Bits(cur.take(size))
        for _ in range(todo):
            length = word = 0
            while (length, word) not in words:
                length, word = length + 1, word << 1 | bits.take(1)
            out.append(words[length, word])
        bits.finish()
    return bytes(out)


class Bits:
    """A string of bits, lowest first in each byte; what is left of the last byte is zero (sections 5.1, 7.4)."""

    def __init__(self, data):
        self.data, self.pos = data, 0

    def take(self, n):
        value = 0
        for i in range(n):
            must(self.pos < 8 * len(self.data), "truncated bits")
            value |= (self.data[self.pos >> 3] >> (self.pos & 7) & 1) << i
            self.pos += 1
        return value

    def finish(self):
        left = 8 * len(self.data) - self.pos
        must(left < 8 and self.take(left) == 0, "bits left over")


def read_codebooks(payload, members, counts, unit):
    """Section 5.2: the codebook of each member, or None."""
    cur = Cursor(payload)
    books, last = [], None
    for member, count in zip(members, counts):
        c = cur.number()
        if c == 0:
            books.append(None)
            continue
        if c == 1:
            must(last is not None and not last.scales, "codebook of another member")
            last = Book(last.values, None, fixed([number_of(member.type, v) for v in last.values]))
        else:
            must(c - 1 <= 4096, "levels of a codebook")
            start = cur.pos
            last = read_codebook(cur, c - 1, member, unit)
            must(c - 1 <= 64 * (cur.pos - start), "levels for each byte")
        must(len(last.values) <= count, "more levels than values")
        order = [v if last.scales else ordered(v, unit) for v in last.values]
        must(all(a < b for a, b in zip(order, order[1:])), "levels not increasing")
        books.append(last)
    cur.finish()
    return books


def read_list(cur, n, runs, signed):
    """Section 5.2: an increasing list of n integers."""
    out = []
    while len(out) < n:
        if not out:
            out.append(cur.signed() if signed else cur.number())
        else:
            out.append(out[-1] + cur.number() + (2 if runs else 1))
        if runs:
            more = cur.number()
            must(more <= n - len(out), "length of a run")
            out += range(out[-1] + 1, out[-1] + 1 + more)
    return out


def read_scale(data):
    """Section 5.2: a scale."""
    scale = struct.unpack("<f", data)[0]
    must(0 < scale < math.inf, "scale")
    return scale


def product(scale, k):
    """Section 5.2: a float32 product, as bits; it is exact as a double, and rounded once."""
    try:
        return struct.unpack("<I", struct.pack("<f", scale * k if k else 0.0))[0]
    except OverflowError:
        raise Refused("product of a scale")


def from_half(h):
    """Section 5.2: the F32 that is equal to a binary16, as bits."""
    must(h >> 10 & 31 != 31, "binary16 that is not finite")
    return struct.unpack("<I", struct.pack("<f", struct.unpack("<e", struct.pack("<H", h))[0]))[0]


def read_codebook(cur, n, member, unit):
    """Section 5.2: a codebook of n levels."""
    form = cur.byte()
    if form == 7:
        return read_rows(cur, n, member)
    must(form < 15, "form of a codebook")
    symmetric, form = form & 8, form & 7
    must(form < 3 or unit.name == "F32", "form of a codebook")
    stored = n // 2 if symmetric else n
    bits = 8 * unit.width
    if form == 0:
        values = unpack(cur.take(stored * unit.width), unit.width)
    elif form <= 2:
        values = read_list(cur, stored, form == 2, False)
        must(not values or values[-1] < 1 << bits, "level of a codebook")
        values = [from_ordered(o, unit) for o in values]
    elif form <= 4:
        scale = read_scale(cur.take(4))
        ks = read_list(cur, stored, form == 4, True)
        must(all(abs(k) <= 1 << 22 for k in ks), "integer of a grid")
        values = [product(scale, k) for k in ks]
    elif form == 5:
        values = [from_half(h) for h in unpack(cur.take(2 * stored), 2)]
    else:
        values = read_list(cur, stored, False, False)
        must(not values or values[-1] < 1 << 16, "level of a codebook")
        values = [from_half(from_ordered(o, UNIT_OF["F16"])) for o in values]
    if symmetric:
        if unit.name[0] == "I":
            below = [-v % (1 << bits) for v in values]
        else:
            must(unit.name in ("F8", "F16", "BF16", "F32", "F64"), "symmetric codebook of unsigned values")
            below = [v ^ 1 << bits - 1 for v in values]
        values = below[::-1] + [0] * (n % 2) + values
    return Book(values, None, fixed([number_of(member.type, v) for v in values]))


def read_rows(cur, n, member):
    """Section 5.2: form 7."""
    must(member.type == "F32" and len(member.shape) >= 2, "rows of such a member")
    how = cur.byte()
    must(how & 3 <= 2 and how < 8, "form of scales")
    rows = member.shape[0]
    must(rows <= 64 * (cur.end - cur.pos), "rows for each byte")
    if how & 3 == 0:
        data = cur.take(4 * rows)
    elif how & 3 == 1:
        data = pack([from_half(h) for h in unpack(cur.take(2 * rows), 2)], 4)
    else:
        coded = cur.take(cur.number())
        must(rows <= 64 * len(coded), "rows for each byte")
        data = pack(read_planes(coded, rows, 4, True), 4)
    scales = [read_scale(data[i : i + 4]) for i in range(0, len(data), 4)]
    ks = read_list(cur, n, how & 4, True)
    must(all(abs(k) <= 1 << 15 for k in ks), "integer of rows")
    for scale in scales:
        product(scale, ks[0])
        product(scale, ks[-1])
    return Book(ks, scales, fixed(ks))

# Section 5.3: levels

# The bits of exponent and mantissa of the types of floats.
FLOATS = {"F8_E4M3": (4, 3), "F8_E5M2": (5, 2), "F8_E4M3FNUZ": (4, 3), "F8_E5M2FNUZ": (5, 2), "F16": (5, 10), "BF16": (8, 7),
          "F32": (8, 23), "C64": (8, 23), "F64": (11, 52), "C128": (11, 52)}  # fmt: skip


def number_of(type_, value):
    """Section 5.3: a value as an integer, times a power of two that all values of its type share; None if it is not finite."""
    if type_ not in FLOATS:
        top = BITS.get(type_, 8)
        return value - (1 << top) if type_[0] == "I" and top >= 8 and value >> (top - 1) else value
    exponent_bits, mantissa_bits = FLOATS[type_]
    negative, rest = divmod(value, 1 << exponent_bits + mantissa_bits)
    exponent, mantissa = rest >> mantissa_bits, rest & (1 << mantissa_bits) - 1
    if type_ == "F8_E4M3":
        finite = rest != 0x7F
    elif type_.endswith("FNUZ"):
        finite = value != 0x80
    else:
        finite = exponent != (1 << exponent_bits) - 1
    if not finite:
        return None
    magnitude = mantissa << 1 if exponent == 0 else (mantissa | 1 << mantissa_bits) << exponent
    return -magnitude if negative else magnitude


def fixed(numbers):
    """Section 5.3: the levels of a codebook, from its numbers."""
    if None in numbers or not any(numbers):
        return [256 * i for i in range(len(numbers))]
    down = max(abs(x) for x in numbers).bit_length() - 21
    magnitudes = [abs(x) >> down if down > 0 else abs(x) << -down for x in numbers]
    return [-m if x < 0 else m for x, m in zip(numbers, magnitudes)]


# Section 5.4: lanes


class LaneParameters:
    """Section 5.4.1: what the range coder of the parameters codes. Probabilities have names."""

    RATE = [2 * (65536 // (2 * c + 3)) for c in range(31)]

    def __init__(self, payload):
        self.coder = RangeDecoder(payload)
        self.adaptive = defaultdict(lambda: [0, 0])

    def flag(self, *name):
        state = self.adaptive[name]
        p, c = state
        bit = self.coder.decide(p + (1 << 15))
        target = (1 << 15) if bit else -(1 << 15)
        limit = (1 << 15) - 256
        state[:] = clip(p + ((target - p) * self.RATE[c] >> 16), -limit, limit), min(c + 1, 30)
        return bit

    def unsigned(self, *name):
        return 0 if self.flag("zero", *name) else 1 + self.less_one(name)

    def signed(self, *name):
        if self.flag("zero", *name):
            return 0
        negative = self.flag("sign", *name)
        magnitude = 1 + self.less_one(name)
        return -magnitude if negative else magnitude

    def less_one(self, name):
        for i in range(15):
            if not self.flag(i, *name):
                return i
        k = 0
        while k < 16 and self.coder.decide(1 << 15):
            k += 1
        x = 0
        for _ in range(k):
            x = x << 1 | self.coder.decide(1 << 15)
        return 14 + (1 << k) + x

    def length(self):
        """The number of bytes of the coder, which are needed to tell its last interval from others."""
        lo, hi, shifted = self.coder.lo, self.coder.hi, self.coder.pos - 4
        if lo == 0 and hi == 0xFFFFFFFF:
            return shifted
        for n in range(1, 5):
            step = 1 << 32 - 8 * n
            v = -(-lo // step) * step
            if v < 1 << 32 and v + step - 1 <= hi:
                return shifted + n


class LaneShape:
    """Section 5.4.2: rows, columns and taps of a segment; the value i lies where place(i) says."""

    def __init__(self, segment, lanes):
        n = segment.count
        self.columns, self.taps = segment.columns, segment.taps
        self.row = self.columns * self.taps
        self.start = segment.first % self.row
        self.rows = -(-(self.start + n) // self.row)
        if self.rows < lanes and (self.rows == 1 or n >= 16384):
            self.columns = self.row = -(-n // lanes)
            self.taps, self.start = 1, 0
            self.rows = -(-n // self.row)
        self.structured = self.columns <= n and self.taps <= min(1024, n)
        self.order = sorted(range(n), key=lambda i: self.sequence(i, lanes))

    def place(self, i):
        """Row, column and tap."""
        r, q = divmod(self.start + i, self.row)
        return r, q // self.taps, q % self.taps

    def sequence(self, i, lanes):
        r, q = divmod(self.start + i, self.row)
        return r // lanes, q, r


class LaneModel:
    """Sections 5.4.3 to 5.4.5: the parameters of a segment, and the tables of its symbols."""

    def __init__(self, coder, shape, levels, last):
        self.shape, self.levels, self.tables = shape, levels, {}
        self.constant = None
        if coder.flag("constant"):
            self.constant = within(coder.unsigned("symbol"), 0, len(levels) - 1)
            return
        self.split = within(coder.unsigned("split"), 0, 8)
        self.symbols = (len(levels) - 1 >> self.split) + 1
        must(self.symbols <= 256, "symbols of an alphabet")
        last.shape = self.density = within(last.shape + coder.signed("shape"), 0, 11)
        self.dead = within(coder.unsigned("dead"), 0, 4)
        last.base = self.base = within(last.base + coder.signed("base"), 0, 168)
        last.scales = self.scales = within(last.scales + coder.signed("scales"), 1, 48)
        self.read_classes(coder, last)
        self.read_prediction(coder, last)
        self.weights = self.read_weights(coder)
        half = (1 << self.split) >> 1
        self.values = [levels[min((j << self.split) + half, len(levels) - 1)] for j in range(self.symbols)]
        self.bounds = self.make_bounds()

    def read_classes(self, coder, last):
        """Section 5.4.3, 4 and 5: the classes of rows, columns and taps."""
        shape, structured = self.shape, self.shape.structured
        flags = [coder.flag("rowed"), structured and coder.flag("coled"), structured and shape.taps > 1 and coder.flag("tapped")]
        self.low, self.step, self.classes = 0, 8, [None] * 3
        if not any(flags):
            must(self.scales == 1, "scales without classes")
            return
        last.fine = within(last.fine + coder.signed("fine"), 0, 3)
        self.step = 8 >> last.fine
        must(self.base + (self.scales - 1) * self.step <= 168, "largest scale")
        self.low = within(coder.signed("low"), -1020, 1020)
        for kind, count in enumerate((shape.rows, shape.columns, shape.taps)):
            if not flags[kind]:
                continue
            smooth, c, classes = coder.flag("smooth", kind), 0, []
            for _ in range(count):
                if smooth:
                    c += coder.signed("class", kind, 3)
                else:
                    c = coder.signed("class", kind, min(abs(c), 2))
                classes.append(within(c, -255, 255))
            self.classes[kind] = classes

    def read_prediction(self, coder, last):
        """Section 5.4.3, 6: coefficients, for each tap."""
        self.means = 0
        if not self.shape.structured or not coder.flag("predicted"):
            return
        last.means = self.means = within(last.means + coder.signed("means"), 1, 8)
        old, last.coefficients = last.coefficients, {}
        for t in range(min(self.shape.taps, 25)):
            for f in range(min(t, 8) + 1):
                last.coefficients[t, f] = within(old.get((t, f), 0) + coder.signed("coefficient", f), -255, 255)
        self.coefficients = last.coefficients

    def read_weights(self, coder):
        """Section 5.4.3, 7: weights of symbols."""
        if not coder.flag("weighted"):
            return None
        weights, w = [], 0
        for _ in range(self.symbols):
            w = within(w + coder.signed("weight", min(abs(w), 2)), -80, 80)
            weights.append(w)
        return weights

    def make_bounds(self):
        """Section 5.4.5: the bounds between symbols."""
        levels = self.levels
        bounds = []
        for j in range(self.symbols - 1):
            i = (j + 1 << self.split) - 1
            bounds.append(levels[i] + levels[i + 1] >> 1)
        if self.dead and self.split == 0:
            d = (12, 14, 15, 16)[self.dead - 1]
            for i in range(1, len(levels) - 1):
                if levels[i] == 0:
                    bounds[i - 1] = levels[i - 1] * d >> 4
                    bounds[i] = levels[i + 1] * d >> 4
        return bounds

    def table(self, i, values):
        """Section 5.4.4: the table of value i of the segment; values are those of the symbols before it."""
        place = self.shape.place(i)
        class_ = sum(classes[at] for classes, at in zip(self.classes, place) if classes) - self.low
        e = self.base + clip(class_, 0, self.scales - 1) * self.step
        mean = 0
        if self.means:
            _, column, tap = place
            t, m = min(tap, 24), min(tap, 8)
            terms = [(k, i - 1 - k) for k in range(m)]
            if column:
                terms.append((m, i - self.shape.taps))
            total = sum(self.coefficients[t, f] * values[at] for f, at in terms if at >= 0)
            mean = clip(((total >> 8) * (inverse_scale(e) >> 8) + (1 << 27)) >> 28, -self.means, self.means)
        if (e, mean) not in self.tables:
            self.tables[e, mean] = Slots(self.frequencies(e, mean))
        return self.tables[e, mean]

    def frequencies(self, e, mean):
        """Section 5.4.5."""
        S = self.symbols
        masses, before = [1 << 20] * S, 0
        if self.density:
            for j in range(S):
                c = 1 << 24
                if j < S - 1:
                    c = max(below(self.density, (self.bounds[j] * inverse_scale(e) >> 30) - 512 * mean), before)
                masses[j], before = c - before + 256, c
        if self.weights:
            masses = [(x * EIGHTHS[w % 8] >> 30 - w // 8) + 1 for x, w in zip(masses, self.weights)]
        share = (16384 - S << 40) // sum(masses)
        out = [(x * share >> 40) + 1 for x in masses]
        out[masses.index(max(masses))] += 16384 - sum(out)
        return out


class LastValues:
    """Section 5.4.3: the parameters that those of a later segment refer to."""

    def __init__(self):
        self.shape = self.base = self.scales = self.fine = self.means = 0
        self.coefficients = {}


def within(value, lo, hi):
    """Section 5.4.3: a parameter in its range."""
    must(lo <= value <= hi, "parameter of lanes")
    return value


def make_roots():
    """Section 5.4.6."""
    roots = [math.isqrt(1 << 61)]
    while len(roots) < 16:
        roots.append(math.isqrt(roots[-1] << 30))
    return roots


ROOTS = make_roots()


def log2(n):
    """Section 5.4.6: in units of 2^-16."""
    l = n.bit_length() - 1
    x = n << 31 - l if l <= 31 else n >> l - 31
    for _ in range(16):
        x, l = x * x >> 31, 2 * l
        if x >= 1 << 32:
            x, l = x >> 1, l + 1
    return l


def exp2(e):
    """Section 5.4.6: of e in units of 2^-16, in units of 2^-30."""
    x = 1 << 30
    for i in range(16):
        if e >> 15 - i & 1:
            x = x * ROOTS[i] >> 30
    return x


EIGHTHS = [exp2(k * 8192) for k in range(8)]


def inverse_scale(e):
    """Section 5.4.4: I(e), 2^40 over the scale."""
    k = -e % 8
    return (EIGHTHS[k] << 10) >> (e + k) // 8


@functools.lru_cache(None)
def half_distribution(shape):
    """Section 5.4.6: F."""
    a = (8, 10, 12, 14, 16, 19, 22, 27, 32, 40, 52)[shape - 1]
    u = (24576, 11112, 6901, 5065, 4096, 3312, 2886, 2508, 2311, 2150, 2046)[shape - 1]
    sums = [0]
    for i in range(384):
        l = ((log2((2 * i + 1) * u) - 17 * 65536) * a) >> 4
        d = 0
        if l < 5 * 65536:
            y, shift = exp2(l % 65536), (l >> 16) - 14
            y = y << shift if shift >= 0 else y >> -shift
            x = y * 94548 >> 16
            d = exp2(-x % 65536) >> min((x + 65535) >> 16, 63)
        sums.append(sums[-1] + d)
    return [(z << 23) // sums[384] for z in sums]


def below(shape, z):
    """Section 5.4.6: the distribution at z."""
    F = half_distribution(shape)
    q = min(abs(z), 24575)
    m = F[q >> 6] + ((F[(q >> 6) + 1] - F[q >> 6]) * (q % 64) >> 6)
    return (1 << 23) - m if z < 0 else (1 << 23) + m


class Slots:
    """Section 5.4.7: which symbol a slot has, and which place in it."""

    def __init__(self, frequencies):
        self.frequencies = frequencies
        B = 1
        while B < len(frequencies):
            B *= 2
        self.size = Z = 16384 // B
        rest = frequencies + [0] * (B - len(frequencies))
        self.cut, self.other, self.source = [Z] * B, [0] * B, [0] * B
        under = [j for j in range(B) if rest[j] < Z]
        over = [j for j in range(B) if rest[j] > Z]
        while under:
            u, o = under.pop(), over[-1]
            self.cut[u] = rest[u]
            rest[o] -= Z - self.cut[u]
            self.other[u], self.source[u] = o, rest[o]
            if rest[o] < Z:
                under.append(over.pop())
            elif rest[o] == Z:
                over.pop()

    def find(self, slot):
        """Symbol and place."""
        j, p = divmod(slot, self.size)
        return (j, p) if p < self.cut[j] else (self.other[j], self.source[j] + p - self.cut[j])


class LaneStates:
    """Section 5.4.8: the states, and the words that they take."""

    def __init__(self, cur, lanes):
        if lanes == 1:
            n = cur.end - cur.pos
            self.states = [int.from_bytes(cur.take(n if n <= 4 else 3 if n % 2 else 4), "big")]
        else:
            self.states = unpack(cur.take(4 * lanes), 4)
        self.words = cur

    def symbol(self, lane, slots):
        x = self.states[lane]
        j, place = slots.find(x % 16384)
        x = (slots.frequencies[j] * (x >> 14) + place) & 0xFFFFFFFF
        if x < 65536 and (len(self.states) > 1 or self.words.pos < self.words.end):
            x = x << 16 | int.from_bytes(self.words.take(2), "little")
        self.states[lane] = x
        return j

    def finish(self):
        self.words.finish()
        must(all(x == (1 if len(self.states) == 1 else 65536) for x in self.states), "state at the end")


def read_lanes(payload, block):
    """Section 5.4: indices into the codebooks."""
    lanes = 1 if block.n < 8192 else 4 if block.n < 32768 else 8
    coder, last = LaneParameters(payload), LastValues()
    models = [LaneModel(coder, LaneShape(s, lanes), s.book.levels, last) for s in block.segments]

    cur = Cursor(payload)
    cur.take(coder.length())
    varied = [(m, s) for m, s in zip(models, block.segments) if m.constant is None]
    plain = Bits(cur.take((sum(s.count * m.split for m, s in varied) + 7) // 8))
    states = LaneStates(cur, lanes)
    out = []
    for model, segment in zip(models, block.segments):
        if model.constant is not None:
            out += [model.constant] * segment.count
            continue
        symbols, values = [0] * segment.count, [0] * segment.count
        for i in model.shape.order:
            row, _, _ = model.shape.place(i)
            symbols[i] = states.symbol(row % lanes, model.table(i, values))
            values[i] = model.values[symbols[i]]
        out += [j << model.split | plain.take(model.split) for j in symbols]
    states.finish()
    return out


# Section 6: index


def read_index(cur, header, members):
    """Section 6: for each group the length of the frame of its codebooks, those of the parts of its blocks, and its digest."""
    entries = []
    for group in members:
        codebooks = cur.number()
        values = sum(m.size for m in group) // unit_of(group[0]).width
        blocks = -(-values // header.block_size)
        must(blocks <= cur.end - cur.pos, "truncated")
        lengths = []
        for _ in range(blocks):
            if codebooks and len(group) > 1:
                lengths.append((cur.number(), cur.number()))
            else:
                lengths.append((cur.number(), 0) if codebooks else (0, cur.number()))
        entries.append((codebooks, lengths, cur.take(32)))
    cur.finish()
    return entries


# Section 7: context mixing


class RangeDecoder:
    """Section 7.1."""

    def __init__(self, data):
        self.data, self.pos = data, 0
        self.lo, self.hi, self.code = 0, 0xFFFFFFFF, 0
        for _ in range(4):
            self.code = self.code << 8 | self.next()

    def next(self):
        self.pos += 1
        must(self.pos <= len(self.data) + 4, "range coder out of input")
        return self.data[self.pos - 1] if self.pos <= len(self.data) else 0

    def decide(self, p):
        mid = self.lo + ((self.hi - self.lo) * p >> 16)
        bit = self.code <= mid
        if bit:
            self.hi = mid
        else:
            self.lo = mid + 1
        while (self.lo ^ self.hi) < 1 << 24:
            self.lo = self.lo << 8 & 0xFFFFFFFF
            self.hi = self.hi << 8 & 0xFFFFFFFF | 0xFF
            self.code = self.code << 8 & 0xFFFFFFFF | self.next()
        return int(bit)


def make_stretch():
    """Section 7.2: the least x with squash(x) >= 16q + 8, for each q."""
    out, x = [], -2048
    for q in range(4096):
        while x < 2047 and squash(x) < 16 * q + 8:
            x += 1
        out.append(clip(x, -2047, 2047))
    return out


def squash(x):
    """Section 7.2."""
    k, f = (x + 2048) >> 6, (x + 2048) & 63
    return S[k] + ((S[k + 1] - S[k]) * f >> 6)


S = [round(65536 / (1 + math.exp(8 - i / 4))) for i in range(65)]
STRETCH = make_stretch()
R = [65536 // (n + 2) for n in range(256)]


class Counter:
    """Section 7.2."""

    __slots__ = ("p", "n")

    def __init__(self):
        self.p, self.n = 1 << 21, 0

    def learn(self, bit):
        self.p = clip(self.p + (((bit << 22) - self.p) * R[self.n] >> 16), 1 << 10, (1 << 22) - (1 << 10))
        self.n = min(self.n + 1, 255)


class Singles:
    """Section 7.2: single decisions, with a counter for each key."""

    def __init__(self, coder):
        self.coder, self.counters = coder, defaultdict(Counter)

    def decide(self, key):
        counter = self.counters[key]
        bit = self.coder.decide(clip(counter.p >> 6, 32, 65503))
        counter.learn(bit)
        return bit


class Mixer:
    """Section 7.2: mixed decisions, and signed values made of them."""

    def __init__(self, coder, inputs):
        self.coder, self.excess_lengths = coder, Singles(coder)
        self.tables = [defaultdict(Counter) for _ in range(inputs)]
        self.weights = defaultdict(lambda: [9830] * (inputs + 1))

    def decide(self, weight_set, contexts, node):
        counters = [table[context, node] for table, context in zip(self.tables, contexts)]
        weights = self.weights[weight_set, node]
        xs = [STRETCH[counter.p >> 10] for counter in counters] + [256]
        p = squash(clip(sum(x * w for x, w in zip(xs, weights)) >> 16, -2047, 2047))
        bit = self.coder.decide(p)
        error = (bit << 16) - p
        for i, x in enumerate(xs):
            weights[i] += (x * error + (1 << 14)) >> 15
        for counter in counters:
            counter.learn(bit)
        return bit

    def signed_value(self, lo, hi, weight_set, contexts):
        if lo == hi or not self.decide(weight_set, contexts, 0):
            return 0
        negative = hi == 0 or (lo != 0 and self.decide(weight_set, contexts, 1))
        bound, m = -lo if negative else hi, 1
        while m < bound:
            if m >= 20:
                m = min(m + self.excess(negative), bound)
                break
            if not self.decide(weight_set, contexts, 2 + 2 * (m - 1) + negative):
                break
            m += 1
        return -m if negative else m

    def excess(self, negative):
        length = 0
        while length < 14 and self.excess_lengths.decide((negative, length)):
            length += 1
        x = 1
        for _ in range(length):
            x = x << 1 | self.coder.decide(32768)
        return x - 1


def segments(members, counts, books, start, end, own):
    """Section 7.2, places: the segments of the values start to end of a group that some members own, with these members."""
    out, pos = [], 0
    for i, (m, count, book) in enumerate(zip(members, counts, books)):
        first, last = max(start - pos, 0), min(end - pos, count)
        if first < last and i in own:
            columns = taps = width = 1
            if unit_of(m) != BYTES:
                parts = 2 if m.type in ("C64", "C128") else 1
                columns = m.shape[0] if len(m.shape) == 1 else m.shape[1] if m.shape else 1
                taps = math.prod(m.shape[2:]) * parts
                width = (m.shape[-1] if len(m.shape) > 2 else 1) * parts
            row = count // m.shape[0] if m.shape and m.shape[0] else 1
            out.append((i, Segment(columns, taps, width, first, last - first, row, book)))
        pos += count
    return out


class Place:
    """Section 7.2: where a value is; `at` counts from the beginning of the block, `within` from that of the segment."""

    def __init__(self, segment, at, within):
        self.columns, self.taps, self.width, self.at, self.within = segment.columns, segment.taps, segment.width, at, within
        self.row = segment.columns * segment.taps
        in_row = (segment.first + within) % self.row
        self.column, self.tap = in_row // self.taps, in_row % self.taps
        self.in_segment_row = (segment.first % self.row + within) // self.row  # counted from the first of the segment
        self.new_segment, self.new_row = within == 0, within == 0 or in_row == 0

    def back(self, values, n, absent):
        return values[self.at - n] if n <= self.within else absent

    def neighbours(self, values, absent):
        """Section 7.2: l, l2, f1, f2, c1, c2."""
        T, CT = self.taps, self.row
        return (
            self.back(values, 1, absent),
            self.back(values, 2, absent),
            self.back(values, CT, absent),
            self.back(values, 2 * CT, absent),
            self.back(values, T, absent) if self.column >= 1 else absent,
            self.back(values, 2 * T, absent) if self.column >= 2 else absent,
        )

    def above(self, values, absent):
        """Section 7.2: u, the tap in the row of the kernel above."""
        root = math.isqrt(self.taps)
        w = root if root * root == self.taps else self.taps
        return self.back(values, w, absent) if self.tap >= w else absent


def places(block):
    at = 0
    for segment in block.segments:
        yield from places_of(segment, at)
        at += segment.count


def places_of(segment, at=0):
    """The places of a segment; `at` is where it begins in lists of values."""
    for within in range(segment.count):
        yield Place(segment, at + within, within)


class Mean:
    """Section 7.2."""

    def __init__(self, total=0, count=0):
        self.total, self.count = total, count

    def add(self, x):
        self.total, self.count = self.total + x, self.count + 1
        if self.count > 30000:
            self.total, self.count = self.total >> 1, self.count >> 1

    def mean(self, prior, weight):
        return (self.total + prior * weight) // (self.count + weight)


class Means:
    """Section 7.2: the means of all values, of the row, the columns and the taps."""

    def __init__(self, total, count):
        self.all, self.row, self.columns, self.taps = Mean(total, count), Mean(), {}, {}

    def enter(self, place):
        if place.new_segment:
            self.columns, self.taps = {}, {}
        if place.new_row:
            self.row = Mean()
        self.column = self.columns.setdefault(min(place.column, 65535), Mean())
        self.tap = self.taps.setdefault(min(place.tap, 63), Mean())

    def rct(self, g):
        """Section 7.2: r, c, t."""
        return self.row.mean(g, 6), self.column.mean(g, 4), self.tap.mean(g, 16)

    def add(self, x):
        for m in (self.all, self.row, self.column, self.tap):
            m.add(x)


def clip9(v):
    return clip(v, -5, 4) + 5


def column_context(block, place):
    """Sections 7.4 and 7.5: the context of the column."""
    n = min(max(s.columns for s in block.segments), 4096)
    return min(place.column, n - 1)


# Section 7.3: levels


def make_powers():
    """Section 7.3: X, powers of 2^(1/256) in units of 2^-30."""
    out, x = [], 1 << 62
    for _ in range(257):
        out.append(x >> 32)
        x = x * 4624189567668517720 >> 62
    return out


def make_logistic():
    """Section 7.3: F for z from 0 to 2047."""
    out, y = [], 1 << 62
    for _ in range(2048):
        out.append((1 << 54) // ((1 << 30) + (y >> 32)))
        y = y * 4593706758521714574 >> 62
    return out


POWERS = make_powers()
LOGARITHMS = [max(j for j in range(257) if POWERS[j] <= 256 + m << 22) for m in range(256)]
LOGISTIC = make_logistic()


def lg(n):
    """Section 7.3: 256 log2 of the nine leading bits."""
    e = n.bit_length() - 1
    m = (n << 8 - e if e < 8 else n >> e - 8) & 255
    return 256 * e + LOGARITHMS[m]


def lm(total, n, prior, k):
    """Section 7.3: the logarithm of a mean."""
    return lg(total + prior * k + 1) - lg(n + k)


def power(l):
    """Section 7.3: pow."""
    k = clip((l >> 8) - 30, -40, 20)
    return POWERS[l % 256] << k if k >= 0 else POWERS[l % 256] >> -k


def logistic(z):
    """Section 7.3: F, of z within its bounds."""
    z = clip(z, -2047, 2047)
    return LOGISTIC[z] if z >= 0 else (1 << 24) - LOGISTIC[-z]


def tri(v):
    """Section 7.2."""
    return clip(v, -1, 1) + 1


class Cut:
    """Section 7.3, tree: offsets below k are on one side; each side is a further cut, or None if it is one offset."""

    def __init__(self, k, node):
        self.k, self.node, self.below, self.above = k, node, None, None


def halvings(n):
    """Section 7.3, tree: the number of times that n can be halved before it is at most 2; at most 11."""
    times = 0
    while n > 2:
        n, times = n // 2, times + 1
    return min(times, 11)


class LevelTree:
    """Section 7.3, tree."""

    def __init__(self, spread, zero, lo, hi):
        self.zero = zero
        s = (POWERS[64 * (spread % 4)] >> 22) << spread // 4
        self.lo, self.sums = lo, [0]
        for o in range(lo, hi + 1):
            mass = 4096 + logistic(div((2 * o + 1) * 32768, s)) - logistic(div((2 * o - 1) * 32768, s))
            self.sums.append(self.sums[-1] + mass)
        # breadth first: the interval, and where its cut goes
        waiting = [(lo, 0, self, "below"), (1, hi + 1, self, "above")] if zero else [(lo, hi + 1, self, "whole")]
        self.below = self.above = self.whole = None
        nodes = 2 if zero else 0
        for a, b, parent, side in waiting:
            if b - a < 2:
                continue
            k = self.cut(a, b)
            cut = Cut(k, nodes if nodes < 272 else 272 + halvings(b - a))
            nodes += 1
            setattr(parent, side, cut)
            waiting += [(a, k, cut, "below"), (k, b, cut, "above")]
        self.large = nodes > 20  # cuts, and 2 more if zero

    def is_deep(self, node, taps):
        """Whether a node is deep in a segment with so many taps."""
        return self.large and node >= (80 if taps > 25 else 8)

    def mass(self, o):
        return self.sums[o - self.lo]

    def cut(self, a, b):
        half = (self.mass(a) + self.mass(b)) // 2
        k = a + 1
        while k < b - 1 and self.mass(k) < half:
            k += 1
        if k - 1 > a and half - self.mass(k - 1) < self.mass(k) - half:
            k -= 1
        return k


class Sums:
    """Section 7.3, place: sums of magnitudes, errors and values, and their number."""

    def __init__(self, magnitude=0, errors=0, count=0):
        self.magnitude, self.errors, self.total, self.count = magnitude, errors, 0, count

    def add(self, x, error):
        self.magnitude += abs(x)
        self.errors += error
        self.total += x
        self.count += 1


class LevelStatistics:
    """Section 7.3, place: sums over what came before."""

    def __init__(self):
        self.all = Sums(1 << 15, 1 << 15, 8)

    def enter(self, place):
        if place.new_segment:
            self.columns, self.taps, self.places = defaultdict(Sums), defaultdict(Sums), defaultdict(Sums)
        if place.new_row:
            self.row = Sums()
        self.column = self.columns[min(place.column, 65535)]
        self.tap = self.taps[min(place.tap, 127)]
        self.place = self.places[min(place.column * place.taps + place.tap, 65535)]

    def add(self, x, error):
        for sums in (self.all, self.row, self.column, self.tap, self.place):
            sums.add(x, error)
        a = self.all
        if a.count > 60000:
            a.magnitude, a.errors, a.count = a.magnitude // 2, a.errors // 2, a.count // 2


class LevelLogs:
    """Section 7.3, place and scales: logarithms of the means of a place."""

    def __init__(self, stats, place):
        g = stats.all.magnitude // stats.all.count
        lg0 = lg(g + 1)
        self.row = lm(stats.row.magnitude, stats.row.count, g, 6) - lg0
        column = lm(stats.column.magnitude, stats.column.count, g, 4) - lg0
        tap = lm(stats.tap.magnitude, stats.tap.count, g, 16) - lg0
        self.scale = min(self.row + column + lg0, 6656)
        self.S = power(self.scale)
        ge = stats.all.errors // stats.all.count
        self.error = lm(stats.row.errors, stats.row.count, ge, 6) + lm(stats.column.errors, stats.column.count, ge, 4) - lg(ge + 1)
        self.place = lm(stats.place.magnitude, place.in_segment_row, power(column + tap + lg0), 3) + self.row


class LevelNeighbours:
    """Section 7.3, place: the values around one."""

    def __init__(self, place, values):
        self.place, self.values = place, values
        kh, kw = divmod(place.tap, place.width)
        self.kh, self.kw = kh, kw
        self.has_L, self.has_U, self.has_UL = kw > 0, kh > 0, kw > 0 and kh > 0
        self.has_UR = kh > 0 and kw < place.width - 1
        self.L = self.back(1, self.has_L)
        self.U = self.back(place.width, self.has_U)
        self.UL = self.back(place.width + 1, self.has_UL)
        self.UR = self.back(place.width - 1, self.has_UR)

    def back(self, n, permitted=True):
        return self.place.back(self.values, n, 0) if permitted else 0

    def C(self, i):
        return self.back(i * self.place.taps, self.place.column >= i)

    def O(self, i):
        return self.back(i * self.place.row)

    def features(self, stats):
        """Section 7.3, linear prediction."""
        place, kw, kh = self.place, self.kw, self.kh
        if 1 < place.taps <= 9:
            kernel = [self.back(place.tap - i, i < place.tap) for i in range(8)] + [0, 0]
        else:
            kernel = [self.L, self.U, self.UL, self.UR, self.back(2, kw > 1), self.back(2 * place.width, kh > 1)]
            kernel += [self.back(3, kw > 2), self.back(4, kw > 3), self.back(5, kw > 4), self.back(6, kw > 5)]
        mean_of_place = div(stats.place.total, place.in_segment_row + 2)
        mean_of_row = div(stats.row.total, stats.row.count + 4)
        around = [self.C(1), self.C(2), self.O(1), self.O(2), self.O(3), self.C(3)]
        around += [self.C(i) for i in range(4, 9)] + [self.O(i) for i in range(4, 9)]
        return kernel[:8] + [mean_of_place, mean_of_row] + around + kernel[8:]

    def scale(self, S):
        """Section 7.3, scales: lN."""
        place = self.place
        total, weights = 6 * S, 6
        for weight, permitted, value in (
            (6, self.has_L, self.L),
            (6, self.has_U, self.U),
            (3, self.has_UL, self.UL),
            (3, self.has_UR, self.UR),
            (3, place.column >= 1, self.C(1)),
            (2, place.column >= 2, self.C(2)),
            (3, place.row <= place.within, self.O(1)),
            (2, 2 * place.row <= place.within, self.O(2)),
        ):
            if permitted:
                total += weight * abs(value)
                weights += weight
        return lg(total + 1) - lg(weights)


class LevelPredictor:
    """Section 7.3, linear prediction: the coefficients and weights of a class."""

    def __init__(self, coefficients):
        self.coefficients = coefficients
        self.weights = [512 * c for c in coefficients] + [0] * 12

    def predict(self, features, scale, S):
        """The fixed and the adapted prediction."""
        self.units = [unit_value(f, scale) for f in features]
        a = sum(c * q for c, q in zip(self.coefficients, self.units))
        self.guess = clip(sum(q * (w >> 4) for q, w in zip(self.units, self.weights)) >> 12, -1536, 1536)
        return clip(a * S >> 15, -(1 << 26), 1 << 26), clip(self.guess * S >> 8, -(1 << 26), 1 << 26)

    def learn(self, x, scale):
        P = sum(q * q for q in self.units)
        G = div((unit_value(x, scale) - self.guess) * 1310, 256 + P // 2560)
        limit = (1 << 19) - 1
        self.weights = [clip(w + ((G * q + 128) >> 8), -limit, limit) for w, q in zip(self.weights, self.units)]


def unit_value(f, scale):
    """Section 7.3: unit."""
    l = max(scale, 0)
    u = l >> 8
    s = max(u - 12, 0)
    f = clip(f, -12 << u, 12 << u)
    return clip((f >> s) * (POWERS[-l % 256] >> 17) >> 5 - (-l >> 8) - s, -1536, 1536)


def read_predictor(coder, singles, taps):
    """Section 7.3, linear prediction: the predictor of a kind of kernel, by class."""
    classes = taps if taps <= 25 else 1
    return [LevelPredictor([read_coefficient(coder, singles, i) for i in range(16)]) for _ in range(classes)]


def read_coefficient(coder, singles, i):
    """Section 7.3, linear prediction."""
    if not singles.decide(("zero", i)):
        return 0
    negative = singles.decide("sign")
    bits = 0
    while bits < 7 and singles.decide(("more", bits)):
        bits += 1
    c = 1
    for _ in range(bits):
        c = c << 1 | coder.decide(32768)
    return -c if negative else c


class Expert:
    """Section 7.3, scales: a distribution of values."""

    def __init__(self, mean, scale):
        l = max(scale, 0)
        self.mean, self.J, self.j = mean, POWERS[-l % 256], 22 - (-l >> 8)

    def H(self, threshold):
        """Section 7.3, decision."""
        return logistic((threshold - self.mean) * self.J >> min(self.j, 63))

    def bucket(self):
        """Section 7.3, scales: b."""
        return clip((self.mean * self.J * 2 >> min(self.j + 8, 63)) + 8, 0, 15)


class LevelCounter(Counter):
    """Section 7.3, decision: a counter that learns otherwise."""

    __slots__ = ("delay", "most")

    def __init__(self, delay, most, p=1 << 21):
        self.p, self.n, self.delay, self.most = p, 0, delay, most

    def learn(self, bit):
        rate = 655360 // (10 * (self.n + 1) + self.delay)
        self.p = clip(self.p + ((((bit << 22) - self.p) >> 7) * rate >> 9), 2097, (1 << 22) - 2097)
        self.n = min(self.n + 1, self.most)


class WeightSet:
    """Section 7.3, decision: weights, and the number of their decisions."""

    def __init__(self, weights):
        self.weights, self.count = weights, 0

    def mix(self, inputs):
        self.d = sum(x * (w >> 6) for x, w in zip(inputs, self.weights)) >> 14
        return self.d

    def probability(self):
        return squash(clip(self.d, -2047, 2047))

    def learn(self, inputs, bit):
        error = ((bit << 16) - self.probability()) * max(65550 // (50 + self.count), 131) >> 12
        limit = (1 << 21) - 1
        self.weights = [clip(w + ((error * x + 128) >> 8), -limit, limit) for w, x in zip(self.weights, inputs)]
        self.count = min(self.count + 1, 1023)


CONFIDENCE = [(512 + 20480 * n // (10 * n + 15)) // 10 for n in range(251)]


class LevelMixer:
    """Section 7.3, decision."""

    def __init__(self, coder):
        self.coder = coder
        self.nodes = defaultdict(lambda: LevelCounter(6, 1000))
        self.counters = [defaultdict(lambda: LevelCounter(6, 250)) for _ in range(8)]
        self.maps, self.corrections = {}, {}
        self.weights = defaultdict(lambda: WeightSet([140000] * 3 + [120000] * 3 + [45000] * 8 + [0] * 2))
        self.deep_weights = [WeightSet([22000] * 6 + [0]) for _ in range(8)]

    def enter(self, place):
        if place.new_segment:
            self.counters[3].clear()
            self.counters[4].clear()

    def map(self, expert, node, l, deep):
        key = expert, node, l >> 6, deep
        if key not in self.maps:
            self.maps[key] = LevelCounter(60, 600, squash(64 * (l >> 6) + 32) << 6)
        return self.maps[key]

    def correction(self, t, node):
        if (t, node) not in self.corrections:
            self.corrections[t, node] = [squash(clip(128 * (i - 16), -2048, 2047)) for i in range(33)]
        return self.corrections[t, node]

    def decide(self, node, deep, masses, at):
        """A decision; masses are no and yes of each expert, at where the value is."""
        logits = [clip((lg(max(yes, 0) + 335) - lg(max(no, 0) + 335)) * 177 >> 8, -1945, 1945) for no, yes in masses]
        maps = [self.map(i, node, l, deep) for i, l in enumerate(logits)]
        inputs = logits + [STRETCH[m.p >> 10] for m in maps]
        if deep:
            return self.decide_deep(inputs + [102], maps, self.deep_weights[at.octave])
        return self.decide_fully(node, inputs, maps, at.contexts, at.t)

    def decide_deep(self, inputs, maps, weights):
        """A decision of a deep node; nothing but these maps and weights learns."""
        weights.mix(inputs)
        bit = self.coder.decide(weights.probability())
        weights.learn(inputs, bit)
        for m in maps:
            m.learn(bit)
        return bit

    def decide_fully(self, node, inputs, maps, contexts, t):
        """A decision of another node."""
        node_counter = self.nodes[node]
        counters = [table[context, node] for table, context in zip(self.counters, contexts)]
        for c in counters:
            if c.n == 0:
                c.p = node_counter.p
        inputs += [STRETCH[c.p >> 10] * CONFIDENCE[c.n] >> 8 for c in counters]
        inputs += [102, STRETCH[node_counter.p >> 10]]

        sets = [self.weights[node], self.weights[node, t]]
        x = clip(sum(s.mix(inputs) for s in sets) >> 1, -2047, 2047)
        A, j, r = self.correction(t, node), (x + 2048) >> 7, (x + 2048) & 127
        corrected = (A[j] * (128 - r) + A[j + 1] * r) >> 7
        bit = self.coder.decide(clip((3 * squash(x) + 2 * corrected) // 5, 2, 65534))

        for s in sets:
            s.learn(inputs, bit)
        for c in counters + maps + [node_counter]:
            c.learn(bit)
        A[j] += (65535 * bit - A[j]) * (128 - r) * 5 >> 15
        A[j + 1] += (65535 * bit - A[j + 1]) * r * 5 >> 15
        return bit


class LevelBook:
    """Section 7.3, values: the values of the symbols of a segment, and the thresholds between them."""

    def __init__(self, levels, mode, centred):
        self.mode, self.A, self.B = mode, -mode, len(levels) - 1 - mode
        m, m2 = max(mode - 1, 0), min(mode + 1, len(levels) - 1)
        step = max((levels[m2] - levels[m]) // (m2 - m), 1) if m2 > m else 1
        origin = levels[mode] if centred else 0
        self.values = [clip(div(4096 * (l - origin), step), -(1 << 26), 1 << 26) for l in levels]

    def threshold(self, offset):
        """The threshold below the symbol with this offset."""
        s = self.mode + offset
        return self.values[s - 1] + self.values[s] >> 1


def read_offset(mixer, tree, book, experts, at, taps):
    """Section 7.3, tree: the offset of a symbol."""

    def decide(node, masses):
        return mixer.decide(node, tree.is_deep(node, taps), masses, at)

    a, b = book.A, book.B + 1
    low, high, cut = [0] * 3, [1 << 24] * 3, tree.whole
    if b - a == 1:
        return 0
    if tree.zero:
        under = [e.H(book.threshold(0)) for e in experts] if a < 0 else low
        over = [e.H(book.threshold(1)) for e in experts] if b > 1 else high
        if not decide(0, [(o - u, (1 << 24) - (o - u)) for u, o in zip(under, over)]):
            return 0
        positive = a == 0
        if a < 0 and b > 1:
            positive = decide(1, [(u, (1 << 24) - o) for u, o in zip(under, over)])
        if positive:
            a, low, cut = 1, over, tree.above
        else:
            b, high, cut = 0, under, tree.below
    while b - a > 1:
        k = cut.k
        above = k <= a
        if a < k < b:
            middle = [e.H(book.threshold(k)) for e in experts]
            above = decide(cut.node, [(h - l, u - h) for l, h, u in zip(low, middle, high)])
            if above:
                a, low = k, middle
            else:
                b, high = k, middle
        cut = cut.above if above else cut.below
    return a


# Section 7.3, scales: the eight contexts of a value, oc(e, 1, 8), and t.
At = namedtuple("At", "contexts octave t")


class LevelContexts:
    """Section 7.3, scales: the contexts of a value."""

    def __init__(self, segments, spread):
        self.shift = max(0, (spread - 44 + 3) // 4)
        self.columns = min(max(s.columns for s in segments), 4096)
        self.rows = max(min(-(-s.count // (s.columns * s.taps)) + 1, 4096) for s in segments)

    def of(self, place, near, offsets, logs, bucket):
        v1, v2, o1, o2, c1, c2 = place.neighbours(offsets, 0)
        t, r = min(place.tap, 31), place.in_segment_row

        def cl(v):
            return clip(v, -6, 5) + 6

        def oc(l, k, n):
            return clip(n // 2 + (l * k >> 8), 0, n - 1)

        e = oc(logs.error - 3072, 1, 8)
        contexts = (
            8 * (12 * cl(v1) + cl(v2)) + e,
            8 * (12 * cl(o1) + cl(o2)) + e,
            8 * (12 * cl(c1) + cl(c2)) + e,
            min(place.column, self.columns - 1),
            min(r, self.rows - 1),
            32 * (27 * tri(near.L) + 9 * tri(near.U) + 3 * tri(near.UL) + tri(near.C(1))) + t,
            16 * oc(logs.place - 3072, 4, 24) + bucket,
            24 * (9 * tri(v1) + 3 * tri(o1) + tri(c1)) + oc(logs.scale - 3072, 3, 24),
        )
        return At(contexts, e, t)


class LevelModel:
    """Section 7.3: what the segments of a block share."""

    def __init__(self, coder, spread, zero, segments, books):
        self.coder = coder
        self.tree = LevelTree(spread, zero, min(b.A for b in books), max(b.B for b in books))
        self.contexts = LevelContexts(segments, spread)
        self.mixer, self.stats = LevelMixer(coder), LevelStatistics()
        self.predictors, self.coefficients = {}, Singles(coder)

    def read_coefficients(self, segment):
        """The coefficients of the kind of kernel of a segment, unless they are known."""
        kind = segment.taps, segment.width
        if kind not in self.predictors:
            self.predictors[kind] = read_predictor(self.coder, self.coefficients, segment.taps)

    def read_segment(self, segment, book):
        """The symbols of a segment."""
        classes = self.predictors[segment.taps, segment.width]
        values, offsets, out = [], [], []
        for place in places_of(segment):
            self.mixer.enter(place)
            self.stats.enter(place)
            logs, near = LevelLogs(self.stats, place), LevelNeighbours(place, values)
            features = near.features(self.stats)
            predictor = classes[min(place.tap, len(classes) - 1)]
            fixed_, adapted = predictor.predict(features, logs.scale, logs.S)
            experts = (
                Expert(fixed_, logs.error - 121),
                Expert(adapted, -121 + (2 * logs.error + near.scale(logs.S) - logs.scale >> 1)),
                Expert(div(7 * fixed_ + 3 * features[8], 10), -121 + logs.place + logs.error - logs.scale),
            )
            at = self.contexts.of(place, near, offsets, logs, experts[0].bucket())
            v = read_offset(self.mixer, self.tree, book, experts, at, segment.taps)

            x = book.values[book.mode + v]
            predictor.learn(x, logs.scale)
            self.stats.add(x, min(abs(x - fixed_), 1 << 27))
            values.append(x)
            offsets.append(v >> self.contexts.shift)
            out.append(book.mode + v)
        return out


class PlainCounts:
    """Section 7.3, plain segments: the counts of a segment."""

    def __init__(self, coder, levels, e):
        self.coder, self.levels, self.e = coder, levels, e
        self.depth = (levels - 1).bit_length()
        self.counts = [0] * (2 << self.depth)
        self.news = [[0, 0] for _ in range(64)]  # by the digits of n: other answers, the same one

    def read_symbol(self):
        node = 1
        for i in range(self.depth - 1, -1, -1):
            upper = ((2 * node + 1) << i) - (1 << self.depth)
            bit = self.read_bit(node, i, upper) if upper < self.levels else 0
            node = 2 * node + bit
            self.counts[node] += 1
        return node - (1 << self.depth)

    def read_bit(self, node, i, upper):
        n0, n1 = self.counts[2 * node], self.counts[2 * node + 1]
        n, new = n0 + n1, None
        if self.e:
            a = 4 ** (self.e - 1)
            r = min(1 << i, self.levels - upper)
            q, d = 16 * n1 + r * a, 16 * n + (r + (1 << i)) * a
        elif (n0 == 0) != (n1 == 0):
            new = self.news[n.bit_length()]
            q, d = 2 * new[0] + 1, 2 * sum(new) + 2
            if n0 == 0:
                q = d - q
        else:
            q, d = n1 + 1, n + 2
        bit = self.coder.decide(clip(65536 * q // d, 1, 65535))
        if new:
            had = 1 if n1 else 0
            new[bit == had] += 1
        return bit


def read_levels(payload, block):
    """Section 7.3: indices into the codebooks."""
    cur = Cursor(payload)
    spread, zero = divmod(cur.byte(), 2)
    books, plain = [], {}
    for i, s in enumerate(block.segments):
        levels, number = len(s.book.levels), cur.number()
        if number < 2 * levels:
            books.append((s, LevelBook(s.book.levels, number // 2, number % 2)))
        else:
            must(number - 2 * levels <= 5, "mode of levels")
            plain[i] = number - 2 * levels
    coder = RangeDecoder(cur.rest())
    model = LevelModel(coder, spread, zero, [s for s, _ in books], [b for _, b in books]) if books else None
    each, out = iter(books), []
    for i, s in enumerate(block.segments):
        if i in plain:
            counts = PlainCounts(coder, len(s.book.levels), plain[i])
            out += [counts.read_symbol() for _ in range(s.count)]
        else:
            model.read_coefficients(s)
            out += model.read_segment(*next(each))
    return out


# Section 7.4: floats


def read_floats(payload, block):
    """Section 7.4."""
    unit = block.unit
    cur = Cursor(payload)
    count = cur.number()
    must(1 <= count <= (1 << unit.exponent) + 1, "number of classes")
    classes = [cur.number()]
    while len(classes) < count:
        classes.append(classes[-1] + cur.number() + 1)
    must(classes[-1] <= 1 << unit.exponent, "class")
    coder = RangeDecoder(cur.take(cur.number()))
    noise = Bits(cur.rest())
    mode = max(count - 4, 0)
    means = Means(64 * mode, 4)
    rank_mixer, sign_mixer, leading = Mixer(coder, 8), Mixer(coder, 3), Singles(coder)
    ranks, signs, out = [], [], []
    for place in places(block):
        means.enter(place)
        g = means.all.total // means.all.count
        r, c, t = means.rct(g)
        X = clip(r + c + t - 2 * g, 0, 16 * (count - 1))

        def oct(a):
            return clip(div(a - g, 4) + 20, 0, 31)

        def around(k):
            return clip9(k - X // 16)

        E, R, K = oct(X), oct(r), oct(c)
        l, l2, f1, f2, c1, c2 = place.neighbours(ranks, X // 16)
        N = oct((2 * l + l2 + 2 * f1 + f2 + 2 * c1 + c2) * 16 // 9)
        contexts = (
            E * 32 + N,
            around(l) * 10 + around(l2) + 100 * (E >> 2),
            around(f1) * 10 + around(f2) + 100 * (E >> 2),
            around(c1) * 10 + around(c2) + 100 * (E >> 2),
            min(place.tap, 15) * 32 + K + 512 * (R >> 2),
            column_context(block, place),
            K * 32 + R,
            0,
        )
        rank = rank_mixer.signed_value(-mode, count - 1 - mode, E, contexts) + mode
        value = sign = 0
        if classes[rank] != 0:
            sign = read_sign(sign_mixer, place, signs, clip(rank - X // 16 + 4, 0, 7))
            value = read_mantissa(unit, leading, noise, rank)
            value |= (classes[rank] - 1) << unit.mantissa | sign << (unit.exponent + unit.mantissa)
            sign = -1 if sign else 1
            means.add(16 * rank)
        ranks.append(rank)
        signs.append(sign)
        out.append(value)
    noise.finish()
    return out


def read_sign(mixer, place, signs, rank):
    """Section 7.4: the sign of a value; `rank` as the third context wants it."""
    l, l2, f1, f2, c1, c2 = (s + 1 for s in place.neighbours(signs, 0))
    l3, f3 = place.back(signs, 3, 0) + 1, place.back(signs, 3 * place.row, 0) + 1
    u = place.above(signs, 0) + 1
    tap = min(place.tap, 15)
    contexts = (
        27 * l + 9 * u + 3 * c1 + c2 + 81 * tap,
        9 * f1 + 3 * f2 + f3 + 27 * tap,
        9 * l + 3 * l2 + l3 + 27 * rank,
    )
    return mixer.decide(tap, contexts, 0)


def read_mantissa(unit, leading, noise, rank):
    """Section 7.4: three leading bits by decisions, the others from the noise."""
    top = 1
    for _ in range(3):
        top = top << 1 | leading.decide((rank, top))
    below = unit.mantissa - 3
    return (top & 7) << below | noise.take(below)


def read_delta(payload, block):
    """Section 7.5: differences, as signed integers."""
    unit = block.unit
    bits = 8 * unit.width
    cur = Cursor(payload)
    mode = cur.byte()
    must(mode <= bits, "mode of a delta")
    coder = RangeDecoder(cur.take(cur.number()))
    noise = Bits(cur.rest())
    mixer, signs, seconds, means = Mixer(coder, 7), Singles(coder), Singles(coder), Means(0, 0)
    done, out = [], []  # done: n and x of each value
    for place, base in zip(places(block), block.base):
        means.enter(place)
        x = base >> unit.mantissa & (1 << unit.exponent) - 1
        g = means.all.total // means.all.count if means.all.count else 16 * (mode + x)
        r, c, t = means.rct(g)
        X = clip(r + c + t - 2 * g - 16 * x, 0, 16 * bits)
        E = min(X // 8, 63)
        pairs = []
        for distance in (1, 2, place.row, 2 * place.row, place.taps, 2 * place.taps):
            n2, x2 = place.back(done, distance, (None, 0))
            if n2 is None:
                pairs.append((5, 0))
            elif n2 == 0:
                pairs.append((0, 0))
            else:
                pairs.append((max(clip9(n2 + x2 - x - X // 16), 1), 1))
        contexts = (
            32 * E + min(x * 32 >> unit.exponent, 31),
            10 * pairs[0][0] + pairs[1][0] + 100 * (E >> 2),
            10 * pairs[2][0] + pairs[3][0] + 100 * (E >> 2),
            10 * pairs[4][0] + pairs[5][0] + 100 * (E >> 2),
            sum(pairs[i][1] << i for i in range(5)) + 32 * E,
            column_context(block, place),
            0,
        )
        n = mixer.signed_value(-mode, bits - mode, E, contexts) + mode
        d = 0
        if n > 0:
            negative = signs.decide(n)
            d = 1
            if n > 1:
                d = 2 | seconds.decide(n)
                left = n - 2
                while left:
                    piece = min(left, 32)
                    d = d << piece | noise.take(piece)
                    left -= piece
            d = -d if negative else d
            means.add(16 * (n + x))
        done.append((n, x))
        out.append(d)
    noise.finish()
    return out


# Section 7.6: text

DICTIONARY = bytes.fromhex("""
048080100b7361666574656e736f72730106666f726d617402707401116d6f64
656c2e7361666574656e736f7273808004010346333210086663312e62696173
0a6663312e776569676874086663322e626961730a6663322e7765696768740a
636f6e76312e626961730c636f6e76312e77656967687408626e312e62696173
17626e312e6e756d5f626174636865735f747261636b656410626e312e72756e
6e696e675f6d65616e0f626e312e72756e6e696e675f7661720a626e312e7765
69676874156c61796572312e302e636f6e76312e776569676874136c61796572
312e302e626e312e7765696768741c6c61796572322e302e646f776e73616d70
6c652e302e7765696768740766632e626961730966632e7765696768740d6c69
6e6561722e7765696768740f636c61737369666965722e626961731166656174
757265732e302e776569676874196d6f64656c2e656d6265645f746f6b656e73
2e776569676874266d6f64656c2e6c61796572732e302e73656c665f6174746e
2e715f70726f6a2e7765696768741f6d6f64656c2e6c61796572732e302e7365
6c665f6174746e2e6b5f70726f6a236d6f64656c2e6c61796572732e302e6d6c
702e676174655f70726f6a2e7765696768741a6d6f64656c2e6c61796572732e
302e6d6c702e75705f70726f6a256d6f64656c2e6c61796572732e302e696e70
75745f6c617965726e6f726d2e776569676874116d6f64656c2e6e6f726d2e77
65696768740e6c6d5f686561642e77656967687429656e636f6465722e6c6179
65722e302e617474656e74696f6e2e73656c662e71756572792e626961732061
7474656e74696f6e2e6f75747075742e64656e73652e4c617965724e6f726d1b
7472616e73666f726d65722e682e302e6174746e2e635f70726f6a0000000000
000000000000000000000001ac0202ac02900601640264ac02010a020a64020a
4002800140011004100303030110011000012004201003030140044040030300
0080080000000000000000000000000000000000000000000000100000000000
0000000000000000000000010f00000000000000000000000000000000010003
463136044246313603493634024938046f6e6e78077079746f726368036e707a
0a6d6f64656c2e6f6e6e78117079746f7263685f6d6f64656c2e62696e
""")


class Text:
    """Section 7.6: the model of the bytes of headers."""

    def __init__(self, example):
        self.counters, self.weights = defaultdict(Counter), [[19660] * 7 for _ in range(7)]
        for lesson in DICTIONARY, example, example:
            for byte_, past in zip(lesson, self.pasts(lesson)):
                self.byte(past, lambda p, i: byte_ >> i & 1)

    @staticmethod
    def pasts(data):
        """The six bytes before each byte of data."""
        padded = bytes(6) + bytes(data)
        return (padded[i : i + 6] for i in range(len(data)))

    def byte(self, past, decide):
        node = 1
        for i in range(7, -1, -1):
            counters = [self.counters[past[6 - n :], n, node] for n in (0, 1, 2, 3, 4, 6)]
            weights = self.weights[sum(c.n > 0 for c in counters)]
            xs = [STRETCH[c.p >> 10] for c in counters] + [256]
            p = squash(clip(sum(x * w for x, w in zip(xs, weights)) >> 16, -2047, 2047))
            bit = decide(p, i)
            error = (bit << 16) - p
            for k, x in enumerate(xs):
                weights[k] += (x * error + (1 << 13)) >> 14
            for c in counters:
                c.learn(bit)
            node = node << 1 | bit
        return node & 255


def read_text(payload, size, example=b""):
    """Section 7.6: the content of a header or an index."""
    must(size <= 1 << 15, "length of a text")
    coder, model, out = RangeDecoder(payload), Text(example), bytearray(6)
    for _ in range(size):
        out.append(model.byte(bytes(out[-6:]), lambda p, i: coder.decide(p)))
    return bytes(out[6:])


# Section 8: content digest of a base


def number_bytes(v):
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    out.append(v)
    return bytes(out)


def content_digest(arrays):
    """Section 8. An array of a base is a type, a shape and the bytes."""
    sha = hashlib.sha256()
    for type_, shape, data in arrays:
        name = type_.encode("utf-8", "surrogateescape")
        sha.update(number_bytes(len(name)) + name)
        for v in (len(shape), *shape, len(data)):
            sha.update(number_bytes(v))
        sha.update(hashlib.sha256(data).digest())
    return sha.digest()


def load_base(path):
    """README.md: one tensor w, F32 of shape 40x108, in the file without its first and last byte."""
    with open(path, "rb") as f:
        return [("F32", (40, 108), f.read()[1:-1])]


# Section 1: the file

MAGIC, END = b"\x89ROPE\r\n\x01", b"EPOR"
MAGIC_SHORT = b"\x89ROPE\r\n\x02"


def decode(data, base=None):
    """Section 1: the files, as pairs of name and bytes."""
    if data[:8] == MAGIC_SHORT:
        return decode_short(data)
    must(len(data) >= 16 and data[:8] == MAGIC and data[-4:] == END, "magic")
    index_length = struct.unpack("<I", data[-8:-4])[0]
    index_at = len(data) - 8 - index_length
    must(index_at >= 8, "length of the frame of the index")
    cur = Cursor(data, 8, index_at)
    header = read_header(read_content(cur), base)
    tail = Cursor(data, index_at, len(data) - 8)
    index = read_content(tail)
    tail.finish()

    skeleton = Array("skeleton", size=header.skeleton_size)
    members = [[(header.arrays + [skeleton])[m] for m in group] for group in header.groups]
    contents = {}
    for group, (codebooks, blocks, digest) in zip(members, read_index(index, header, members)):
        for member, part in zip(group, read_group(cur, group, header.block_size, blocks, codebooks, digest, base)):
            contents[member] = part
    cur.finish()
    return restore(header, contents, contents.get(skeleton, header.skeleton or b""), base)


# Section 11: the short form


def decode_short(data):
    """The files, as pairs of name and bytes."""
    must(19 <= len(data) <= 1 << 20, "length of the file")
    cur = Cursor(data, 8, len(data) - 8)
    network = cur.number()
    widths = [cur.number() for _ in pick(WIDTHS, network)]
    must(all(1 <= w <= 1 << 16 for w in widths), "units of a layer")
    size = cur.number()
    text = Cursor(read_text(cur.take(cur.number()), size, known_text(network, widths)))
    content = text.take(text.number())
    header = read_header(Cursor(content), None)
    must(header.base is None and sum(size for _, size in header.files) <= 1 << 23, "header of a short form")
    skeleton = Array("skeleton", size=header.skeleton_size)
    contents, index = {}, b""
    for i, group in enumerate(header.groups):
        members, last_group = [(header.arrays + [skeleton])[m] for m in group], i == len(header.groups) - 1
        books = text.take(text.number())
        frames = frame_bytes(6, books) if books else b""
        values = sum(m.size for m in members) // unit_of(members[0]).width
        blocks = -(-values // header.block_size)
        index, codebooks_length, lengths = index + number_bytes(len(frames)), len(frames), []
        for _ in range(blocks):
            parts = []
            for _ in range(2 if books and len(members) > 1 else 1):
                length, frame = text.number(), b""
                if length:
                    coder = text.byte()
                    last = last_group and not any(text.data[text.pos :])
                    must(length == 1 or not last, "length of the last payload")
                    frame = frame_bytes(coder, cur.rest() if last else cur.take(length - 1))
                frames, index = frames + frame, index + number_bytes(len(frame))
                parts.append(len(frame))
            lengths.append(parts if len(parts) == 2 else (parts[0], 0) if books else (0, parts[0]))
        group_cur = Cursor(frames)
        decoded = read_group(group_cur, members, header.block_size, lengths, codebooks_length, None, None)
        group_cur.finish()
        contents.update(zip(members, decoded))
        index += group_digest(decoded)
    text.finish()
    cur.finish()
    root = hashlib.sha256(frame_bytes(0, content) + frame_bytes(0, index)).digest()
    must(hashlib.sha256(root + data[:-8]).digest()[:8] == data[-8:], "check")
    return restore(header, contents, contents.get(skeleton, header.skeleton or b""), None)


def frame_bytes(coder, payload):
    """Section 2."""
    frame = bytes([coder]) + number_bytes(len(payload)) + payload
    return frame + struct.pack("<I", crc32c(frame))


# Section 12: known networks

WIDTHS = ((), ("fc1", "fc2"), ("conv1", "conv2", "fc1"), (), (), (), (), ("conv1", "conv2", "fc1"), ())
KNOWN = (None, "lenet-300-100", "lenet5", "resnet20", "resnet32", "resnet44", "resnet56", "lenet5-relu", "onnx")

MODELS = bytes.fromhex("""
0016fccb6abf06fcd929f5e15429b045b4e7b270e878823c73d406942ef17f178fcfcadd53388e3e0eedf8a2676f5e5a0deacfa244a47992faf2980c706113a0
0afaff588dd2ec4c4cc348a2286ea865dd3ad1ee9a8d41f2e95eead5e68a10490bf10c123e32a3946113e112eb4d74412ff65b0c2133633e25f8e92f105a74c3
c0ab296fb2b7c585c62f8a7054bd18f420594e3b0bf52b0bd7fea230c49208574c89b62d85c1e1ed22a98bb308c0193f66eff246d2c34997230ccde7e092d074
9ba84825f220375b79f1321949608478f8185abf4b674fdd26cec3768041e55f185f815ada0e1672b5beba3e355001a28fb99f3a865ea6fa07d71e199ee94619
60fc83f81d43e57eae2a0cb11dd828a30dce8ec2e8f6af001804e04abd5db826c8d7a3d82304b03e82f67be0704622b47bb9ae13f1a4e0999ba874e21f17027b
dadfb1dfc0a4bc43c2074b6d7b842f0a232109723b2b2853ec76bb3a10017349f33448e210dd2153faf051755534c0f3d69bfb472f4b9e3a0bd0318b34221ff5
164ab50bdceaf0d1966ef7804a35357321808566c2b5259edc583a69a5a82117ace034946d3902f2a5bec0c371e836c92c35489f75db5049bfdb3b2090e494a1
d3b9439bb573668af15cb9bbf89f54a7ce0b431adffd895f28b63d0ad2b2990ebc3c94b0a49f25bdcda16c4b3df16824376ae50197eb2195dfbe8f41696ecaf3
64082809855aa09d08273bfded8b11190582c20e559a1a5ed877f27b8b65b1f35e39122f0bbb942e32a624117a82ac1be08e11360db2304570ccecd6f4805b46
1342017f48e70c94cf1fbe7ad58a2ca3883b6b21196877f38c3e6090ff8ec8af252d6ed94c4aa598a2bccc5ef7cba7093980802b5ec2a433e5aa838a828a6b09
5480e88d7d89a53e26ee6edaf420f09df8f20b9378fdcd06b74d8803f40c78f3cc25f95c7dd919eda72b8ad6f31b74e276bb7e1b897cd4e1e7e0ba4c4addab64
04ebc7bba6bb6a35fb5d02d55596eab65811b87c110eaf3162e75d8fe21989b878b942516f2c435a115f7428409e45c3590c6860bda01aa6a6cdd8394de12f73
6519356bc4cc0305f30a04d2b2b20b5cc7014a9c6c8fa3156b1ea3a981b020f1a1bd86011d9dc0aa1201c10f69d8501b0dea96b7e4818b0b9504e4a0907991e5
7c42a05390074578a0e720ea02952c44914b210a6dc9361d1614688c71aa6f35baa62c89d826343a440fd9966000c759028b1870ae8a8302e6748730d4291d7a
53f78c0f8e777ac744bb42e56065f02528dd71b7609f156278a717ac63932c03d22fa46f0169bb277e9dbd69a9733c07e01b62bdb0ec3805dc7c5d890f95cc44
286182ff561f0738c32d9080142950c47e6afeac84df31ea202b5a198c6e585e4312f8e5ae508b0cc608187ad2cc26d831923f604c2b9b1a241396a524ee2b22
aeb0ee34232f83ffcb557d9d076837e30d9fd891ba5895e9e5b8a8dd891a3d2389e919ba79d6aa86fe0139e8f10997ec58789a8be9f15ad75a98e59e5ebf6835
e0e7adfdb44c67bbc47c9e3562ae3a3c9b6607ab533f33d78b816f5598f0555b227eb9f0fade8636d15af77620f655c30df6b98db97cb20b6cc4ea7ea07a2ce8
48ddddd818d2ba3ae2fe80943df694e07467f56c9120db3ba6490b34e1291d2b6ff4a1428f8317a7be43afb06467048e3a1b92620436282810e88f016bc30694
18fe012d2eddad24e2b6496cf1cea1ed09a43ba35bd2281a73de375cf1862a1495d9db9fe191e5b262f4aadb126e1aa1b2e5a279c2ed7ef68425cb354f90abff
978d71e32c55c1c0ef3b85462d028671f4660cfd2045dfc606c5f8277c79cd530955518cabcb569e1188588f3d0fa719fa6ddb3310b5182a0ac81106646130bc
027391fcdd2bca417537c89f56cc5001b6616e592892f2897d6c297702bdaa8b4169c2ae35bc4acccefce39d4aa2ae8693aacd36fe3aed663669836cdae4ccc6
22c2702cedacad6fdae03a696230e9fb67c1158720c89a579b6a75aafa49d9ec3773a14c30d7a20e37f7b516a1caaff3ff995d9c95d0a8bf9d9f869691141d2c
4c2378be375d10a93841b57144afd60fbb12ef3e58cb2b390921ab620498bfc2af1d705ef05ce2a7662bcb1c55e7ee6b288b55a56f759eda580a3a62803d00e3
ba9ce0216a9f4de3356208336ad05d5aafc74ac985fa05472f715d75c3056dd4094a97ff59d41f5bb916275e94023c4fd1e41752bcda4eedbbcf3072d0b9e94c
3eadaa0550eb230e5a651392eba2c716d1195d90739fe324dd3fdcaf7226e656b76a065674cf15e8609e931252cd5509adf099514beebf8396c24a27b71028df
5a48a7
""")


def known_arrays(name, widths):
    arrays = {}

    def layer(name, *shape):
        arrays[name + ".weight"], arrays[name + ".bias"] = shape, shape[:1]

    def norm(name, n):
        for part in "weight", "bias", "running_mean", "running_var":
            arrays[name + "." + part] = (n,)

    if name == "lenet-300-100":
        layer("fc1", widths[0], 784)
        layer("fc2", widths[1], widths[0])
        layer("fc3", 10, widths[1])
    elif name in ("lenet5", "lenet5-relu"):
        layer("conv1", widths[0], 1, 5, 5)
        layer("conv2", widths[1], widths[0], 5, 5)
        layer("fc1", widths[2], 16 * widths[1])
        layer("fc2", 10, widths[2])
    else:
        arrays["conv1.weight"] = (16, 3, 3, 3)
        norm("bn1", 16)
        before = 16
        for stage, width in enumerate((16, 32, 64)):
            for block in range((int(name[6:]) - 2) // 6):
                prefix = "layer%d.%d." % (stage + 1, block)
                arrays[prefix + "conv1.weight"] = (width, before, 3, 3)
                arrays[prefix + "conv2.weight"] = (width, width, 3, 3)
                norm(prefix + "bn1", width)
                norm(prefix + "bn2", width)
                before = width
        layer("linear", 10, 64)
    return sorted(arrays.items())


def known_text(network, widths):
    """The example for a known network."""
    name = pick(KNOWN, network)
    if name is None:
        return b""
    if name == "onnx":
        return read_text(MODELS, 8277)
    arrays = known_arrays(name, widths)
    count, sizes = len(arrays), [4 * math.prod(shape) for _, shape in arrays]
    objects, views, at = [], [], 0
    for (array, shape), size in zip(arrays, sizes):
        objects.append(Array(array, "F32", shape, size))
        objects[-1].offset = at
        views.append((array, "F32", shape, objects[-1]))
        at += size
    metadata = [("ropewalk.net", name)]
    skeleton = 8 + (len(skeleton_text(metadata, views, 0)) + 7) // 8 * 8
    n, string = number_bytes, lambda s: number_bytes(len(s)) + s.encode()
    header = n(4) + n(1 << 19 if at // 4 > 1 << 18 else 1 << 18) + string("safetensors")
    header += n(1) + string("ropewalk.net") + string(name) + n(1) + string("model.safetensors") + n(skeleton + at)
    header += n(1) + string("F32") + n(count) + b"".join(string(array) for array, _ in arrays) + bytes(count)
    header += b"".join(n(len(shape)) + b"".join(map(n, shape)) for _, shape in arrays)
    header += n(0) + n(skeleton) + bytes(2 * (count - 1)) + bytes(count) + n(count) + bytes(count)
    header += n(1) + n(count - 1) + bytes(count) + bytes(2)
    books = b"\x04\x0d\x00\x2c" * count
    return n(len(header)) + header + n(len(books)) + books + b"\x01\x08"


def restore(header, contents, skeleton, base):
    """Section 3: arrays at their places, and the skeleton around them."""
    files = [bytearray() for _ in header.files]
    rest = Cursor(skeleton)
    for a in header.arrays:
        if a.source == COPY:
            contents[a] = contents[header.arrays[a.other]]
        elif a.source == BASE_COPY:
            contents[a] = base[a.other][2]
        else:
            contents.setdefault(a, b"")
    for i, (_, size) in enumerate(header.files):
        out = files[i]
        for a in header.arrays:
            if a.file == i:
                out += rest.take(a.offset - len(out)) + contents[a]
        out += rest.take(size - len(out))
    rest.finish()
    return [(name, bytes(data)) for (name, _), data in zip(header.files, files)]


def run_all(folder):
    """Decodes each vector; returns the number of those that fail."""
    base, failures = load_base(os.path.join(folder, "base.bin")), 0
    with open(os.path.join(folder, "vectors.txt"), encoding="utf-8") as f:
        lines = [line.split() for line in f if line.strip() and not line.startswith("#")]
    for name, expected, length, digest, *_ in lines:
        try:
            with open(os.path.join(folder, name), "rb") as f:
                ((_, data),) = decode(f.read(), base)
            same = len(data) == int(length) and hashlib.sha256(data).hexdigest() == digest
            result = "ok" if same else "differs"
        except Refused as e:
            result = "refused: %s" % e
        failures += result != expected
        print("%-24s %s" % (name, result), flush=True)
    return failures


def main(args):
    if len(args) == 2 and args[0] == "--all":
        return 1 if run_all(args[1]) else 0
    if len(args) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    with open(args[0], "rb") as f:
        data = f.read()
    try:
        files = decode(data, load_base(args[2]) if len(args) == 3 else None)
    except Refused as e:
        print("%s: refused: %s" % (args[0], e), file=sys.stderr)
        return 1
    for i, (name, content) in enumerate(files):  # the first is the file that a user names; the others lie beside it
        path = args[1] if i == 0 else os.path.join(os.path.dirname(args[1]), name)
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
