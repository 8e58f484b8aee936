package web_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/web"
)

// TestCertificateForAll shows that somebody who does not trust the certificate can
// read about it, and nothing else, without TLS.
func TestCertificateForAll(t *testing.T) {
	e, err := web.New(web.Config{Site: fullSite(t), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/": 308, "/certificate": 200, "/certificate.pem": 200, "/certificate.crt": 200, "/certificate/probe": 204, "/certificate/chain.pem": 200,
		"/certificate/": 308, "/certificate/x": 308, "//certificate": 308, "/.well-known/host-meta": 308,
	} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, request("GET", "http://chat.example.com:5280"+path, "192.0.2.1:1"))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
		if path == "/certificate/probe" && (w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Body.Len() != 0) {
			t.Errorf("probe: %v %q", w.Header(), w.Body)
		}
	}
}

// TestCertificateTellsOpener gives the page its script only by HTTPS and for those
// that may connect.
func TestCertificateTellsOpener(t *testing.T) {
	e, err := web.New(web.Config{Policy: web.Policy{CORSOrigins: []string{"https://desk.example"}}, Site: fullSite(t), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		scheme, from string
		script, link bool
	}{
		{"https", "https%3A%2F%2Fdesk.example", true, true},
		{"https", "https%3A%2F%2Fdesk.example%2Fagent%3Fx", true, true},
		{"http", "https%3A%2F%2Fdesk.example", false, true},
		{"https", "https%3A%2F%2Fevil.example", false, false},
		{"https", "javascript%3Aalert(1)", false, false},
		{"https", "%22%3E%3Cscript%3E", false, false},
		{"https", "", false, false},
	} {
		headers := []string{"X: y"}
		if c.scheme == "https" {
			headers = []string{"TLS: "}
		}
		r := request("GET", c.scheme+"://chat.example.com:5280/certificate?from="+c.from, "192.0.2.1:1", headers...)
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		page, csp := w.Body.String(), w.Header().Get("Content-Security-Policy")
		_, rest, has := strings.Cut(page, "<script>")
		text, _, _ := strings.Cut(rest, "</script>")
		sum := sha256.Sum256([]byte(text))
		allowed := strings.Contains(csp, "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		if has != c.script || has != allowed || (w.Header().Get("Cross-Origin-Opener-Policy") == "unsafe-none") != c.script {
			t.Errorf("%s %s: script %v, allowed %v, headers %v", c.scheme, c.from, has, allowed, w.Header())
		}
		if strings.Contains(page, "desk.example") != c.link || strings.Contains(page, "evil") || strings.Contains(page, "javascript:") {
			t.Errorf("%s %s: page %s", c.scheme, c.from, page)
		}
	}
}

// allocate is what a browser sends to a relay.
func allocate(attrs string) []byte {
	out := []byte{0, 3, 0, byte(len(attrs)), 0x21, 0x12, 0xa4, 0x42}
	return append(append(out, "transaction!"...), attrs...)
}

// TestRelayIsRefused asks the port for a relay as browsers do.
func TestRelayIsRefused(t *testing.T) {
	for _, std := range []bool{false, true} {
		e, err := web.New(web.Config{Site: fullSite(t), ReadHeaderTimeout: 10 * time.Second, Std: std, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- e.Serve(l) }()
		for name, c := range map[string]struct {
			parts [][]byte
			codes []int
		}{
			"a browser":          {[][]byte{allocate("\x00\x19\x00\x04\x11\x00\x00\x00"), allocate("")}, []int{401, 403}},
			"byte by byte":       {split(allocate("")), []int{401}},
			"both at once":       {[][]byte{append(allocate(""), allocate("")...)}, []int{401, 403}},
			"no STUN":            {[][]byte{make([]byte, 64)}, nil},
			"another method":     {[][]byte{append([]byte{0, 1}, allocate("")[2:]...)}, nil},
			"far too long":       {[][]byte{append([]byte{0, 3, 0xff, 0xfc}, allocate("")[4:]...)}, nil},
			"rubbish behind one": {[][]byte{append(allocate(""), make([]byte, 40)...)}, []int{401}},
		} {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			in := bufio.NewReader(conn)
			var codes []int
			for _, part := range c.parts {
				if _, err := conn.Write(part); err != nil {
					break
				}
				if len(part) == 1 {
					continue
				}
				for len(codes) < len(c.codes) {
					codes = append(codes, relayCode(t, in))
					if name == "a browser" {
						break
					}
				}
			}
			for len(codes) < len(c.codes) {
				codes = append(codes, relayCode(t, in))
			}
			_ = conn.(*net.TCPConn).CloseWrite()
			rest, err := io.ReadAll(in)
			if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: then %q %v", name, rest, err)
			}
			for i := range c.codes {
				if codes[i] != c.codes[i] {
					t.Errorf("%s: codes %v", name, codes)
				}
			}
			_ = conn.Close()
		}
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		<-done
	}
}

func split(data []byte) (parts [][]byte) {
	for i := range data {
		parts = append(parts, data[i:i+1])
	}
	return parts
}

// relayCode reads a response and returns its error code.
func relayCode(t *testing.T, in io.Reader) int {
	t.Helper()
	head := make([]byte, 20)
	if _, err := io.ReadFull(in, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(in, body); err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint16(head) != 0x0113 || string(head[8:]) != "transaction!" || binary.BigEndian.Uint16(body) != 9 {
		t.Fatalf("response %x %x", head, body)
	}
	return 100*int(body[6]) + int(body[7])
}

func FuzzRelay(f *testing.F) {
	f.Add(allocate(""))
	f.Add(append(allocate("\x00\x19\x00\x04\x11\x00\x00\x00"), allocate("")...))
	f.Fuzz(func(_ *testing.T, data []byte) { _ = web.RefuseRelay(mute{}, data) })
}

// mute is a connection on which nothing comes.
type mute struct{ net.Conn }

func (mute) Read([]byte) (int, error)    { return 0, io.EOF }
func (mute) Write(p []byte) (int, error) { return len(p), nil }
func (mute) SetDeadline(time.Time) error { return nil }
