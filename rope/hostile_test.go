package rope

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// A skeleton of one block is checked by Test, too.
func TestSkeletonIsTested(t *testing.T) {
	b := &builder{}
	b.skeleton(strings.Repeat("a header of some length ", 5000))
	f, packed := pack(t, b.build(), &Options{long: true})
	if len(f.blocks) != 1 {
		t.Fatalf("%d blocks, want 1", len(f.blocks))
	}
	bad := bytes.Clone(packed)
	bad[f.blocks[0].off+10] ^= 1
	f, err := Open("m.rope", tensor.Bytes(bad), nil)
	if err != nil {
		t.Fatal(err)
	}
	var c *layout.CorruptError
	if err := f.Test(context.Background(), nil); !errors.As(err, &c) {
		t.Errorf("Test: %v", err)
	}
}

// What Encode writes, Open reads: also what compresses better than a header
// may; and what cannot be read is refused before anything is written.
func TestOpenable(t *testing.T) {
	l := sample()
	l.Metadata = []layout.Pair{{Key: "padding", Value: strings.Repeat(" ", 1<<20)}}
	f, _ := pack(t, l, nil)
	checkRestored(t, f, l)

	b := &builder{}
	b.array("zeros", tensor.U8, tensor.Shape{300000}, make([]byte, 300000))
	l = b.build()
	f, _ = pack(t, l, &Options{BlockValues: 1})
	checkRestored(t, f, l)

	for _, name := range []string{"a:b", `a\b`, "../a", "/a", ""} {
		l := sample()
		l.Files[0].Name = name
		var out bytes.Buffer
		if _, err := Encode(context.Background(), &out, l, nil); err == nil || out.Len() > 0 {
			t.Errorf("file named %q: %v, %d bytes written", name, err, out.Len())
		}
	}
}

// A header cannot expand without bounds.
func TestPackedFrameBounds(t *testing.T) {
	for _, n := range []int{freeFrame, freeFrame + 1, 1 << 24} {
		zeros := make([]byte, n)
		bomb := append(binary.AppendUvarint(nil, uint64(n)), compress(zeros)...)
		_, err := unpackFrame(appendFrame(nil, coderZstd, bomb))
		if (err == nil) != (n <= freeFrame) {
			t.Errorf("%d bytes from %d: %v", n, len(bomb), err)
		}
		if got, err := unpackFrame(appendPackedFrame(nil, zeros)); err != nil || len(got) != n {
			t.Errorf("%d bytes do not come back: %v", n, err)
		}
	}
}

// A tensor that repeats or spans far more than its array has is refused, or
// read in little memory.
func TestHostileViews(t *testing.T) {
	b := &builder{}
	b.array("w", tensor.F32, tensor.Shape{4}, gauss(1, 1, 4))
	l := b.build()
	l.Views[0] = layout.View{Name: "w", DType: tensor.F32, Shape: tensor.Shape{1 << 55}, Strides: []int64{0}}
	if err := l.Validate(); !errors.Is(err, layout.ErrLayout) {
		t.Errorf("a view of 2^57 bytes: %v", err)
	}
	l.Views[0] = layout.View{Name: "w", DType: tensor.F32, Shape: tensor.Shape{1, 0}, Strides: []int64{1 << 62, 1}}
	if err := l.Validate(); !errors.Is(err, layout.ErrLayout) {
		t.Errorf("a stride of 2^62: %v", err)
	}
}

// Blocks are decoded ahead, whatever the consumer does in between, and every
// one arrives in its place.
func TestReaderOrder(t *testing.T) {
	b := &builder{}
	for i := range 40 {
		b.array(string(rune('a'+i)), tensor.F32, tensor.Shape{8}, gauss(int64(i), 1, 8)) // scattered members of one block
		b.array(string(rune('A'+i))+"long", tensor.F32, tensor.Shape{5000}, gauss(int64(i), 1, 5000))
	}
	l := b.build()
	_, packed := pack(t, l, &Options{Effort: Fast, BlockValues: 1024})
	for _, threads := range []int{1, 2, 5} {
		for _, memory := range []int64{0, 1} {
			f, err := Open("m.rope", tensor.Bytes(packed), &OpenOptions{Threads: threads, Memory: memory})
			if err != nil {
				t.Fatal(err)
			}
			checkRestored(t, f, l)
		}
	}
}
