package cli

import (
	"context"
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
		if err := s.Check(accepts); err != nil {
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
