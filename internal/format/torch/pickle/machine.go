package pickle

import (
	"errors"
	"io"
)

// Limits. A checkpoint of 100,000 tensors takes about 4 million opcodes, a
// million objects, and as many places in the memo.
const (
	// MaxOps bounds the steps of the machine.
	MaxOps = 1 << 24
	// MaxObjects bounds the tuples, lists, sets, dictionaries and values of
	// the host, each of which takes far more memory than its opcode.
	MaxObjects = 1 << 21
	// MaxStack bounds the values and marks on the stack. Python's writer
	// sets items in batches of 1000; only a tuple of numbers grows larger.
	MaxStack = 1 << 20
	// MaxMemo bounds the index of the memo.
	MaxMemo = 1 << 22
	// MaxName bounds a line of GLOBAL.
	MaxName = 1 << 10
)

// A Host gives meaning to what a pickle names but does not contain. Each
// method returns data, or an error made by [Refuse] or [Malformed]. The offset
// at is that of the opcode, for messages that come later.
type Host interface {
	// Global returns what stands for a Python name: GLOBAL, STACK_GLOBAL.
	Global(at int64, module, name string) (any, error)
	// Call returns what fn returns: REDUCE, NEWOBJ, NEWOBJ_EX. fn may be any
	// value, not only one that came from Global.
	Call(at int64, fn any, args Tuple) (any, error)
	// Build changes the state of obj: BUILD.
	Build(at int64, obj, state any) error
	// Persistent returns what lies outside of the pickle: BINPERSID.
	Persistent(at int64, id any) (any, error)
}

// Read runs a pickle and returns the value that it builds. Strings alias p.
// Errors are of type *[Error].
func Read(p string, h Host) (any, error) {
	m := &machine{p: p, host: h}
	v, err := m.run()
	if err == nil {
		return v, nil
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Reason: err.Error(), Err: err}
	}
	e.Offset = int64(m.op)
	return nil, e
}

// A machine runs one pickle.
type machine struct {
	p       string
	pos     int // of the next byte
	op      int // where the opcode that runs began
	host    Host
	stack   []any
	marks   []int // each the height of the stack when MARK ran
	memo    []any // an unset place holds unset
	objects int
	done    bool
}

// unset fills places of the memo that nothing was put in: nil would be None.
type unset struct{}

// run is the loop. Every pickle begins with PROTO and ends with STOP.
func (m *machine) run() (any, error) {
	if len(m.p) > 0 && m.p[0] != opProto {
		return nil, Malformed("the first opcode is 0x%02x, not PROTO", m.p[0])
	}
	for steps := 0; !m.done; steps++ {
		if steps == MaxOps {
			return nil, Refuse("the pickle has more than %d opcodes", MaxOps)
		}
		m.op = m.pos
		b, err := m.byte()
		if err != nil {
			return nil, err
		}
		op := &opcodes[b]
		switch {
		case op.run != nil:
			if err := op.run(m); err != nil {
				return nil, err
			}
		case op.name != "":
			return nil, Refuse("opcode %s (0x%02x) is not read; torch.save does not write it", op.name, b)
		default:
			return nil, Malformed("0x%02x is not an opcode", b)
		}
	}
	if m.pos != len(m.p) {
		return nil, Malformed("%d bytes follow the end of the pickle", len(m.p)-m.pos)
	}
	v, err := m.pop()
	if err != nil {
		return nil, err
	}
	if len(m.stack) != 0 || len(m.marks) != 0 {
		return nil, Malformed("%d values and %d marks are left on the stack", len(m.stack), len(m.marks))
	}
	return v, nil
}

// take returns the next n bytes.
func (m *machine) take(n uint64) (string, error) {
	if have := uint64(len(m.p) - m.pos); n > have {
		e := Malformed("needs %d more bytes, %d remain", n, have)
		e.Err = io.ErrUnexpectedEOF
		return "", e
	}
	s := m.p[m.pos : m.pos+int(n)]
	m.pos += int(n)
	return s, nil
}

func (m *machine) byte() (byte, error) {
	s, err := m.take(1)
	if err != nil {
		return 0, err
	}
	return s[0], nil
}

// uint reads a little-endian number of n bytes, n <= 8.
func (m *machine) uint(n uint64) (uint64, error) {
	s, err := m.take(n)
	if err != nil {
		return 0, err
	}
	u := uint64(0)
	for i := range s {
		u |= uint64(s[i]) << (8 * i)
	}
	return u, nil
}

// counted reads a length of n bytes and then as many bytes as it says.
func (m *machine) counted(n uint64) (string, error) {
	size, err := m.uint(n)
	if err != nil {
		return "", err
	}
	return m.take(size)
}

// line reads up to the next newline, which it drops.
func (m *machine) line() (string, error) {
	rest := m.p[m.pos:]
	for i := range min(len(rest), MaxName) {
		if rest[i] == '\n' {
			m.pos += i + 1
			return rest[:i], nil
		}
	}
	if len(rest) < MaxName {
		e := Malformed("no end of line in the %d bytes that remain", len(rest))
		e.Err = io.ErrUnexpectedEOF
		return "", e
	}
	return "", Malformed("no end of line within %d bytes", MaxName)
}

func (m *machine) push(v any) error {
	if len(m.stack)+len(m.marks) >= MaxStack {
		return Refuse("more than %d values are on the stack", MaxStack)
	}
	m.stack = append(m.stack, v)
	return nil
}

// pushNew pushes an object that the opcode made.
func (m *machine) pushNew(v any) error {
	if m.objects++; m.objects > MaxObjects {
		return Refuse("the pickle makes more than %d objects", MaxObjects)
	}
	return m.push(v)
}

// floor is the height below which the stack belongs to an outer mark.
func (m *machine) floor() int {
	if n := len(m.marks); n > 0 {
		return m.marks[n-1]
	}
	return 0
}

func (m *machine) pop() (any, error) {
	n := len(m.stack)
	if n <= m.floor() {
		return nil, errUnderflow()
	}
	v := m.stack[n-1]
	m.stack[n-1] = nil // so that what is dropped can be freed
	m.stack = m.stack[:n-1]
	return v, nil
}

func (m *machine) top() (any, error) {
	n := len(m.stack)
	if n <= m.floor() {
		return nil, errUnderflow()
	}
	return m.stack[n-1], nil
}

// popMark removes the last mark and returns the values above it. The slice is
// valid until the next push.
func (m *machine) popMark() ([]any, error) {
	n := len(m.marks)
	if n == 0 {
		return nil, Malformed("there is no mark on the stack")
	}
	height := m.marks[n-1]
	items := m.stack[height:]
	m.marks, m.stack = m.marks[:n-1], m.stack[:height]
	return items, nil
}

func errUnderflow() error { return Malformed("the stack is empty") }

// put stores the top of the stack in the memo.
func (m *machine) put(i uint64) error {
	if i >= MaxMemo {
		return Refuse("memo index %d is above %d", i, MaxMemo-1)
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	for uint64(len(m.memo)) <= i {
		m.memo = append(m.memo, unset{})
	}
	m.memo[i] = v
	return nil
}

// get pushes what the memo holds.
func (m *machine) get(i uint64) error {
	if i >= uint64(len(m.memo)) || m.memo[i] == any(unset{}) {
		return Malformed("memo place %d is empty", i)
	}
	return m.push(m.memo[i])
}

// call pushes what the host's Call returns.
func (m *machine) call(fn any, args any) error {
	t, ok := args.(Tuple)
	if !ok {
		return Malformed("the arguments are a %s, not a tuple", TypeName(args))
	}
	v, err := m.host.Call(int64(m.op), fn, t)
	if err != nil {
		return err
	}
	return m.pushNew(v)
}

// global pushes what the host's Global returns.
func (m *machine) global(module, name string) error {
	v, err := m.host.Global(int64(m.op), module, name)
	if err != nil {
		return err
	}
	return m.push(v)
}

// wrongTarget reports an opcode that changes a container, used on another type.
func wrongTarget(v any, want string) error {
	return Malformed("the target is a %s, not a %s", TypeName(v), want)
}

// checkKey refuses keys that Python cannot hash.
func checkKey(k any) error {
	switch k.(type) {
	case *List, *Dict, *Set:
		return Malformed("a %s cannot be a key", TypeName(k))
	}
	return nil
}
