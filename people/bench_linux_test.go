package people_test

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

const domain = "example.com"

var hundredThousand = sync.OnceValue(func() []people.Person { return made(100_000, domain) })

func filled(tb testing.TB, all []people.Person) *people.Index {
	tb.Helper()
	x := people.NewIndex()
	if err := x.Sink("test").Replace(tb.Context(), told(all)); err != nil {
		tb.Fatal(err)
	}
	return x
}

func sameDomain(who jid.JID) bool { return who.Domain() == domain }

// threadTime is the processor's time of this thread: other work on the machine
// does not count.
func threadTime(tb testing.TB) time.Duration {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

func processTime(tb testing.TB) time.Duration {
	tb.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkSearch_100000People is one keystroke: the text so far is parsed, looked
// up and the first 50 people are unpacked.
func BenchmarkSearch_100000People(b *testing.B) {
	x := filled(b, hundredThousand())
	for _, bb := range []struct {
		name, typed string
		may         func(jid.JID) bool
	}{
		{"OneLetter", "a", sameDomain},
		{"WorstLetter", "s", sameDomain},
		{"EveryDepartment", "service", sameDomain},
		{"EveryPhone", "+4", sameDomain},
		{"Name", "müller", sameDomain},
		{"TwoWords", "anna schm", sameDomain},
		{"TwoLetters", "a s", sameDomain},
		{"EightLetters", "a b c d e m s u", sameDomain},
		{"EightCommon", "s se ser serv servi servic service e", sameDomain},
		{"Nobody", "xyzzy", sameDomain},
		{"NobodySeen", "s", func(jid.JID) bool { return false }},
		{"Address", "u000123@example", sameDomain},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var took []time.Duration
			for b.Loop() {
				begun := threadTime(b)
				terms, err := people.ParseQuery(bb.typed, people.FieldAny)
				if err != nil {
					b.Fatal(err)
				}
				if _, err = x.Search(people.Query{Terms: terms, May: bb.may, Most: 50}); err != nil {
					b.Fatal(err)
				}
				took = append(took, threadTime(b)-begun)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "cpu-p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "cpu-p99-µs")
		})
	}
}

// BenchmarkLoad_100000People is the first full picture. It tells what the index
// takes of memory when the collector has been, and what is in use at most, with
// what the collector has not come to yet, while the first is built and while
// another is.
func BenchmarkLoad_100000People(b *testing.B) {
	all, other := hundredThousand(), slices.Clone(hundredThousand())
	for i := range other {
		other[i].Title = "Agent of another title"
	}
	b.ReportAllocs()
	before := heap()
	var x *people.Index
	var cpu time.Duration
	for b.Loop() {
		begun := processTime(b)
		x = filled(b, all)
		cpu += processTime(b) - begun
	}
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s")
	b.ReportMetric(float64(heap()-before)/1e6, "MB-kept")
	b.ReportMetric(peak(func() { _ = x.Sink("test").Replace(b.Context(), told(other)) }, before)/1e6, "MB-peak-again")
	x = people.NewIndex()
	heap()
	b.ReportMetric(peak(func() { _ = x.Sink("test").Replace(b.Context(), told(all)) }, before)/1e6, "MB-peak-first")
	b.ReportMetric(float64(x.Size().Bytes)/1e6, "MB-counted")
	b.ReportMetric(float64(x.Size().Words), "words")
	runtime.KeepAlive(other)
}

// BenchmarkReload_100000People is a full picture that differs by one person.
func BenchmarkReload_100000People(b *testing.B) {
	all := slices.Clone(hundredThousand())
	x := filled(b, all)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		all[i%len(all)].Title = "Another"
		if err := x.Sink("test").Replace(b.Context(), told(all)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChange_100000People is one person changed.
func BenchmarkChange_100000People(b *testing.B) {
	all := hundredThousand()
	x := filled(b, all)
	sink := x.Sink("test")
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := sink.Change(b.Context(), all[i%len(all):i%len(all)+1], nil); err != nil {
			b.Fatal(err)
		}
	}
}

// peak returns how much more than before was in use at most while do ran, with
// what the collector had not come to yet.
func peak(do func(), before uint64) float64 {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	most := uint64(0)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics.Read(sample)
		most = max(most, sample[0].Value.Uint64())
		select {
		case <-done:
			return float64(most) - float64(before)
		case <-tick.C:
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
