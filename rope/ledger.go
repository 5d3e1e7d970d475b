package rope

import (
	"encoding/hex"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// Parts of a file, as the ledger names them.
const (
	PartHeader   = "header"   // magic, names, shapes, an inline skeleton
	PartSkeleton = "skeleton" // what the original files hold beside tensors
	PartTensor   = "tensor"
	PartIndex    = "index" // lengths and digests; of a file in the short form its check
	PartTrailer  = "trailer"
)

// An Entry of the ledger is a part of the file and its size.
type Entry struct {
	Part  string `json:"part"`
	Name  string `json:"name,omitempty"` // of the array, if it is one
	Bytes int64  `json:"bytes"`
}

// Ledger returns what the bytes of the file are spent on. The entries add up
// to [File.Size] exactly. Arrays that share a block have shares of it in
// proportion to their sizes.
//
// In the short form the header is all up to the payloads, levels and lengths
// included, and the index is the check of the root digest.
func (f *File) Ledger() []Entry {
	head, foot, trailer := int64(len(Magic))+f.headLen, f.footLen, int64(trailerSize)
	if f.short != nil {
		head, foot, trailer = f.short.header, checkSize, 0
	}
	es := []Entry{{Part: PartHeader, Bytes: head}}
	if g := f.home[len(f.header.arrays)].group; g >= 0 {
		es = append(es, Entry{Part: PartSkeleton, Bytes: f.groupBytes(g)})
	}
	for _, a := range f.Arrays() {
		es = append(es, Entry{Part: PartTensor, Name: a.Name, Bytes: a.Stored})
	}
	es = append(es, Entry{Part: PartIndex, Bytes: foot})
	if trailer > 0 {
		es = append(es, Entry{Part: PartTrailer, Bytes: trailer})
	}
	return es
}

// An ArrayInfo says how one array is stored.
type ArrayInfo struct {
	Name   string       `json:"name"`
	DType  tensor.DType `json:"dtype"`
	Shape  tensor.Shape `json:"shape"`
	Raw    int64        `json:"raw_bytes"`
	Stored int64        `json:"stored_bytes"` // without its part of header and index
	// Coders are those of its blocks, or "same as NAME", or "same as base".
	Coders string `json:"coders"`
	Levels int    `json:"levels,omitempty"` // of the codebook, if there is one
	Shared bool   `json:"shared,omitempty"` // its block holds other arrays, too
	// Digest is the SHA-256 of its values in hex; empty if Shared, where one
	// digest covers the whole block.
	Digest string `json:"sha256,omitempty"`
}

// Arrays describes all arrays, in the order of those of the Layout.
func (f *File) Arrays() []ArrayInfo {
	infos := make([]ArrayInfo, len(f.header.arrays))
	for i, a := range f.header.arrays {
		la := &f.header.layout.Arrays[i]
		in := &infos[i]
		*in = ArrayInfo{Name: la.Name, DType: la.DType, Shape: la.Shape, Raw: la.Size}
		switch a.source {
		case sourceTwin:
			in.Coders = "same as " + f.header.layout.Arrays[a.ref].Name
		case sourceSame:
			in.Coders = "same as base"
		}
	}
	for gi := range f.header.groups {
		g := &f.header.groups[gi]
		if g.members[0] == len(f.header.arrays) {
			continue
		}
		gx := &f.groups[gi]
		left := f.groupParts(gi)
		var values [numOfParts]int64
		own := int64(0) // bytes of codebooks
		part := func(i int) int {
			if gx.books != nil && gx.books[i] != nil {
				return partIndexed
			}
			return partPlain
		}
		for i, m := range g.members {
			values[part(i)] += infos[m].Raw
			if part(i) == partIndexed && f.short == nil {
				own += gx.books[i].stored
			}
		}
		left[partIndexed] -= own
		for i, m := range g.members {
			in := &infos[m]
			p := part(i)
			// What is left is shared among the values that are left, so that
			// the shares add up.
			in.Stored = int64(float64(left[p]) * float64(in.Raw) / float64(values[p]))
			if in.Raw == values[p] {
				in.Stored = left[p]
			}
			left[p] -= in.Stored
			values[p] -= in.Raw
			in.Coders = f.groupCoders(gi, p)
			if p == partIndexed {
				if f.short == nil {
					in.Stored += gx.books[i].stored
				}
				in.Levels = len(gx.books[i].values)
			}
			if in.Shared = len(g.members) > 1; !in.Shared {
				in.Digest = hex.EncodeToString(gx.digest[:])
			}
		}
	}
	return infos
}

// groupParts returns the bytes of the frames of a group: of indices, with the
// codebooks, and of others.
func (f *File) groupParts(gi int) (parts [numOfParts]int64) {
	if f.short == nil {
		parts[partIndexed] = f.groups[gi].codebookLen
	}
	for _, b := range f.groupBlocks(gi) {
		for p, n := range b.parts {
			if f.short != nil {
				n = payloadOf(n)
			}
			parts[p] += n
		}
	}
	return parts
}

// groupBytes returns the bytes of all frames of a group.
func (f *File) groupBytes(gi int) int64 {
	parts := f.groupParts(gi)
	return parts[partIndexed] + parts[partPlain]
}

// groupCoders returns the names of the coders of one part of a group's blocks.
// It reads one byte of each; what cannot be read is called "?".
func (f *File) groupCoders(gi, part int) string {
	var names []string
	for _, b := range f.groupBlocks(gi) {
		off := b.off
		if part == partPlain {
			off += b.parts[partIndexed]
		}
		name := "?"
		if c, err := tensor.ReadRange(f.data, off, 1, nil); err == nil {
			name = coderID(c[0]).String()
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
