package bosh_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/xmpp/stanza"
)

func pack(t *testing.T, coding string, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var z io.WriteCloser
	switch coding {
	case "gzip", "x-gzip":
		z = gzip.NewWriter(&out)
	case "deflate":
		z = zlib.NewWriter(&out)
	default:
		return body
	}
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(t *testing.T, coding string, body []byte) string {
	t.Helper()
	var z io.Reader = bytes.NewReader(body)
	var err error
	switch coding {
	case "gzip":
		z, err = gzip.NewReader(z)
	case "deflate":
		z, err = zlib.NewReader(z)
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// do sends a request with headers and returns the response, read.
func (b *bench) do(method string, body io.Reader, headers ...string) (*http.Response, []byte) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.srv.URL, body)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := *b.srv.Client()
	transport := client.Transport.(*http.Transport).Clone()
	transport.DisableCompression = true
	client.Transport = transport
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	defer client.CloseIdleConnections()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, data
}

// XEP-0124 §5, §7.2: bodies may be compressed both ways.
func TestRequestEncoding(t *testing.T) {
	b := newBench(t, bosh.Config{Limits: stanza.Limits{Bytes: 20 << 10}})
	f := b.create("")
	bomb := bytes.Repeat([]byte(" "), 8<<20)
	for i, tc := range []struct {
		name, header, coding string
		bomb                 bool
		want                 string
	}{
		{name: "plain", want: "id='0'"},
		{name: "said to be plain", header: "identity", want: "id='1'"},
		{name: "gzip", header: "gzip", coding: "gzip", want: "id='2'"},
		{name: "gzip by its old name", header: "X-Gzip", coding: "gzip", want: "id='3'"},
		{name: "deflate", header: "deflate", coding: "deflate", want: "id='4'"},
		{name: "coding not offered", header: "br", want: "condition='bad-request'"},
		{name: "not what it says", header: "gzip", want: "condition='bad-request'"},
		{name: "not what it says either", header: "deflate", want: "condition='bad-request'"},
		{name: "bomb", header: "gzip", coding: "gzip", bomb: true, want: "condition='policy-violation'"},
		{name: "deflated bomb", header: "deflate", coding: "deflate", bomb: true, want: "condition='policy-violation'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := []byte(f.body(101+i, "", echo(fmt.Sprint(i))))
			if tc.bomb {
				body = append(bomb, body...)
			}
			headers := []string{"Content-Type", "text/xml; charset=utf-8"}
			if tc.header != "" {
				headers = append(headers, "Content-Encoding", tc.header)
			}
			resp, data := b.do(http.MethodPost, bytes.NewReader(pack(t, tc.coding, body)), headers...)
			if large := resp.StatusCode == 413; large != tc.bomb || !large && resp.StatusCode != 200 {
				t.Fatalf("status %d", resp.StatusCode)
			}
			wantIn(t, "response", string(data), tc.want)
		})
	}
	if got := f.got(); got != "0 1 2 3 4" {
		t.Fatalf("received %q", got)
	}
}

func TestResponseEncoding(t *testing.T) {
	long := strings.Repeat("<x/>", 500)
	for _, tc := range []struct {
		name, accept, payload, want string
	}{
		{"none accepted", "", long, ""},
		{"gzip", "gzip", long, "gzip"},
		{"deflate", "deflate", long, "deflate"},
		{"the better of both", "deflate, gzip;q=0.5", long, "gzip"},
		{"gzip ruled out", "gzip;q=0, deflate", long, "deflate"},
		{"gzip ruled out otherwise", "gzip; q=0.000", long, ""},
		{"upper case", "GZIP", long, "gzip"},
		{"something else", "br, zstd", long, ""},
		{"too short to be worth it", "gzip", "<x/>", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{Compress: 256})
			f := b.create("")
			f.write(t, tc.payload)
			resp, data := b.do(http.MethodPost, strings.NewReader(f.body(101, "", "")), "Accept-Encoding", tc.accept)
			if got := resp.Header.Get("Content-Encoding"); got != tc.want {
				t.Fatalf("encoded by %q", got)
			}
			want(t, "response", unpack(t, tc.want, data), "<body "+ns+">"+tc.payload+"</body>")
			if resp.ContentLength != int64(len(data)) {
				t.Fatal("responses are not sent in chunks")
			}
			// The copy that is kept may be asked for by a client that takes it otherwise.
			_, data = b.do(http.MethodPost, strings.NewReader(f.body(101, "", "")))
			want(t, "replay", string(data), "<body "+ns+">"+tc.payload+"</body>")
		})
	}
}

// XEP-0124 §5: the type of requests is ignored; that of responses is as asked.
func TestContentType(t *testing.T) {
	const usual = "text/xml; charset=utf-8"
	for _, tc := range []struct{ name, request, content, want string }{
		{"usual", usual, "", usual},
		{"form", "application/x-www-form-urlencoded", "", usual},
		{"plain text", "text/plain", "", usual},
		{"none", "", "", usual},
		{"asked for HTML", usual, "text/html; charset=utf-8", "text/html; charset=utf-8"},
		{"asked for another charset", usual, "text/xml; charset=iso-8859-1", usual},
		{"asked for what is no type", usual, "text", usual},
		{"asked for two headers", usual, "text/html&#13;&#10;Set-Cookie: a=b", usual},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			check := func(body string) {
				t.Helper()
				resp, _ := b.do(http.MethodPost, strings.NewReader(body), "Content-Type", tc.request)
				if got := resp.Header.Get("Content-Type"); got != tc.want {
					t.Fatalf("content type %q", got)
				}
				// Nothing that is shown as a page of this origin may run scripts.
				if got := resp.Header.Get("Content-Security-Policy"); got != "sandbox" {
					t.Fatalf("policy %q", got)
				}
				if resp.Header.Get("Cache-Control") != "no-store" {
					t.Fatal("responses must not be cached")
				}
			}
			attrs := "rid='100' ver='1.11' content='" + tc.content + "' " + ns
			check("<body to='other.example' " + attrs + "/>")
			check("<body to='example.com' " + attrs + "/>")
			f := <-b.sess
			check(f.body(101, "", echo("a")))
			check(f.body(101, "", echo("a")))
			check(f.body(102, "type='terminate'", ""))
			check(f.body(103, "", ""))
		})
	}
}

func TestMethods(t *testing.T) {
	b := newBench(t, bosh.Config{})
	for _, tc := range []struct {
		method string
		status int
		allow  bool
	}{
		{http.MethodGet, 200, false},
		{http.MethodHead, 200, false},
		{http.MethodOptions, 204, true},
		{http.MethodPut, 405, true},
		{http.MethodDelete, 405, true},
	} {
		t.Run(tc.method, func(t *testing.T) {
			resp, _ := b.do(tc.method, http.NoBody)
			if resp.StatusCode != tc.status || (resp.Header.Get("Allow") != "") != tc.allow {
				t.Fatalf("status %d, allow %q", resp.StatusCode, resp.Header.Get("Allow"))
			}
		})
	}
}

func TestCORS(t *testing.T) {
	const desk = "https://desk.example.com"
	b := newBench(t, bosh.Config{})
	for _, tc := range []struct{ name, method, origin, want string }{
		{"preflight", http.MethodOptions, desk, desk},
		{"request", http.MethodPost, desk, desk},
		{"look", http.MethodGet, desk, desk},
		{"stranger", http.MethodOptions, "https://evil.example", ""},
		{"stranger's request", http.MethodPost, "https://evil.example", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, _ := b.do(tc.method, strings.NewReader("x"), "Origin", tc.origin)
			h := resp.Header
			if got := h.Values("Access-Control-Allow-Origin"); strings.Join(got, "|") != tc.want || len(h.Values("Vary")) != 1 {
				t.Fatalf("allowed %q, vary %q", got, h.Values("Vary"))
			}
			if preflight := h.Get("Access-Control-Max-Age") != ""; preflight != (tc.method == http.MethodOptions && tc.want != "") {
				t.Fatalf("headers %v", h)
			}
		})
	}
	t.Run("no origin", func(t *testing.T) {
		if resp, _ := b.do(http.MethodPost, strings.NewReader("x")); resp.Header.Get("Vary") != "" || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Fatalf("headers %v", resp.Header)
		}
	})
}

// What is no BOSH at all, also from proxies and browsers. The session it came
// for, if any, goes on.
func TestRubbish(t *testing.T) {
	b := newBench(t, bosh.Config{Limits: stanza.Limits{Bytes: 20 << 10}})
	f := b.create("")
	for _, tc := range []struct{ name, body, want string }{
		{"html", "<!DOCTYPE html><html></html>", "bad-request"},
		{"nothing", "", "bad-request"},
		{"white space", " \r\n", "bad-request"},
		{"not XML", "rid=1&sid=2", "bad-request"},
		{"an element cut off", f.body(101, "", "<message>"), "bad-request"},
		{"a comment", f.body(101, "", "<!-- x -->"), "bad-request"},
		{"a processing instruction", f.body(101, "", "<?x y?>"), "bad-request"},
		{"an entity of its own", "<!DOCTYPE b [<!ENTITY a 'b'>]>" + f.body(101, "", ""), "bad-request"},
		{"two bodies", f.body(101, "", "") + f.body(102, "", ""), "bad-request"},
		{"another element", "<message xmlns='jabber:client'/>", "bad-request"},
		{"another namespace", "<body rid='1' to='example.com'/>", "bad-request"},
		{"no rid", "<body sid='" + string(f.sid) + "' " + ns + "/>", "bad-request"},
		{"rid too large", f.body(9007199254740992, "", ""), "bad-request"},
		{"malformed pause", f.body(101, "pause='long'", ""), "bad-request"},
		{"malformed ack", f.body(101, "ack='-1'", ""), "bad-request"},
		{"another sid", "<body rid='1' sid='AAAA' " + ns + "/>", "item-not-found"},
		{"too large", f.body(101, "", note(strings.Repeat("x", 30<<10))), "policy-violation"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body := b.post(t.Context(), tc.body)
			if usual := tc.want != "policy-violation"; usual && status != 200 || !usual && status != 413 {
				t.Fatalf("status %d", status)
			}
			wantIn(t, "response", body, "<body "+ns+" type='terminate' condition='"+tc.want+"'>", "<text xmlns='urn:deskline:bosh:1'")
		})
	}
	t.Run("too large in chunks", func(t *testing.T) {
		_, data := b.do(http.MethodPost, io.MultiReader(strings.NewReader(f.body(101, "", note(strings.Repeat("x", 30<<10))))))
		wantIn(t, "response", string(data), "condition='policy-violation'")
	})
	if _, body := b.post(t.Context(), f.body(101, "", echo("a"))); !strings.Contains(body, "id='a'") {
		t.Fatalf("the session did not survive: %s", body)
	}
}

// XEP-0124 §5: a client may speak HTTP/1.0, and send bodies in chunks.
func TestOldHTTP(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	body := f.body(101, "", echo("a"))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for _, tc := range []struct{ name, request string }{
		{"HTTP/1.0", fmt.Sprintf("POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", len(body), body)},
		{"chunks", "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := io.WriteString(nc, tc.request); err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(nc)
			if err != nil {
				t.Fatal(err)
			}
			wantIn(t, "response", string(data), "200 OK\r\n", "Content-Length:", "<message id='a'/>")
		})
	}
}

// XEP-0124 §19.1: who overheard a session with TLS can do nothing without it,
// not even end it.
func TestSecureSession(t *testing.T) {
	b := newBench(t, bosh.Config{})
	f := b.create("")
	b.plain.Store(true)
	resp, data := b.do(http.MethodPost, strings.NewReader(f.body(101, "type='terminate'", "")))
	if resp.StatusCode != 403 || !resp.Close || len(data) > 0 {
		t.Fatalf("status %d: %s", resp.StatusCode, data)
	}
	wantIn(t, "log", b.log.String(), "without TLS")
	b.plain.Store(false)
	_, body := b.post(t.Context(), f.body(101, "", echo("a")))
	wantIn(t, "with TLS", body, "<message id='a'/>")
}
