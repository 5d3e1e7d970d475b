package native

import (
	"fmt"
	"testing"

	"ropewalk/engine"
)

func BenchmarkSingle(b *testing.B) {
	for _, t := range []int{1, 2} {
		b.Run(fmt.Sprintf("resnet20/1/threads=%d", t), func(b *testing.B) {
			g, in := network(b, "resnet20", 1, nil)
			p, err := compile(g, &engine.Options{Threads: t})
			if err != nil {
				b.Fatal(err)
			}
			before := processorTime()
			for b.Loop() {
				if _, err := p.Forward(in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processorTime()-before)*1e3/float64(b.N), "cpu-ms/op")
		})
	}
}
