package suite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func digestOf(t *testing.T, where string, most int64) string {
	t.Helper()
	d, err := dataDigest(where, most)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// put writes a file, and its folder.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Data is known by what is in it, and not by where it is.
func TestDataDigest(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	folder := func(name string) string {
		put(t, filepath.Join(at(name), "a", "one"), "1111")
		put(t, filepath.Join(at(name), "b"), "2222")
		return at(name)
	}
	const all = 1 << 20
	want := digestOf(t, folder("first"), all)
	if len(want) != 32 {
		t.Errorf("digest %q", want)
	}
	hidden := folder("hidden")
	put(t, filepath.Join(hidden, ".cache", "x"), "x")
	put(t, filepath.Join(hidden, ".x"), "x")
	for _, same := range []string{folder("second"), hidden, filepath.Join(hidden, "..", "first")} {
		if got := digestOf(t, same, all); got != want {
			t.Errorf("%s is not the data of the first", same)
		}
	}
	for name, change := range map[string]func(string){
		"contents": func(d string) { put(t, filepath.Join(d, "b"), "2223") },
		"size":     func(d string) { put(t, filepath.Join(d, "b"), "22222") },
		"more":     func(d string) { put(t, filepath.Join(d, "c"), "") },
		"name":     func(d string) { _ = os.Rename(filepath.Join(d, "b"), filepath.Join(d, "c")) },
		"gone":     func(d string) { _ = os.Remove(filepath.Join(d, "b")) },
	} {
		d := folder(name)
		change(d)
		if digestOf(t, d, all) == want {
			t.Errorf("%s: the digest is the same", name)
		}
		// Of what is behind the bound, names and sizes count.
		if got := digestOf(t, d, 4) == digestOf(t, at("first"), 4); got != (name == "contents") {
			t.Errorf("%s: behind the bound, the digest is the same: %v", name, got)
		}
	}
	file, moved := filepath.Join(at("first"), "b"), at("moved")
	put(t, moved, "2222")
	if digestOf(t, file, all) != digestOf(t, moved, all) || digestOf(t, file, all) == digestOf(t, filepath.Join(at("first"), "a", "one"), all) {
		t.Error("a file is not known by its contents")
	}
	if got := digestOf(t, "builtin:fashion-mnist", all); got != "builtin:fashion-mnist" {
		t.Errorf("what is built in is %q", got)
	}
	if _, err := DataDigest(at("nowhere")); err == nil {
		t.Error("what is not there has a digest")
	}
}

// Data behind links is the data that is read, wherever the links lead to.
func TestDataDigestFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	link := func(to, name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(at(name)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at(to), at(name)); err != nil {
			t.Skipf("no links here: %v", err)
		}
	}
	digest := func(name string) string { t.Helper(); return digestOf(t, at(name), 1<<20) }
	put(t, at("one/class/deep/x"), "1111")
	put(t, at("two/class/deep/x"), "2222")
	put(t, at("plain/train/class/deep/x"), "1111")
	link("one/class", "split/class")
	link("split", "linked/train") // a link behind a link
	want := digest("plain")
	if digest("linked") != want {
		t.Error("the same data is another behind links")
	}
	link("two/class", "split/class")
	if digest("linked") == want {
		t.Error("the link leads to other data, and the digest is the same")
	}
	link("nowhere", "split/class")
	if digest("linked") == want {
		t.Error("the link leads nowhere, and the digest is the same")
	}
	link("split", "split/class")
	if d, err := DataDigest(at("linked")); err == nil || !strings.Contains(err.Error(), "in a circle") {
		t.Errorf("links in a circle: %q, %v", d, err)
	}
}

// What is neither a file nor a folder is said, and not waited for.
func TestDataDigestOfDevice(t *testing.T) {
	if st, err := os.Stat(os.DevNull); err != nil || st.Mode()&os.ModeDevice == 0 {
		t.Skip("no devices here")
	}
	if d, err := DataDigest(os.DevNull); err == nil || !strings.Contains(err.Error(), "is a device; want a file or a folder") {
		t.Errorf("digest %q, %v", d, err)
	}
}
