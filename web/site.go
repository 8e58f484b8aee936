package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Site is what the pages tell about the node.
type Site struct {
	Version   string
	Domains   []string // at least one
	BOSH      string   // path of the door, "" = closed
	WebSocket string   // path of the door, "" = closed
	DemoUsers []string // accounts of the demo, without domain; their password is never shown
	// Certificate, if not nil, returns what clients get that ask for a host.
	Certificate func(host string) Certificate
	// Mates, if not nil, returns the doors of other nodes that serve the same
	// users, for host-meta.
	Mates func() []Doors
}

// Doors are the addresses of a node's doors, "" for a closed one.
type Doors struct{ BOSH, WebSocket string }

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
		e.handleCertificate(p)
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
	Complaints  []Complaint
	Secure      string // this page by HTTPS
	Opener      string // origin of the page that opened this one, "" = none
	Script      template.JS
	Mates       []string // pages of other nodes
}

// fill adds what only the page of the certificate tells.
func (v *view) fill(p *pages, r *http.Request) {
	v.Complaints = v.Certificate.complaints(v.Host, time.Now())
	v.Mates, v.Opener = p.mates(), p.opener(r)
	c, _ := r.Context().Value(connKey{}).(*conn)
	pol := p.edge.policy.Load()
	from := pol.peerOf(r, c)
	v.HTTPS = from.https
	v.Secure = pol.secureBase(r, &from) + certificatePath
	if v.Opener != "" {
		v.Secure += "?from=" + url.QueryEscape(v.Opener)
	}
	if v.HTTPS && v.Opener != "" {
		v.Script = script
	}
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
			c := p.site.Certificate(v.Host)
			v.Certificate, v.Until = &c, day(c.NotAfter)
			v.fill(p, r)
		}
		var out bytes.Buffer
		if err := p.set.ExecuteTemplate(&out, name, v); err != nil {
			p.edge.cfg.Log.Error("page", "name", name, "err", err)
			plainText(w, http.StatusInternalServerError, "This page cannot be shown.")
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		csp, opener := p.csp, "same-origin"
		if v.Script != "" {
			// It has to reach the page that opened it.
			csp, opener = csp+"; script-src "+tellHash, "unsafe-none"
		}
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		if v.HTTPS { // without TLS browsers pass over it, and say so
			h.Set("Cross-Origin-Opener-Policy", opener)
		}
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
