package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"ropewalk/engine"
	"ropewalk/internal/atomicfile"
	"ropewalk/internal/format/safetensors"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// A snapshot is a safetensors file, so that its weights can be looked at with any
// tool: tensors weights/NAME, first/NAME and second/NAME (of the optimizer),
// average/NAME and best/NAME, all F32. The metadata has the recipe and the state as
// JSON, and a SHA-256 over these and over all tensors in the order of their names.
const (
	keyRecipe = "ropewalk.recipe"
	keyState  = "ropewalk.state"
	keyDigest = "ropewalk.sha256"
)

// A MismatchError reports a snapshot of another run: another recipe, or another
// network.
type MismatchError struct {
	Path        string
	Differences []string // sentences, one for each difference
}

// Error implements error.
func (e *MismatchError) Error() string {
	const most = 5
	list := e.Differences
	more := ""
	if len(list) > most {
		more = fmt.Sprintf("; and %d more differences", len(list)-most)
		list = list[:most]
	}
	return fmt.Sprintf("%s is a snapshot of another run: %s%s", e.Path, strings.Join(list, "; "), more)
}

// values is float32s as data of a tensor.
type values []float32

func (v values) Size() int64 { return 4 * int64(len(v)) }

func (v values) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > v.Size() {
		return 0, fmt.Errorf("offset %d in %d bytes", off, v.Size())
	}
	n := 0
	if off%4 == 0 {
		for _, x := range v[off/4:] {
			if len(p)-n < 4 {
				break
			}
			binary.LittleEndian.PutUint32(p[n:], math.Float32bits(x))
			n += 4
		}
	}
	for n < len(p) && off+int64(n) < v.Size() { // the ends of an odd range
		at := off + int64(n)
		p[n] = byte(math.Float32bits(v[at/4]) >> (8 * (at % 4)))
		n++
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// save writes a snapshot. It replaces the one before only when it is whole, and
// never by one that holds numbers that are none.
func save(path string, m *memory, s *state, recipe map[string]string) error {
	var list []*tensor.Tensor
	var broken error
	m.tensors(func(name string, w *engine.Weight, v []float32) {
		if i := notFinite(v); i >= 0 && broken == nil {
			broken = &DivergedError{Step: s.Step, Tensor: w.Name, What: strings.Split(name, "/")[0], Index: i}
		}
		list = append(list, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: w.Shape, Data: values(v)})
	})
	if broken != nil {
		return broken
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		return err
	}
	r, err := json.Marshal(recipe)
	if err != nil {
		return err
	}
	st, err := json.Marshal(s)
	if err != nil {
		return err
	}
	digest, err := digestOf(set, string(r), string(st))
	if err != nil {
		return err
	}
	f, err := atomicfile.Create(path, true)
	if err != nil {
		return err
	}
	defer f.Discard()
	err = safetensors.Write(f, set, []layout.Pair{{Key: keyDigest, Value: digest}, {Key: keyRecipe, Value: string(r)}, {Key: keyState, Value: string(st)}})
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", path, err)
	}
	return f.Commit()
}

// notFinite returns the index of the first NaN or infinity, or -1.
func notFinite(v []float32) int {
	for i, x := range v {
		if x-x != 0 {
			return i
		}
	}
	return -1
}

// digestOf returns a SHA-256 over all that a snapshot says.
func digestOf(set *tensor.Set, recipe, st string) (string, error) {
	h := sha256.New()
	word := func(s string) {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		io.WriteString(h, s) //nolint:errcheck // a hash takes all
	}
	word(recipe)
	word(st)
	list := make([]*tensor.Tensor, 0, set.Len())
	for _, t := range set.All() {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *tensor.Tensor) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range list {
		word(t.Name)
		word(string(t.DType) + " " + t.Shape.String())
		if _, err := t.WriteTo(h); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// load reads a snapshot into the memory and returns the state. The memory has to
// be that of the same recipe; if it is not, nothing of it is changed.
func load(path string, m *memory, recipe map[string]string) (*state, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l, err := safetensors.Parse(path, tensor.Bytes(b))
	if err != nil {
		return nil, err
	}
	corrupt := func(format string, args ...any) error {
		return &layout.CorruptError{File: path, Offset: -1, Reason: fmt.Sprintf(format, args...)}
	}
	set, err := l.Set()
	if err != nil {
		return nil, corrupt("%v", err)
	}
	meta := map[string]string{}
	for _, p := range l.Metadata {
		meta[p.Key] = p.Value
	}
	if _, ok := meta[keyDigest]; !ok {
		return nil, &layout.UnsupportedError{File: path, Offset: -1, Reason: "is no snapshot of a training run"}
	}
	digest, err := digestOf(set, meta[keyRecipe], meta[keyState])
	if err != nil {
		return nil, err
	}
	if digest != meta[keyDigest] {
		return nil, corrupt("the snapshot is damaged: its SHA-256 is not the one that it was written with")
	}
	made := map[string]string{}
	s := &state{}
	if err := json.Unmarshal([]byte(meta[keyRecipe]), &made); err != nil {
		return nil, corrupt("recipe: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(meta[keyState])))
	d.DisallowUnknownFields() // from another version: it would go on without what it does not know
	if err := d.Decode(s); err != nil {
		return nil, corrupt("state: %v", err)
	}
	if err := differences(path, made, recipe); err != nil {
		return nil, err
	}
	if s.Best.Kept && m.best == nil {
		m.best = clones(m.weights)
	}
	return s, m.fill(path, set)
}

// differences compares the recipe of a snapshot with that of a run.
func differences(path string, made, want map[string]string) error {
	var list []string
	keys := maps.Clone(made)
	maps.Copy(keys, want)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		a, inA := made[k]
		b, inB := want[k]
		name := strings.TrimPrefix(k, "options.")
		switch {
		case !inB:
			list = append(list, fmt.Sprintf("%s was %s, and is not set now", name, a))
		case !inA:
			list = append(list, fmt.Sprintf("%s was not set, and is %s now", name, b))
		case a != b:
			list = append(list, fmt.Sprintf("%s was %s, and is %s now", name, a, b))
		}
	}
	if list != nil {
		return &MismatchError{path, list}
	}
	return nil
}

// fill copies the tensors of a snapshot.
func (m *memory) fill(path string, set *tensor.Set) error {
	var list []string
	type pair struct {
		to   []float32
		from *tensor.Tensor
	}
	var pairs []pair
	m.tensors(func(name string, w *engine.Weight, v []float32) {
		t := set.Lookup(name)
		switch {
		case t == nil:
			list = append(list, fmt.Sprintf("it has no %s", name))
		case t.DType != tensor.F32 || !t.Shape.Equal(w.Shape):
			list = append(list, fmt.Sprintf("%s is %s %v there, and F32 %v here", name, t.DType, t.Shape, w.Shape))
		default:
			pairs = append(pairs, pair{v, t})
		}
	})
	if list == nil && len(pairs) != set.Len() {
		list = append(list, fmt.Sprintf("it has %d tensors, and this run %d", set.Len(), len(pairs)))
	}
	if list != nil {
		return &MismatchError{path, list}
	}
	for _, p := range pairs {
		b, err := p.from.Bytes()
		if err != nil {
			return err
		}
		for i := range p.to {
			p.to[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return nil
}
