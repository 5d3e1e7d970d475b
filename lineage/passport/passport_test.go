package passport

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// gaussian is a tensor of Gaussian numbers.
func gaussian(r *rand.Rand, name string, d tensor.DType, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, x := range shape {
		n *= x
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return &tensor.Tensor{Name: name, DType: d, Shape: shape, Data: tensor.Bytes(d.AppendFloats(nil, x))}
}

// small is a network of two layers with a convolution in front, of several types.
func small(seed uint64) lineage.Network {
	r := rand.New(rand.NewPCG(seed, 77))
	set, err := tensor.NewSet(
		gaussian(r, "conv.weight", tensor.F32, 12, 3, 5, 5), gaussian(r, "conv.bias", tensor.F32, 12),
		gaussian(r, "fc1.weight", tensor.BF16, 40, 12*9), gaussian(r, "fc1.bias", tensor.F16, 40),
		gaussian(r, "fc2.weight", tensor.F64, 10, 40), gaussian(r, "fc2.bias", tensor.F32, 10),
		&tensor.Tensor{Name: "steps", DType: tensor.I64, Shape: tensor.Shape{}, Data: tensor.Bytes(make([]byte, 8))},
	)
	if err != nil {
		panic(err)
	}
	spec, err := symmetry.Parse(`group conv: 12 × permutation × scale a —
    in conv.weight[0]*a, conv.bias[0]*a, out fc1.weight[1:x9]/a
group fc1: 40 × permutation × scale a —
    in fc1.weight[0]*a, fc1.bias[0]*a, out fc2.weight[1]/a
`)
	if err != nil {
		panic(err)
	}
	return lineage.Network{Set: set, Spec: spec}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func made(n lineage.Network, o *MakeOptions) *Passport {
	return must(Make(context.Background(), n, o))
}

// The format does not change: bytes that were written once are written for ever.
func TestGolden(t *testing.T) {
	p := made(small(1), &MakeOptions{Name: "golden", Numbers: 32, Metadata: map[string]string{"owner": "Alice", "note": "a\nb"}})
	if err := p.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "golden.passport")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, p.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Bytes(), want) {
		t.Error("the network of this test has another passport than it had")
	}
	q := must(Open(path, &Trust{Signed: true}))
	if !bytes.Equal(q.Bytes(), want) || q.Name != "golden" || q.Metadata["owner"] != "Alice" || q.Neurons() != 52 {
		t.Errorf("read back: %q %v, %d neurons", q.Name, q.Metadata, q.Neurons())
	}
}

// What is kept is what the format says, computed the long way.
func TestContents(t *testing.T) {
	n := small(2)
	p := made(n, &MakeOptions{Numbers: 32, Seed: 3})
	for g := range p.Spec.Groups {
		group := &p.Spec.Groups[g]
		for k := range group.Places {
			place, q := &group.Places[k], &p.Groups[g].Places[k]
			x := n.Set.Lookup(place.Tensor)
			values := x.DType.AppendFloat32s(nil, must(x.Bytes()))
			dim := dimOf(x.Shape, place)
			if q.Numbers != min(dim, 32*max(1, min(4, 256/group.Size))) {
				t.Errorf("%s has %d sums, %d numbers", place.Tensor, q.Numbers, dim)
				continue
			}
			outer, inner := 1, 1
			for a, d := range x.Shape {
				if a < place.Axis {
					outer *= int(d)
				} else if a > place.Axis {
					inner *= int(d)
				}
			}
			signs := signsOf(3, dim)
			neurons := signsOf(3^1<<63, group.Size)
			whole := make([]float64, q.Numbers)
			for i := range group.Size {
				sums, square, c := make([]float64, q.Numbers), 0.0, 0
				for o := range outer {
					for r := range place.Run {
						for z := range inner {
							v := float64(values[(o*int(x.Shape[place.Axis])+place.Position(i, r))*inner+z])
							sums[c%q.Numbers] += v * signs[c]
							square += v * v
							c++
						}
					}
				}
				if dim == 1 {
					if float64(q.Values[i]) != sums[0]*signs[0] {
						t.Fatalf("%s: neuron %d has %v, want %v", place.Tensor, i, q.Values[i], sums[0]*signs[0])
					}
					continue
				}
				if l := math.Sqrt(square); math.Abs(float64(q.Lengths[i])-l) > 1e-5*l {
					t.Fatalf("%s: neuron %d has length %v, want %v", place.Tensor, i, q.Lengths[i], l)
				}
				step := float64(q.Lengths[i]) * math.Exp2(float64(q.Exponents[i])/8-20)
				for b, want := range sums {
					whole[b] += want * neurons[i]
					if got := float64(q.Sums[i*q.Numbers+b]) * step; math.Abs(got-want) > 0.501*step {
						t.Fatalf("%s: sum %d of neuron %d is %v, want %v", place.Tensor, b, i, got, want)
					}
				}
				if slices.Max(q.Sums[i*q.Numbers:][:q.Numbers]) < 115 && slices.Min(q.Sums[i*q.Numbers:][:q.Numbers]) > -115 {
					t.Errorf("%s: the step of neuron %d is too large", place.Tensor, i)
				}
			}
			for b, want := range whole {
				if dim > 1 && math.Abs(float64(q.Whole[b])-want) > 1e-4 {
					t.Fatalf("%s: sum %d of all is %v, want %v", place.Tensor, b, q.Whole[b], want)
				}
			}
		}
	}
}

// signsOf is written from docs/PASSPORT.md.
func signsOf(seed uint64, n int) []float64 {
	out := make([]float64, n)
	for c := range out {
		x := seed + uint64(c/64) + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
		out[c] = 1
		if x>>(c%64)&1 == 1 {
			out[c] = -1
		}
	}
	return out
}

// The same bytes for any number of threads.
func TestThreads(t *testing.T) {
	n := small(3)
	want := made(n, &MakeOptions{Threads: 1}).Bytes()
	for _, threads := range []int{2, 5} {
		if !bytes.Equal(made(n, &MakeOptions{Threads: threads}).Bytes(), want) {
			t.Errorf("%d threads make another passport", threads)
		}
	}
}

// Digests that do not depend on order are those of any order, and of no other numbers.
func TestUnordered(t *testing.T) {
	n := small(4)
	e := n.Spec.Random(&symmetry.RandomOptions{Seed: 5})
	for _, m := range e {
		m.Factors = nil
	}
	moved := lineage.Network{Set: must(symmetry.Apply(n.Spec, n.Set, e)), Spec: n.Spec}
	a, b, c := made(n, nil), made(moved, nil), made(small(5), nil)
	for i := range a.Tensors {
		x, y, z := &a.Tensors[i], &b.Tensors[i], &c.Tensors[i]
		if x.Unordered != y.Unordered || x.Levels != y.Levels || x.Least != y.Least || math.Abs(x.Sum-y.Sum) > 1e-9 {
			t.Errorf("%s: %+v and %+v", x.Name, x, y)
		}
		if x.Name != "steps" && (x.Unordered == z.Unordered || x.SHA256 == y.SHA256 && x.Name != "fc2.bias") {
			t.Errorf("%s of another network has the same digest, or the order is not in the other", x.Name)
		}
	}
}

// Large tensors take other paths, and say the same.
func TestLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for _, d := range []tensor.DType{tensor.F32, tensor.BF16, tensor.F16, tensor.F64} {
		x := make([]float32, 70000)
		for i := range x {
			x[i] = float32(r.IntN(300)) - 40
		}
		few := &tensor.Tensor{Name: "few", DType: d, Shape: tensor.Shape{70000}, Data: tensor.Bytes(d.AppendFloats(nil, x))}
		p := made(lineage.Network{Set: must(tensor.NewSet(few, gaussian(r, "many", d, 80000)))}, nil)
		values := map[float32]bool{}
		for _, v := range d.AppendFloat32s(nil, must(few.Bytes())) {
			values[v] = true
		}
		if p.Tensors[0].Levels != len(values) || p.Tensors[0].Least != -40 || p.Tensors[0].Zeros == 0 {
			t.Errorf("%s: %+v, want %d levels", d, p.Tensors[0].Moments, len(values))
		}
		if many := d.Bits() > 16; (p.Tensors[1].Levels == 0) != many {
			t.Errorf("%s: Gaussian numbers have %d levels", d, p.Tensors[1].Levels)
		}
		if m := p.Tensors[1].Moments; math.Abs(m.Squares/80000-1) > 0.05 || math.Abs(m.Sum) > 2000 {
			t.Errorf("%s: %+v", d, m)
		}
	}
}

// What is said of a size before a passport is made is its size.
func TestSize(t *testing.T) {
	for _, numbers := range []int{32, 128} {
		o := &MakeOptions{Name: "n", Numbers: numbers, Metadata: map[string]string{"a": "b"}}
		if got, want := must(Size(small(1), o)), int64(len(made(small(1), o).Bytes())); got != want {
			t.Errorf("%d numbers: %d bytes, want %d", numbers, got, want)
		}
	}
}

// The ledger accounts for every byte, of passports that were read, too.
func TestLedger(t *testing.T) {
	p := made(small(1), &MakeOptions{Name: "n", Metadata: map[string]string{"a": "b"}})
	if err := p.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*Passport{p, must(Parse(p.Bytes()))} {
		sum, parts := int64(0), map[string]int64{}
		for _, x := range p.Ledger() {
			if x.Bytes <= 0 {
				t.Errorf("%+v", x)
			}
			sum += x.Bytes
			parts[x.Part+" "+x.Group+" "+x.Place] += x.Bytes
		}
		if want := int64(len(p.Bytes())); sum != want {
			t.Errorf("the parts add up to %d bytes, want %d", sum, want)
		}
		// 40 neurons with a bias each, in float32.
		if got := parts["group fc1 fc1.bias[0]*a"]; got != 40*4 {
			t.Errorf("the biases of fc1 take %d bytes, want 160: %v", got, parts)
		}
	}
	if l := new(Passport).Ledger(); l != nil {
		t.Errorf("a passport that is none has parts: %v", l)
	}
}

func TestEighths(t *testing.T) {
	for k, x := range eighths {
		if math.Abs(x-math.Exp2(float64(k)/8)) > 1e-15 {
			t.Errorf("2^(%d/8) is %v", k, x)
		}
	}
}

// Weights that are not finite are named.
func TestNotFinite(t *testing.T) {
	for _, name := range []string{"conv.weight", "fc1.weight", "fc2.bias"} {
		n := small(7)
		x := n.Set.Lookup(name)
		values := x.DType.AppendFloat32s(nil, must(x.Bytes()))
		values[5] = float32(math.NaN())
		bad := must(tensor.Overlay(n.Set, &tensor.Tensor{Name: name, DType: x.DType, Shape: x.Shape, Data: tensor.Bytes(x.DType.AppendFloats(nil, values))}))
		if _, err := Make(context.Background(), lineage.Network{Set: bad, Spec: n.Spec}, nil); !errors.Is(err, ErrNumbers) || err.Error() != "passport: a number is not finite: tensor "+name+" has NaN at 5; there is nothing to compare it by" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Make(context.Background(), lineage.Network{Set: must(tensor.NewSet())}, nil); err == nil {
		t.Error("nothing has a passport")
	}
}

// Each kind of damage has its error, wherever it is.
func TestDamage(t *testing.T) {
	p := made(small(8), &MakeOptions{Numbers: 32})
	if err := p.Sign(ed25519.NewKeyFromSeed(make([]byte, 32))); err != nil {
		t.Fatal(err)
	}
	whole := p.Bytes()
	for n := range whole {
		q, err := Parse(slices.Clone(whole[:n]))
		var c *CorruptError
		if !errors.As(err, &c) {
			t.Fatalf("%d of %d bytes: %v, %v", n, len(whole), q, err)
		}
		if n > 20 && !c.Truncated {
			t.Fatalf("%d of %d bytes: not known as truncated: %v", n, len(whole), err)
		}
	}
	for bit := 0; bit < 8*len(whole); bit += 3 {
		b := slices.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		q, err := Parse(b)
		if err == nil {
			err = q.Check(nil)
		}
		if err == nil {
			t.Fatalf("bit %d was flipped, and nobody noticed", bit)
		}
		var c *CorruptError
		if at := bit / 8; at > 300 && at < len(p.body) && (!errors.As(err, &c) || c.Offset > int64(at)) {
			t.Fatalf("byte %d was damaged: %v", at, err)
		}
	}
	b := slices.Clone(whole)
	b[8] = 2
	var v *VersionError
	if _, err := Parse(b); !errors.As(err, &v) || v.Version != 2 {
		t.Errorf("version 2: %v", err)
	}
	if _, err := Parse(append(slices.Clone(whole), 0)); err == nil {
		t.Error("a byte behind the end is not noticed")
	}
}

func TestSign(t *testing.T) {
	edwards := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	ec := must(x509.ParseECPrivateKey(must(pemOf(t, "p256.pem"))))
	for _, key := range []crypto.Signer{edwards, ec} {
		p := made(small(9), nil)
		digest := p.Digest()
		if err := p.Check(&Trust{Signed: true}); !errors.Is(err, ErrUnsigned) {
			t.Errorf("unsigned: %v", err)
		}
		if err := p.Sign(key); err != nil {
			t.Fatal(err)
		}
		again := made(small(9), nil)
		if err := again.Sign(key); err != nil || !bytes.Equal(again.Bytes(), p.Bytes()) {
			t.Errorf("%T signs otherwise the second time: %v", key, err)
		}
		q := must(Parse(p.Bytes()))
		if q.Digest() != digest {
			t.Error("the signature changes the digest")
		}
		if err := q.Check(&Trust{Signer: key.Public()}); err != nil {
			t.Error(err)
		}
		other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)).Public()
		if err := q.Check(&Trust{Signer: other}); !errors.Is(err, ErrSigner) {
			t.Errorf("another key: %v", err)
		}
		q.Signature.Value[9] ^= 1
		if err := must(Parse(q.Bytes())).Check(nil); !errors.Is(err, ErrSignature) {
			t.Errorf("a changed signature: %v", err)
		}
		q.Signature.Value[9] ^= 1
		// A passport of other contents with the signature of this one.
		r := made(small(10), nil)
		r.Signature = q.Signature
		if err := must(Parse(r.Bytes())).Check(nil); !errors.Is(err, ErrSignature) {
			t.Errorf("another's signature: %v", err)
		}
	}
	wrong := must(ecdsa.GenerateKey(elliptic.P384(), nothingRandom{}))
	if err := made(small(9), nil).Sign(wrong); !errors.Is(err, ErrKey) {
		t.Errorf("P-384: %v", err)
	}
}

// nothingRandom is a source that keys for tests come from.
type nothingRandom struct{}

func (nothingRandom) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 42
	}
	return len(b), nil
}

func pemOf(t *testing.T, name string) ([]byte, error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	return block.Bytes, nil
}

// Keys are read as openssl writes them.
func TestKeys(t *testing.T) {
	for _, name := range []string{"ed25519.pem", "p256.pem", "p256-pkcs8.pem"} {
		key, err := ParsePrivateKey(must(os.ReadFile(filepath.Join("testdata", name))))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := made(small(1), nil)
		if err := p.Sign(key); err != nil {
			t.Error(err)
		}
		public, err := ParsePublicKey(must(os.ReadFile(filepath.Join("testdata", name))))
		if err != nil || p.Check(&Trust{Signer: public}) != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	public, err := ParsePublicKey(must(os.ReadFile(filepath.Join("testdata", "ed25519-public.pem"))))
	if err != nil || public == nil {
		t.Error(err)
	}
	for _, text := range []string{"", "no PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		if _, err := ParsePrivateKey([]byte(text)); !errors.Is(err, ErrKey) {
			t.Errorf("%.20q: %v", text, err)
		}
		if _, err := ParsePublicKey([]byte(text)); !errors.Is(err, ErrKey) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// What is read is written again as it was.
func FuzzParse(f *testing.F) {
	p := made(small(1), &MakeOptions{Numbers: 32})
	f.Add(p.Bytes())
	if err := p.Sign(ed25519.NewKeyFromSeed(make([]byte, 32))); err != nil {
		f.Fatal(err)
	}
	f.Add(p.Bytes())
	f.Add(made(lineage.Network{Set: must(tensor.NewSet(gaussian(rand.New(rand.NewPCG(1, 1)), "x", tensor.F32, 3)))}, nil).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := Parse(mended(b))
		if err != nil {
			return
		}
		_ = q.Check(nil)
		if _, err := q.Sketches(); err != nil {
			return
		}
		again, err := q.encode()
		if err != nil || !bytes.Equal(again, q.body) {
			t.Fatalf("written again it differs: %v", err)
		}
	})
}

// mended puts in the checksums, which no fuzzer guesses.
func mended(b []byte) []byte {
	b = slices.Clone(b)
	mend(b)
	return b
}
