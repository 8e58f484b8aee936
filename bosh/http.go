package bosh

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/deskline/deskline/router"
)

func routerSID(s string) router.SID { return router.SID(s) }

func (h *Handler) find(sid string) (*conn, bool) { return h.table.get(router.SID(sid)) }

const defaultContent = "text/xml; charset=utf-8"

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.cors(w, r)
	switch r.Method {
	case http.MethodPost:
		h.post(w, r)
	case http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "This is a BOSH connection manager (XEP-0124). XMPP clients POST to this address.\n")
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

// cors sets each header once; a proxy must not add its own.
func (h *Handler) cors(w http.ResponseWriter, r *http.Request) {
	origins := h.cfg.Load().Origin
	if origins == nil || r.Header.Get("Origin") == "" {
		return
	}
	header := w.Header()
	origin, ok := origins(r)
	if origin != "*" {
		header["Vary"] = varyOrigin
	}
	if !ok {
		return
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if r.Method == http.MethodOptions {
		header.Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "Content-Type, Content-Encoding, X-Requested-With")
		header.Set("Access-Control-Max-Age", "86400")
	}
}

// Values of headers that every response has.
var (
	varyOrigin = []string{"Origin"}
	noStore    = []string{"no-store"}
	unbuffered = []string{"no"}
	xmlContent = []string{defaultContent}
)

func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	data, status := h.read(r)
	if status != 0 {
		w.Header().Set("Connection", "close")
		http.Error(w, http.StatusText(status), status)
		return
	}
	cfg := h.cfg.Load()
	in := Request{Body: data, Peer: r.RemoteAddr, UserAgent: r.UserAgent()}
	if cfg.Peer != nil {
		in.Remote, in.Secure = cfg.Peer(r)
	}
	out, ok := h.Serve(r.Context(), &in)
	if !ok {
		// Nobody waits; the engine must not send an empty 200 in our name.
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	header["Content-Type"] = xmlContent
	if out.ContentType != defaultContent {
		header.Set("Content-Type", out.ContentType)
	}
	header["Cache-Control"] = noStore
	header["X-Accel-Buffering"] = unbuffered
	body, encoding := h.pack(r.Header.Get("Accept-Encoding"), out.Body)
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
		header.Add("Vary", "Accept-Encoding")
	}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	if out.Status != http.StatusOK {
		w.WriteHeader(out.Status)
	}
	_, _ = w.Write(body) // the client may be gone; the response is kept for a repeat
}

// read takes in the whole body within the limit, also if it is compressed.
func (h *Handler) read(r *http.Request) (data []byte, status int) {
	limit := h.cfg.Load().Limits.Bytes
	if r.ContentLength > int64(limit) {
		return nil, http.StatusRequestEntityTooLarge
	}
	encoding := r.Header.Get("Content-Encoding")
	if encoding == "" && r.ContentLength >= 0 {
		if data, err := readBody(r.Body, int(r.ContentLength)); err == nil {
			return data, 0
		}
		return nil, http.StatusBadRequest
	}
	var src io.Reader = r.Body
	switch strings.ToLower(encoding) {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, http.StatusBadRequest
		}
		src = z
	case "deflate":
		z, err := zlib.NewReader(r.Body)
		if err != nil {
			return nil, http.StatusBadRequest
		}
		src = z
	default:
		return nil, http.StatusUnsupportedMediaType
	}
	data, err := io.ReadAll(io.LimitReader(src, int64(limit)+1))
	switch {
	case errors.Is(err, http.ErrBodyReadAfterClose), err != nil:
		return nil, http.StatusBadRequest
	case len(data) > limit:
		return nil, http.StatusRequestEntityTooLarge
	}
	return data, 0
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

var gzips = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

// pack compresses a body that is large enough if the client takes it.
func (h *Handler) pack(accept string, body []byte) (out []byte, encoding string) {
	if limit := h.cfg.Load().Compress; limit <= 0 || len(body) < limit {
		return body, ""
	}
	var b bytes.Buffer
	switch {
	case accepts(accept, "gzip"):
		z := gzips.Get().(*gzip.Writer)
		defer gzips.Put(z)
		z.Reset(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		return b.Bytes(), "gzip"
	case accepts(accept, "deflate"):
		z := zlib.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		return b.Bytes(), "deflate"
	}
	return body, ""
}

// accepts reads an Accept-Encoding header as far as it matters here.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			return strings.ReplaceAll(params, " ", "") != "q=0"
		}
	}
	return false
}
