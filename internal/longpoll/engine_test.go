//go:build linux

package longpoll_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAnswers(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := newRig(t, nil)
		c := r.dial(secure)
		in := bufio.NewReader(c)
		large := strings.Repeat("x", 300_000)
		for _, tc := range []struct{ name, send, want string }{
			{"at once", request("now a"), "a[]"},
			{"from elsewhere", request("soon b"), "b"},
			{"fields", request("now c", "X-Echo: d", "x-twice: e", "X-TWICE: f"), "cd[e f]"},
			{"no body", request(""), "[]"},
			{"large", request("now " + large), large + "[]"},
		} {
			write(t, c, tc.send)
			res, body := got(t, in)
			if res.StatusCode != 200 || body != tc.want {
				t.Fatalf("%s: %d %.50q", tc.name, res.StatusCode, body)
			}
			for name, want := range map[string]string{
				"Content-Type": "text/plain", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Connection": "", "Vary": "",
			} {
				if v := res.Header.Get(name); v != want {
					t.Errorf("%s: %s is %q", tc.name, name, v)
				}
			}
			if d, err := http.ParseTime(res.Header.Get("Date")); err != nil || time.Since(d).Abs() > time.Minute {
				t.Errorf("%s: Date is %q", tc.name, res.Header.Get("Date"))
			}
		}
		write(t, c, request("now z", "Connection: close"))
		if res, body := got(t, in); !res.Close || body != "z[]" {
			t.Errorf("close %v, %q", res.Close, body)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("still open: %v", err)
		}
		if n := r.handed.Load(); n != 0 {
			t.Errorf("%d connections handed over", n)
		}
	})
}

func TestHandOver(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		for _, tc := range []struct{ name, send, want string }{
			{"another method", "GET /poll HTTP/1.1\r\nHost: x\r\n\r\n", "general GET  <nil>"},
			{"another path", "POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "general POST abc <nil>"},
			{"a query", "POST /poll?a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "general POST abc <nil>"},
			{"chunks", "POST /poll HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "general POST abc <nil>"},
			{"bare line feeds", "POST /poll HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc", "general POST abc <nil>"},
			{"a large head", "POST /poll HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX: " + strings.Repeat("x", 20_000) + "\r\n\r\nabc", "general POST abc <nil>"},
			{"the handler says so", request("leave"), "general POST leave <nil>"},
			{"a large body", request(strings.Repeat("x", 1<<20+1)), "general POST " + strings.Repeat("x", 1<<20+1) + " <nil>"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				r := newRig(t, nil)
				c := r.dial(secure)
				in := bufio.NewReader(c)
				// The requests before stay the engine's, those behind are not.
				for _, x := range []struct{ send, want string }{{request("now a"), "a[]"}, {tc.send, tc.want}, {request("now b"), "general POST now b <nil>"}} {
					go func() { _, _ = io.WriteString(c, x.send) }() // a large one waits for the server to read
					if _, body := got(t, in); body != x.want {
						t.Fatalf("%.60q, want %.60q", body, x.want)
					}
				}
				if n := r.handed.Load(); n != 1 || r.closed.Load() != 0 {
					t.Errorf("%d handed over, %d closed", n, r.closed.Load())
				}
			})
		}
	})
}

// TestSplit shows that it does not matter in which pieces the bytes come, nor
// whether the client waits for its answers: they come in order.
func TestSplit(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		r := newRig(t, nil)
		const n = 40
		var stream, want string
		for i := range n {
			stream += request(fmt.Sprintf("%s %d%s", []string{"now", "soon"}[i%2], i, strings.Repeat("y", i*17)), "X-Echo: ")
		}
		stream += "GET /end HTTP/1.1\r\nHost: x\r\n\r\n"
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 1))
			c := r.dial(secure)
			go func() {
				for rest := stream; len(rest) > 0; {
					k := min(1+random.IntN(1<<(1+random.IntN(12))), len(rest))
					if _, err := io.WriteString(c, rest[:k]); err != nil {
						return // the reader sees it
					}
					rest = rest[k:]
				}
			}()
			var all string
			in := bufio.NewReader(c)
			for range n + 1 {
				_, body := got(t, in)
				all += body + "\n"
			}
			if want == "" {
				want = all
			}
			if all != want || !strings.HasSuffix(all, "\ngeneral GET  <nil>\n") || !strings.HasPrefix(all, "0[]\n1y") {
				t.Fatalf("seed %d: %.300q", seed, all)
			}
			_ = c.Close()
		}
	})
}
