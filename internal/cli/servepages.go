package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/internal/report"
)

// The kinds of files that a server shows.
const (
	kindModel  = "model"
	kindPacked = "packed"
	kindRun    = "run"
	kindResult = "result"
	// kindPassport stands for a model.
	kindPassport = "passport"
)

// kindOf tells what a file is by its name; "" is not shown.
func kindOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".safetensors", ".onnx", ".pt", ".pth", ".bin", ".npz", ".npy":
		return kindModel
	case ext:
		return kindPacked
	case ".passport":
		return kindPassport
	case ".json":
		if isIndex(name) {
			return kindModel
		}
		return kindResult
	case ".jsonl":
		if strings.HasSuffix(name, historyExt) {
			return kindRun
		}
		return kindResult
	}
	return ""
}

// isIndex reports whether a file is by its name one that says in which files the tensors
// of a checkpoint are.
func isIndex(name string) bool { return strings.HasSuffix(name, ".safetensors.index.json") }

// The limits of what a server lists.
const (
	mostListed = 2000
	mostWalked = 50_000
	mostDepth  = 8
)

// errOutside reports a name that leads out of the folder.
var errOutside = errors.New("not a file in the folder")

// A listedFile is a file that a server shows.
type listedFile struct {
	name, kind string
	bytes      int64
	modified   string // UTC
}

// files lists what there is to be seen, and names folders that may not be read.
func (s *server) files(ctx context.Context) (list []listedFile, closed []string, more bool, err error) {
	walked := 0
	err = fs.WalkDir(s.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		walked++
		switch {
		case err != nil && name == ".":
			return err
		case err != nil:
			if errors.Is(err, fs.ErrPermission) {
				closed = append(closed, name)
			}
			return nil // else it is gone
		case walked > mostWalked || len(list) >= mostListed:
			more = true
			return fs.SkipAll
		case name != "." && strings.HasPrefix(d.Name(), "."), d.IsDir() && strings.Count(name, "/") >= mostDepth:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		kind := kindOf(name)
		if d.IsDir() || kind == "" {
			return nil
		}
		st, err := s.root.Stat(name)
		if err != nil || !st.Mode().IsRegular() {
			return nil //nolint:nilerr // a link that leads out, or nowhere
		}
		list = append(list, listedFile{name, kind, st.Size(), st.ModTime().UTC().Format("2006-01-02 15:04:05")})
		return nil
	})
	slices.SortStableFunc(list, func(a, b listedFile) int { return cmp.Compare(a.name, b.name) })
	return list, closed, more, err
}

func (s *server) index(ctx context.Context, _ *http.Request) (*report.Page, error) {
	list, closed, more, err := s.files(ctx)
	if err != nil {
		return nil, err
	}
	title := filepath.Clean(s.dir)
	if abs, err := filepath.Abs(title); err == nil {
		title = abs // "." says nothing
	}
	p := newPage("serve", filepath.Base(title))
	p.Lead = "Models, packed files, passports, runs and results in this folder."
	t := &report.Table{Columns: []report.Column{{Name: "file", Text: true}, {Name: "kind", Text: true}, {Name: "bytes"}, {Name: "changed (UTC)", Text: true}}}
	var models []report.Option
	for _, f := range list {
		c := report.Name(f.name)
		c.Link = "/see?file=" + url.QueryEscape(f.name)
		t.Row(c, report.Text(f.kind), numberCell(f.bytes), report.Text(f.modified))
		if f.kind == kindModel || f.kind == kindPacked {
			models = append(models, report.Option{Value: f.name, Text: f.name})
		}
	}
	sec := p.section("Files")
	if len(list) == 0 {
		sec.Text("There is nothing to be seen yet: no model, packed file, passport, run or result.")
	} else {
		sec.Table(t)
	}
	if n := len(closed); n > 0 {
		text := "May not be read, so that nothing in it is listed: " + strings.Join(closed[:min(n, mostLeftNamed)], ", ")
		if n > mostLeftNamed {
			text += fmt.Sprintf(" and %d more", n-mostLeftNamed)
		}
		sec.Text(text)
	}
	if more {
		sec.Text(fmt.Sprintf("The folder has more than is listed here: at most %s files of %s.", commas(mostListed), commas(mostWalked)))
	}
	if len(models) > 1 {
		sec = p.section("Compare two")
		sec.Text("What was done to the suspect, held against the reference: tensor by tensor, in the order of the reference.")
		sec.Form(&report.Form{To: "/compare", Button: "Compare", Fields: []report.Field{{Name: "reference", Label: "reference", Options: models}, {Name: "suspect", Label: "suspect", Options: models, Chosen: models[1].Value}}})
	}
	return p.Page, nil
}

// resolve returns the path of a file in the folder, by the name in the list. Links that lead out are refused.
func (s *server) resolve(name string) (string, error) {
	if name == "" {
		return "", usagef("no file was named")
	}
	local, err := filepath.Localize(name)
	if err != nil || kindOf(name) == "" || slices.ContainsFunc(strings.Split(name, "/"), func(p string) bool { return strings.HasPrefix(p, ".") }) {
		return "", fmt.Errorf("%.200q: %w", name, errOutside)
	}
	st, err := s.root.Stat(local) // opening a named pipe would wait for who writes to it
	if errors.Is(err, fs.ErrNotExist) {
		if strings.Contains(name, "\r\n") { // what forms make of a line feed
			return s.resolve(strings.ReplaceAll(name, "\r\n", "\n"))
		}
		return "", fmt.Errorf("%.200q: %w", name, fs.ErrNotExist)
	}
	if err != nil || !st.Mode().IsRegular() {
		return "", fmt.Errorf("%.200q: %w", name, errOutside)
	}
	return filepath.Join(s.dir, local), nil
}

// see shows one file.
func (s *server) see(ctx context.Context, r *http.Request) (*report.Page, error) {
	name := r.URL.Query().Get("file")
	file, err := s.resolve(name)
	if err != nil {
		return nil, err
	}
	if kindOf(name) == kindRun {
		p, err := s.history(name, file)
		if err != nil {
			return nil, err
		}
		p.Live = "/live?file=" + url.QueryEscape(name)
		return p.Page, nil
	}
	p := newPage("serve", name)
	if kindOf(name) == kindPassport {
		pass, err := openPassport(file, &trustFlags{})
		if err != nil {
			return nil, err
		}
		info := newPassportInfo(file, pass)
		p.passport(&info)
		p.kept(pass)
		p.claims(passportClaims(&info, "")...)
		return p.Page, nil
	}
	if _, err := s.e.addRun(ctx, p, file); err != nil {
		return nil, err
	}
	p.claims()
	return p.Page, nil
}

func (s *server) history(name, file string) (*pager, error) {
	events, err := s.e.readHistory(file)
	if err != nil {
		return nil, err
	}
	p := newPage("train", name)
	p.history(events)
	return p, nil
}

// live gives the charts of a run again.
func (s *server) live(w http.ResponseWriter, r *http.Request) {
	var specs []byte
	_, err := s.inTurn(r, func(_ context.Context, r *http.Request) (*report.Page, error) {
		name := r.URL.Query().Get("file")
		file, err := s.resolve(name)
		if err != nil {
			return nil, err
		}
		if kindOf(name) != kindRun {
			return nil, usagef("%.200q is not the history of a run", name)
		}
		p, err := s.history(name, file)
		if err != nil {
			return nil, err
		}
		specs, err = p.Specs()
		return p.Page, err
	})
	if err != nil {
		http.Error(w, printable(s.inside(err.Error())), httpStatus(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(specs) // a browser that went away
}

// mostCompared is how large two checkpoints may be, together, for a page that is waited for.
const mostCompared byteSize = 1 << 30

// compare holds a suspect against a reference: by what was done to it, or, where that
// cannot be told, tensor by tensor.
func (s *server) compare(ctx context.Context, r *http.Request) (*report.Page, error) {
	q := r.URL.Query()
	var paths [2]string
	var open [2]*checkpoint.Checkpoint
	total := int64(0)
	for i, key := range []string{"reference", "suspect"} {
		var err error
		if paths[i], err = s.resolve(q.Get(key)); err != nil {
			return nil, err
		}
		if open[i], err = s.e.open(ctx, paths[i], nil); err != nil {
			return nil, err
		}
		defer open[i].Close()
		for _, t := range open[i].Tensors.All() {
			total += t.Size()
		}
	}
	if total > int64(mostCompared) {
		return nil, budgetf("both have %v of weights, more than the %v that a page waits for", byteSize(total), mostCompared).
			withHint("%s", shellWords("ropewalk", "verify", paths[1], "--against", paths[0], "--report", "verify.html"))
	}
	p, err := s.e.verified(ctx, paths, open)
	if err == nil || ctx.Err() != nil {
		return p, err
	}
	d := newPage("compare", q.Get("suspect")+" against "+q.Get("reference"))
	d.Lead = "Tensor by tensor, since more can't be told: " + s.inside(err.Error())
	res := &diffResult{A: paths[0], B: paths[1]}
	if res.Tensors, err = s.e.compare(ctx, open[0], open[1]); err != nil {
		return nil, err
	}
	res.count()
	d.diff(res, "")
	d.claims()
	return d.Page, nil
}

// verified is the page of verify without a policy.
func (e *env) verified(ctx context.Context, paths [2]string, open [2]*checkpoint.Checkpoint) (*report.Page, error) {
	o := &verifyOptions{against: paths[0]}
	r := &verifyResult{Schema: "ropewalk/verify/1", Reference: paths[0], Suspect: paths[1], unjudged: true}
	v := &verification{e: e, o: o, r: r, ref: &side{c: open[0], role: "REF", path: paths[0]}, sus: &side{c: open[1], role: "SUSPECT", path: paths[1]}}
	defer v.close()
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	return v.page(ctx)
}
