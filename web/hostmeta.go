package web

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
)

// Relations of XEP-0156 §3.
const (
	relBOSH      = "urn:xmpp:alt-connections:xbosh"
	relWebSocket = "urn:xmpp:alt-connections:websocket"
)

// hostMetaDoc is the document of XEP-0156 in both its notations.
type hostMetaDoc struct {
	XMLName xml.Name `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD" json:"-"`
	Links   []link   `xml:"Link" json:"links"`
}

type link struct {
	Rel  string `xml:"rel,attr" json:"rel"`
	Href string `xml:"href,attr" json:"href"`
}

// add names the doors of a node. Clients that take the first they can use are
// better off with WebSocket.
func (d *hostMetaDoc) add(bosh, websocket string) {
	if websocket != "" {
		d.Links = append(d.Links, link{relWebSocket, websocket})
	}
	if bosh != "" {
		d.Links = append(d.Links, link{relBOSH, bosh})
	}
}

// hostMeta tells clients of any origin where the doors are (XEP-0156 §3.1).
func (p *pages) hostMeta(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD")
		h.Set("Access-Control-Allow-Headers", "*")
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !reads(w, r) {
		return
	}
	doc := hostMetaDoc{Links: []link{}}
	doc.add(p.doors(p.edge.Base(r)))
	// Further links are for clients that try one after another.
	if p.site.Mates != nil {
		for _, mate := range p.site.Mates() {
			doc.add(mate.BOSH, mate.WebSocket)
		}
	}
	var out []byte
	var err error
	if strings.HasSuffix(r.URL.Path, ".json") {
		h.Set("Content-Type", "application/json")
		out, err = json.Marshal(doc)
	} else {
		h.Set("Content-Type", "application/xrd+xml")
		out, err = xml.Marshal(doc)
		out = append([]byte(xml.Header), out...)
	}
	if err != nil {
		p.edge.cfg.Log.Error("host-meta", "err", err)
		plainText(w, http.StatusInternalServerError, "This document cannot be shown.")
		return
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "max-age=300")
	_, _ = w.Write(out) // the client may be gone
}
