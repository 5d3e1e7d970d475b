package safetensors

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/layout"
	"ropewalk/tensor"
)

const (
	// MaxIndex bounds an index in bytes. That of a network with 100,000
	// tensors has ten megabytes.
	MaxIndex = MaxHeader
	// MaxShards bounds the number of files that an index may make us open.
	// The largest networks that are published today have a few hundred.
	MaxShards = 4096
)

// The keys of an index.
const (
	indexMetadata  = "metadata"
	indexWeightMap = "weight_map"
)

// SniffIndex reports whether a file that begins with head (64 bytes, or all of
// a smaller file) looks like an index: a JSON object whose first key is that
// of an index.
func SniffIndex(head []byte) bool {
	s, err := newScanner("", 0, bytes.ToValidUTF8(head, nil)) // head may end inside of a rune
	if err != nil || s.byte('{') != nil {
		return false
	}
	key, err := s.str()
	return err == nil && (string(key) == indexMetadata || string(key) == indexWeightMap)
}

// ParseIndex reads an index and, through open, the header of each shard that
// it names. File 0 is the index itself, the shards follow sorted by name. The
// views are in the order of the shards, then of their headers. The metadata is
// that of the index, then what the shards add to it.
//
// The index and the shards must agree: a tensor is in one shard, and that is
// the one which the index names. Shards lie in the folder of the index.
func ParseIndex(name string, d tensor.Data, open layout.Opener) (*layout.Layout, error) {
	ix, err := readIndex(name, d)
	if err != nil {
		return nil, err
	}
	l := &layout.Layout{
		Format:   Format,
		Files:    []layout.File{{Name: filepath.Base(name), Data: d}},
		Metadata: ix.metadata,
	}
	seen := make(map[layout.Pair]struct{})
	for _, p := range l.Metadata {
		seen[p] = struct{}{}
	}
	for _, shard := range slices.Sorted(maps.Keys(ix.shards)) {
		sd, err := open(shard)
		if err != nil {
			return nil, fmt.Errorf("%s: shard %q: %w", name, shard, err)
		}
		h, err := readHeader(filepath.Join(filepath.Dir(name), shard), sd)
		if err != nil {
			return nil, err
		}
		if err := ix.find(shard, h); err != nil {
			return nil, err
		}
		l.Files = append(l.Files, layout.File{Name: shard, Data: sd})
		h.appendTo(l, len(l.Files)-1)
		for _, p := range h.metadata {
			if _, dup := seen[p]; !dup {
				seen[p] = struct{}{}
				l.Metadata = append(l.Metadata, p)
			}
		}
	}
	return l, ix.checkFound()
}

// An index says in which shard each tensor is.
type index struct {
	file     string
	metadata []layout.Pair
	weights  []weight       // in the order of the JSON text
	byName   map[string]int // index of weights
	shards   map[string]bool
}

type weight struct {
	name  string
	shard string
	at    int // of the name, in the JSON text
	found bool
}

func readIndex(file string, d tensor.Data) (*index, error) {
	if d.Size() > MaxIndex {
		return nil, &layout.CorruptError{File: file, Reason: fmt.Sprintf("index of %d bytes, the limit is %d", d.Size(), MaxIndex)}
	}
	text, err := read(file, d, 0, d.Size())
	if err != nil {
		return nil, err
	}
	s, err := newScanner(file, 0, text)
	if err != nil {
		return nil, err
	}
	ix := &index{file: file, byName: make(map[string]int), shards: make(map[string]bool)}
	seen := make(map[string]struct{})
	err = s.object(func(at int, key []byte) error {
		k := string(key)
		if _, dup := seen[k]; dup {
			return s.errorf(at, "key %.80q stands there twice", k)
		}
		seen[k] = struct{}{}
		switch k {
		case indexMetadata:
			return ix.readMetadata(s)
		case indexWeightMap:
			return ix.readWeightMap(s)
		}
		return s.skip(1)
	})
	switch {
	case err != nil:
		return nil, err
	case s.peek() != 0 || s.pos < len(text):
		return nil, s.unexpected("the end of the file")
	case len(ix.weights) == 0:
		return nil, s.errorf(0, "index has no %s, or an empty one", indexWeightMap)
	}
	return ix, nil
}

// readMetadata keeps strings as they are and anything else as JSON text:
// total_size is a number.
func (ix *index) readMetadata(s *scanner) error {
	if s.peek() != '{' { // some writers have null here
		return s.skip(1)
	}
	seen := make(map[string]struct{})
	return s.object(func(at int, key []byte) error {
		p := layout.Pair{Key: string(key)}
		if _, dup := seen[p.Key]; dup {
			return s.errorf(at, "key %.80q stands twice in %s", p.Key, indexMetadata)
		}
		seen[p.Key] = struct{}{}
		if s.peek() == '"' {
			v, err := s.str()
			if err != nil {
				return err
			}
			p.Value = string(v)
		} else {
			from := s.pos
			if err := s.skip(2); err != nil {
				return err
			}
			p.Value = string(s.text[from:s.pos])
		}
		ix.metadata = append(ix.metadata, p)
		return nil
	})
}

func (ix *index) readWeightMap(s *scanner) error {
	return s.object(func(at int, key []byte) error {
		name := string(key)
		if _, dup := ix.byName[name]; dup {
			return s.errorf(at, "tensor %.80q stands there twice", name)
		}
		s.peek()
		shardAt := s.pos
		b, err := s.str()
		if err != nil {
			return err
		}
		shard, err := shardName(string(b))
		if err != nil {
			return &layout.CorruptError{File: ix.file, Offset: int64(shardAt), Reason: fmt.Sprintf("tensor %.80q: %v", name, err), Err: err}
		}
		if !strings.HasSuffix(shard, ".safetensors") {
			return &layout.UnsupportedError{File: ix.file, Offset: int64(shardAt), Reason: fmt.Sprintf("shard %.80q is not a .safetensors file", shard)}
		}
		if !ix.shards[shard] {
			if len(ix.shards) == MaxShards {
				return &layout.UnsupportedError{File: ix.file, Offset: int64(shardAt), Reason: fmt.Sprintf("index has more than %d shards", MaxShards)}
			}
			ix.shards[shard] = true
		}
		ix.byName[name] = len(ix.weights)
		ix.weights = append(ix.weights, weight{name: name, shard: shard, at: at})
		return nil
	})
}

// shardName returns the cleaned name of a shard. A folder is refused although
// layout.LocalName would allow it: nobody writes such an index.
func shardName(name string) (string, error) {
	if len(name) > maxFileName {
		return "", fmt.Errorf("%w: file name of %d bytes, the limit is %d", layout.ErrLayout, len(name), maxFileName)
	}
	clean, err := layout.LocalName(name)
	if err == nil && strings.Contains(clean, "/") {
		return "", fmt.Errorf("%w: shard %q lies in another folder than its index", layout.ErrLayout, name)
	}
	return clean, err
}

// maxFileName is the limit of the usual file systems.
const maxFileName = 255

// find checks the tensors of a shard against the index.
func (ix *index) find(shard string, h *header) error {
	for i := range h.entries {
		e := &h.entries[i]
		j, ok := ix.byName[e.name]
		if !ok {
			return h.errorf(e.at.name, "tensor %.80q is not in the index", e.name)
		}
		w := &ix.weights[j]
		if w.shard != shard {
			return h.errorf(e.at.name, "tensor %.80q is here, the index has it in %s", e.name, w.shard)
		}
		w.found = true
	}
	return nil
}

func (ix *index) checkFound() error {
	for _, w := range ix.weights {
		if !w.found {
			return &layout.CorruptError{File: ix.file, Offset: int64(w.at), Reason: fmt.Sprintf("tensor %.80q is not in %s", w.name, w.shard)}
		}
	}
	return nil
}
