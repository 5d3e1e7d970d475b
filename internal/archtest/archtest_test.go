package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A file is what the rules look at in a Go file.
type file struct {
	dir     string // slash-separated, below the root
	name    string
	pkg     string
	doc     string // the comment above the package clause
	imports []string
}

func (f file) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// Every package imports only what its room allows.
func TestImports(t *testing.T) {
	for _, f := range repository(t) {
		for _, breach := range check(f) {
			t.Error(breach)
		}
	}
}

// Every package says in a comment what it is.
func TestPackageComments(t *testing.T) {
	found := map[string]bool{}
	for _, f := range repository(t) {
		if f.isTest() {
			continue
		}
		ok := strings.HasPrefix(f.doc, "Package "+f.pkg+" ") || f.pkg == "main" && f.doc != ""
		found[f.dir] = found[f.dir] || ok
	}
	for dir, ok := range found {
		if !ok {
			t.Errorf("%s: no file has a comment that begins with \"Package %s \" above its package clause", dir, path.Base(dir))
		}
	}
}

// Folders are named after what is in them.
func TestNames(t *testing.T) {
	for _, f := range repository(t) {
		for _, name := range append(strings.Split(f.dir, "/"), f.pkg) {
			if slices.Contains(vague, strings.TrimSuffix(name, "_test")) {
				t.Errorf("%s/%s: the name %q says nothing about what is in there", f.dir, f.name, name)
			}
		}
	}
}

// A row can name only itself and rows above it, so the rooms have an order.
func TestRoomsAreOrdered(t *testing.T) {
	for i, r := range rooms {
		if r.why == "" {
			t.Errorf("%s: a rule needs its reason", r.path)
		}
		for _, own := range r.own {
			above := slices.ContainsFunc(rooms[:i+1], func(o room) bool {
				return o.path == own || contains(o.path, own) || contains(own, o.path)
			})
			if !above {
				t.Errorf("%s may import %s, which is in no row above it", r.path, own)
			}
		}
	}
}

// The rules see what they are there to see.
func TestCheck(t *testing.T) {
	tests := []struct {
		file file
		want string // part of the message; "" for no breach
	}{
		{file{dir: "layout", name: "a.go", imports: []string{"io", "ropewalk/tensor"}}, ""},
		{file{dir: "tensor", name: "a.go", imports: []string{"ropewalk/layout"}}, "tensor may import the standard library only"},
		{file{dir: "internal/codec/mix", name: "a.go", imports: []string{"ropewalk/internal/codec/planes"}}, ""},
		{file{dir: "internal/codec/mix", name: "a.go", imports: []string{"ropewalk/tensor"}}, "sees integers only"},
		{file{dir: "internal/codec/mix", name: "a_test.go", imports: []string{"pgregory.net/rapid"}}, ""},
		{file{dir: "internal/format/npz", name: "a.go", imports: []string{"ropewalk/layout"}}, ""},
		{file{dir: "internal/format/npz", name: "a.go", imports: []string{"ropewalk/internal/format/onnx"}}, "other formats"},
		{file{dir: "internal/format/npz", name: "a.go", imports: []string{"google.golang.org/protobuf/encoding/protowire"}}, "not its business"},
		{file{dir: "internal/format/onnx", name: "a.go", imports: []string{"google.golang.org/protobuf/encoding/protowire"}}, ""},
		{file{dir: "internal/format/onnx", name: "a.go", imports: []string{"google.golang.org/protobuf/proto"}}, "only protowire"},
		{file{dir: "rope", name: "a.go", imports: []string{"ropewalk/internal/codecs"}}, "takes any layout"},
		{file{dir: "rope", name: "a.go", imports: []string{"github.com/spf13/cobra"}}, "takes any layout"},
		{file{dir: "rope", name: "a_test.go", imports: []string{"ropewalk/internal/cli"}}, "nobody imports"},
		{file{dir: "internal/cli", name: "a.go", imports: []string{"github.com/spf13/cobra/doc"}}, ""},
		{file{dir: "cmd/ropewalk", name: "main.go", imports: []string{"ropewalk/internal/cli"}}, ""},
		{file{dir: "attic", name: "a.go", imports: []string{"io"}}, "no room"},
	}
	for _, tt := range tests {
		got := strings.Join(check(tt.file), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s/%s importing %q: got %q, want %q", tt.file.dir, tt.file.name, tt.file.imports, got, tt.want)
		}
	}
}

// check returns a sentence for each rule that f breaks.
func check(f file) []string {
	i := slices.IndexFunc(rooms, func(r room) bool { return contains(r.path, f.dir) })
	if i < 0 {
		return []string{fmt.Sprintf("%s/%s: no room has this folder; give it a row in internal/archtest/rooms_test.go", f.dir, f.name)}
	}
	var breaches []string
	for _, imp := range f.imports {
		if b := rooms[i].breach(f, imp); b != "" {
			breaches = append(breaches, fmt.Sprintf("%s/%s imports %s: %s", f.dir, f.name, imp, b))
		}
	}
	return breaches
}

// breach says what is wrong with the import of imp by a file of r, if anything.
func (r room) breach(f file, imp string) string {
	own, isOwn := strings.CutPrefix(imp, module+"/")
	isStandard := !isOwn && !strings.Contains(strings.Split(imp, "/")[0], ".")
	switch {
	case isOwn && containsAny(front, own) && own != f.dir && f.dir != usher:
		return "nobody imports the front of the house; move what is needed into a package of its own"
	case f.isTest(), isStandard, isOwn && containsAny(r.own, own), !isOwn && containsAny(r.modules, imp):
		return ""
	}
	may := strings.Join(slices.Concat(r.own, r.modules), ", ")
	if may == "" {
		may = "the standard library"
	}
	return fmt.Sprintf("%s may import %s only, because %s", r.path, may, r.why)
}

// contains reports whether dir is the folder of pattern, or below it where the
// pattern ends in "/...".
func contains(pattern, dir string) bool {
	tree, deep := strings.CutSuffix(pattern, "/...")
	return dir == tree || deep && strings.HasPrefix(dir, tree+"/")
}

func containsAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return contains(p, dir) })
}

// repository parses the head of every Go file from the folder of go.mod down.
func repository(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var files []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != root && isForeign(p, name) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		f, err := parse(root, p)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"tensor", "layout"} {
		if !slices.ContainsFunc(files, func(f file) bool { return f.dir == dir }) {
			t.Fatalf("found no Go file in %s: the rules look in the wrong place", dir)
		}
	}
	return files
}

// isForeign reports whether the go command leaves a folder out, too: no code of
// ours, or a module of its own.
func isForeign(p, name string) bool {
	_, err := os.Stat(filepath.Join(p, "go.mod"))
	return err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func parse(root, p string) (file, error) {
	ast, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return file{}, err
	}
	rel, err := filepath.Rel(root, filepath.Dir(p))
	if err != nil {
		return file{}, err
	}
	f := file{dir: filepath.ToSlash(rel), name: filepath.Base(p), pkg: ast.Name.Name, doc: ast.Doc.Text()}
	for _, imp := range ast.Imports {
		v, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, v)
	}
	return f, nil
}
