package bosh

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// read takes in the whole body within the limit, also if it is compressed. If
// it cannot, the fault is what to answer; the rest of the body stays unread.
func (h *Handler) read(r *http.Request) (data []byte, fault Response) {
	limit := h.cfg.Load().Limits.Bytes
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	packed := strings.ToLower(r.Header.Get("Content-Encoding"))
	var src io.Reader
	var err error
	switch packed {
	case "", "identity":
		if r.ContentLength >= 0 {
			data, err = readBody(r.Body, int(r.ContentLength))
			return data, missing(err)
		}
		src, packed = r.Body, ""
	case "gzip", "x-gzip":
		src, err = gzip.NewReader(r.Body)
	case "deflate":
		src, err = zlib.NewReader(r.Body)
	default:
		return nil, unreadable("unknown Content-Encoding")
	}
	if err == nil {
		data, err = io.ReadAll(io.LimitReader(src, int64(limit)+1))
	}
	var network net.Error
	switch {
	case err != nil && packed != "" && !errors.As(err, &network):
		return nil, unreadable("the body is not in its Content-Encoding")
	case err == nil && len(data) > limit:
		return nil, tooLarge(limit)
	}
	return data, missing(err)
}

// tooLarge is one of two answers with a code that is not of XEP-0124, so that
// HTTP is understood by all on the way; it says the same to clients.
func tooLarge(limit int) Response {
	e := ending{condition: "policy-violation", reason: "a body may have " + strconv.Itoa(limit) + " bytes"}
	return Response{Body: e.body(), ContentType: defaultContent, Status: http.StatusRequestEntityTooLarge, Close: true}
}

// missing answers a body that did not come to its end.
func missing(err error) Response {
	if err == nil {
		return Response{}
	}
	r := ending{condition: "bad-request", reason: "the body did not come"}.response(true).of("")
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		r.Status = http.StatusRequestTimeout
	}
	r.Close = true
	return r
}

func unreadable(reason string) Response {
	r := ending{condition: "bad-request", reason: reason}.response(false).of("")
	r.Close = true
	return r
}

// readBody reads n bytes. What a client announces costs no memory before it
// comes: beyond the size of most bodies, there is never more than twice of what
// has come.
func readBody(r io.Reader, n int) ([]byte, error) {
	data := make([]byte, min(n, 8<<10))
	for read := 0; ; {
		k, err := io.ReadFull(r, data[read:])
		if read += k; err != nil || read == n {
			return data, err
		}
		data = append(data, make([]byte, min(n-read, read))...)
	}
}

// packer is what gzip.Writer and zlib.Writer have in common.
type packer interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// packers are kept for each coding, best first: one takes a lot of memory.
var packers = []struct {
	name string
	pool *sync.Pool
}{
	{"gzip", &sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}},
	{"deflate", &sync.Pool{New: func() any { return zlib.NewWriter(io.Discard) }}},
}

// pack compresses a body that is large enough if the client takes it and it
// gets smaller.
func (h *Handler) pack(accept string, body []byte) (out []byte, encoding string) {
	if limit := h.cfg.Load().Compress; limit <= 0 || len(body) < limit {
		return body, ""
	}
	for _, p := range packers {
		if !accepts(accept, p.name) {
			continue
		}
		var b bytes.Buffer
		z := p.pool.Get().(packer)
		z.Reset(&b)
		_, _ = z.Write(body) // a buffer takes all
		_ = z.Close()
		z.Reset(io.Discard)
		p.pool.Put(z)
		if b.Len() >= len(body) {
			break
		}
		return b.Bytes(), p.name
	}
	return body, ""
}

// accepts reads an Accept-Encoding header as far as it matters here.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			q, weighed := strings.CutPrefix(strings.TrimSpace(params), "q=")
			weight, err := strconv.ParseFloat(q, 32)
			return !weighed || err == nil && weight > 0
		}
	}
	return false
}
