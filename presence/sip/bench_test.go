package sip_test

import (
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/siptest"
	"github.com/deskline/deskline/presence/sip"
)

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil { // SIPp is another process
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPublish_5000Lines has SIPp publish for so many lines, as fast as it
// can, and reports what the source alone uses.
func BenchmarkPublish_5000Lines(b *testing.B) {
	const lines = 5000
	for name, transport := range map[string]string{"UDP": "u1", "TCP": "t1"} {
		b.Run(name, func(b *testing.B) {
			w := start(b, sip.Config{Trusted: loopback, Rate: 1_000_000, MaxPublications: 1_000_000})
			file := numbers(b, 10000, lines)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			used, n := cpu(b), 0
			for b.Loop() {
				siptest.SIPp(b, w.addr(), "testdata/offhook.xml", "-t", transport, "-inf", file, "-m", strconv.Itoa(lines), "-r", "5000", "-l", "500")
				n += lines
			}
			used = cpu(b) - used
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(used.Microseconds())/float64(n), "cpu-µs/publish")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "publishes/s")
			b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/float64(n), "heap-B/publish")
		})
	}
}

// BenchmarkPIDF reads what a call manager publishes.
func BenchmarkPIDF(b *testing.B) {
	b.ReportAllocs()
	body := []byte(offHook)
	for b.Loop() {
		if _, err := sip.ParsePIDF(body); err != nil {
			b.Fatal(err)
		}
	}
}
