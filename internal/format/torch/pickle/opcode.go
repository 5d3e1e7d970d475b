package pickle

import (
	"encoding/binary"
	"math"
)

// opProto is the opcode with which every pickle begins.
const opProto = 0x80

// An opcode without a run is known and refused by its name.
type opcode struct {
	name string
	run  func(*machine) error
}

// opcodes is indexed by the byte. "A B → C" is the stack before and after,
// the top on the right; "[ a b" are values above a mark.
var opcodes = [256]opcode{
	// The frame of the program.
	0x80: {"PROTO", (*machine).proto}, // 1 byte: the protocol
	0x95: {"FRAME", (*machine).frame}, // 8 bytes: how many to read ahead; no effect
	'.':  {"STOP", (*machine).stop},   // v → answer

	// The stack.
	'(': {"MARK", (*machine).mark},        // → [
	'0': {"POP", (*machine).drop},         // v → ; or a mark
	'1': {"POP_MARK", (*machine).dropAll}, // [ a b →
	'2': {"DUP", (*machine).dup},          // v → v v

	// Simple values; each pushes one.
	'N':  {"NONE", func(m *machine) error { return m.push(nil) }},
	0x88: {"NEWTRUE", func(m *machine) error { return m.push(true) }},
	0x89: {"NEWFALSE", func(m *machine) error { return m.push(false) }},
	'J':  {"BININT", func(m *machine) error { return m.int(4) }},          // int32
	'K':  {"BININT1", func(m *machine) error { return m.int(1) }},         // uint8
	'M':  {"BININT2", func(m *machine) error { return m.int(2) }},         // uint16
	0x8a: {"LONG1", func(m *machine) error { return m.long(1) }},          // length of 1 byte, two's complement
	0x8b: {"LONG4", func(m *machine) error { return m.long(4) }},          // length of 4 bytes
	'G':  {"BINFLOAT", (*machine).float},                                  // float64, big-endian
	'U':  {"SHORT_BINSTRING", func(m *machine) error { return m.str(1) }}, // str of Python 2
	'T':  {"BINSTRING", func(m *machine) error { return m.str(4) }},
	0x8c: {"SHORT_BINUNICODE", func(m *machine) error { return m.str(1) }},
	'X':  {"BINUNICODE", func(m *machine) error { return m.str(4) }},
	0x8d: {"BINUNICODE8", func(m *machine) error { return m.str(8) }},
	'C':  {"SHORT_BINBYTES", func(m *machine) error { return m.bytes(1) }},
	'B':  {"BINBYTES", func(m *machine) error { return m.bytes(4) }},
	0x8e: {"BINBYTES8", func(m *machine) error { return m.bytes(8) }},
	0x96: {"BYTEARRAY8", func(m *machine) error { return m.bytes(8) }},

	// Containers.
	')':  {"EMPTY_TUPLE", func(m *machine) error { return m.pushNew(Tuple(nil)) }},
	0x85: {"TUPLE1", func(m *machine) error { return m.tuple(1) }}, // a → (a)
	0x86: {"TUPLE2", func(m *machine) error { return m.tuple(2) }}, // a b → (a, b)
	0x87: {"TUPLE3", func(m *machine) error { return m.tuple(3) }}, // a b c → (a, b, c)
	't':  {"TUPLE", (*machine).tupleMark},                          // [ a b → (a, b)
	']':  {"EMPTY_LIST", func(m *machine) error { return m.pushNew(&List{}) }},
	'a':  {"APPEND", (*machine).appendOne},   // list v → list
	'e':  {"APPENDS", (*machine).appendMany}, // list [ a b → list
	'}':  {"EMPTY_DICT", func(m *machine) error { return m.pushNew(&Dict{}) }},
	's':  {"SETITEM", (*machine).setItem},   // dict k v → dict
	'u':  {"SETITEMS", (*machine).setItems}, // dict [ k v k v → dict
	0x8f: {"EMPTY_SET", func(m *machine) error { return m.pushNew(&Set{}) }},
	0x90: {"ADDITEMS", (*machine).addItems},   // set [ a b → set
	0x91: {"FROZENSET", (*machine).frozenSet}, // [ a b → set

	// The memo: values that are used more than once.
	'q':  {"BINPUT", func(m *machine) error { return m.putAt(1) }}, // v → v, memo[i] = v
	'r':  {"LONG_BINPUT", func(m *machine) error { return m.putAt(4) }},
	0x94: {"MEMOIZE", func(m *machine) error { return m.put(uint64(len(m.memo))) }}, // memo[next] = v
	'h':  {"BINGET", func(m *machine) error { return m.getAt(1) }},                  // → memo[i]
	'j':  {"LONG_BINGET", func(m *machine) error { return m.getAt(4) }},

	// What the host decides about.
	'c':  {"GLOBAL", (*machine).globalLines},       // two lines: module, name; → global
	0x93: {"STACK_GLOBAL", (*machine).globalStack}, // module name → global
	'R':  {"REDUCE", (*machine).reduce},            // f (args) → f(args)
	0x81: {"NEWOBJ", (*machine).reduce},            // class (args) → class(args)
	0x92: {"NEWOBJ_EX", (*machine).newObjEx},       // class (args) {kwargs} → object
	'b':  {"BUILD", (*machine).build},              // obj state → obj
	'Q':  {"BINPERSID", (*machine).persistent},     // id → object from outside

	// Known and refused: the text opcodes of protocol 0 and 1, ...
	'I': {name: "INT"}, 'L': {name: "LONG"}, 'F': {name: "FLOAT"},
	'S': {name: "STRING"}, 'V': {name: "UNICODE"}, 'P': {name: "PERSID"},
	'p': {name: "PUT"}, 'g': {name: "GET"}, 'd': {name: "DICT"}, 'l': {name: "LIST"},
	// ... old ways to make objects, names by number in a registry that only
	// the writer's Python has, and buffers outside of the file.
	'i': {name: "INST"}, 'o': {name: "OBJ"},
	0x82: {name: "EXT1"}, 0x83: {name: "EXT2"}, 0x84: {name: "EXT4"},
	0x97: {name: "NEXT_BUFFER"}, 0x98: {name: "READONLY_BUFFER"},
}

func (m *machine) proto() error {
	v, err := m.byte()
	if err != nil {
		return err
	}
	if v < 2 || v > 5 {
		return Refuse("pickle protocol %d; 2 to 5 are read", v)
	}
	return nil
}

func (m *machine) frame() error {
	n, err := m.uint(8)
	if err != nil {
		return err
	}
	// Only a hint for buffering, but one that must be true.
	pos := m.pos
	_, err = m.take(n)
	m.pos = pos
	return err
}

func (m *machine) stop() error {
	m.done = true
	return nil
}

func (m *machine) mark() error {
	if len(m.stack)+len(m.marks) >= MaxStack {
		return Refuse("more than %d values are on the stack", MaxStack)
	}
	m.marks = append(m.marks, len(m.stack))
	return nil
}

func (m *machine) drop() error {
	// As in Python, POP right after MARK removes the mark.
	if n := len(m.marks); n > 0 && m.marks[n-1] == len(m.stack) {
		m.marks = m.marks[:n-1]
		return nil
	}
	_, err := m.pop()
	return err
}

func (m *machine) dropAll() error {
	_, err := m.popMark()
	return err
}

func (m *machine) dup() error {
	v, err := m.top()
	if err != nil {
		return err
	}
	return m.push(v)
}

// int reads n bytes. Of the three sizes, only the largest is signed.
func (m *machine) int(n uint64) error {
	u, err := m.uint(n)
	if err != nil {
		return err
	}
	if n == 4 {
		return m.push(int64(int32(u)))
	}
	return m.push(int64(u))
}

// long reads an integer whose length in bytes is a number of n bytes.
func (m *machine) long(n uint64) error {
	s, err := m.counted(n)
	if err != nil {
		return err
	}
	if len(s) > 8 {
		return m.push(Long(s))
	}
	var b [8]byte
	copy(b[:], s)
	u := binary.LittleEndian.Uint64(b[:])
	shift := 64 - 8*len(s) // an empty one is zero: Go shifts all bits out
	return m.push(int64(u<<shift) >> shift)
}

func (m *machine) float() error {
	s, err := m.take(8)
	if err != nil {
		return err
	}
	return m.push(math.Float64frombits(binary.BigEndian.Uint64([]byte(s))))
}

func (m *machine) str(n uint64) error {
	s, err := m.counted(n)
	if err != nil {
		return err
	}
	return m.push(s)
}

func (m *machine) bytes(n uint64) error {
	s, err := m.counted(n)
	if err != nil {
		return err
	}
	return m.push(Bytes(s))
}

func (m *machine) tuple(n int) error {
	if len(m.stack)-m.floor() < n {
		return errUnderflow()
	}
	t := make(Tuple, n)
	copy(t, m.stack[len(m.stack)-n:])
	m.stack = m.stack[:len(m.stack)-n]
	return m.pushNew(t)
}

func (m *machine) tupleMark() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.pushNew(append(Tuple(nil), items...))
}

func (m *machine) appendOne() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	return m.extend([]any{v})
}

func (m *machine) appendMany() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.extend(items)
}

func (m *machine) extend(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	l, ok := v.(*List)
	if !ok {
		return wrongTarget(v, "list")
	}
	l.Items = append(l.Items, items...)
	return nil
}

func (m *machine) setItem() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	k, err := m.pop()
	if err != nil {
		return err
	}
	return m.update([]any{k, v})
}

func (m *machine) setItems() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.update(items)
}

func (m *machine) update(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	d, ok := v.(*Dict)
	if !ok {
		return wrongTarget(v, "dict")
	}
	if len(items)%2 != 0 {
		return Malformed("a key without a value among %d items", len(items))
	}
	for i := 0; i < len(items); i += 2 {
		if err := checkKey(items[i]); err != nil {
			return err
		}
		d.Set(items[i], items[i+1])
	}
	return nil
}

func (m *machine) addItems() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	s, ok := v.(*Set)
	if !ok {
		return wrongTarget(v, "set")
	}
	s.Items = append(s.Items, items...)
	return nil
}

func (m *machine) frozenSet() error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.pushNew(&Set{Items: append([]any(nil), items...)})
}

func (m *machine) putAt(n uint64) error {
	i, err := m.uint(n)
	if err != nil {
		return err
	}
	return m.put(i)
}

func (m *machine) getAt(n uint64) error {
	i, err := m.uint(n)
	if err != nil {
		return err
	}
	return m.get(i)
}

func (m *machine) globalLines() error {
	module, err := m.line()
	if err != nil {
		return err
	}
	name, err := m.line()
	if err != nil {
		return err
	}
	return m.global(module, name)
}

func (m *machine) globalStack() error {
	name, err := m.pop()
	if err != nil {
		return err
	}
	module, err := m.pop()
	if err != nil {
		return err
	}
	mod, ok1 := module.(string)
	nam, ok2 := name.(string)
	if !ok1 || !ok2 {
		return Malformed("a global is named by a %s and a %s, not by two strings", TypeName(module), TypeName(name))
	}
	if len(mod) > MaxName || len(nam) > MaxName {
		return Malformed("the name of a global has %d and %d bytes, more than %d", len(mod), len(nam), MaxName)
	}
	return m.global(mod, nam)
}

func (m *machine) reduce() error {
	args, err := m.pop()
	if err != nil {
		return err
	}
	fn, err := m.pop()
	if err != nil {
		return err
	}
	return m.call(fn, args)
}

func (m *machine) newObjEx() error {
	kwargs, err := m.pop()
	if err != nil {
		return err
	}
	d, ok := kwargs.(*Dict)
	if !ok {
		return wrongTarget(kwargs, "dict")
	}
	if d.Len() != 0 {
		return Refuse("an object is made with %d named arguments", d.Len())
	}
	return m.reduce()
}

func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	obj, err := m.top()
	if err != nil {
		return err
	}
	return m.host.Build(int64(m.op), obj, state)
}

func (m *machine) persistent() error {
	id, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.host.Persistent(int64(m.op), id)
	if err != nil {
		return err
	}
	return m.pushNew(v)
}
