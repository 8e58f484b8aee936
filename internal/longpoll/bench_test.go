//go:build linux

package longpoll_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkHeld_5000 tells what a connection costs whose request is held, with
// its stack if it has one. The clients are descriptors and cost nothing here.
func BenchmarkHeld_5000(b *testing.B) {
	const n = 5_000
	r := newRig(b, nil)
	addr, err := net.ResolveTCPAddr("tcp4", r.addr)
	if err != nil {
		b.Fatal(err)
	}
	req := []byte(request("hold", "Content-Type: text/xml"))
	for b.Loop() {
		before := memory()
		clients := make([]int, n)
		for i := range clients {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = unix.Connect(fd, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}})
			}
			if err == nil {
				_, err = unix.Write(fd, req)
			}
			if err != nil {
				b.Fatal(err)
			}
			clients[i] = fd
		}
		waiting := make([]*held, n)
		for i := range waiting {
			waiting[i] = <-r.door.held
		}
		b.ReportMetric(float64(memory()-before)/n, "B/conn")
		for _, fd := range clients {
			_ = unix.Close(fd)
		}
		for _, h := range waiting {
			<-h.gone
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	r := newRig(b, nil)
	c := r.dial(false)
	if err := c.SetDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	in, req := bufio.NewReader(c), []byte(request("now a", "User-Agent: benchmark", "Content-Type: text/xml", "Origin: http://localhost"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(req); err != nil {
			b.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
}
