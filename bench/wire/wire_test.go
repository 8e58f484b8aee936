package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/deskline/deskline/bench/wire"
)

const plain = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 7\r\n\r\n<body/>"

func TestParseResponse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, in, body string
		status         int
		close          bool
	}{
		{"length", plain, "<body/>", 200, false},
		{"no body", "HTTP/1.1 404 Not Found\r\n\r\n", "", 404, false},
		{"close", "HTTP/1.1 200 OK\r\nCONNECTION: Close\r\ncontent-length:2\r\n\r\nab", "ab", 200, true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<bo\r\n4;x=y\r\ndy/>\r\n0\r\n\r\n", "<body/>", 200, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for i := range len(tc.in) {
				if _, n, err := wire.ParseResponse([]byte(tc.in[:i])); n != 0 || err != nil {
					if tc.name == "no body" {
						continue
					}
					t.Fatalf("first %d bytes: %d, %v", i, n, err)
				}
			}
			r, n, err := wire.ParseResponse([]byte(tc.in))
			if err != nil || n != len(tc.in) || r.Status != tc.status || r.Close != tc.close || string(r.Body) != tc.body {
				t.Fatalf("got %d %q close %v, %d of %d bytes, %v", r.Status, r.Body, r.Close, n, len(tc.in), err)
			}
		})
	}
}

func TestParseResponseLeavesTheNext(t *testing.T) {
	t.Parallel()
	_, n, err := wire.ParseResponse([]byte(plain + "HTTP/1.1 2"))
	if n != len(plain) || err != nil {
		t.Fatalf("took %d of %d bytes, %v", n, len(plain), err)
	}
}

func TestParseResponseRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"no HTTP":    "<html><body>proxy error</body></html>",
		"no status":  "HTTP/1.1 two OK\r\n\r\n",
		"bad length": "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"bad chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
		"no end":     "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 65<<10),
	} {
		if _, _, err := wire.ParseResponse([]byte(in)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestElements(t *testing.T) {
	t.Parallel()
	const body = `<body xmlns='http://jabber.org/protocol/httpbind' sid="s">
		<message to='a>b' id="1"><body>x</body><message/></message><presence/><stream:features><a b='/'/></stream:features></body>`
	var names, raws []string
	for rest := wire.Inner([]byte(body)); ; {
		el, next, ok := wire.Next(rest)
		if !ok {
			break
		}
		names, raws = append(names, string(el.Name)), append(raws, string(el.Raw))
		rest = next
	}
	if got := strings.Join(names, " "); got != "message presence stream:features" {
		t.Errorf("names: %s", got)
	}
	if got := strings.Join(raws, ""); !strings.HasSuffix(body, got+"</body>") {
		t.Errorf("elements: %s", got)
	}
}

func TestAttr(t *testing.T) {
	t.Parallel()
	tag := wire.StartTag([]byte(`<body  sid = 's1' xmpp:version="1.0" type='' note="type='x'" to='a"b'/>`))
	for name, want := range map[string]string{"sid": "s1", "xmpp:version": "1.0", "to": `a"b`, "note": "type='x'"} {
		if got := wire.Attr(tag, name); string(got) != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if v := wire.Attr(tag, "type"); v == nil || len(v) != 0 {
		t.Errorf("empty attribute: %q", v)
	}
	if v := wire.Attr(tag, "version"); v != nil {
		t.Errorf("absent attribute: %q", v)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<b>\r\n0\r\n\r\n"))
	f.Add([]byte("<body a='b'><c/></body>"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if r, n, err := wire.ParseResponse(bytes.Clone(in)); err == nil && (n > len(in) || len(r.Body) > n) {
			t.Fatalf("%d bytes taken, %d of body, from %d", n, len(r.Body), len(in))
		}
		for rest := wire.Inner(in); ; {
			el, next, ok := wire.Next(rest)
			if !ok {
				return
			}
			if len(next) >= len(rest) || !bytes.HasPrefix(el.Raw, el.Tag) {
				t.Fatalf("no progress in %q", rest)
			}
			el.Attr("to")
			el.Text()
			rest = next
		}
	})
}

func BenchmarkResponse_OneMessage(b *testing.B) {
	body := "<body xmlns='http://jabber.org/protocol/httpbind'><message xmlns='jabber:client' from='u1@localhost/abc'" +
		" to='u2@localhost/def' type='chat'><body>#12:345#" + strings.Repeat("deskline ", 11) + "</body></message></body>"
	in := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: 278\r\n\r\n" + body)
	in = bytes.Replace(in, []byte("278"), []byte(itoa(len(body))), 1)
	b.ReportAllocs()
	for b.Loop() {
		r, n, err := wire.ParseResponse(in)
		if err != nil || n != len(in) {
			b.Fatal(n, err)
		}
		if _, _, ok := wire.Next(wire.Inner(r.Body)); !ok {
			b.Fatal("no element")
		}
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}
