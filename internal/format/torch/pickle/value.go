package pickle

import "fmt"

// Values are Go values: nil for None, bool, int64, float64, string, and the
// types below, and whatever a [Host] returns.

// Bytes are Python's bytes or bytearray.
type Bytes string

// A Long is an integer that needs more than 64 bits, in two's complement,
// little-endian.
type Long string

// A Tuple is a fixed list.
type Tuple []any

// A List is a growing list. It may contain itself.
type List struct {
	Items []any
}

// A Set is a set or frozenset, in the order of the pickle.
type Set struct {
	Items []any
}

// A Dict maps keys to values and keeps the order of the keys. It may contain
// itself. The zero value is empty.
type Dict struct {
	Keys, Values []any
	index        map[any]int // of the simple keys, once there are many
}

// indexFrom is the number of keys from which a Dict keeps an index. Most
// dictionaries of a checkpoint are empty or small.
const indexFrom = 16

// Len returns the number of keys.
func (d *Dict) Len() int { return len(d.Keys) }

// Lookup returns the value of a key that is nil, a bool, int64, float64,
// string or Bytes.
func (d *Dict) Lookup(key any) (v any, ok bool) {
	if i := d.find(key); i >= 0 {
		return d.Values[i], true
	}
	return nil, false
}

func (d *Dict) find(key any) int {
	if !isSimple(key) {
		return -1
	}
	if d.index != nil {
		if i, ok := d.index[key]; ok {
			return i
		}
		return -1
	}
	for i, k := range d.Keys {
		if isSimple(k) && k == key {
			return i
		}
	}
	return -1
}

// Set sets the value of a key; as in Python, a key keeps its first place.
// Keys that are tuples or values of the host are never taken for equal.
func (d *Dict) Set(key, value any) {
	if i := d.find(key); i >= 0 {
		d.Values[i] = value
		return
	}
	d.Keys = append(d.Keys, key)
	d.Values = append(d.Values, value)
	switch {
	case d.index != nil:
		if isSimple(key) {
			d.index[key] = len(d.Keys) - 1
		}
	case len(d.Keys) >= indexFrom:
		d.index = make(map[any]int, 2*indexFrom)
		for i, k := range d.Keys {
			if isSimple(k) {
				d.index[k] = i
			}
		}
	}
}

// isSimple reports whether v can be a key of a Go map without a panic and
// with the equality of Python.
func isSimple(v any) bool {
	switch v.(type) {
	case nil, bool, int64, float64, string, Bytes, Long:
		return true
	}
	return false
}

// TypeName names the Python type of v, for messages.
func TypeName(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "bool"
	case int64, Long:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case Bytes:
		return "bytes"
	case Tuple:
		return "tuple"
	case *List:
		return "list"
	case *Set:
		return "set"
	case *Dict:
		return "dict"
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprintf("%T", v)
}
