package bosh

import (
	"io"
	"net/http"
	"strconv"

	"github.com/deskline/deskline/router"
)

func routerSID(s string) router.SID { return router.SID(s) }

func (h *Handler) find(sid string) (*conn, bool) { return h.table.get(router.SID(sid)) }

const (
	defaultContent = "text/xml; charset=utf-8"
	methods        = "GET, HEAD, OPTIONS, POST"
)

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.cors(w, r)
	switch r.Method {
	case http.MethodPost:
		h.post(w, r)
	case http.MethodOptions:
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "This is a BOSH connection manager (XEP-0124). XMPP clients POST to this address.\n")
	default:
		w.Header().Set("Allow", methods)
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
	// A form of another site may lead a browser here and show what a stranger
	// has sent, even as HTML, which a client may ask for. No script runs there.
	sandbox    = []string{"sandbox"}
	xmlContent = []string{defaultContent}
)

func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	data, fault := h.read(r)
	if fault.Status != 0 {
		h.write(w, r, fault)
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
	h.write(w, r, out)
}

// write sends a response.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, out Response) {
	header := w.Header()
	if out.Close {
		header.Set("Connection", "close")
	}
	header["Content-Type"] = xmlContent
	if out.ContentType != defaultContent {
		header.Set("Content-Type", out.ContentType)
	}
	header["Cache-Control"] = noStore
	header["X-Accel-Buffering"] = unbuffered
	header["Content-Security-Policy"] = sandbox
	body, encoding := h.pack(r.Header.Get("Accept-Encoding"), out.Body)
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
		header.Add("Vary", "Accept-Encoding")
	}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	if out.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	if out.Status != http.StatusOK {
		w.WriteHeader(out.Status)
	}
	_, _ = w.Write(body) // the client may be gone; the response is kept for a repeat
}
