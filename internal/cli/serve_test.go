package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ropewalk/checkpoint"
	"ropewalk/internal/atomicfile"
	"ropewalk/internal/suite"
	"ropewalk/tensor"
)

// A folder of two models, a run and a result, beside a secret.
func servedFolder(t *testing.T) (dir string) {
	t.Helper()
	top := t.TempDir()
	dir = filepath.Join(top, "runs")
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(top, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i, path := range []string{"runs/a.safetensors", "runs/deep/b.safetensors", "secret.safetensors", "runs/.hidden/c.safetensors"} {
		x := make([]float32, 64)
		for k := range x {
			x[k] = float32(k%7) + float32(i*k)/9
		}
		set, err := tensor.NewSet(&tensor.Tensor{Name: "<b>w", DType: tensor.F32, Shape: tensor.Shape{8, 8}, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := checkpoint.Convert(&b, "safetensors", set, nil); err != nil {
			t.Fatal(err)
		}
		write(path, b.String())
	}
	write("runs/m.safetensors"+historyExt, `{"type":"epoch","epoch":1,"step":60,"rate":0.1,"loss":1.5,"seconds":1}`+"\n"+`{"type":"epoch","epo`)
	write("runs/result.json", `{"schema":"ropewalk/diff/1","a":"A","b":"B","identical":true}`)
	write("runs/other.json", `{"schema":"else"}`)
	write("runs/notes.txt", "not shown")
	return dir
}

func servedBy(t *testing.T, dir string) *server {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	e := &env{stderr: io.Discard, stdout: io.Discard, getenv: func(string) string { return "" }}
	return newServer(e, dir, root, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
}

func ask(s *server, method, target string, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost:7673"
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServePages(t *testing.T) {
	s := servedBy(t, servedFolder(t))
	for _, tt := range []struct {
		target string
		status int
		want   string
	}{
		{"/", 200, "deep/b.safetensors"},
		{"/see?file=a.safetensors", 200, "&lt;b&gt;w"},
		{"/see?file=deep/b.safetensors", 200, "8x8"},
		{"/see?file=result.json", 200, "identical"},
		{"/see?file=other.json", 422, "schema"},
		{"/see?file=m.safetensors.history.jsonl", 200, `data-live="/live?file=m.safetensors.history.jsonl"`},
		{"/compare?reference=a.safetensors&suspect=deep/b.safetensors", 200, "modified"},
		{"/compare?reference=a.safetensors&suspect=a.safetensors", 200, "identical"},
		{"/compare?reference=a.safetensors", 400, "no file was named"},
		{"/see?file=absent.rope", 404, "absent.rope"},
		{"/see", 400, "no file was named"},
		{"/else", 404, ""},
		{"/assets/page.js", 200, "use strict"},
		{"/assets/echarts.js", 200, "Apache ECharts"},
		{"/assets/none.js", 404, ""},
		{"/assets/../see", 404, ""},
	} {
		r := ask(s, "GET", tt.target)
		text := body(t, r)
		if r.StatusCode != tt.status && !(tt.target == "/assets/../see" && r.StatusCode/100 == 3) || !strings.Contains(text, tt.want) {
			t.Errorf("%s: status %d, want %d, and %q in %.300q", tt.target, r.StatusCode, tt.status, tt.want, text)
		}
		if p := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'; script-src 'self';") {
			t.Errorf("%s: policy %q", tt.target, p)
		}
	}
	list := body(t, ask(s, "GET", "/"))
	for _, hidden := range []string{"notes.txt", ".hidden", "secret"} {
		if strings.Contains(list, hidden) {
			t.Errorf("the list shows %s", hidden)
		}
	}
}

// No name leads out of the folder.
func TestServeStaysInside(t *testing.T) {
	dir := servedFolder(t)
	s := servedBy(t, dir)
	names := []string{
		"../secret.safetensors", "deep/../../secret.safetensors", "/etc/passwd.bin", filepath.Join(filepath.Dir(dir), "secret.safetensors"), "..\\secret.safetensors",
		"./../secret.safetensors", "deep/../a.safetensors", "..", ".", "/", "a.safetensors/../../secret.safetensors", "a.safetensors\x00.rope", ".hidden/c.safetensors",
		"notes.txt", "deep", "%2e%2e/secret.safetensors", "//secret.safetensors", strings.Repeat("../", 20) + "etc/passwd.json",
	}
	if err := os.Symlink(filepath.Join(filepath.Dir(dir), "secret.safetensors"), filepath.Join(dir, "link.safetensors")); err == nil {
		names = append(names, "link.safetensors")
	}
	if err := os.Symlink(filepath.Dir(dir), filepath.Join(dir, "up")); err == nil {
		names = append(names, "up/secret.safetensors")
	}
	for _, name := range names {
		for _, target := range []string{"/see?file=", "/live?file=", "/compare?suspect=a.safetensors&reference=", "/compare?reference=a.safetensors&suspect="} {
			r := ask(s, "GET", target+url.QueryEscape(name))
			if text := body(t, r); r.StatusCode < 400 || strings.Contains(text, "8x8") {
				t.Errorf("%s%q: status %d, %.200q", target, name, r.StatusCode, text)
			}
		}
	}
	for _, target := range sharded(t, dir) {
		r := ask(s, "GET", target)
		if text := body(t, r); r.StatusCode != 403 || strings.Contains(text, "8x8") || strings.Contains(text, "secret&lt;") {
			t.Errorf("%s: status %d, %.300q", target, r.StatusCode, text)
		}
	}
	if list := body(t, ask(s, "GET", "/")); strings.Contains(list, "link.safetensors") || strings.Contains(list, "up/") {
		t.Error("the list shows what links lead to outside")
	}
}

// sharded puts models into the folder that name files which links of the folder lead out
// to, and returns what to ask for.
func sharded(t *testing.T, dir string) []string {
	t.Helper()
	if err := os.Symlink(filepath.Join(filepath.Dir(dir), "secret.safetensors"), filepath.Join(dir, "shard.safetensors")); err != nil {
		t.Logf("no links here: %v", err)
		return nil
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("out.safetensors.index.json", `{"metadata":{},"weight_map":{"<b>w":"shard.safetensors"}}`)
	// A model with one tensor of 4 numbers, w, in an external file.
	field := func(n int, b string) string { return string([]byte{byte(n<<3 | 2), byte(len(b))}) + b }
	entry := func(k, v string) string { return field(13, field(1, k)+field(2, v)) }
	w := "\x08\x04\x10\x01" + field(8, "w") + entry("location", "shard.safetensors") + entry("length", "16") + "\x70\x01"
	write("out.onnx", "\x08\x08"+field(7, field(2, "g")+field(5, w))+field(8, "\x10\x11"))
	return []string{"/see?file=out.safetensors.index.json", "/see?file=out.onnx", "/compare?reference=a.safetensors&suspect=out.onnx", "/compare?reference=out.safetensors.index.json&suspect=a.safetensors"}
}

// A checkpoint of several files is shown by its index.
func TestServeIndex(t *testing.T) {
	dir := servedFolder(t)
	if err := os.WriteFile(filepath.Join(dir, "deep", "in.safetensors.index.json"), []byte(`{"metadata":{},"weight_map":{"<b>w":"b.safetensors"}}`), 0o666); err != nil {
		t.Fatal(err)
	}
	s := servedBy(t, dir)
	if r := ask(s, "GET", "/see?file=deep/in.safetensors.index.json"); r.StatusCode != 200 || !strings.Contains(body(t, r), "8x8") {
		t.Errorf("status %d", r.StatusCode)
	}
}

// Files that no program of ours wrote are refused soon, however large they are.
func TestServeLarge(t *testing.T) {
	dir := servedFolder(t)
	names := []string{"large.json", "large.safetensors", "large.npz", "large.onnx", "large.rope", "large.passport", "large" + historyExt}
	for _, name := range names {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(1<<32), f.Close()); err != nil {
			t.Skipf("no files with holes here: %v", err)
		}
	}
	nested := bytes.Repeat([]byte("["), 1<<20)
	if err := os.WriteFile(filepath.Join(dir, "nested.json"), append([]byte(`{"schema":"ropewalk/diff/1","a":`), nested...), 0o666); err != nil {
		t.Fatal(err)
	}
	s := servedBy(t, dir)
	for _, name := range append(names, "nested.json") {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := ask(s, "GET", "/see?file="+name)
		if text := body(t, r); r.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d, want 422: %.300q", name, r.StatusCode, text)
		} else if strings.Contains(text, dir) {
			t.Errorf("%s: the page says where the folder is: %.300q", name, text)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s took %d MiB of memory", name, n>>20)
		}
	}
}

// What may not be read is said, and the rest is shown; what bench wrote is a table, also
// while it runs; two different models are offered to be compared.
func TestServeOdd(t *testing.T) {
	dir := servedFolder(t)
	record := suite.Record{Schema: suite.RecordSchema, Suite: "small", Table: "sizes", Row: "sizes/floats/<b>", Values: map[string]float64{"bytes": 172753}}
	line, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "my models", "模型"), 0o777); err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(filepath.Join(dir, "a.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"small.jsonl": string(line) + "\n" + `{"schema":"ropewalk/ben`, "cut.safetensors": string(model[:30]), "my models/模型/net #1 & 100%+.safetensors": string(model),
	} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := servedBy(t, dir)
	see := func(name string) string { return "/see?file=" + url.QueryEscape(name) }
	for target, want := range map[string]string{
		"/":                    `<option value="cut.safetensors" selected>cut.safetensors</option>`,
		see("small.jsonl"):     "172,753</td>",
		see("cut.safetensors"): "the file is truncated",
		see("my models/模型/net #1 & 100%+.safetensors"): "<h1>my models/模型/net #1 &amp; 100%&#43;.safetensors</h1>",
	} {
		if text := body(t, ask(s, "GET", target)); !strings.Contains(text, want) {
			t.Errorf("%s: no %q in %.3000q", target, want, text)
		}
	}
	if text := body(t, ask(s, "GET", see("small.jsonl"))); !strings.Contains(text, "not as it was written") || strings.Contains(text, "<b>") {
		t.Errorf("a record without its digest: %.3000q", text)
	}
	text := body(t, ask(s, "GET", "/compare?reference=a.safetensors&suspect=deep/b.safetensors"))
	if strings.Contains(text, "<dt>policy</dt>") {
		t.Error("a page that nobody gave a policy to judges")
	}
	if os.Getuid() <= 0 {
		t.Skip("whoever is root may read everything, and Windows has other permissions")
	}
	for _, name := range []string{"deep", "a.safetensors"} {
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, name), 0o700) })
	}
	if text := body(t, ask(s, "GET", "/")); !strings.Contains(text, "nothing in it is listed: deep") {
		t.Errorf("the closed folder is not named: %.3000q", text)
	}
	if text := body(t, ask(s, "GET", see("a.safetensors"))); !strings.Contains(text, "<h1>May not be read</h1>") {
		t.Errorf("a closed file: %.3000q", text)
	}
}

// How far NaN is from a number is not known, and not 0.
func TestServeNaN(t *testing.T) {
	dir := t.TempDir()
	x := make([]float32, 40000)
	for i := range x {
		x[i] = float32(i % 7)
	}
	for name, at := range map[string]map[int]float32{"a": {}, "one": {5: float32(math.NaN())}, "both": {5: float32(math.NaN()), 6: 100}} {
		y := slices.Clone(x)
		for i, v := range at {
			y[i] = v
		}
		set, err := tensor.NewSet(&tensor.Tensor{Name: "w", DType: tensor.F32, Shape: tensor.Shape{200, 200}, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, y))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := writeFile(filepath.Join(dir, name+".safetensors"), false, func(f *atomicfile.File) error { return checkpoint.Convert(f, "safetensors", set, nil) }); err != nil {
			t.Fatal(err)
		}
	}
	s := servedBy(t, dir)
	for name, want := range map[string]string{
		"one":  `<td>&lt; 0.01 %</td><td>not known</td><td>not known</td><td>–</td><td>1</td></tr>`,
		"both": `<td>0.01 %</td><td>94</td><td>0.47</td><td>-17.7</td><td>1</td></tr>`,
	} {
		text := body(t, ask(s, "GET", "/compare?reference=a.safetensors&suspect="+name+".safetensors"))
		if keyless := regexp.MustCompile(` data-k="[^"]*"`).ReplaceAllString(text, ""); !strings.Contains(keyless, want) {
			t.Errorf("%s: no %q in %.5000q", name, want, keyless)
		}
	}
}

// A name with a line feed is found as forms send it, too.
func TestServeLineFeed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a\nb.json"), []byte(`{"schema":"ropewalk/diff/1"}`), 0o666); err != nil {
		t.Skipf("no such names here: %v", err)
	}
	s := servedBy(t, dir)
	for query, want := range map[string]int{"a%0Ab": 200, "a%0D%0Ab": 200, "a%0D%0Ac": 404, "a%0D%0D%0A%0Ab": 404} {
		if r := ask(s, "GET", "/see?file="+query+".json"); r.StatusCode != want {
			t.Errorf("%s: status %d, want %d", query, r.StatusCode, want)
		}
	}
}

// Only this machine is answered, only pages of its own may ask, and only to look.
func TestServeRefuses(t *testing.T) {
	s := servedBy(t, servedFolder(t))
	for _, host := range []string{"evil.example", "evil.example:7673", "10.0.0.1", "localhost.evil.example", ""} {
		if r := ask(s, "GET", "/", func(r *http.Request) { r.Host = host }); r.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("host %q: status %d", host, r.StatusCode)
		}
	}
	for _, host := range []string{"127.0.0.1:7673", "[::1]:7673", "LOCALHOST", "127.0.0.1"} {
		if r := ask(s, "GET", "/", func(r *http.Request) { r.Host = host }); r.StatusCode != 200 {
			t.Errorf("host %q: status %d", host, r.StatusCode)
		}
	}
	// Who listens elsewhere is asked for by any address, but not by names that are not its own.
	s.local, s.hosts = false, []string{"gpu1.lab", "gpu1"}
	for host, want := range map[string]int{
		"192.0.2.7:7673": 200, "[2001:db8::1]:7673": 200, "[fe80::1%25eth0]:7673": 200, "127.0.0.1": 200, "localhost:7673": 200, "gpu1.lab": 200, "GPU1.LAB.:7673": 200, "gpu1:7673": 200,
		"evil.example:7673": 421, "gpu1.lab.evil.example": 421, "192.0.2.7.evil.example": 421, "": 421, "[gpu1": 200, "0x7f.1": 421, "gpu": 421,
	} {
		if r := ask(s, "GET", "/", func(r *http.Request) { r.Host = host }); r.StatusCode != want {
			t.Errorf("elsewhere, host %q: status %d, want %d", host, r.StatusCode, want)
		}
	}
	if names := ownNames("lab.example:80"); !slices.Contains(names, "lab.example") {
		t.Errorf("own names are %q", names)
	}
	if slices.Contains(ownNames(":80"), "") {
		t.Error("no name is a name")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if r := ask(s, method, "/see?file=a.safetensors"); r.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d", method, r.StatusCode)
		}
	}
	if r := ask(s, "GET", "/see?file=a.safetensors", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); r.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another site: status %d", r.StatusCode)
	}
}

// The charts of a run grow with its history.
func TestServeLive(t *testing.T) {
	dir := servedFolder(t)
	s := servedBy(t, dir)
	points := func() int {
		t.Helper()
		var specs []struct {
			Data struct {
				Curves []struct{ Y []float64 }
			}
		}
		if err := json.Unmarshal([]byte(body(t, ask(s, "GET", "/live?file=m.safetensors.history.jsonl"))), &specs); err != nil {
			t.Fatal(err)
		}
		return len(specs[0].Data.Curves[0].Y)
	}
	if n := points(); n != 1 {
		t.Errorf("%d epochs, want the one whose line is whole", n)
	}
	f, err := os.OpenFile(filepath.Join(dir, "m.safetensors"+historyExt), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`ch":2,"loss":1.2}` + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n := points(); n != 2 {
		t.Errorf("%d epochs, want 2", n)
	}
}

// Histories that are too large to be asked for every other second are refused with a word
// on what shows them, and those that are not take little memory, one after another.
func TestServeHistories(t *testing.T) {
	dir := servedFolder(t)
	epoch := `{"type":"epoch","epoch":1,"rate":0.1,"loss":1.5,"penalties":{"bits":1},"validation":{"loss":1,"top1":0.5},"notes":{"hemp":{"loss":1,"top1":0.5,"h1":1,"hn":1,"bytes":40000}},"seconds":1}` + "\n"
	text := strings.Repeat(epoch, mostHistory/len(epoch))
	names := []string{"many" + historyExt, "more" + historyExt}
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(text, 1+i)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := servedBy(t, dir)
	for _, path := range []string{"/see", "/live"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if r := ask(s, "GET", path+"?file="+names[0]); r.StatusCode != 200 {
			t.Errorf("%s: status %d", path, r.StatusCode)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 512<<20 {
			t.Errorf("%s took %d MiB of memory in all", path, n>>20)
		}
		r := ask(s, "GET", path+"?file="+names[1])
		if text := body(t, r); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, "more than the 8.00 MiB") {
			t.Errorf("%s: status %d, %.300q", path, r.StatusCode, text)
		}
	}
	for range cap(s.turns) {
		s.turns <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := ask(s, "GET", "/live?file="+names[0], func(r *http.Request) { *r = *r.WithContext(ctx) }); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("beside pages that are made, status %d", r.StatusCode)
	}
}

// A saidBuffer is what a program said so far.
type saidBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *saidBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *saidBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// The command listens until it is interrupted, which is no failure; a port in use is.
func TestServeCommand(t *testing.T) {
	dir := servedFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs saidBuffer
	e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	done := make(chan int, 1)
	go func() { done <- e.run(ctx, []string{"serve", "--json", "--listen", "127.0.0.1:0", dir}) }()
	var said serveResult
	for range 200 {
		if json.Unmarshal([]byte(out.String()), &said) == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	r, err := http.Get(said.Address)
	if err != nil {
		t.Fatalf("%v; it said %q, %q", err, out.String(), errs.String())
	}
	if text := body(t, r); r.StatusCode != 200 || !strings.Contains(text, "a.safetensors") {
		t.Errorf("status %d, %.200q", r.StatusCode, text)
	}
	_ = r.Body.Close()
	var errs2 saidBuffer
	other := &env{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &errs2, getenv: func(string) string { return "" }}
	port := strings.Trim(strings.TrimPrefix(said.Address, "http://"), "/")
	if status := other.run(t.Context(), []string{"serve", "--listen", port, dir}); status != exitFailure || !strings.Contains(errs2.String(), port+" is in use by another program") {
		t.Errorf("a port in use: status %d, %q", status, errs2.String())
	}
	cancel()
	select {
	case status := <-done:
		if status != exitOK {
			t.Errorf("status %d after an interruption: %q", status, errs.String())
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on after an interruption")
	}
}

// Pages have the same bytes for the same inputs, and one that has 3000 tensors stays small.
func TestReportLarge(t *testing.T) {
	dir := t.TempDir()
	var list []*tensor.Tensor
	for i := range 3000 {
		n := int64(16 + i%64)
		list = append(list, &tensor.Tensor{
			Name: fmt.Sprintf("model.layers.%d.attention.head%d.weight", i/30, i%30), DType: tensor.F32, Shape: tensor.Shape{n, 8},
			Data: tensor.Bytes(tensor.F32.AppendFloats(nil, make([]float32, 8*n))),
		})
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "large.safetensors")
	if _, err := writeFile(path, true, func(f *atomicfile.File) error { return checkpoint.Convert(f, "safetensors", set, nil) }); err != nil {
		t.Fatal(err)
	}
	var pages [2]string
	for i := range pages {
		var out, errs bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
		if status := e.run(t.Context(), []string{"report", "-o", "-", path}); status != 0 {
			t.Fatalf("status %d: %s", status, errs.String())
		}
		pages[i] = out.String()
	}
	if pages[0] != pages[1] {
		t.Error("the same inputs gave two pages")
	}
	if n := len(pages[0]); n > 2_500_000 {
		t.Errorf("the page has %d bytes", n)
	}
}
