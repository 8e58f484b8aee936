package longpoll

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Response is the answer to a request. It is never cached on its way
// (Cache-Control), nor held back by a proxy (X-Accel-Buffering), nor does a
// browser run scripts in it if it is shown as a page (Content-Security-Policy).
type Response struct {
	Status      int
	ContentType string
	Encoding    string // of Body, "" as it is; the response varies with what the client accepts
	Close       bool   // the connection, after this
	Body        []byte
}

// origin is what a response says to the page that asked.
type origin struct {
	allow string
	vary  bool
}

// appendHead appends the head of a response; last says that the connection ends
// with it.
func (r *Response) appendHead(dst []byte, o origin, last bool, now time.Time) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(append(dst, ' '), http.StatusText(r.Status)...)
	if o.allow != "" {
		dst = appendField(dst, "Access-Control-Allow-Origin", o.allow)
	}
	dst = append(dst, "\r\nCache-Control: no-store"...)
	if r.Encoding != "" {
		dst = appendField(dst, "Content-Encoding", r.Encoding)
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
	dst = append(dst, "\r\nContent-Security-Policy: sandbox"...)
	dst = appendField(dst, "Content-Type", r.ContentType)
	dst = append(append(dst, "\r\nDate: "...), date(now)...)
	if r.Status == http.StatusServiceUnavailable {
		dst = append(dst, "\r\nRetry-After: 1"...)
	}
	switch {
	case o.vary && r.Encoding != "":
		dst = append(dst, "\r\nVary: Origin, Accept-Encoding"...)
	case o.vary:
		dst = append(dst, "\r\nVary: Origin"...)
	case r.Encoding != "":
		dst = append(dst, "\r\nVary: Accept-Encoding"...)
	}
	if last {
		dst = append(dst, "\r\nConnection: close"...)
	}
	return append(dst, "\r\nX-Accel-Buffering: no\r\n\r\n"...)
}

// appendField leaves out what would end the line.
func appendField(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, "\r\n"...), name...), ": "...)
	for i := range len(value) {
		if b := value[i]; b >= ' ' && b != 0x7f || b == '\t' {
			dst = append(dst, b)
		}
	}
	return dst
}

// second is the date of the responses of one second.
type second struct {
	unix int64
	text string
}

var present atomic.Pointer[second]

func date(now time.Time) string {
	s := present.Load()
	if s == nil || s.unix != now.Unix() {
		s = &second{now.Unix(), now.UTC().Format(http.TimeFormat)}
		present.Store(s)
	}
	return s.text
}

// buffers are for responses on their way into the socket.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxPooled = 64 << 10

func putBuffer(p *[]byte, b []byte) {
	if cap(b) > maxPooled {
		b = nil
	}
	*p = b[:0]
	buffers.Put(p)
}
