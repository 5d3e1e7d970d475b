package pickle

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// recorder is a host for which names stay names and calls become tuples.
type recorder struct{ log []string }

type name string

func (r *recorder) Global(at int64, module, n string) (any, error) {
	if module == "os" {
		return nil, Refuse("no %s.%s", module, n)
	}
	return name(module + "." + n), nil
}

func (r *recorder) Call(at int64, fn any, args Tuple) (any, error) {
	if _, ok := fn.(name); !ok {
		return nil, Malformed("calls a %s", TypeName(fn))
	}
	return Tuple{"call", fn, args}, nil
}

func (r *recorder) Build(at int64, obj, state any) error {
	r.log = append(r.log, fmt.Sprintf("build at %d", at))
	return nil
}

func (r *recorder) Persistent(at int64, id any) (any, error) {
	if id == nil {
		return nil, errors.New("plain error")
	}
	return Tuple{"outside", id}, nil
}

const p2 = "\x80\x02"

func TestRead(t *testing.T) {
	long := strings.Repeat("x", 300)
	shared := &List{Items: []any{int64(5)}}
	for _, c := range []struct {
		name, pickle string
		want         any
	}{
		{"none", p2 + "N.", nil},
		{"true", p2 + "\x88.", true},
		{"false", p2 + "\x89.", false},
		{"int32", p2 + "J\xfe\xff\xff\xff.", int64(-2)},
		{"uint8", p2 + "K\xff.", int64(255)},
		{"uint16", p2 + "M\xff\xff.", int64(65535)},
		{"long of no bytes", p2 + "\x8a\x00.", int64(0)},
		{"long of 1 byte", p2 + "\x8a\x01\xff.", int64(-1)},
		{"long of 5 bytes", p2 + "\x8a\x05\x00\x00\x00\x00\x01.", int64(1 << 32)},
		{"long of 8 bytes", p2 + "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.", int64(math.MaxInt64)},
		{"long of 9 bytes", p2 + "\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00.", Long("\xff\xff\xff\xff\xff\xff\xff\xff\x00")},
		{"long4", p2 + "\x8b\x01\x00\x00\x00\x80.", int64(-128)},
		{"float", p2 + "G\xbf\xf8\x00\x00\x00\x00\x00\x00.", -1.5},
		{"str of Python 2", p2 + "U\x02hi.", "hi"},
		{"long str of Python 2", p2 + "T\x2c\x01\x00\x00" + long + ".", long},
		{"str", p2 + "X\x02\x00\x00\x00hi.", "hi"},
		{"short str", "\x80\x04\x8c\x02hi.", "hi"},
		{"str8", "\x80\x04\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi.", "hi"},
		{"short bytes", "\x80\x03C\x02hi.", Bytes("hi")},
		{"bytes", "\x80\x03B\x02\x00\x00\x00hi.", Bytes("hi")},
		{"bytes8", "\x80\x04\x8e\x02\x00\x00\x00\x00\x00\x00\x00hi.", Bytes("hi")},
		{"bytearray8", "\x80\x05\x96\x02\x00\x00\x00\x00\x00\x00\x00hi.", Bytes("hi")},
		{"frame", "\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N.", nil},
		{"empty tuple", p2 + ").", Tuple(nil)},
		{"tuples", p2 + "K\x01\x85K\x02\x86K\x03K\x04\x87.", Tuple{Tuple{Tuple{int64(1)}, int64(2)}, int64(3), int64(4)}},
		{"tuple of a mark", p2 + "(NN\x88\x89t.", Tuple{nil, nil, true, false}},
		{"list", p2 + "]Na(\x88\x89e.", &List{Items: []any{nil, true, false}}},
		{"dict", p2 + "}K\x01Ns(K\x02\x88K\x01\x89u.", &Dict{Keys: []any{int64(1), int64(2)}, Values: []any{false, true}}},
		{"set", "\x80\x04\x8f(K\x01K\x02\x90.", &Set{Items: []any{int64(1), int64(2)}}},
		{"frozenset", "\x80\x04(K\x01\x91.", &Set{Items: []any{int64(1)}}},
		{"memo", p2 + "]q\x00h\x00\x86h\x00K\x05a0.", Tuple{shared, shared}},
		{"long memo", p2 + "K\x07r\x00\x01\x00\x000j\x00\x01\x00\x00.", int64(7)},
		{"memoize", "\x80\x04K\x07\x940K\x08\x940h\x00.", int64(7)},
		{"pop and dup", p2 + "K\x01K\x020(NN1(02\x86.", Tuple{int64(1), int64(1)}},
		{"global", p2 + "cmod\nname\n.", name("mod.name")},
		{"stack global", "\x80\x04\x8c\x01m\x8c\x01n\x93.", name("m.n")},
		{"reduce", p2 + "cm\nn\nN\x85R.", Tuple{"call", name("m.n"), Tuple{nil}}},
		{"newobj", p2 + "cm\nn\n)\x81.", Tuple{"call", name("m.n"), Tuple(nil)}},
		{"newobj_ex", "\x80\x04cm\nn\n)}\x92.", Tuple{"call", name("m.n"), Tuple(nil)}},
		{"build", p2 + "]}b.", &List{}},
		{"persistent", p2 + "K\x01Q.", Tuple{"outside", int64(1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read(c.pickle, &recorder{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(Dict{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		name, pickle string
		offset       int64
		refused, eof bool
		reason       string
	}{
		{"empty", "", 0, false, true, "needs 1 more bytes"},
		{"no proto", "N.", 0, false, false, "not PROTO"},
		{"protocol 0", "\x80\x00N.", 0, true, false, "protocol 0"},
		{"protocol 6", "\x80\x06N.", 0, true, false, "protocol 6"},
		{"no stop", p2 + "N", 3, false, true, "needs 1 more bytes"},
		{"nothing to answer", p2 + ".", 2, false, false, "stack is empty"},
		{"too much left", p2 + "NN.", 4, false, false, "1 values"},
		{"mark left", p2 + "N(0(.", 6, false, false, "stack is empty"},
		{"trailing bytes", p2 + "N.N", 3, false, false, "1 bytes follow"},
		{"no opcode", p2 + "\xff", 2, false, false, "0xff is not an opcode"},
		{"INST", p2 + "(ios\nsystem\n.", 3, true, false, "INST"},
		{"OBJ", p2 + "(No.", 4, true, false, "OBJ"},
		{"EXT1", p2 + "\x82\x01.", 2, true, false, "EXT1"},
		{"EXT2", p2 + "\x83\x01\x00.", 2, true, false, "EXT2"},
		{"EXT4", p2 + "\x84\x01\x00\x00\x00.", 2, true, false, "EXT4"},
		{"PERSID", p2 + "Pabc\n.", 2, true, false, "PERSID"},
		{"INT", p2 + "I1\n.", 2, true, false, "INT"},
		{"NEXT_BUFFER", "\x80\x05\x97.", 2, true, false, "NEXT_BUFFER"},
		{"global", p2 + "cos\nsystem\n.", 2, true, false, "no os.system"},
		{"stack global", "\x80\x04\x8c\x02os\x8c\x06system\x93.", 14, true, false, "no os.system"},
		{"stack global of numbers", "\x80\x04NN\x93.", 4, false, false, "two strings"},
		{"stack global of a long name", "\x80\x04X\x01\x04\x00\x00" + strings.Repeat("x", 1025) + "\x8c\x01n\x93.", 1035, false, false, "1025"},
		{"global without end", p2 + "cos\nsys", 2, false, true, "no end of line"},
		{"global of a long line", p2 + "c" + strings.Repeat("x", MaxName) + "\nx\n.", 2, false, false, "within 1024"},
		{"call of a value", p2 + "K\x01)R.", 5, false, false, "calls a int"},
		{"arguments not a tuple", p2 + "cm\nn\nNR.", 8, false, false, "arguments are a None"},
		{"named arguments", "\x80\x04cm\nn\n)}NNs\x92.", 12, true, false, "1 named"},
		{"newobj_ex of a list", "\x80\x04cm\nn\n)]\x92.", 9, false, false, "not a dict"},
		{"plain error of the host", p2 + "NQ.", 3, false, false, "plain error"},
		{"huge str", "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", 2, false, true, "18446744073709551615"},
		{"huge bytes", "\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x80.", 2, false, true, "9223372036854775808"},
		{"huge bytearray", "\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x80.", 2, false, true, "9223372036854775808"},
		{"huge long", p2 + "\x8b\xff\xff\xff\x7f.", 2, false, true, "2147483647"},
		{"huge frame", "\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.", 2, false, true, "18446744073709551615"},
		{"memo place never set", p2 + "h\x00.", 2, false, false, "memo place 0"},
		{"memo place between", p2 + "Nq\x05h\x03.", 5, false, false, "memo place 3"},
		{"memo bomb", p2 + "Nr\xff\xff\xff\xff.", 3, true, false, "memo index 4294967295"},
		{"put of nothing", p2 + "q\x00.", 2, false, false, "stack is empty"},
		{"dup of nothing", p2 + "2.", 2, false, false, "stack is empty"},
		{"pop too often", p2 + "N(N0000.", 8, false, false, "stack is empty"},
		{"tuple across a mark", p2 + "N(N\x86.", 5, false, false, "stack is empty"},
		{"pop_mark without mark", p2 + "1.", 2, false, false, "no mark"},
		{"tuple without mark", p2 + "Nt.", 3, false, false, "no mark"},
		{"append to a tuple", p2 + ")Na.", 4, false, false, "not a list"},
		{"append to a global", p2 + "cm\nn\nNa.", 8, false, false, "not a list"},
		{"set item of a list", p2 + "]NNs.", 5, false, false, "not a dict"},
		{"set items of a global", p2 + "cm\nn\n(NNu.", 10, false, false, "not a dict"},
		{"key without value", p2 + "}(Nu.", 5, false, false, "without a value"},
		{"list as a key", p2 + "}]Ns.", 5, false, false, "list cannot be a key"},
		{"add to a list", p2 + "](N\x90.", 5, false, false, "not a set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(c.pickle, &recorder{})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if e.Offset != c.offset || e.Refused != c.refused || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("got offset %d, refused %v, %q; want %d, %v, %q", e.Offset, e.Refused, e.Reason, c.offset, c.refused, c.reason)
			}
			if errors.Is(err, io.ErrUnexpectedEOF) != c.eof {
				t.Errorf("io.ErrUnexpectedEOF: got %v, want %v", !c.eof, c.eof)
			}
		})
	}
}

// Each of these would take more memory or time than a file of its size may.
func TestLimits(t *testing.T) {
	for _, c := range []struct{ name, pickle, reason string }{
		{"opcodes", p2 + "N" + strings.Repeat("N0", MaxOps/2) + ".", "opcodes"},
		{"objects", p2 + "]" + strings.Repeat("]0", MaxObjects) + ".", "objects"},
		{"stack by DUP", p2 + "N" + strings.Repeat("2", MaxStack), "on the stack"},
		{"stack by MARK", p2 + "N" + strings.Repeat("(", MaxStack), "on the stack"},
		{"nested tuples", p2 + ")" + strings.Repeat("\x85", MaxObjects), "objects"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(c.pickle, &recorder{})
			var e *Error
			if !errors.As(err, &e) || !e.Refused || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("got %v, want a refusal about %q", err, c.reason)
			}
		})
	}
}

// A list that holds itself is a value like any other.
func TestCycle(t *testing.T) {
	got, err := Read(p2+"]q\x00h\x00a.", &recorder{})
	if err != nil {
		t.Fatal(err)
	}
	if l := got.(*List); len(l.Items) != 1 || l.Items[0] != any(l) {
		t.Errorf("got %v, want a list that holds itself", l)
	}
}

func TestBuildGetsOffset(t *testing.T) {
	r := &recorder{}
	if _, err := Read(p2+"]}b.", r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"build at 4"}, r.log); d != "" {
		t.Error(d)
	}
}

// A Dict finds the same keys below and above the number from which it keeps
// an index.
func TestDict(t *testing.T) {
	for _, n := range []int{0, 1, indexFrom - 1, indexFrom, 5 * indexFrom} {
		var d Dict
		d.Set(Tuple{"t"}, "tuple")
		for i := range n {
			d.Set(int64(i), i)
			d.Set(fmt.Sprint(i), i)
		}
		for i := range n {
			d.Set(int64(i), -i)
		}
		if d.Len() != 1+2*n {
			t.Fatalf("%d keys, want %d", d.Len(), 1+2*n)
		}
		for i := range n {
			a, _ := d.Lookup(int64(i))
			b, _ := d.Lookup(fmt.Sprint(i))
			if a != -i || b != i {
				t.Errorf("of %d: got %v and %v, want %d and %d", n, a, b, -i, i)
			}
		}
		for _, key := range []any{int64(n), "no", Tuple{"t"}, &List{}} {
			if v, ok := d.Lookup(key); ok {
				t.Errorf("found %v under %v", v, key)
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(p2 + "}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00b](NNeu.")
	f.Add("\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01m\x8c\x01n\x93)\x81}b.")
	f.Add(p2 + "cm\nn\nq\x00(h\x00K\x01Qt0h\x00)R.")
	f.Fuzz(func(t *testing.T, p string) {
		_, err := Read(p, &recorder{})
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("error %T", err)
		}
		if e != nil && (e.Offset < 0 || e.Offset > int64(len(p))) {
			t.Fatalf("offset %d of %d", e.Offset, len(p))
		}
	})
}
