package rope

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The worked example of docs/FORMAT.md is the vector of that name, byte for
// byte: every line stands at its offset, and all bytes are explained.
func TestWorkedExample(t *testing.T) {
	doc, err := os.ReadFile("../docs/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(vectorDir + "/worked-example.rope")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "## 10. A worked example")
	if !ok {
		t.Fatal("no section 10")
	}
	line := regexp.MustCompile(`(?m)^([0-9a-f]{2})  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?: … ((?:[0-9a-f]{2} )*[0-9a-f]{2}))?  `)
	next := 0
	for _, m := range line.FindAllStringSubmatch(section, -1) {
		at, _ := strconv.ParseInt(m[1], 16, 32)
		if int(at) != next {
			t.Fatalf("line at %#x, the one before ends at %#x", at, next)
		}
		b, _ := hex.DecodeString(strings.ReplaceAll(m[2], " ", ""))
		if !bytes.HasPrefix(want[at:], b) {
			t.Fatalf("at %#x: the document has % x, the file % x", at, b, want[at:int(at)+len(b)])
		}
		next += len(b)
		if m[3] != "" { // a digest, of which only the ends are shown
			end, _ := hex.DecodeString(strings.ReplaceAll(m[3], " ", ""))
			next = int(at) + 32
			if !bytes.HasSuffix(want[:next], end) {
				t.Fatalf("before %#x: the document has % x", next, end)
			}
		}
	}
	if next != len(want) {
		t.Errorf("the lines end at %#x, the file at %#x", next, len(want))
	}
}
