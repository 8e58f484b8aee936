package load_test

import (
	"encoding/base64"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/deskline/deskline/bench/load"
)

func TestStream(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		sent   int
		arrive []int
		want   load.Ledger
	}{
		{"all in order", 3, []int{0, 1, 2}, load.Ledger{Delivered: 3}},
		{"one lost", 3, []int{0, 2}, load.Ledger{Delivered: 2, Lost: 1}},
		{"one late", 3, []int{0, 2, 1}, load.Ledger{Delivered: 3, OutOfOrder: 1}},
		{"one doubled", 2, []int{0, 1, 0}, load.Ledger{Delivered: 2, Doubled: 1}},
		{"never sent", 1, []int{0, 1, -1}, load.Ledger{Delivered: 1, Strange: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var s load.Stream
			var l load.Ledger
			for range tc.sent {
				s.Send(time.Time{})
			}
			for _, place := range tc.arrive {
				l.Count(s.Arrive(place))
			}
			if l.Lost = s.Lost(); l != tc.want {
				t.Errorf("got %+v, want %+v", l, tc.want)
			}
			if l.Clean() != (tc.name == "all in order") {
				t.Errorf("clean: %v", l.Clean())
			}
		})
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	b := append(load.AppendMark([]byte("<message><body>"), 17, 4200), " text</body></message>"...)
	if id, place, ok := load.ParseMark(b); id != 17 || place != 4200 || !ok {
		t.Errorf("got %d, %d, %v", id, place, ok)
	}
	for _, s := range []string{"", "<body>1:2#", ">#1:2", ">#:2#", ">#1:#", ">#1:x#", ">#99999999999:1#"} {
		if id, place, ok := load.ParseMark([]byte(s)); ok {
			t.Errorf("%q: %d, %d", s, id, place)
		}
	}
}

func FuzzMark(f *testing.F) {
	f.Add(0, 0)
	f.Add(12, 345)
	f.Fuzz(func(t *testing.T, id, place int) {
		if id < 0 || place < 0 || id > 999999999 || place > 999999999 {
			return
		}
		i, p, ok := load.ParseMark(load.AppendMark([]byte{'>'}, id, place))
		if i != id || p != place || !ok {
			t.Fatalf("%d:%d became %d:%d, %v", id, place, i, p, ok)
		}
	})
}

// The vectors are those of RFC 5802 §5 and RFC 7677 §3.
func TestScram(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ mech, nonce, challenge, want string }{
		{
			"SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		},
		{
			"SCRAM-SHA-256", "rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		},
	} {
		t.Run(tc.mech, func(t *testing.T) {
			t.Parallel()
			got, err := load.Respond(tc.mech, "user", "pencil", tc.nonce, base64.StdEncoding.EncodeToString([]byte(tc.challenge)))
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := base64.StdEncoding.DecodeString(got); err != nil || string(raw) != tc.want {
				t.Errorf("got %s, %v", raw, err)
			}
		})
	}
	for _, bad := range []string{"r=x,s=eA==", "s=eA==,i=1", "r=x,s=eA==,i=0", "r=x,s=eA==,i=y", ""} {
		if _, err := load.Respond("SCRAM-SHA-1", "u", "p", "n", base64.StdEncoding.EncodeToString([]byte(bad))); err == nil {
			t.Errorf("challenge %q accepted", bad)
		}
	}
}

func TestContactsAreMutual(t *testing.T) {
	t.Parallel()
	for _, n := range []int{60, 70, 2000} {
		for i := range n {
			mine := load.Contacts(i, n, 50)
			if len(mine) != 50 || slices.Contains(mine, i) {
				t.Fatalf("user %d of %d: %v", i, n, mine)
			}
			slices.Sort(mine)
			if len(slices.Compact(slices.Clone(mine))) != 50 {
				t.Fatalf("user %d of %d has a contact twice: %v", i, n, mine)
			}
			for _, c := range mine {
				if !slices.Contains(load.Contacts(c, n, 50), i) {
					t.Fatalf("user %d of %d is no contact of %d", i, n, c)
				}
			}
		}
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc")
	}
	self := load.Process(os.Getpid())
	if cpu, err := self.CPU(); err != nil || cpu < 0 {
		t.Errorf("CPU %s, %v", cpu, err)
	}
	if rss, err := self.RSS(); err != nil || rss < 1<<20 {
		t.Errorf("RSS %d, %v", rss, err)
	}
	if _, err := load.Process(1 << 30).CPU(); err == nil {
		t.Error("a process that does not exist has used CPU")
	}
}
