package cli

import (
	"context"
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// The numbers come from the specifications: OCP 8-bit floating point, revision
// 1.0, tables 1 and 2; OCP microscaling formats, revision 1.0, section 5.3;
// IEEE 754; for the FNUZ types arXiv:2206.02915.
func TestFloats(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	tests := map[tensor.DType]map[uint64]float64{
		tensor.F4:      {0x0: 0, 0x1: 0.5, 0x2: 1, 0x5: 3, 0x7: 6, 0xf: -6},
		tensor.F6E2M3:  {0x01: 0.125, 0x07: 0.875, 0x08: 1, 0x1f: 7.5, 0x3f: -7.5},
		tensor.F6E3M2:  {0x01: 0.0625, 0x04: 0.25, 0x1f: 28, 0x20: 0},
		tensor.F8E4M3:  {0x01: 0x1p-9, 0x08: 0x1p-6, 0x38: 1, 0x7e: 448, 0x7f: nan, 0xff: nan, 0xfe: -448},
		tensor.F8E5M2:  {0x01: 0x1p-16, 0x04: 0x1p-14, 0x3c: 1, 0x7b: 57344, 0x7c: inf, 0xfc: -inf, 0x7d: nan},
		tensor.F8E4M3Z: {0x01: 0x1p-10, 0x40: 1, 0x7f: 240, 0x80: nan, 0xff: -240},
		tensor.F8E5M2Z: {0x01: 0x1p-17, 0x40: 1, 0x7f: 57344, 0x80: nan},
		tensor.F8E8M0:  {0x00: 0x1p-127, 0x7f: 1, 0xfe: 0x1p127, 0xff: nan},
		tensor.F16:     {0x0001: 0x1p-24, 0x0400: 0x1p-14, 0x3c00: 1, 0x7bff: 65504, 0xfc00: -inf, 0x7e00: nan, 0x3555: 0x1.554p-2},
		tensor.BF16:    {0x3f80: 1, 0x0001: 0x1p-133, 0x7f80: inf, 0x7fc0: nan, 0xc049: -3.140625},
		tensor.F32:     {0x40490fdb: 0x1.921fb6p+1},
		tensor.F64:     {0x4000000000000000: 2},
		tensor.I4:      {0x8: -8},
		tensor.U4:      {0x8: 8},
		tensor.I8:      {0xff: -1},
		tensor.U8:      {0xff: 255},
		tensor.I16:     {0x8000: -32768},
		tensor.I64:     {1<<64 - 1: -1},
		tensor.U64:     {1<<64 - 1: 0x1p64},
		tensor.Bool:    {1: 1},
	}
	for d, numbers := range tests {
		for bits, want := range numbers {
			got := floatOf(d)(bits)
			if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("%s %#x is %v, want %v", d, bits, got, want)
			}
		}
	}
}

// A BF16 is the upper half of an F32.
func TestBF16(t *testing.T) {
	bf, f := floatOf(tensor.BF16), floatOf(tensor.F32)
	for b := range uint64(1 << 16) {
		if got, want := bf(b), f(b<<16); got != want && (got == got || want == want) {
			t.Fatalf("%#x is %v, want %v", b, got, want)
		}
	}
}

// The distance of integers does not suffer from float64's 53 bits.
func TestGap(t *testing.T) {
	minInt := uint64(1) << 63
	tests := []struct {
		d    tensor.DType
		a, b uint64
		want float64
	}{
		{tensor.I64, 1<<53 + 1, 1 << 53, 1},
		{tensor.I64, minInt, minInt - 1, 0x1p64},
		{tensor.U64, 0, 1<<64 - 1, 0x1p64},
		{tensor.I8, 0x80, 0x7f, 255},
		{tensor.I4, 0xf, 0x1, 2},
		{tensor.U8, 3, 1, 2},
		{tensor.F16, 0x3c00, 0xbc00, 2},
	}
	for _, tt := range tests {
		for range 2 {
			if got := gapOf(tt.d)(tt.a, tt.b); got != tt.want {
				t.Errorf("%s %#x, %#x: %v, want %v", tt.d, tt.a, tt.b, got, tt.want)
			}
			tt.a, tt.b = tt.b, tt.a
		}
	}
}

func TestAppendBits(t *testing.T) {
	raw := []byte{0x21, 0x43, 0x65, 0x87, 0xa9, 0xcb, 0xed, 0x0f}
	for d, want := range map[tensor.DType][]uint64{
		tensor.U4:     {1, 2, 3, 4, 5},
		tensor.F6E2M3: {0x21, 0x0c, 0x14, 0x19, 0x07},
		tensor.U8:     {0x21, 0x43, 0x65, 0x87, 0xa9},
		tensor.F16:    {0x4321, 0x8765, 0xcba9, 0x0fed},
		tensor.F32:    {0x87654321, 0x0fedcba9},
		tensor.I64:    {0x0fedcba987654321},
	} {
		if d := cmp.Diff(want, appendBits(nil, d, raw, 5)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

func TestStats(t *testing.T) {
	h := newHistogram(tensor.F32)
	var raw []byte
	for _, x := range []float32{0, float32(math.Copysign(0, -1)), 1, 1, float32(math.NaN()), float32(math.Inf(1)), 2, 2} {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	h.add(raw[:12], 3)
	h.add(raw[12:], 5)
	distinct, bits := int64(6), 2.5
	want := &tensorStats{Values: 8, Distinct: &distinct, Entropy: &bits, Zeros: 2, NonFinite: 2}
	got := h.stats()
	want.Bytes = got.Bytes
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// Bytes 0 and 1 are all zero; byte 2 is 00 00 80 80 c0 80 00 00, and byte 3
	// 00 80 3f 3f 7f 7f 40 40.
	byte2 := order0([]int64{4, 3, 1}, 8)
	byte3 := order0([]int64{1, 1, 2, 2, 2}, 8)
	if math.Abs(got.Bytes-byte2-byte3) > 1e-12 {
		t.Errorf("by byte %v, want %v", got.Bytes, byte2+byte3)
	}
}

// Up to 65,536 different values are counted, and one more is too many.
func TestDistinct(t *testing.T) {
	for _, n := range []int64{0, 1, 127, 128, 129, maxDistinct, maxDistinct + 1} {
		h := newHistogram(tensor.F32)
		var raw []byte
		for i := range n {
			raw = binary.LittleEndian.AppendUint32(raw, uint32(i)*0x10001)
			raw = binary.LittleEndian.AppendUint32(raw, uint32(i)*0x10001)
		}
		h.add(raw, 2*n)
		s := h.stats()
		if n > maxDistinct {
			if s.Distinct != nil || s.Entropy != nil {
				t.Errorf("%d values: counted %d", n, *s.Distinct)
			}
			continue
		}
		if s.Distinct == nil || *s.Distinct != n || math.Abs(*s.Entropy-math.Log2(float64(max(n, 1)))) > 1e-9 {
			t.Errorf("%d values: distinct %v, entropy %v", n, *s.Distinct, *s.Entropy)
		}
	}
}

// compareTensors is diff of two checkpoints with one tensor each.
func compareTensors(t *testing.T, a, b *tensor.Tensor) tensorDiff {
	t.Helper()
	dir := t.TempDir()
	var cs [2]*checkpoint.Checkpoint
	for i, x := range []*tensor.Tensor{a, b} {
		path := filepath.Join(dir, string(rune('a'+i))+".safetensors")
		set, err := tensor.NewSet(x)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeModel(path, set); err != nil {
			t.Fatal(err)
		}
		if cs[i], err = checkpoint.Open(path, nil); err != nil {
			t.Fatal(err)
		}
		defer cs[i].Close()
	}
	e := &env{quiet: true}
	diffs, err := e.compare(context.Background(), cs[0], cs[1])
	if err != nil {
		t.Fatal(err)
	}
	return diffs[0]
}

func of(d tensor.DType, raw ...byte) *tensor.Tensor {
	return &tensor.Tensor{Name: "t", DType: d, Shape: tensor.Shape{int64(len(raw) * 8 / d.Bits())}, Data: tensor.Bytes(raw)}
}

func TestCompare(t *testing.T) {
	const far = 8
	tests := []struct {
		name   string
		a, b   *tensor.Tensor
		status string
		want   *difference // nil for none
	}{
		{"equal NaNs", of(tensor.F16, 0x01, 0x7e), of(tensor.F16, 0x01, 0x7e), statusIdentical, nil},
		{"other NaN", of(tensor.F16, 0x01, 0x7e), of(tensor.F16, 0x02, 0x7e), statusChanged, &difference{Values: 1, Changed: 1, NonFinite: 1}},
		{"minus zero", of(tensor.F16, 0, 0), of(tensor.F16, 0, 0x80), statusChanged, &difference{Values: 1, Changed: 1}},
		{"integers", of(tensor.I8, 1, 2, 0xff), of(tensor.I8, 1, 2, 2), statusChanged, &difference{Values: 3, Changed: 1, Max: 3, RMS: math.Sqrt(3)}},
		{"nibbles", of(tensor.F4, 0x21), of(tensor.F4, 0x31), statusChanged, &difference{Values: 2, Changed: 1, Max: 0.5, RMS: math.Sqrt(0.125)}},
		{"other type, same values", of(tensor.F16, 0, 0x3c), of(tensor.BF16, 0x80, 0x3f), statusRetyped, &difference{Values: 1}},
		{"other type, other values", of(tensor.F16, 0, 0x3c), of(tensor.U8, far), statusRetyped, &difference{Values: 1, Changed: 1, Max: 7, RMS: 7}},
		{"4 and 8 bits", of(tensor.F4, 0x42, 0x62), of(tensor.U8, 1, 2, 1, 4), statusRetyped, &difference{Values: 4}},
		{"empty", of(tensor.F32), of(tensor.F32), statusIdentical, nil},
		{"complex and real", of(tensor.C64, 0, 0, 0x80, 0x3f, 0, 0, 0, 0), of(tensor.F32, 0, 0, 0x80, 0x3f), statusRetyped, &difference{Values: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := compareTensors(t, tt.a, tt.b)
			if got.Status != tt.status {
				t.Errorf("status %s, want %s", got.Status, tt.status)
			}
			if got.Change != nil {
				got.Change.squares, got.Change.reference, got.Change.NMSE = 0, 0, nil
			}
			if d := cmp.Diff(tt.want, got.Change, cmp.AllowUnexported(difference{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// The parts of a large tensor add up to what a plain loop over it gives, also
// where whole parts are the same.
func TestCompareChunks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 3*chunkValues).Draw(rt, "n")
		x := make([]byte, 4*n)
		for i := range n {
			binary.LittleEndian.PutUint32(x[4*i:], math.Float32bits(float32(i%1000)))
		}
		y := append([]byte{}, x...)
		at := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 1, 5, rapid.ID[int]).Draw(rt, "at")
		for _, i := range at {
			binary.LittleEndian.PutUint32(y[4*i:], math.Float32bits(float32(i%1000+3)))
		}
		sum := 0.0
		for i := range n {
			sum += float64(i%1000) * float64(i%1000)
		}
		got := compareTensors(t, of(tensor.F32, x...), of(tensor.F32, y...)).Change
		k := float64(len(at))
		want := &difference{Values: int64(n), Changed: int64(len(at)), Max: 3, RMS: math.Sqrt(9 * k / float64(n)), squares: 9 * k, reference: sum}
		if sum > 0 {
			db := 10 * math.Log10(9*k/sum)
			want.NMSE = &db
		}
		near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(a) })
		if d := cmp.Diff(want, got, cmp.AllowUnexported(difference{}), near); d != "" {
			rt.Errorf("(-want +got):\n%s", d)
		}
	})
}
