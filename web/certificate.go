package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Certificate is what the pages tell about the certificate for a host.
type Certificate struct {
	PEM         []byte // as it is sent, the leaf first
	Fingerprint string // SHA-256, AB:CD:…
	Names       []string
	Issuer      string
	NotBefore   time.Time
	NotAfter    time.Time
	SelfSigned  bool

	Anchor            []byte // DER: what to trust, itself if self-signed
	AnchorName        string
	AnchorFingerprint string
	Root              bool // Anchor is the end of the chain; else the real root is known to its authority alone
}

// Paths of what somebody needs who does not trust the certificate yet. They are
// answered without TLS, too, whatever http.plain says; they tell nothing that a
// handshake does not.
const (
	certificatePath = "/certificate"
	probePath       = "/certificate/probe"
)

var certificatePaths = []string{
	certificatePath, probePath, "/certificate/chain.pem",
	"/certificate.pem", "/certificate.cer", "/certificate.crt", "/certificate.der",
}

// forAll reports whether a path is answered without TLS for everybody.
func (e *Edge) forAll(path string) bool {
	if prefix := e.cfg.PlainPrefix; prefix != "" && strings.HasPrefix(path, prefix) {
		return true
	}
	return e.cfg.Site.Certificate != nil && slices.Contains(certificatePaths, path)
}

func (e *Edge) handleCertificate(p *pages) {
	for _, path := range certificatePaths {
		switch path {
		case certificatePath:
			e.mux.HandleFunc(path, p.page("certificate.html"))
		case probePath:
			e.mux.HandleFunc(path, probe)
		default:
			e.mux.HandleFunc(path, p.download)
		}
	}
}

// probe answers a page that wants to know whether this node is alive. Pages of
// any origin may ask: there is nothing to read.
func probe(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if reads(w, r) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// download gives what to trust as PEM, which servers and command lines take, or as
// DER, which opens with a click on Windows and macOS; or the whole chain.
func (p *pages) download(w http.ResponseWriter, r *http.Request) {
	if !reads(w, r) {
		return
	}
	c := p.site.Certificate(p.host(r))
	data, kind, file := c.Anchor, "application/pkix-cert", "deskline"+r.URL.Path[strings.LastIndexByte(r.URL.Path, '.'):]
	switch r.URL.Path {
	case "/certificate/chain.pem":
		data, kind, file = c.PEM, "application/x-pem-file", "deskline-chain.pem"
	case "/certificate.pem":
		data, kind = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Anchor}), "application/x-pem-file"
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(data) // the client may be gone
}

// host is the name by which the client came.
func (p *pages) host(r *http.Request) string {
	u, err := url.Parse(p.edge.Base(r))
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Complaint is what browsers say about a certificate, and what it means.
type Complaint struct {
	Means string
	Codes string // as Chrome and Edge, Firefox, and others show them
}

// complaints are what browsers that do not know the certificate say about it, for
// the name that the client came by.
func (c Certificate) complaints(host string, now time.Time) (list []Complaint) {
	switch {
	case now.After(c.NotAfter):
		list = append(list, Complaint{"It has expired. The administrator has to renew it; do not trust it before.", "NET::ERR_CERT_DATE_INVALID, SEC_ERROR_EXPIRED_CERTIFICATE"})
	case now.Before(c.NotBefore):
		list = append(list, Complaint{"It is not valid yet: its time begins " + day(c.NotBefore) + ". Is the clock of the server or of this computer wrong?", "NET::ERR_CERT_DATE_INVALID, MOZILLA_PKIX_ERROR_NOT_YET_VALID_CERTIFICATE"})
	}
	if !c.has(host) {
		list = append(list, Complaint{fmt.Sprintf("It is not for the name %s by which you came. Use one of its names, or ask the administrator for a certificate that has this one.", host), "NET::ERR_CERT_COMMON_NAME_INVALID, SSL_ERROR_BAD_CERT_DOMAIN"})
	}
	if c.SelfSigned {
		list = append(list, Complaint{"No authority vouches for it: this server has made it itself. A browser cannot know whether it talks to this server or to somebody in between.", "NET::ERR_CERT_AUTHORITY_INVALID, MOZILLA_PKIX_ERROR_SELF_SIGNED_CERT"})
	} else {
		list = append(list, Complaint{fmt.Sprintf("If your browser warns though none of the above is the case, it does not know the authority %q. In a company that has its own, its administrators hand out that authority's certificate.", c.AnchorName), "NET::ERR_CERT_AUTHORITY_INVALID, SEC_ERROR_UNKNOWN_ISSUER"})
	}
	return list
}

// has reports whether the certificate is for a host.
func (c Certificate) has(host string) bool {
	host = strings.ToLower(host)
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(c.Names, func(name string) bool {
		name = strings.ToLower(name)
		if ip := net.ParseIP(host); ip != nil {
			return ip.Equal(net.ParseIP(name))
		}
		return name == host || parent != "" && name == "*."+parent
	})
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }

// mates are the certificate pages of other nodes: accepting one certificate does
// not stand for another.
func (p *pages) mates() (list []string) {
	if p.site.Mates == nil {
		return nil
	}
	for _, m := range p.site.Mates() {
		address := m.BOSH
		if address == "" {
			address = "http" + strings.TrimPrefix(m.WebSocket, "ws")
		}
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			list = append(list, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: certificatePath}).String())
		}
	}
	return list
}

// opener returns the origin of the page that opened this one, which it names in
// "from", if it may connect here at all.
func (p *pages) opener(r *http.Request) string {
	from := r.URL.Query().Get("from")
	if from == "" {
		return ""
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	origin := u.Scheme + "://" + u.Host
	if _, ok := p.edge.policy.Load().allowOrigin(origin, r.Host); !ok {
		return ""
	}
	return origin
}

// tell is the script that tells the page which opened this one that the browser
// takes the certificate: else this would not run by HTTPS.
const tell = `(()=>{const back=document.getElementById('back');if(window.opener)window.opener.postMessage({deskline:'certificate',node:location.origin,trusted:true},back.dataset.origin);` +
	`back.addEventListener('click',(e)=>{if(window.opener){e.preventDefault();window.close();}});})()`

// tellHash lets the policy of the page run it.
var tellHash = func() string {
	sum := sha256.Sum256([]byte(tell))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// script is tell as templates take it.
const script = template.JS(tell)
