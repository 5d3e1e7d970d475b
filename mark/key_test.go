package mark

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestKeyText(t *testing.T) {
	k := newKey(t, 1, 0xca, 0xfe)
	o := &SealOptions{Random: chacha(9), LogN: 10}
	for _, pass := range []string{"", "correct horse"} {
		text, err := k.Marshal([]byte(pass), o)
		if err != nil {
			t.Fatal(err)
		}
		if !Sniff(text) || IsSealed(text) != (pass != "") {
			t.Errorf("%s\nis not seen as what it is", text)
		}
		windows := bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		for _, text := range [][]byte{text, windows} {
			got, err := ParseKey(text, []byte(pass))
			if err != nil {
				t.Fatal(err)
			}
			if got.secret != k.secret || got.Owner != k.Owner || !got.Created.Equal(k.Created) || !bytes.Equal(got.Payload, k.Payload) {
				t.Errorf("%+v came back as %+v", k.Identity, got.Identity)
			}
		}
	}
	l, err := k.Layer("keyed", "a \"b\"\nc")
	if err != nil {
		t.Fatal(err)
	}
	text, err := l.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSecrets(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != Secrets(l) {
		t.Error("the layer key came back as another one")
	}
	if _, err := ParseKey(text, nil); !errors.Is(err, ErrKey) {
		t.Errorf("a layer key as a key: %v", err)
	}
}

// The passphrase authenticates all lines.
func TestSealed(t *testing.T) {
	k := newKey(t, 1)
	text, err := k.Marshal([]byte("a"), &SealOptions{Random: chacha(9), LogN: 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKey(text, nil); !errors.Is(err, ErrSealed) {
		t.Errorf("without passphrase: %v", err)
	}
	if _, err := ParseKey(text, []byte("b")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	other := bytes.Replace(text, []byte("Alice"), []byte("Mallo"), 1)
	if _, err := ParseKey(other, []byte("a")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("another owner: %v", err)
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if got, err := ParseKey(bad, []byte("a")); err == nil && got.secret != k.secret {
			t.Fatalf("byte %d changed, and another key came", i)
		}
	}
}

func TestBadKeys(t *testing.T) {
	k := newKey(t, 1)
	b, err := k.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	secret := base64.RawStdEncoding.EncodeToString(k.secret[:])
	for _, tt := range []struct{ text, want string }{
		{"", "first line"},
		{"-----BEGIN PRIVATE KEY-----\n", "first line"},
		{strings.Repeat("x", MaxKeyFile+1), "65537 bytes"},
		{strings.Replace(text, "owner", "ovner", 1), "line 3 is not one of"},
		{strings.Replace(text, "secret: "+secret, "", 1), "line 5"},
		{strings.Replace(text, "secret: "+secret, "secret: AAAA", 1), "not 32 bytes"},
		{strings.Replace(text, "id: ", "id: 0", 1), "damaged"},
		{strings.Replace(text, "secret: "+secret[:4], "secret: AAAA", 1), "damaged"},
		{strings.Replace(text, "created: ", "created: x", 1), "RFC 3339"},
		{text + "owner: Bob\n", "behind the secret"},
		{strings.Replace(text, "created", "owner: x\ncreated", 1), "again"},
		{strings.Replace(text, "secret: "+secret, "sealed: scrypt 40 AAAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAA "+base64.RawStdEncoding.EncodeToString(make([]byte, 48)), 1), "2^40"},
		{strings.Replace(text, "secret: "+secret, "sealed: scrypt 10 AA AA AA", 1), "part 3"},
		{layerHead + "\nid: 0123456789abcdef\nscheme: none\ntensor: \"a\"\nsecret: " + secret, "no scheme"},
		{layerHead + "\nid: x\nscheme: keyed\ntensor: \"a\"\nsecret: " + secret, "16 hex digits"},
		{layerHead + "\nid: x\nscheme: keyed\ntensor: a\nsecret: " + secret, "quoted"},
	} {
		_, err := ParseSecrets([]byte(tt.text), []byte("x"))
		if !errors.Is(err, ErrKey) || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%.60q: %v, want %q", tt.text, err, tt.want)
		}
	}
	for n := range text[:len(text)-1] {
		if _, err := ParseSecrets([]byte(text[:n]), nil); err == nil {
			t.Errorf("cut to %d of %d bytes, it is a key", n, len(text))
		}
	}
}

// Whatever prints a key prints no secret.
func TestSecretsDoNotPrint(t *testing.T) {
	k := newKey(t, 3)
	l, err := k.Layer("keyed", "a")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, v := range []any{k, *k, l, &l, struct{ K any }{k}, struct{ L LayerKey }{l}, []any{k, l}} {
		fmt.Fprintf(&out, "%v %+v %#v %s %x %q %d\n", v, v, v, v, v, v, v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "k", k, "l", l)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "k", k, "l", l)
	for _, secret := range [][]byte{k.secret[:], l.secret[:]} {
		for _, form := range []string{
			string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret)[:40],
			strings.Trim(fmt.Sprint(secret), "[]"), strings.Trim(fmt.Sprintf("%#v", secret), "[]byte{}"),
		} {
			if strings.Contains(strings.ToLower(out.String()), strings.ToLower(form)) {
				t.Errorf("%q is in\n%s", form, out.String())
			}
		}
	}
}

// Keys of layers, schemes and secrets have nothing in common.
func TestLayersDiffer(t *testing.T) {
	seen := map[[secretSize]byte]string{}
	for _, k := range []*Key{newKey(t, 1), newKey(t, 2)} {
		for _, s := range []string{"keyed", "grid", "a"} {
			for _, name := range []string{"a", "b", "keyed", ""} {
				l, err := k.Layer(s, name)
				if err != nil {
					t.Fatal(err)
				}
				at := fmt.Sprint(k, s, name)
				if old, ok := seen[l.secret]; ok {
					t.Errorf("%s and %s are one", at, old)
				}
				seen[l.secret] = at
			}
		}
	}
}

func FuzzParseSecrets(f *testing.F) {
	k, err := NewKey(chacha(1), Identity{Owner: "A"})
	if err != nil {
		f.Fatal(err)
	}
	text, err := k.Marshal(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	sealed, err := k.Marshal([]byte("x"), &SealOptions{Random: chacha(2), LogN: 10})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("scrypt")) && !bytes.Contains(text, []byte("scrypt 10 ")) {
			t.Skip("work that is asked for is done, up to its bound, which takes a second")
		}
		s, err := ParseSecrets(text, []byte("x"))
		if err != nil {
			return
		}
		if k, ok := s.(*Key); ok {
			again, err := k.Marshal(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseKey(again, nil); err != nil {
				t.Errorf("%q was read, and written again as %q: %v", text, again, err)
			}
		}
	})
}
