package report

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed" // the parts of a page
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"sync"
)

// Options say how a page is written. Nil is a file that needs nothing else.
type Options struct {
	// Assets is where [Asset] is served from, as "/assets/"; then pages load it from there
	// and are small. Empty puts it into the page.
	Assets string
	// Home is where the name of the program leads to; empty is nowhere.
	Home string
}

//go:embed page.html.tmpl
var markup string

//go:embed page.css
var styles []byte

//go:embed page.js
var script []byte

//go:embed echarts/echarts.min.js.gz
var packedECharts []byte

// ECharts is the version that is embedded.
const ECharts = "5.6.0"

// echartsScript returns the script of ECharts.
var echartsScript = sync.OnceValue(func() []byte {
	z, err := gzip.NewReader(bytes.NewReader(packedECharts))
	if err != nil {
		panic("report: the embedded ECharts is damaged: " + err.Error()) // by who built the program
	}
	b, err := io.ReadAll(z)
	if err != nil {
		panic("report: the embedded ECharts is damaged: " + err.Error())
	}
	return b
})

// icon is a coil of rope.
const icon = "data:image/svg+xml," +
	"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cg fill='none' stroke='%231f6f94' stroke-width='3'%3E" +
	"%3Ccircle cx='16' cy='16' r='12'/%3E%3Ccircle cx='16' cy='16' r='6'/%3E%3C/g%3E%3C/svg%3E"

// assetNames are the parts that a server gives to pages, by name.
var assetNames = map[string]struct {
	kind string
	text func() []byte
}{
	"echarts.js": {"text/javascript; charset=utf-8", func() []byte { return echartsScript() }},
	"page.js":    {"text/javascript; charset=utf-8", func() []byte { return script }},
	"page.css":   {"text/css; charset=utf-8", func() []byte { return styles }},
}

// Asset returns a part of pages that are served, and its media type; nil if there is
// none of that name.
func Asset(name string) (text []byte, kind string) {
	a, ok := assetNames[name]
	if !ok {
		return nil, ""
	}
	return a.text(), a.kind
}

// AssetVersion changes with the parts.
var AssetVersion = sync.OnceValue(func() string {
	h := sha256.New()
	for _, b := range [][]byte{packedECharts, script, styles} {
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
})

// PolicyOf returns the content security policy of pages: what they may load, and from
// where. A page that is a file may load nothing.
func PolicyOf(o *Options) string {
	if o != nil && o.Assets != "" {
		return "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'"
	}
	return "default-src 'none'; script-src " + digestOf(echartsScript()) + " " + digestOf(script) +
		"; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// view is a page as the template sees it.
type view struct {
	*Page
	Policy, ECharts, Home string
	Icon                  template.URL
	Style                 template.HTML
	Served                bool
	Content               []sectionView
}

type sectionView struct {
	ID, Title string
	Blocks    []blockView
}

type blockView struct {
	Block
	Charts []chartView
	Choice *choiceView
}

type choiceView struct {
	Label  string
	Charts []chartView
}

type chartView struct {
	ID, Title, Caption string
	Wide, Hidden       bool
}

var pages = template.Must(template.New("").Funcs(template.FuncMap{"classes": classes, "key": key}).Parse(markup))

// classes returns the classes of a cell: text is aligned to the left, as its column.
func classes(c Cell, i int, columns []Column) string {
	var list []string
	switch {
	case c.Code:
		list = append(list, "code")
	case i < len(columns) && columns[i].Text:
		list = append(list, "l")
	}
	if c.Tone != Neutral {
		list = append(list, string(c.Tone))
	}
	return strings.Join(list, " ")
}

func key(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// Write writes a page.
func Write(w io.Writer, p *Page, o *Options) error {
	served := o != nil && o.Assets != ""
	data, err := p.Specs()
	if err != nil {
		return fmt.Errorf("report: %w", err) // numbers that are no JSON are nulls already
	}
	v := &view{Page: p.cleaned(), Policy: PolicyOf(o), ECharts: ECharts, Icon: icon, Served: served}
	v.Style = template.HTML("<style>\n" + string(styles) + "</style>") //nolint:gosec // ours
	if served {
		v.Home = o.Home
		v.Style = template.HTML(`<link rel="stylesheet" href="` + o.Assets + "page.css?" + AssetVersion() + `">`) //nolint:gosec // a path of the caller's
	}
	v.Content = v.sections()
	out := bufio.NewWriter(w)
	if err := pages.ExecuteTemplate(out, "page", v); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	// A script's digest is over all between its tags, so nothing is added there.
	out.WriteString("<script type=\"application/json\" id=\"data\">" + string(data) + "</script>\n")
	if served {
		for _, name := range []string{"echarts.js", "page.js"} {
			fmt.Fprintf(out, "<script src=\"%s%s?%s\"></script>\n", template.HTMLEscapeString(o.Assets), name, AssetVersion())
		}
	} else {
		for _, text := range [][]byte{echartsScript(), script} {
			out.WriteString("<script>" + string(text) + "</script>\n")
		}
	}
	out.WriteString("</body>\n</html>\n")
	return out.Flush()
}

// sections gives charts the numbers by which the script finds them.
func (v *view) sections() []sectionView {
	n := 0
	views := func(list []*Chart, hide bool) []chartView {
		var out []chartView
		for i, c := range list {
			alone := len(list) > 1 && len(list)%2 == 1 && i == len(list)-1
			out = append(out, chartView{"c" + strconv.Itoa(n), label(c.Title), text(c.Caption), c.Wide || alone || hide, hide && i > 0})
			n++
		}
		return out
	}
	var all []sectionView
	for i, s := range v.Page.Content {
		sv := sectionView{ID: "s" + strconv.Itoa(i), Title: s.Title}
		for _, b := range s.Blocks {
			bv := blockView{Block: b, Charts: views(b.Charts, false)}
			if b.Choice != nil {
				bv.Choice = &choiceView{b.Choice.Label, views(b.Choice.Charts, true)}
			}
			sv.Blocks = append(sv.Blocks, bv)
		}
		all = append(all, sv)
	}
	return all
}
