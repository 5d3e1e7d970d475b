package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata")

func write(t *testing.T, p *Page, o *Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The structure of a page is what is in testdata, without its scripts, styles and numbers.
func TestGolden(t *testing.T) {
	page := write(t, sample(14), &Options{Assets: "/assets/", Home: "/"})
	page = regexp.MustCompile(`(?s)(id="data">).*?(</script>)`).ReplaceAllString(page, "$1…$2")
	page = strings.ReplaceAll(page, AssetVersion(), "VERSION")
	const path = "testdata/page.html"
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), page); d != "" {
		t.Errorf("another page (-want +got); -update writes it:\n%s", d)
	}
}

// A file contains all that it shows: no address, no import, and a policy that allows
// nothing to be loaded and no script but the two that are in it.
func TestAlone(t *testing.T) {
	page := write(t, sample(14), nil)
	for _, s := range []string{"src=", "@import", "url(", "http://", "<iframe", "<object", "<embed", "srcset"} {
		text := strings.ReplaceAll(strings.ReplaceAll(page, string(echartsScript()), ""), "http://www.w3.org/2000/svg", "")
		text = strings.ReplaceAll(text, strings.ReplaceAll(hostile, `"`, "&#34;"), "")
		if i := strings.Index(text, s); i >= 0 && !strings.Contains(text[max(0, i-40):i], "img ") { // which is that of the hostile name, as text
			t.Errorf("the page has %q: …%s…", s, text[max(0, i-60):min(len(text), i+60)])
		}
	}
	policy := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	if policy == nil {
		t.Fatal("the page has no policy")
	}
	allowed := strings.ReplaceAll(policy[1], "&#39;", "'")
	allowed = strings.ReplaceAll(allowed, "&#43;", "+")
	if !strings.HasPrefix(allowed, "default-src 'none'; script-src 'sha256-") || strings.Contains(allowed, "unsafe-eval") || strings.Contains(allowed, "connect-src") {
		t.Errorf("policy %q", allowed)
	}
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(page, -1)
	if len(scripts) != 2 {
		t.Fatalf("%d scripts, want 2", len(scripts))
	}
	for _, s := range scripts {
		sum := sha256.Sum256([]byte(s[1]))
		if d := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(allowed, d) {
			t.Errorf("the policy does not allow the script %.40q with digest %s", s[1], d)
		}
	}
}

// Names are text, wherever they stand.
func TestHostileNames(t *testing.T) {
	evil := hostile + "\x00\x1b[31m\u202e\u2028" + string([]byte{0xff, 0xc0})
	c := Value(1)
	p := &Page{Verb: evil, Title: evil, Lead: evil, Made: evil, Live: "/live?run=a&b"}
	for range 3 {
		s := p.Section(evil)
		s.Text(evil)
		s.Verdict(&Verdict{Word: evil, Text: evil, Ladder: []string{evil, "other"}, Facts: []Fact{{evil, evil, evil}}})
		s.Claims(Claim{evil, evil, evil, evil})
		s.Links(Link{evil, "javascript:alert(1)", evil}, Link{evil, "/inspect?file=" + evil, evil})
		s.Form(&Form{To: "/compare", Button: evil, Fields: []Field{{Name: "a", Label: evil, Options: []Option{{"c", evil}, {"a&b", evil}}, Chosen: "a&b"}}})
		tab := &Table{Title: evil, Note: evil, Columns: []Column{{Name: evil, Note: evil}}}
		tab.Row(Cell{Text: evil, Link: evil})
		s.Table(tab)
		s.Chart(&Chart{Title: evil, Caption: evil, Data: &Treemap{Unit: evil, Color: evil, Nodes: []Node{{Name: evil, Value: 1, Color: &c, Note: evil, Children: []Node{{Name: evil, Value: 1}}}}}})
		s.Choice(&Choice{Label: evil, Charts: []*Chart{{Title: evil, Data: &Bars{X: evil, Names: []string{evil}, Values: Numbers{math.Inf(1)}}}}})
	}
	for _, o := range []*Options{nil, {Assets: "/assets/", Home: "/"}} {
		page := write(t, p, o)
		if n := strings.Count(page, "<script"); n != 3+strings.Count(string(echartsScript())+string(script), "<script") && n != 3 {
			t.Errorf("%d scripts begin", n)
		}
		for _, s := range []string{"<img", "javascript:", "\x00", "\x1b", "\u202e", "\u2028", "\xff"} {
			body := page[:strings.LastIndex(page, "<script")] // ours comes last
			if i := strings.Index(body, "<script>"); i >= 0 {
				body = body[:i]
			}
			if i := strings.Index(body, s); i >= 0 {
				t.Errorf("the page has %q: …%q…", s, body[max(0, i-80):min(len(body), i+40)])
			}
		}
		var specs []map[string]any
		data := regexp.MustCompile(`(?s)id="data">(.*?)</script>`).FindStringSubmatch(page)
		if err := json.Unmarshal([]byte(data[1]), &specs); err != nil || len(specs) != 6 {
			t.Errorf("%d charts: %v", len(specs), err)
		}
	}
}

// The same page gives the same bytes.
func TestDeterminism(t *testing.T) {
	first, second := write(t, sample(40), nil), write(t, sample(40), nil)
	if first != second {
		t.Error("two pages of the same numbers differ")
	}
}

// A page of a network with 3000 tensors and large layers stays below 5 MB; without
// limits it would have 30.
func TestSize(t *testing.T) {
	p := sample(3000)
	s := p.Section("Large")
	for range 20 {
		const n = 1024
		v := make([]float64, n*n)
		for i := range n {
			v[i*n+i] = 1
		}
		long := make(Numbers, 100_000)
		for i := range long {
			long[i] = math.Sin(float64(i)) / 3
		}
		labels := make([]string, len(long))
		for i := range labels {
			labels[i] = fmt.Sprintf("neuron %d of layers.17.mlp.down_proj", i)
		}
		s.Chart(
			&Chart{Title: "map", Data: &Heatmap{Low: 0, High: 1, Panes: []Pane{NewPane("a", n, n, v, 0, 1), NewPane("b", n, n, v, 0, 1)}}},
			&Chart{Title: "bars", Data: &Bars{Values: long}},
		)
		s.Chart(&Chart{Title: "curve", Data: &Lines{Curves: []Curve{{X: long, Y: long}}}})
	}
	s.Chart(&Chart{Title: "all names", Data: &Scatter{Groups: []Curve{{X: make(Numbers, 100_000), Y: make(Numbers, 100_000), Labels: slices.Repeat([]string{"layers.17.mlp.down_proj.weight"}, 100_000)}}}})
	if n := len(write(t, p, nil)); n > 5_000_000 {
		t.Errorf("the page has %d bytes", n)
	}
	if n := len(write(t, sample(3000), nil)); n > 3_000_000 {
		t.Errorf("the page of 3000 tensors has %d bytes", n)
	}
}

// ECharts is what its folder says, as far as a digest can tell.
func TestECharts(t *testing.T) {
	const digest = "ddb8e0ab004bfc4573bfbe2667e7360430c0985c923fbbe7fcc889109f85125a" // that build.sh printed
	text := echartsScript()
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); got != digest {
		t.Errorf("echarts.min.js has the digest %s, want %s", got, digest)
	}
	for _, s := range []string{"Apache ECharts " + ECharts, "Baidu", "Bostock", "Microsoft"} {
		if !bytes.Contains(text[:8000], []byte(s)) {
			t.Errorf("its first comment does not name %q", s)
		}
	}
	for _, b := range [][]byte{text, script} {
		for _, s := range []string{"</script", "<!--", "\r", "\x00"} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("a script has %q, and cannot stand in a page", s)
			}
		}
	}
}
