package torch

import (
	"strconv"
	"strings"

	"ropewalk/internal/format/torch/pickle"
	"ropewalk/layout"
)

// Limits of the walk through the saved object. A list that holds itself twice
// ends by the check for cycles; one that holds another twice, which holds
// another twice, and so on, ends by these.
const (
	// MaxVisits bounds the values that are looked at.
	MaxVisits = 1 << 24
	// MaxTensors bounds the named tensors.
	MaxTensors = 1 << 20
	// MaxDepth bounds how deep containers lie in each other.
	MaxDepth = 1 << 8
	// MaxName bounds the bytes of a name, and MaxNames those of all.
	MaxName  = 1 << 12
	MaxNames = 1 << 28
)

// aloneName is the name of a tensor that was saved by itself.
const aloneName = "tensor"

// A named is a tensor under the name by which people find it.
type named struct {
	name string
	*ref
}

// A walk collects the tensors of an object. Names are the keys of nested
// containers, joined by dots, as in "state_dict.conv1.weight".
type walk struct {
	archive *archive
	tensors []named
	path    []any        // keys; int for places in a list
	inside  map[any]bool // the containers that the path goes through
	visits  int
	bytes   int            // of all names
	used    map[string]int // how often a name was asked for
}

func collect(a *archive, root any) ([]named, error) {
	w := &walk{archive: a, inside: map[any]bool{}, used: map[string]int{}}
	if err := w.visit(root); err != nil {
		return nil, err
	}
	return w.tensors, nil
}

func (w *walk) visit(v any) error {
	if w.visits++; w.visits > MaxVisits {
		return w.archive.unsupported(-1, "the saved object has more than %d values", MaxVisits)
	}
	switch v := v.(type) {
	case *ref:
		return w.add(v)
	case pickle.Tuple:
		return w.items(v)
	case *pickle.List:
		return w.within(v, func() error { return w.items(v.Items) })
	case *pickle.Set:
		return w.within(v, func() error { return w.items(v.Items) })
	case *pickle.Dict:
		return w.within(v, func() error {
			for i, k := range v.Keys {
				if err := w.step(k, v.Values[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return nil
}

// within runs f unless the path already goes through the container c.
func (w *walk) within(c any, f func() error) error {
	if w.inside[c] {
		return nil
	}
	w.inside[c] = true
	defer delete(w.inside, c)
	return f()
}

func (w *walk) items(items []any) error {
	for i, v := range items {
		if err := w.step(i, v); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) step(key, v any) error {
	if len(w.path) == MaxDepth {
		return w.archive.unsupported(-1, "containers lie more than %d deep in each other", MaxDepth)
	}
	w.path = append(w.path, key)
	err := w.visit(v)
	w.path = w.path[:len(w.path)-1]
	return err
}

func (w *walk) add(r *ref) error {
	name, err := w.name(r)
	if err != nil {
		return err
	}
	if len(w.tensors) == MaxTensors {
		return w.archive.unsupported(r.at, "the saved object has more than %d tensors", MaxTensors)
	}
	if w.bytes += len(name); w.bytes > MaxNames {
		return w.archive.unsupported(r.at, "the names of the tensors take more than %d bytes", MaxNames)
	}
	w.tensors = append(w.tensors, named{name, r})
	return nil
}

// name joins the path. Names are unique: where {"a.b": t, "a": {"b": u}} makes
// two alike, the second is "a.b#2".
func (w *walk) name(r *ref) (string, error) {
	var b strings.Builder
	for i, k := range w.path {
		if i > 0 {
			b.WriteByte('.')
		}
		writeKey(&b, k)
		if b.Len() > MaxName {
			return "", w.archive.unsupported(r.at, "the name of a tensor has more than %d bytes", MaxName)
		}
	}
	name := strings.ToValidUTF8(b.String(), "\uFFFD")
	if len(w.path) == 0 {
		name = aloneName
	}
	base := name
	for w.used[name] > 0 {
		w.used[base]++
		name = base + "#" + strconv.Itoa(w.used[base])
	}
	w.used[name]++
	return name, nil
}

// writeKey writes a key as a part of a name. Keys that have no short form
// (tuples, objects) are written as their type.
func writeKey(b *strings.Builder, key any) {
	switch k := key.(type) {
	case int:
		b.WriteString(strconv.Itoa(k))
	case int64:
		b.WriteString(strconv.FormatInt(k, 10))
	case float64:
		b.WriteString(strconv.FormatFloat(k, 'g', -1, 64))
	case bool:
		b.WriteString(map[bool]string{false: "False", true: "True"}[k])
	case string:
		b.WriteString(k[:min(len(k), MaxName+1)])
	case pickle.Bytes:
		b.WriteString(string(k[:min(len(k), MaxName+1)]))
	default:
		b.WriteString(pickle.TypeName(key))
	}
}

// maxPairs bounds the metadata, which is for people to look at.
const (
	maxPairs     = 64
	maxPairValue = 256 // bytes
)

// describe returns the simple values at the top of a training checkpoint, as
// {"epoch": 12, "arch": "resnet20", "state_dict": {...}} has them.
func describe(root any) []layout.Pair {
	d, ok := root.(*pickle.Dict)
	if !ok {
		return nil
	}
	var pairs []layout.Pair
	for i, k := range d.Keys {
		key, ok := k.(string)
		if !ok || len(key) > maxPairValue || len(pairs) == maxPairs {
			continue
		}
		switch v := d.Values[i].(type) {
		case string:
			if len(v) > maxPairValue {
				continue
			}
		case int64, float64, bool:
		default:
			continue
		}
		var b strings.Builder
		writeKey(&b, d.Values[i])
		pairs = append(pairs, layout.Pair{
			Key:   strings.ToValidUTF8(strings.Clone(key), "\uFFFD"),
			Value: strings.ToValidUTF8(b.String(), "\uFFFD"),
		})
	}
	return pairs
}
