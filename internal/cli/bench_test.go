package cli

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"ropewalk/internal/suite"
)

// Every command of the suites that the program carries is one that it takes.
func TestSuitesAreCommands(t *testing.T) {
	for _, name := range suite.Names() {
		s, err := suite.Embedded(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(acceptsStep); err != nil {
			t.Error(err)
		}
	}
}

// What an interrupted bench hints at is the same bench.
func TestBenchGoesOnAsItWas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	force := true
	o := &benchOptions{
		out: "of mine", quick: true, keep: true, seeds: 3, jobs: 2, match: "a|b", data: []string{"net=x y"},
		report: reportFlag{path: "page.html", force: &force},
	}
	err := (&benchRun{o: o}).stopped(ctx, []string{"small.yaml"}, ctx.Err())
	want := "ropewalk bench small.yaml --data 'net=x y' --quick --seeds 3 --jobs 2 --keep --report page.html -f --match 'a|b' -o 'of mine' --resume goes on"
	if got := hintFor(err); got != want {
		t.Errorf("hint %q, want %q", got, want)
	}
}

// Threads are shared by runs at the same time, and not by one that is alone.
func TestBenchThreads(t *testing.T) {
	all := runtime.GOMAXPROCS(0)
	for _, tt := range []struct {
		asked, jobs int
		alone       bool
		want        int
	}{
		{0, 1, false, 0},
		{0, 2, false, max(1, all/2)},
		{0, 1000, false, 1},
		{0, 2, true, 0},
		{3, 2, false, 3},
		{3, 2, true, 3},
	} {
		b := &benchRun{e: &env{threads: tt.asked}, o: &benchOptions{jobs: tt.jobs}}
		if got := b.threads(tt.alone); got != tt.want {
			t.Errorf("%+v: %d threads", tt, got)
		}
	}
}

// What does not come to an end, or runs suites itself, is no step, wherever its verb stands.
func TestBenchSteps(t *testing.T) {
	for line, want := range map[string]string{
		"inspect x":                 "",
		"mark embed x --key k -o y": "",
		"serve":                     "serve cannot be a step: it does not come to an end",
		"--quiet serve .":           "serve cannot be a step",
		"--threads 2 bench x":       "bench cannot be a step",
		"demo -o x":                 "demo cannot be a step",
		"serves":                    "serves",
	} {
		err := acceptsStep(strings.Fields(line))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
