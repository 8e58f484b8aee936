package longpoll_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/deskline/deskline/internal/longpoll"
)

const plain = "POST /http-bind HTTP/1.1\r\nHost: chat.example.com\r\nContent-Length: 5\r\n\r\n"

// heads are requests and whether the engine takes them; all others are the
// general server's.
var heads = []struct {
	name, head string
	taken      bool
}{
	{"plain", plain, true},
	{"of a browser", "POST /http-bind HTTP/1.1\r\nHost: [::1]:5280\r\nConnection: keep-alive\r\nContent-Length: 0\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\nContent-Type: text/xml; charset=UTF-8\r\nAccept: */*\r\nOrigin: http://localhost\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n", true},
	{"names in capitals", "POST / HTTP/1.1\r\nHOST: x\r\nCONTENT-LENGTH: 5\r\nCONNECTION: Close\r\n\r\n", true},
	{"blanks around a value", "POST / HTTP/1.1\r\nHost: \t x \t\r\nContent-Length:5\t\r\n\r\n", true},
	{"empty value", "POST / HTTP/1.1\r\nHost: x\r\nX:\r\nContent-Length: 5\r\n\r\n", true},
	{"letters beyond ASCII in a value", "POST / HTTP/1.1\r\nHost: x\r\nX: \xc3\xa4\r\nContent-Length: 5\r\n\r\n", true},
	{"same field twice", "POST / HTTP/1.1\r\nHost: x\r\nVia: a\r\nVia: b\r\nContent-Length: 5\r\n\r\n", true},

	{"another method", "GET /http-bind HTTP/1.1\r\nHost: x\r\n\r\n", false},
	{"method in small letters", strings.Replace(plain, "POST", "post", 1), false},
	{"method with a tail", strings.Replace(plain, "POST", "POSTS", 1), false},
	{"HTTP/1.0", strings.Replace(plain, "1.1", "1.0", 1), false},
	{"HTTP/2.0", strings.Replace(plain, "1.1", "2.0", 1), false},
	{"http in small letters", strings.Replace(plain, "HTTP", "http", 1), false},
	{"no version", strings.Replace(plain, " HTTP/1.1", "", 1), false},
	{"blank behind the version", strings.Replace(plain, "1.1", "1.1 ", 1), false},
	{"empty line before", "\r\n" + plain, false},
	{"a blank before", " " + plain, false},

	{"no length", "POST / HTTP/1.1\r\nHost: x\r\n\r\n", false},
	{"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", false},
	{"two equal lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", false},
	{"list of lengths", strings.Replace(plain, ": 5", ": 5, 5", 1), false},
	{"length with a sign", strings.Replace(plain, ": 5", ": +5", 1), false},
	{"length below zero", strings.Replace(plain, ": 5", ": -5", 1), false},
	{"length with zeros", strings.Replace(plain, ": 5", ": 005", 1), false},
	{"length in hexadecimal", strings.Replace(plain, ": 5", ": 0x5", 1), false},
	{"length with a blank", strings.Replace(plain, ": 5", ": 5 5", 1), false},
	{"length too large", strings.Replace(plain, ": 5", ": 99999999999999999999", 1), false},
	{"empty length", strings.Replace(plain, ": 5", ":", 1), false},
	{"length and chunks", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", false},
	{"chunks and length", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", false},
	{"odd coding", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: xchunked\r\n\r\n", false},
	{"identity coding", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n", false},
	{"empty coding", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding:\r\n\r\n", false},

	{"blank before the colon", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n", false},
	{"coding with a blank before the colon", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n", false},
	{"tab before the colon", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding\t: chunked\r\n\r\n", false},
	{"blank before a name", "POST / HTTP/1.1\r\n Host: x\r\nContent-Length: 5\r\n\r\n", false},
	{"folded", "POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\n", false},
	{"coding hidden by folding", "POST / HTTP/1.1\r\nHost: x\r\nX: a\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", false},
	{"no colon", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nrubbish\r\n\r\n", false},
	{"no name", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n: a\r\n\r\n", false},
	{"name beyond ASCII", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX\xe4: a\r\n\r\n", false},
	{"NUL in a name", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX\x00: a\r\n\r\n", false},
	{"NUL in a value", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX: a\x00b\r\n\r\n", false},
	{"DEL in a value", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX: a\x7fb\r\n\r\n", false},
	{"vertical tab before a length", strings.Replace(plain, ": 5", ": \v5", 1), false},

	{"bare line feeds", strings.ReplaceAll(plain, "\r\n", "\n"), false},
	{"bare line feed after the request line", strings.Replace(plain, "1.1\r\n", "1.1\n", 1), false},
	{"bare line feed at the end", strings.TrimSuffix(plain, "\r\n") + "\n", false},
	{"bare carriage return in a value", "POST / HTTP/1.1\r\nHost: x\r\nX: a\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", false},
	{"two carriage returns", "POST / HTTP/1.1\r\r\nHost: x\r\nContent-Length: 5\r\n\r\n", false},

	{"no host", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", false},
	{"empty host", "POST / HTTP/1.1\r\nHost:\r\nContent-Length: 5\r\n\r\n", false},
	{"two hosts", "POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 5\r\n\r\n", false},
	{"odd host", "POST / HTTP/1.1\r\nHost: x/y\r\nContent-Length: 5\r\n\r\n", false},
	{"host with a user", "POST / HTTP/1.1\r\nHost: a@x\r\nContent-Length: 5\r\n\r\n", false},

	{"awaits a word", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", false},
	{"compressed", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\n\r\n", false},
	{"upgrade", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false},
	{"upgrade alone", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nUpgrade: websocket\r\n\r\n", false},
	{"trailer", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTrailer: X\r\n\r\n", false},
	{"TE", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTE: trailers\r\n\r\n", false},
	{"connection list", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: keep-alive, close\r\n\r\n", false},
	{"connection names the length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: Content-Length\r\n\r\n", false},
	{"two connections", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false},
	{"empty connection", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection:\r\n\r\n", false},
	{"many fields", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + strings.Repeat("X: y\r\n", 100) + "\r\n", false},
	{"large", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX: " + strings.Repeat("y", 9<<10) + "\r\n\r\n", false},
}

func TestHeads(t *testing.T) {
	for _, tc := range heads {
		t.Run(tc.name, func(t *testing.T) {
			_, taken := longpoll.Take([]byte(tc.head + "hello"))
			if taken != tc.taken {
				t.Fatalf("taken %v, want %v: %q", taken, tc.taken, tc.head)
			}
			if taken {
				compare(t, []byte(tc.head+"hello and more"))
			}
		})
	}
}

// TestTargets shows what is in the target of a request that is taken; only a
// registered path, to the letter, leads to a handler.
func TestTargets(t *testing.T) {
	for _, target := range []string{"/http-bind", "/http-bind?x", "http://x/http-bind", "x:80", "*", "", "/a b", "//http-bind", "/%68ttp-bind", "/\r"} {
		got, ok := longpoll.Take([]byte("POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"))
		if ok && got.Target != target {
			t.Errorf("%q is read as %q", target, got.Target)
		}
	}
}

// TestEndOfHead shows that it is found wherever it is looked for from, and that
// what cannot be taken is told at once.
func TestEndOfHead(t *testing.T) {
	for _, tc := range heads {
		whole := longpoll.EndOfHead([]byte(tc.head), 0)
		for cut := range len(tc.head) {
			first := longpoll.EndOfHead([]byte(tc.head[:cut]), 0)
			if first == 0 {
				if rest := longpoll.EndOfHead([]byte(tc.head), cut); rest != whole {
					t.Fatalf("%s: %d bytes first, then the end is at %d, not %d", tc.name, cut, rest, whole)
				}
			} else if first > 0 != (whole > 0) || first > 0 && first != whole {
				t.Fatalf("%s: after %d bytes the end is at %d, not %d", tc.name, cut, first, whole)
			}
		}
	}
}

// compare reads a request that the engine takes with net/http: both have to see
// the same in it.
func compare(t *testing.T, data []byte) {
	t.Helper()
	got, ok := longpoll.Take(data)
	if !ok || !strings.HasPrefix(got.Target, "/http-bind") || strings.ContainsAny(got.Target, "?%# ") {
		// Another target is never a registered path.
		if !ok || got.Target != "/" {
			return
		}
	}
	in := bufio.NewReaderSize(bytes.NewReader(data), len(data)+16)
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("net/http refuses what is taken: %v: %q", err, data)
	}
	switch {
	case r.Method != http.MethodPost, r.RequestURI != got.Target, r.ProtoMajor != 1, r.ProtoMinor != 1:
		t.Fatalf("%s %s %s is not %+v", r.Method, r.RequestURI, r.Proto, got)
	case r.Host != got.Host, r.ContentLength != int64(got.Length), r.Close != got.Close, len(r.TransferEncoding) > 0:
		t.Fatalf("host %q length %d close %v coding %v is not %+v", r.Host, r.ContentLength, r.Close, r.TransferEncoding, got)
	}
	want := map[string][]string{}
	for _, f := range got.Fields {
		if name := textproto.CanonicalMIMEHeaderKey(f[0]); name != "Host" {
			want[name] = append(want[name], f[1])
		}
	}
	for name, values := range want {
		if !slices.Equal(r.Header[name], values) {
			t.Fatalf("%s is %q, not %q: %q", name, r.Header[name], values, data)
		}
	}
	if len(want) != len(r.Header) {
		t.Fatalf("%v is not %v: %q", r.Header, want, data)
	}
	rest := data[got.Head:]
	if len(rest) < got.Length {
		return // the body has not come whole
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || !bytes.Equal(body, rest[:got.Length]) {
		t.Fatalf("body %q, %v: %q", body, err, data)
	}
	behind, err := io.ReadAll(in)
	if err != nil || !bytes.Equal(behind, rest[got.Length:]) {
		t.Fatalf("behind it %q, %v: %q", behind, err, data)
	}
}

// FuzzHead looks for a request that the engine takes and net/http reads in
// another way.
func FuzzHead(f *testing.F) {
	for _, tc := range heads {
		f.Add([]byte(tc.head + "hello" + plain + "hello"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		compare(t, data)
		whole := longpoll.EndOfHead(data, 0)
		for _, cut := range []int{1, len(data) / 2, len(data) - 1} {
			if cut > 0 && cut < len(data) && longpoll.EndOfHead(data[:cut], 0) == 0 && longpoll.EndOfHead(data, cut) != whole {
				t.Fatalf("another end after %d bytes: %q", cut, data)
			}
		}
	})
}

func BenchmarkHead(b *testing.B) {
	data := []byte(heads[1].head)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	parse := longpoll.NewParser()
	for b.Loop() {
		if !parse(data) {
			b.Fatalf("%q", data)
		}
	}
}
