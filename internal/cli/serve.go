package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/internal/report"
)

type serveOptions struct {
	listen string
	hosts  []string
}

// defaultListen is reachable from this machine only.
const defaultListen = "127.0.0.1:7673"

func newServe(e *env) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve DIR",
		Short: "look at a folder of models and runs in a browser",
		Long: `Serve web pages about the models, packed files, passports, runs and results in
the folder DIR and those below it: look into a checkpoint, compare two, or watch
a training, whose curves grow while it goes on. The pages are those of "ropewalk
report".

Nothing in DIR is ever changed, and nothing outside of it is shown, wherever
links lead. Only this machine can reach the pages, unless --listen says
otherwise; there is no password, so then everybody can who reaches the address.
Requests have to be for an address, localhost, the name in --listen or of this
machine, or a --host: pages of strangers that give their own name this address
(DNS rebinding) get nothing. Ctrl-C ends it.`,
		Example: example(
			"a folder of runs", "ropewalk serve runs/",
			"on a port that is free", "ropewalk serve --listen 127.0.0.1:0 runs/",
			"for all of a trusted network, which calls this machine gpu1.lab", "ropewalk serve --listen :7673 --host gpu1.lab runs/",
		),
		Args: arguments(1, 1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return e.serve(cmd.Context(), &o, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.listen, "listen", defaultListen, "listen at `ADDRESS`, HOST:PORT; port 0 is any that is free")
	fs.StringArrayVar(&o.hosts, "host", nil, "answer requests for the `NAME`, too (again for more)")
	exits(cmd, exitUsage)
	return cmd
}

// serveResult is what serve says once it listens.
type serveResult struct {
	Schema  string `json:"schema"`
	Folder  string `json:"folder"`
	Address string `json:"address" about:"URL of the first page"`
}

func (r *serveResult) text(w *bufio.Writer) {
	fmt.Fprintf(w, "%s is at %s until Ctrl-C\n", printable(r.Folder), r.Address)
}

func (e *env) serve(ctx context.Context, o *serveOptions, dir string) error {
	for _, h := range o.hosts {
		if h == "" || strings.ContainsAny(h, "/:@* ") {
			return usagef("--host is %q, want the name of a machine, without a port", h).withHint("--host gpu1.lab")
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return (&verdict{status: exitFailure, err: fmt.Errorf("%s is in use by another program", o.listen)}).withHint("--listen 127.0.0.1:0 takes a port that is free")
	case errors.Is(err, syscall.EACCES):
		return (&verdict{status: exitFailure, err: fmt.Errorf("listening at %s is not allowed: %w", o.listen, err)}).withHint("ports below 1024 are the system's; --listen 127.0.0.1:0 takes one that is free")
	case err != nil && ctx.Err() == nil:
		return usagef("--listen %s: %w", o.listen, err).withHint("--listen %s", defaultListen)
	case err != nil:
		return err
	}
	at, _ := l.Addr().(*net.TCPAddr) // which is what tcp gives
	s := newServer(e, dir, root, at, append(ownNames(o.listen), o.hosts...)...)
	if !s.local {
		e.notef("everybody who reaches %v can look at %s", at, dir)
	}
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: mostPage + 10*time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), // of browsers that went away
	}
	if err := e.answer(&serveResult{Schema: "ropewalk/serve/1", Folder: dir, Address: addressOf(at)}); err != nil {
		return errors.Join(err, l.Close())
	}
	var closing sync.WaitGroup
	stop := context.AfterFunc(ctx, func() {
		closing.Add(1)
		defer closing.Done()
		late, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(late) != nil { //nolint:contextcheck // ctx is over
			_ = server.Close() // who still waits does not get an answer
		}
	})
	defer stop()
	err = server.Serve(l)
	closing.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil // Ctrl-C is how it ends
	}
	return err
}

// mostPage is how long a page may take to be made.
const mostPage = 2 * time.Minute

// mostHistory is how large the history of a run may be for a page that is waited for, and
// asked for again while the run goes on: some 20,000 epochs, of which hardly a tenth of a
// GiB is made.
const mostHistory = 8 << 20

// A server answers requests for pages about a folder.
type server struct {
	e     *env
	dir   string
	root  *os.Root // of dir: what is opened through it cannot lie outside
	local bool     // listens to this machine only
	hosts []string // names that requests may be for, beside localhost
	mux   *http.ServeMux
	turns chan struct{} // pages being made
}

// Served pages load their parts from here.
var servedPage = &report.Options{Assets: "/assets/", Home: "/"}

func newServer(e *env, dir string, root *os.Root, at *net.TCPAddr, hosts ...string) *server {
	own := &env{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: e.getenv, quiet: true, threads: e.threads, memory: e.memory, history: mostHistory}
	own.opener = func(path string) (*os.File, error) { return openIn(root, dir, path) }
	s := &server{e: own, dir: dir, root: root, local: at != nil && at.IP.IsLoopback(), hosts: hosts, mux: http.NewServeMux(), turns: make(chan struct{}, 2)}
	s.mux.HandleFunc("GET /{$}", s.page(s.index))
	s.mux.HandleFunc("GET /see", s.page(s.see))
	s.mux.HandleFunc("GET /compare", s.page(s.compare))
	s.mux.HandleFunc("GET /live", s.live)
	s.mux.HandleFunc("GET /assets/{name}", asset)
	return s
}

// openIn opens a file in the folder that root is of, by its path. It does not wait for
// pipes.
func openIn(root *os.Root, dir, path string) (*os.File, error) {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, fmt.Errorf("%.200q: %w", path, errOutside)
	}
	switch st, err := root.Stat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%.200q: %w", name, fs.ErrNotExist)
	case err != nil || !st.Mode().IsRegular():
		return nil, fmt.Errorf("%.200q: %w", name, errOutside)
	}
	return root.Open(name)
}

// ServeHTTP implements [http.Handler].
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", report.PolicyOf(servedPage)+"; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case !s.isFor(r.Host):
		http.Error(w, "This is not answered for that name. Ask for the address itself, or start ropewalk serve with --host NAME.", http.StatusMisdirectedRequest)
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.URL.Path != "/":
		http.Error(w, "pages of other sites may not ask for work", http.StatusForbidden)
	default:
		s.mux.ServeHTTP(w, r)
	}
}

// isFor reports whether a request with that Host is for this server. A page of a stranger
// that gave its own name our address is asked for by that name, which is none of ours;
// nobody can do that to an address. Of addresses, who listens to this machine only is
// asked for by those of this machine.
func (s *server) isFor(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return !s.local || ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost") || slices.ContainsFunc(s.hosts, func(name string) bool { return strings.EqualFold(host, strings.TrimSuffix(name, ".")) })
}

// addressOf is where the first page is. Who listens everywhere is reached by name.
func addressOf(at *net.TCPAddr) string {
	host := at.String()
	if name, err := os.Hostname(); err == nil && name != "" && at.IP.IsUnspecified() {
		host = net.JoinHostPort(name, strconv.Itoa(at.Port))
	}
	return "http://" + host + "/"
}

// ownNames are the names that a server that listens at an address has without being told.
func ownNames(listen string) []string {
	var names []string
	if h, _, err := net.SplitHostPort(listen); err == nil && h != "" {
		names = append(names, h)
	}
	if h, err := os.Hostname(); err == nil && h != "" {
		names = append(names, h)
	}
	return names
}

func asset(w http.ResponseWriter, r *http.Request) {
	text, kind := report.Asset(r.PathValue("name"))
	if text == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "max-age=31536000, immutable") // pages ask by version
	_, _ = w.Write(text)                                           // a browser that went away
}

// page makes a handler of what builds a page.
func (s *server) page(build func(ctx context.Context, r *http.Request) (*report.Page, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := s.inTurn(r, build)
		status := http.StatusOK
		if err != nil {
			status = httpStatus(err)
			title := refusals[status]
			if errors.Is(err, os.ErrPermission) {
				title = "May not be read"
			}
			p = newPage("", title).Page
			sec := p.Section("")
			sec.Text(s.inside(err.Error()))
			if hint := hintFor(err); hint != "" {
				sec.Text(s.inside(hint))
			}
			sec.Links(report.Link{Text: "all files", To: "/"})
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_ = report.Write(w, p, servedPage) // a browser that went away
	}
}

// inside names files as the pages do, from the folder on: where that is, readers need not know.
func (s *server) inside(text string) string {
	if clean := filepath.Clean(s.dir); clean == "." || filepath.Dir(clean) == clean {
		return text // there is nothing to hide, and much that looks like it
	}
	return strings.ReplaceAll(text, strings.TrimSuffix(s.dir, string(filepath.Separator))+string(filepath.Separator), "")
}

// inTurn makes a page while not too many others are made.
func (s *server) inTurn(r *http.Request, build func(ctx context.Context, r *http.Request) (*report.Page, error)) (p *report.Page, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), mostPage)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, &busyError{}
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("internal error: %v", v)
		}
	}()
	p, err = build(ctx, r)
	if err != nil && ctx.Err() != nil {
		return nil, &busyError{}
	}
	return p, err
}

// A busyError reports a page that took too long.
type busyError struct{}

// Error implements error.
func (*busyError) Error() string {
	return fmt.Sprintf("the page was not ready after %v; the command line has all the time that it takes", mostPage)
}

// refusals are the titles of pages in the place of those that there are not.
var refusals = map[int]string{
	http.StatusServiceUnavailable: "Not ready", http.StatusNotFound: "Not there", http.StatusForbidden: "Not in this folder", http.StatusBadRequest: "Not understood",
	http.StatusUnprocessableEntity: "Cannot be shown", http.StatusInternalServerError: "Failed",
}

// httpStatus is the status of an answer, as exitStatus is that of the program.
func httpStatus(err error) int {
	switch {
	case errors.As(err, new(*busyError)):
		return http.StatusServiceUnavailable
	case errors.Is(err, os.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, os.ErrPermission), errors.Is(err, errOutside):
		return http.StatusForbidden
	}
	switch exitStatus(err) {
	case exitUsage:
		return http.StatusBadRequest
	case exitRefused, exitNegative, exitBudget:
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}
