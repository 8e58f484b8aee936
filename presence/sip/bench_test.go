package sip_test

import (
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/siptest"
	"github.com/deskline/deskline/presence"
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

// BenchmarkListPartial has a server tell over TCP of one member of a list: what that
// costs from the NOTIFY to its answer and the evidence must not depend on the list.
func BenchmarkListPartial(b *testing.B) {
	for _, members := range []int{50, 5000} {
		b.Run(strconv.Itoa(members)+"Members", func(b *testing.B) {
			p := newRLS(b)
			w := p.watch("presence")
			r := p.next()
			p.answer(r, 200, granted)
			root, parts := large(members, 0)
			p.list(r, rlmi(0, true, root), parts...)
			p.answered(200)
			w.until("all are known", func() bool { return w.heard() >= members && w.countOf(presence.LineIdle) == members })
			runtime.GC()
			used, heard, version := cpu(b), w.heard(), 0
			for b.Loop() {
				version++
				document := offHook
				if version%2 == 0 {
					document = onHook
				}
				p.list(r, rlmi(version, false, resource("10007", active("a", "x"))), part{"x", "application/pidf+xml", document})
				p.answered(200)
			}
			w.until("something is told", func() bool { return w.heard() > heard })
			b.ReportMetric(float64((cpu(b)-used).Microseconds())/float64(version), "cpu-µs/notify")
		})
	}
}

// BenchmarkListFull_5000Members reads a full state and takes it.
func BenchmarkListFull_5000Members(b *testing.B) {
	b.ReportAllocs()
	root, parts := large(5000, 0)
	kind, body := related(rlmi(0, true, root), parts...)
	roll, now := sip.NewRoll("l"), time.Now()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		list, err := sip.ParseList("presence", kind, []byte(body))
		if err != nil {
			b.Fatal(err)
		}
		if err := roll.Apply(list, func(string, string, presence.Line) {}, now); err != nil {
			b.Fatal(err)
		}
	}
}
