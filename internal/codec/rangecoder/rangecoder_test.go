package rangecoder

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// Decisions come back, with either end, and End leaves what follows.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SliceOf(rapid.IntRange(0, 1)).Draw(t, "bits")
		ps := rapid.SliceOfN(rapid.Uint32Range(1, 65535), len(bits), len(bits)).Draw(t, "probabilities")
		behind := rapid.SliceOf(rapid.Byte()).Draw(t, "behind")
		encode := func() Coder {
			c := NewEncoder(nil)
			for i, b := range bits {
				c.Bit(b, ps[i])
			}
			return c
		}
		decode := func(coded []byte) Coder {
			c := NewDecoder(coded)
			for i, b := range bits {
				if got := c.Bit(0, ps[i]); got != b {
					t.Fatalf("decision %d is %d, want %d", i, got, b)
				}
			}
			return c
		}
		e := encode()
		if d := decode(e.Finish()); d.Overrun() {
			t.Fatal("what Finish wrote is overrun")
		}
		e = encode()
		coded, _ := e.End()
		d := decode(append(bytes.Clone(coded), behind...))
		if rest, ok := d.End(); !ok || !bytes.Equal(rest, behind) {
			t.Fatalf("behind the end are %x (%v), want %x", rest, ok, behind)
		}
	})
}
