//go:build external && !windows

package report

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A browser is a headless Chromium that is driven through its DevTools protocol over two
// pipes.
type browser struct {
	t       *testing.T
	to      io.Writer
	from    *bufio.Reader
	id      int
	session string
	events  []event
}

type event struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
}

// openBrowser starts Chromium: that of ROPEWALK_CHROMIUM, or one on the PATH.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	name := os.Getenv("ROPEWALK_CHROMIUM")
	for _, n := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(n); name == "" && err == nil {
			name = p
		}
	}
	if name == "" {
		t.Skip("no Chromium on the PATH, and ROPEWALK_CHROMIUM names none")
	}
	toRead, toWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromRead, fromWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-pipe",
		"--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{toRead, fromWrite}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = toRead.Close()
	_ = fromWrite.Close()
	guard := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() }) // then reads end
	t.Cleanup(func() {
		guard.Stop()
		_ = toWrite.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		time.Sleep(200 * time.Millisecond) // its children write to the folder until they notice
	})
	b := &browser{t: t, to: toWrite, from: bufio.NewReaderSize(fromRead, 1<<20)}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, d := range []string{"Page", "Runtime", "Network", "Log"} {
		b.call(d+".enable", nil, nil)
	}
	b.call("Performance.enable", map[string]any{"timeDomain": "threadTicks"}, nil)
	return b
}

func (b *browser) next() event {
	b.t.Helper()
	text, err := b.from.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("the browser is gone: %v", err)
	}
	var e event
	if err := json.Unmarshal(text[:len(text)-1], &e); err != nil {
		b.t.Fatal(err)
	}
	return e
}

func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	b.id++
	if params == nil {
		params = struct{}{}
	}
	m := map[string]any{"id": b.id, "method": method, "params": params}
	if b.session != "" {
		m["sessionId"] = b.session
	}
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		b.t.Fatal(err)
	}
	for {
		e := b.next()
		if e.ID != b.id {
			b.events = append(b.events, e)
			continue
		}
		if e.Error != nil {
			b.t.Fatalf("%s: %s", method, e.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(e.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

// eval evaluates an expression in the page; its value must be JSON.
func (b *browser) eval(expression string, value any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	if err := json.Unmarshal(r.Result.Value, value); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// show opens a page in a window of that width, and waits until it is drawn.
func (b *browser) show(url string, width int, scheme string) time.Duration {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.events = nil
	start := time.Now()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	ready := ""
	for range 400 {
		b.eval("document.readyState", &ready)
		if ready == "complete" {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	opened := time.Since(start)
	missing := ""
	for range 200 {
		b.eval(`[...document.querySelectorAll("figure.chart:not([hidden]):not([data-drawn])")].map(f => f.id).join(" ")`, &missing)
		if missing == "" {
			return opened
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Errorf("%s: charts %s were not drawn in time", url, missing)
	return opened
}

// worked is the processor's time that the page has taken since it was opened, which a
// machine that others work on makes no longer.
func (b *browser) worked() time.Duration {
	b.t.Helper()
	var r struct {
		Metrics []struct {
			Name  string
			Value float64
		}
	}
	b.call("Performance.getMetrics", nil, &r)
	for _, m := range r.Metrics {
		if m.Name == "TaskDuration" {
			return time.Duration(m.Value * float64(time.Second)).Round(time.Millisecond)
		}
	}
	b.t.Error("the browser does not tell what a page takes")
	return 0
}

// complaints lists what went wrong: errors, and requests for anything but the page.
func (b *browser) complaints(page string) []string {
	var list []string
	for _, e := range b.events {
		switch e.Method {
		case "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded":
			list = append(list, e.Method+" "+string(e.Params))
		case "Network.requestWillBeSent":
			var r struct{ Request struct{ URL string } }
			if err := json.Unmarshal(e.Params, &r); err != nil {
				list = append(list, err.Error())
			}
			if u := r.Request.URL; u != page && !strings.HasPrefix(u, "data:image/svg+xml,") {
				list = append(list, "asked for "+u)
			}
		}
	}
	return list
}

// screenshot keeps a picture of the whole page in the folder ROPEWALK_SCREENSHOTS.
func (b *browser) screenshot(name string) {
	dir := os.Getenv("ROPEWALK_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o666); err != nil {
		b.t.Fatal(err)
	}
}

// blank is how many canvases hold one colour only.
const blank = `[...document.querySelectorAll("figure.chart:not([hidden]) canvas")].filter(c => {
	const d = new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer);
	return d.every(x => x === d[0]);
}).length`

// A page draws every chart in a real browser, asks for nothing, and complains of
// nothing: on a desk and on a telephone, by day and by night, and on paper.
func TestBrowser(t *testing.T) {
	b := openBrowser(t)
	path := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(f, sample(120), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	url := "file://" + path
	for _, width := range []int{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			b.show(url, width, scheme)
			n, empty, wide, owned := 0, 0, 0, false
			b.eval(`document.querySelectorAll("figure.chart:not([hidden]) canvas").length`, &n)
			b.eval(blank, &empty)
			b.eval(`document.documentElement.scrollWidth`, &wide)
			b.eval(`"owned" in window`, &owned)
			if n != 9 || empty != 0 {
				t.Errorf("%d %s: %d canvases, want 9, and %d of them are empty", width, scheme, n, empty)
			}
			if wide > width {
				t.Errorf("%d %s: the page is %d wide", width, scheme, wide)
			}
			if owned {
				t.Errorf("%d %s: a name of a tensor ran as a script", width, scheme)
			}
			b.screenshot(fmt.Sprintf("sample-%d-%s", width, scheme))
			for _, c := range b.complaints(url) {
				t.Errorf("%d %s: %s", width, scheme, c)
			}
		}
	}
	// The switch draws all again; each chart of a choice is drawn when it is chosen; rows are sorted.
	b.show(url, 1280, "light")
	theme, first, drawn := "", "", 0
	b.eval(`(document.querySelector("#theme").click(), document.documentElement.dataset.theme)`, &theme)
	b.eval(`(() => { const s = document.querySelector(".choice select"); s.value = "2"; s.dispatchEvent(new Event("change")); return document.querySelectorAll(".choice figure:not([hidden]) canvas").length })()`, &drawn)
	b.eval(`(document.querySelectorAll("th button")[3].click(), document.querySelector("tbody td:nth-child(4)").textContent)`, &first)
	if theme != "dark" || drawn != 1 || first != "0.111" && !strings.HasPrefix(first, "0.11") {
		t.Errorf("theme %q, charts of the choice %d, first row %q; want dark, 1, the largest", theme, drawn, first)
	}
	var pdf struct{ Data string }
	b.call("Page.printToPDF", map[string]any{"printBackground": true, "paperWidth": 8.27, "paperHeight": 11.69}, &pdf)
	text, err := base64.StdEncoding.DecodeString(pdf.Data)
	if err != nil || len(text) < 50_000 {
		t.Errorf("a printed page has %d bytes: %v", len(text), err)
	}
	if dir := os.Getenv("ROPEWALK_SCREENSHOTS"); dir != "" {
		_ = os.WriteFile(filepath.Join(dir, "sample.pdf"), text, 0o666) // for people
	}
	for _, c := range b.complaints(url) {
		t.Error(c)
	}
}

// On paper a page is black on white, also of who reads by night; charts lie in their
// frames, heads of columns are text, and what only a screen shows is said.
func TestBrowserPaper(t *testing.T) {
	b := openBrowser(t)
	path := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(f, sample(400), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b.show("file://"+path, 1280, "dark")
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": 688, "height": 1000, "deviceScaleFactor": 1, "mobile": false}, nil) // A4 between its margins
	b.call("Emulation.setEmulatedMedia", map[string]any{"media": "print", "features": []any{map[string]any{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	var got struct {
		Body, Ink, Head                string
		Outside, Charts, Wide, Buttons int
		Notes                          []string
	}
	b.eval(`(() => {
	window.dispatchEvent(new Event("beforeprint"));
	const all = (q) => [...document.querySelectorAll(q)], seen = (e) => getComputedStyle(e).display !== "none";
	const figures = all("figure.chart:not([hidden])");
	return {
		Body: getComputedStyle(document.body).backgroundColor, Ink: getComputedStyle(document.body).color,
		Head: getComputedStyle(document.querySelector("th"), "::before").content,
		Outside: figures.filter((f) => { const a = f.getBoundingClientRect(), c = f.querySelector("canvas").getBoundingClientRect(); return c.right > a.right || c.bottom > a.bottom; }).length,
		Charts: figures.length, Wide: document.documentElement.scrollWidth,
		Buttons: all("button, select, input").filter((e) => e.offsetParent !== null).length,
		Notes: all(".paper").filter(seen).map((e) => e.textContent),
	};
})()`, &got)
	if got.Body != "rgb(255, 255, 255)" || got.Ink != "rgb(28, 30, 33)" {
		t.Errorf("the page is %s on %s", got.Ink, got.Body)
	}
	if got.Head != `"tensor"` || got.Buttons != 0 {
		t.Errorf("the first column is %s, and there are %d buttons", got.Head, got.Buttons)
	}
	if got.Outside != 0 || got.Charts == 0 || got.Wide > 688 {
		t.Errorf("%d of %d charts lie outside of their frames, and the page is %d wide", got.Outside, got.Charts, got.Wide)
	}
	if want := []string{"One of 3; the page shows the others on a screen.", "300 of 400 rows; the page has all on a screen."}; strings.Join(got.Notes, "|") != strings.Join(want, "|") {
		t.Errorf("it says %q", got.Notes)
	}
	// Afterwards all is as it was.
	theme, left := "", 0
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": "dark"}}}, nil)
	b.eval(`(window.dispatchEvent(new Event("afterprint")), getComputedStyle(document.body).backgroundColor)`, &theme)
	b.eval(`document.querySelectorAll(".broad").length`, &left)
	if theme != "rgb(19, 21, 25)" || left != 0 {
		t.Errorf("after printing the page is %s, and %d charts are as on paper", theme, left)
	}
}

// A page of a network with 3000 tensors opens in less than two seconds.
func TestBrowserLarge(t *testing.T) {
	b := openBrowser(t)
	path := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(f, sample(3000), nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	took := b.show("file://"+path, 1280, "light")
	t.Logf("opened in %v", took)
	if took > 2*time.Second {
		t.Errorf("opened in %v", took)
	}
}

// A page that is served takes its parts from the server, and charts, numbers and rows
// follow while it is looked at.
func TestBrowserLive(t *testing.T) {
	var epochs atomic.Int64
	epochs.Store(2)
	made := func() *Page {
		n := int(epochs.Load())
		p := &Page{Verb: "train", Title: "run", Live: "/live"}
		c := Curve{Name: "loss"}
		tab := &Table{Columns: []Column{{Name: "epoch"}}}
		for i := range n {
			c.X, c.Y = append(c.X, float64(i)), append(c.Y, 1/float64(i+1))
			tab.Row(Number(strconv.Itoa(i), float64(i)))
		}
		s := p.Section("Run")
		s.Facts(Fact{Name: "epochs", Value: strconv.Itoa(n)})
		s.Chart(&Chart{Title: "Loss", Data: &Lines{X: "epoch", Y: "loss", Curves: []Curve{c}}})
		s.Table(tab)
		return p
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := &Options{Assets: "/assets/", Home: "/"}
		w.Header().Set("Content-Security-Policy", PolicyOf(o))
		if name, ok := strings.CutPrefix(r.URL.Path, "/assets/"); ok {
			text, kind := Asset(name)
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(text)
			return
		}
		if r.URL.Path == "/live" {
			specs, err := made().Specs()
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(specs)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := Write(w, made(), o); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	b := openBrowser(t)
	b.show(server.URL+"/", 800, "light")
	time.Sleep(time.Second) // the first answer
	epochs.Store(5)
	value, rows := "", 0
	for range 100 {
		b.eval(`document.querySelector(".facts dd").textContent`, &value)
		b.eval(`document.querySelectorAll("tbody tr").length`, &rows)
		if value == "5" && rows == 5 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if value != "5" || rows != 5 {
		t.Errorf("%s epochs and %d rows, want 5", value, rows)
	}
	for _, e := range b.events {
		if e.Method == "Runtime.exceptionThrown" || e.Method == "Log.entryAdded" {
			t.Errorf("%s %s", e.Method, e.Params)
		}
	}
}

// The pages in the folder ROPEWALK_REPORTS, as verbs wrote them, are drawn without a complaint.
func TestBrowserFiles(t *testing.T) {
	dir := os.Getenv("ROPEWALK_REPORTS")
	if dir == "" {
		t.Skip("ROPEWALK_REPORTS names no folder with pages")
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.html"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%s has no pages: %v", dir, err)
	}
	b := openBrowser(t)
	for _, path := range pages {
		url := "file://" + path
		for _, scheme := range []string{"light", "dark"} {
			before := b.worked()
			took := b.show(url, 1280, scheme)
			work := b.worked()
			if work >= before {
				work -= before // it counts on, or begins anew with a page
			}
			n, empty, wide := 0, 0, 0
			b.eval(`document.querySelectorAll("figure.chart:not([hidden]) canvas").length`, &n)
			b.eval(blank, &empty)
			b.eval(`document.documentElement.scrollWidth`, &wide)
			t.Logf("%s, %s: opened in %v, all drawn in %v of the processor, %d charts", filepath.Base(path), scheme, took, work, n)
			if work > 2*time.Second {
				t.Errorf("%s: it takes %v of the processor to be drawn", path, work)
			}
			if empty != 0 {
				t.Errorf("%s: %d of %d charts are empty", path, empty, n)
			}
			if wide > 1280 {
				t.Errorf("%s: the page is %d wide", path, wide)
			}
			for _, c := range b.complaints(url) {
				t.Errorf("%s: %s", path, c)
			}
			b.screenshot(strings.TrimSuffix(filepath.Base(path), ".html") + "-" + scheme)
		}
	}
}
