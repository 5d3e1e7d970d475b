// Large measures how fast networks that are too large for memory are put in order: the
// time beside that of SHA-256 over both files, and the most memory.
//
// It makes two files of bfloat16 in the shape of a Llama of 7 billion parameters, with
// as many of its 32 layers as -layers says: random weights, and the same with noise,
// all of whose neurons (the stream, heads, what is in heads, gated layers) were moved.
// Hashing and matching then take turns, each in a process of its own with as many
// threads; the table has the medians.
//
//	go run ./internal/bench/large -dir FOLDER -layers 8 > table.md
//
// With -passport it measures the making of a passport of the first file in the same way,
// against SHA-256 over that file with as many threads, each on a piece of it.
//
// The files stay in the folder, and are used again. weightmatching.py in bench/align and peer.py, beside
// this, time what others take for a ResNet-50.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ropewalk/align"
	"ropewalk/checkpoint"
	"ropewalk/internal/bench/processor"
	"ropewalk/internal/bench/rival"
	"ropewalk/symmetry"
)

// config is what the flags say.
type config struct {
	dir             string
	layers, threads int
	rounds          int
	noise           float64
	child           string
	passports       bool
	numbers         int
	profile         string
}

func main() {
	var c config
	flag.StringVar(&c.dir, "dir", "", "the `folder` for the files; 0.9 GB, and 0.8 GB more for each layer")
	flag.IntVar(&c.layers, "layers", 8, "layers of the 32 that a Llama of 7 billion parameters has")
	flag.IntVar(&c.threads, "threads", runtime.NumCPU(), "threads of either")
	flag.IntVar(&c.rounds, "rounds", 3, "how often each is measured")
	flag.Float64Var(&c.noise, "noise", 0.1, "noise in the suspect, in standard deviations")
	flag.BoolVar(&c.passports, "passport", false, "measure how fast a passport of the first file is made, and how large those of 32 layers are")
	flag.IntVar(&c.numbers, "numbers", 128, "sums of a passport's sketches")
	flag.StringVar(&c.profile, "cpuprofile", "", "write where matching spends its time to `FILE`")
	flag.StringVar(&c.child, "child", "", "for the processes that this one starts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := c.main(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "align:", err)
		os.Exit(1)
	}
}

func (c *config) main(ctx context.Context) error {
	if c.dir == "" || c.layers < 1 || c.rounds < 1 {
		return errors.New("-dir FOLDER is missing, or there is nothing to do")
	}
	switch c.child {
	case "hash":
		return c.hash()
	case "match":
		return c.match(ctx)
	case "passport":
		return c.passport(ctx)
	}
	if err := c.make(); err != nil {
		return err
	}
	if c.passports {
		return c.comparePassport(ctx)
	}
	return c.compare(ctx)
}

func (c *config) paths() [2]string {
	base := fmt.Sprintf("llama-%d", c.layers)
	return [2]string{filepath.Join(c.dir, base+".safetensors"), filepath.Join(c.dir, fmt.Sprintf("%s-moved-%g.safetensors", base, c.noise))}
}

// An outcome is what a process prints.
type outcome struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu"`   // seconds of all threads
	Peak    int64   `json:"peak"`  // bytes
	Reads   int64   `json:"reads"` // bytes
	Psi     float64 `json:"psi"`
	Certain float64 `json:"certain"` // share of neurons
	Neurons int     `json:"neurons"`
	Related bool    `json:"related"`
}

// compare lets both take turns.
func (c *config) compare(ctx context.Context) error {
	runs := map[string][]outcome{}
	for range c.rounds {
		for _, what := range []string{"hash", "match"} {
			o, err := c.start(ctx, what)
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s: %.1f s, %d MB\n", what, o.Seconds, o.Peak>>20)
			runs[what] = append(runs[what], o)
		}
	}
	var size int64
	for _, p := range c.paths() {
		st, err := os.Stat(p)
		if err != nil {
			return err
		}
		size += st.Size()
	}
	hash, match := median(runs["hash"]), median(runs["match"])
	var b strings.Builder
	rival.Table(&b, []string{"layers", "GB, both files", "threads", "SHA-256 s", "match s", "ratio", "SHA-256 CPU s", "match CPU s", "ratio", "read", "peak MB", "Ψ %", "certain %"}, [][]string{{
		strconv.Itoa(c.layers), rival.Number(float64(size)/1e9, 1), strconv.Itoa(c.threads), rival.Number(hash.Seconds, 1), rival.Number(match.Seconds, 1),
		rival.Number(match.Seconds/hash.Seconds, 2), rival.Number(hash.CPU, 1), rival.Number(match.CPU, 1), rival.Number(match.CPU/hash.CPU, 2), rival.Number(float64(match.Reads)/float64(size), 1) + " ×", strconv.FormatInt(match.Peak>>20, 10),
		rival.Number(match.Psi, 2), rival.Number(100*match.Certain, 2),
	}})
	_, err := os.Stdout.WriteString(b.String())
	return err
}

// median is the run of median time.
func median(runs []outcome) outcome {
	slices.SortFunc(runs, func(a, b outcome) int {
		if a.Seconds < b.Seconds {
			return -1
		}
		return 1
	})
	return runs[len(runs)/2]
}

// start runs a part in a process of its own.
func (c *config) start(ctx context.Context, what string) (o outcome, err error) {
	exe, err := os.Executable()
	if err != nil {
		return o, err
	}
	cmd := exec.CommandContext(ctx, exe, append(os.Args[1:], "-child", what)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return o, fmt.Errorf("%s: %w", what, err)
	}
	return o, json.Unmarshal(out, &o)
}

// hash takes the digests of both files, each on one thread.
func (c *config) hash() error {
	runtime.GOMAXPROCS(c.threads)
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, p := range c.paths() {
		wg.Go(func() {
			f, err := os.Open(p)
			if err != nil {
				errs[i] = err
				return
			}
			defer f.Close()
			_, errs[i] = io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{f}, make([]byte, 1<<20))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return report(outcome{Seconds: time.Since(start).Seconds()})
}

// match opens both files and finds who is who.
func (c *config) match(ctx context.Context) error {
	if c.profile != "" {
		f, err := os.Create(c.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	start := time.Now()
	p := c.paths()
	ref, err := checkpoint.Open(p[0], nil)
	if err != nil {
		return err
	}
	defer ref.Close()
	sus, err := checkpoint.Open(p[1], nil)
	if err != nil {
		return err
	}
	defer sus.Close()
	made, err := llama(c.layers, 0) // names of groups follow the order of tensors
	if err != nil {
		return err
	}
	spec, err := symmetry.DeriveNames(made, &symmetry.NamesOptions{HeadSize: headSize})
	if err != nil {
		return err
	}
	own, err := align.FromSymmetry(spec)
	if err != nil {
		return err
	}
	found, err := align.MatchNetworks(align.Network{Set: ref.Tensors, Spec: own}, align.Network{Set: sus.Tensors, Spec: own}, &align.NetworkOptions{
		Options: align.Options{Threads: c.threads}, Memory: 1 << 30, Context: ctx,
	})
	if err != nil {
		return err
	}
	o := outcome{Seconds: time.Since(start).Seconds(), Reads: found.Reads, Related: found.Related}
	if !found.Streamed {
		return errors.New("the networks fit in memory: take more layers")
	}
	truth := moves(spec)
	for i := range found.Classes {
		k := &found.Classes[i]
		for j, was := range truth[k.Name].Order {
			if k.Ref[j] == was {
				o.Psi++
			}
			if k.Certainty[j] >= 0.99 {
				o.Certain++
			}
		}
		o.Neurons += len(k.Sus)
	}
	o.Psi *= 100 / float64(o.Neurons)
	o.Certain /= float64(o.Neurons)
	return report(o)
}

// report prints what a process was asked for.
func report(o outcome) (err error) {
	if o.Peak, err = highWater(); err != nil {
		return err
	}
	known := false
	if o.CPU, known = processor.Seconds(); !known {
		return processor.ErrUnknown
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

// highWater returns the most memory that this process has had. Linux only.
func highWater() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("peak memory is known on Linux only: %w", err)
	}
	_, rest, ok := bytes.Cut(b, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0, errors.New("/proc/self/status has no VmHWM")
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return n << 10, err
}
