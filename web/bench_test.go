package web_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/deskline/deskline/web"
)

func answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, "<body/>")
}

// bare serves the same handler with net/http alone.
func bare(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(answer)}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

func edge(b *testing.B) string {
	_, addr := start(b, func(*web.Config) {}, map[string]http.HandlerFunc{"/http-bind": answer})
	return addr
}

const benchRequest = "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: 67\r\n\r\n" +
	"<body rid='1' sid='2' xmlns='http://jabber.org/protocol/httpbind'/>"

// BenchmarkRequest compares a request on a keep-alive connection with what
// net/http alone needs.
func BenchmarkRequest(b *testing.B) {
	for name, serve := range map[string]func(*testing.B) string{"Edge": edge, "Bare": bare} {
		b.Run(name, func(b *testing.B) {
			c, err := net.Dial("tcp", serve(b))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			in, req := bufio.NewReader(c), []byte(benchRequest)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(req); err != nil {
					b.Fatal(err)
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil || res.StatusCode != 200 {
					b.Fatal(res, err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
			}
		})
	}
}

// BenchmarkIdleConnections compares the memory of connections that have had
// one request and wait.
func BenchmarkIdleConnections_1000(b *testing.B) {
	for name, serve := range map[string]func(*testing.B) string{"Edge": edge, "Bare": bare} {
		b.Run(name, func(b *testing.B) {
			addr := serve(b)
			req := []byte(benchRequest)
			for b.Loop() {
				before := memory()
				conns := make([]net.Conn, 1000)
				buf := make([]byte, 1024)
				for i := range conns {
					c, err := net.Dial("tcp", addr)
					if err != nil {
						b.Fatal(err)
					}
					conns[i] = c
					if _, err = c.Write(req); err == nil {
						_, err = c.Read(buf)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(memory()-before)/1000, "B/conn")
				for _, c := range conns {
					_ = c.Close()
				}
			}
		})
	}
}

func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
