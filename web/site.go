package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Site is what the pages tell about the node.
type Site struct {
	Version     string
	Domains     []string // at least one
	BOSH        string   // path of the door, "" = closed
	WebSocket   string   // path of the door, "" = closed
	DemoUsers   []string // accounts of the demo, without domain; their password is never shown
	Certificate func() Certificate
	// Mates, if not nil, returns the doors of other nodes that serve the same
	// users, for host-meta.
	Mates func() []Doors
}

// Doors are the addresses of a node's doors, "" for a closed one.
type Doors struct{ BOSH, WebSocket string }

// Certificate is what the pages tell about the certificate in service.
type Certificate struct {
	PEM         []byte // the leaf first
	Fingerprint string // SHA-256, AB:CD:…
	NotAfter    time.Time
	Names       []string
	SelfSigned  bool
}

//go:embed pages
var files embed.FS

// pages are the templates with the style they share.
type pages struct {
	site  Site
	set   *template.Template
	style template.CSS
	csp   string
	edge  *Edge
}

func (e *Edge) handleSite() error {
	style, err := files.ReadFile("pages/style.css")
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	set, err := template.ParseFS(files, "pages/*.html")
	if err != nil {
		return fmt.Errorf("read page: %w", err)
	}
	sum := sha256.Sum256(style)
	p := &pages{
		site: e.cfg.Site, set: set, style: template.CSS(style), edge: e,
		csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
	e.mux.HandleFunc("/{$}", p.page("index.html"))
	e.mux.HandleFunc("/", notFound)
	e.mux.HandleFunc("/.well-known/host-meta", p.hostMeta)
	e.mux.HandleFunc("/.well-known/host-meta.json", p.hostMeta)
	if e.cfg.Site.Certificate != nil {
		e.mux.HandleFunc("/certificate", p.page("certificate.html"))
		e.mux.HandleFunc("/certificate.pem", p.download)
		e.mux.HandleFunc("/certificate.cer", p.download)
	}
	return nil
}

// view is what the templates see.
type view struct {
	Site        Site
	Style       template.CSS
	Domain      string
	Base        string
	Host        string
	BOSH        string
	WebSocket   string
	HTTPS       bool
	User        string // an example
	Certificate *Certificate
	Until       string
}

func (p *pages) page(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !reads(w, r) {
			return
		}
		base := p.edge.Base(r)
		v := view{Site: p.site, Style: p.style, Base: base, HTTPS: strings.HasPrefix(base, "https:"), User: "you"}
		v.BOSH, v.WebSocket = p.doors(base)
		if u, err := url.Parse(base); err == nil {
			v.Host = u.Hostname()
		}
		if len(p.site.Domains) > 0 {
			v.Domain = p.site.Domains[0]
		}
		if len(p.site.DemoUsers) > 0 {
			v.User = p.site.DemoUsers[0]
		}
		if p.site.Certificate != nil {
			c := p.site.Certificate()
			v.Certificate, v.Until = &c, c.NotAfter.UTC().Format("2 January 2006")
		}
		var out bytes.Buffer
		if err := p.set.ExecuteTemplate(&out, name, v); err != nil {
			p.edge.cfg.Log.Error("page", "name", name, "err", err)
			plainText(w, http.StatusInternalServerError, "This page cannot be shown.")
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", p.csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write(out.Bytes()) // the client may be gone
	}
}

// doors returns the addresses of the two doors at base, "" for a closed one.
func (p *pages) doors(base string) (bosh, websocket string) {
	if p.site.BOSH != "" {
		bosh = base + p.site.BOSH
	}
	if p.site.WebSocket != "" {
		// http → ws, https → wss
		websocket = "ws" + strings.TrimPrefix(base, "http") + p.site.WebSocket
	}
	return bosh, websocket
}

// download gives the certificate as PEM, which servers and command lines take,
// or as DER, which opens with a click on Windows and macOS.
func (p *pages) download(w http.ResponseWriter, r *http.Request) {
	if !reads(w, r) {
		return
	}
	data, kind, file := p.site.Certificate().PEM, "application/x-pem-file", "deskline.pem"
	if strings.HasSuffix(r.URL.Path, ".cer") {
		block, _ := pem.Decode(data)
		if block == nil {
			notFound(w, r)
			return
		}
		data, kind, file = block.Bytes, "application/pkix-cert", "deskline.cer"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(data) // the client may be gone
}

// reads answers methods other than GET and HEAD and returns false for them.
func reads(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	plainText(w, http.StatusMethodNotAllowed, "This can only be read.")
	return false
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	plainText(w, http.StatusNotFound, "There is nothing here.")
}
