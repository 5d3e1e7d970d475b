package lineage

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// An inventory says which tensors of two networks go by each other.
type inventory struct {
	// sus is the suspect, with the names that its tensors have in the reference.
	sus *tensor.Set
	// renamed are those that had other names: the reference's, with the suspect's.
	renamed        map[string]string
	added, missing []string // by the names that they have
	reshaped       []string // of the same name, and other shapes
}

// takeStock finds out which tensors go by each other: by name, by name but for what all
// names begin with, and those that are left by what is in them.
func takeStock(ref, sus *tensor.Set) (*inventory, error) {
	v := &inventory{renamed: map[string]string{}}
	prefix := func(string) (string, bool) { return "", false }
	if rename := prefixes(ref, sus); rename != nil {
		prefix = rename
	}
	own := map[string]*tensor.Tensor{} // by the reference's names
	var rest []*tensor.Tensor
	for _, t := range sus.All() {
		name := t.Name
		if ref.Lookup(name) == nil {
			if as, ok := prefix(name); ok {
				name = as
			}
		}
		if ref.Lookup(name) == nil || own[name] != nil {
			rest = append(rest, t)
			continue
		}
		own[name] = t
		if name != t.Name {
			v.renamed[name] = t.Name
		}
	}
	var absent []*tensor.Tensor
	for _, t := range ref.All() {
		if own[t.Name] == nil {
			absent = append(absent, t)
		}
	}
	if err := v.byContent(absent, rest, own); err != nil {
		return nil, err
	}
	list := slices.Collect(maps.Values(own))
	out := make([]*tensor.Tensor, 0, len(list))
	for _, t := range ref.All() {
		u := own[t.Name]
		if u == nil {
			v.missing = append(v.missing, t.Name)
			continue
		}
		if !t.Shape.Equal(u.Shape) {
			v.reshaped = append(v.reshaped, t.Name)
		}
		if u.Name != t.Name {
			copied := *u
			copied.Name = t.Name
			u = &copied
		}
		out = append(out, u)
	}
	set, err := tensor.NewSet(out...)
	v.sus = set
	return v, err
}

// byContent gives tensors that are left the names of those that hold the same.
func (v *inventory) byContent(absent, rest []*tensor.Tensor, own map[string]*tensor.Tensor) error {
	type content struct {
		dtype, shape string
		sum          [sha256.Size]byte
	}
	of := func(t *tensor.Tensor) (content, error) {
		h := sha256.New()
		if _, err := t.WriteTo(h); err != nil {
			return content{}, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		return content{string(t.DType), t.Shape.String(), [sha256.Size]byte(h.Sum(nil))}, nil
	}
	found := map[content][]*tensor.Tensor{}
	if len(absent) > 0 {
		for _, t := range rest {
			c, err := of(t)
			if err != nil {
				return err
			}
			found[c] = append(found[c], t)
		}
	}
	taken := map[string]bool{}
	for _, t := range absent {
		if len(rest) == 0 {
			break
		}
		c, err := of(t)
		if err != nil {
			return err
		}
		if list := found[c]; len(list) > 0 {
			own[t.Name], found[c] = list[0], list[1:]
			v.renamed[t.Name] = list[0].Name
			taken[list[0].Name] = true
		}
	}
	for _, t := range rest {
		if !taken[t.Name] {
			v.added = append(v.added, t.Name)
		}
	}
	return nil
}

// prefixes returns what takes a prefix from the suspect's names, or puts one before them,
// as wrappers of networks do ("module.", "model."); nil if no prefix explains most names.
func prefixes(ref, sus *tensor.Set) func(string) (string, bool) {
	explain := func(rename func(string) (string, bool)) int {
		n := 0
		for _, t := range sus.All() {
			if as, ok := rename(t.Name); ok && ref.Lookup(as) != nil {
				n++
			}
		}
		return n
	}
	var best func(string) (string, bool)
	most := 0
	for _, t := range sus.All() {
		if ref.Lookup(t.Name) != nil {
			return nil // most names are as they should be, or another reason is
		}
		for i, c := range t.Name {
			if c != '.' {
				continue
			}
			p := t.Name[:i+1]
			f := func(name string) (string, bool) { return strings.CutPrefix(name, p) }
			if n := explain(f); n > most {
				best, most = f, n
			}
		}
		break // any tensor begins with it
	}
	for _, t := range ref.All() {
		for i, c := range t.Name {
			if c != '.' {
				continue
			}
			p := t.Name[:i+1]
			f := func(name string) (string, bool) { return p + name, true }
			if n := explain(f); n > most {
				best, most = f, n
			}
		}
		break
	}
	if most*2 <= sus.Len() {
		return nil
	}
	return best
}

// equal says whether all tensors are the same: names, types, shapes and bytes.
func (v *inventory) equal(ref *tensor.Set) (bool, error) {
	if len(v.added)+len(v.missing)+len(v.reshaped) > 0 {
		return false, nil
	}
	for _, t := range ref.All() {
		own := v.sus.Lookup(t.Name)
		if own == nil { // a constant of the suspect's operators
			continue
		}
		same, err := sameBytes(t, own)
		if !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// sameBytes says whether two tensors have the same type, shape and bytes.
func sameBytes(a, b *tensor.Tensor) (bool, error) {
	if a.DType != b.DType || !a.Shape.Equal(b.Shape) || a.Size() != b.Size() {
		return false, nil
	}
	const chunk = 1 << 20
	var bufA, bufB []byte
	for off := int64(0); off < a.Size(); off += chunk {
		n := min(chunk, a.Size()-off)
		x, err := tensor.ReadRange(a.Data, off, n, bufA)
		if err != nil {
			return false, fmt.Errorf("tensor %s of the reference: %w", a.Name, err)
		}
		y, err := tensor.ReadRange(b.Data, off, n, bufB)
		if err != nil {
			return false, fmt.Errorf("tensor %s of the suspect: %w", b.Name, err)
		}
		if !bytes.Equal(x, y) {
			return false, nil
		}
	}
	return true, nil
}
