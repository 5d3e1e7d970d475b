package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ropewalk/checkpoint"
	"ropewalk/internal/bench/rival"
	"ropewalk/lineage"
	"ropewalk/lineage/passport"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// allLayers is how many layers a Llama of 7 billion parameters has.
const allLayers = 32

// structureOf is the structure of the files, with that many layers.
func structureOf(layers int) (lineage.Network, error) {
	set, err := llama(layers, 0)
	if err != nil {
		return lineage.Network{}, err
	}
	spec, err := symmetry.DeriveNames(set, &symmetry.NamesOptions{HeadSize: headSize})
	return lineage.Network{Set: set, Spec: spec}, err
}

// passport hashes the first file, makes its passport, and hashes it again.
func (c *config) passport(ctx context.Context) error {
	runtime.GOMAXPROCS(c.threads)
	n, err := structureOf(c.layers)
	if err != nil {
		return err
	}
	ref, err := checkpoint.Open(c.paths()[0], nil)
	if err != nil {
		return err
	}
	defer ref.Close()
	n.Set = ref.Tensors
	start := time.Now()
	if _, err := passport.Make(ctx, n, &passport.MakeOptions{Numbers: c.numbers, Threads: c.threads}); err != nil {
		return err
	}
	return report(outcome{Seconds: time.Since(start).Seconds()})
}

// hashPieces takes the digests of as many pieces of a file as there are threads.
func hashPieces(path string, threads int) (time.Duration, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, threads)
	for i := range threads {
		wg.Go(func() {
			from, to := st.Size()*int64(i)/int64(threads), st.Size()*int64(i+1)/int64(threads)
			_, errs[i] = io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{io.NewSectionReader(f, from, to-from)}, make([]byte, 1<<20))
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// comparePassport lets both take turns.
func (c *config) comparePassport(ctx context.Context) error {
	var making []outcome
	var hashing []float64
	for range c.rounds {
		h, err := hashPieces(c.paths()[0], c.threads)
		if err != nil {
			return err
		}
		o, err := c.start(ctx, "passport")
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "SHA-256 %.2f s, passport %.2f s, %d MB\n", h.Seconds(), o.Seconds, o.Peak>>20)
		hashing, making = append(hashing, h.Seconds()), append(making, o)
	}
	st, err := os.Stat(c.paths()[0])
	if err != nil {
		return err
	}
	m := median(making)
	slices.Sort(hashing)
	h := hashing[len(hashing)/2]
	var b strings.Builder
	rival.Table(&b, []string{"layers", "GB", "threads", "numbers", "SHA-256 s", "passport s", "ratio", "peak MB"}, [][]string{{
		strconv.Itoa(c.layers), rival.Number(float64(st.Size())/1e9, 2), strconv.Itoa(c.threads), strconv.Itoa(c.numbers),
		rival.Number(h, 2), rival.Number(m.Seconds, 2), rival.Number(m.Seconds/h, 2), strconv.FormatInt(m.Peak>>20, 10),
	}})
	b.WriteString("\n")
	var rows [][]string
	for _, numbers := range []int{32, 64, 128} {
		n, err := structureOf(allLayers)
		if err != nil {
			return err
		}
		size, err := passport.Size(n, &passport.MakeOptions{Numbers: numbers})
		if err != nil {
			return err
		}
		rows = append(rows, []string{strconv.Itoa(numbers), rival.Number(float64(size)/1e6, 1), rival.Number(100*float64(size)/float64(bytesOf(n.Set)), 2)})
	}
	rival.Table(&b, []string{"numbers", "passport of 32 layers, MB", "% of the weights"}, rows)
	_, err = os.Stdout.WriteString(b.String())
	return err
}

func bytesOf(set *tensor.Set) (n int64) {
	for _, t := range set.All() {
		n += t.Data.Size()
	}
	return n
}
