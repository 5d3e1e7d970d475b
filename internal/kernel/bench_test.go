package kernel

import "testing"

// measure runs f b.N times and reports the speed, by the clock and, for each core,
// by the time that it was ours: other load on the machine does not count there.
func measure(b *testing.B, flops float64, f func()) {
	f()
	b.ReportAllocs()
	start := cpuSeconds()
	for b.Loop() {
		f()
	}
	used := cpuSeconds() - start
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	if used > 0 {
		b.ReportMetric(flops*float64(b.N)/used/1e9, "GFLOP/core-s")
	}
}
