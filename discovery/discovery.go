// Package discovery tells clients which node to use and which is its mate:
//
//	GET /discovery/v1/nodes?user=alice@example.com
//
//	{"version":1,"domain":"example.com","epoch":17,"ttl":86400,
//	 "primary":{"node":"n1","bosh":"https://…","websocket":"wss://…"},"secondary":{…}}
//
// Any node answers for every user. An answer is worked out from the name alone,
// so that users and names that nobody has are answered alike, in the same time,
// and the same each time: nobody can be enumerated. Browsers keep the answer for
// its time; its tag has the epoch, which every change of an assignment raises.
//
// [Hostnames] says the same within SASL, for clients built on Cisco's library.
package discovery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/internal/rate"
	"github.com/deskline/deskline/xmpp/jid"
)

// Path is where discovery is answered.
const Path = "/discovery/v1/nodes"

// stale is how long a client may use an answer while no node can be asked.
const stale = 7 * 24 * time.Hour

// Node is one node as clients reach it. The zero value is none.
type Node struct {
	Name      string `json:"node"`
	BOSH      string `json:"bosh,omitempty"`
	WebSocket string `json:"websocket,omitempty"`
}

// Answer is where a user belongs.
type Answer struct {
	Epoch     uint64
	Primary   Node
	Secondary Node
}

// Directory knows where users belong.
type Directory interface {
	// Locate answers for any user, known or not, from memory. base is the
	// address by which the client reached this node.
	Locate(user jid.JID, base string) Answer
}

// Config is what a [Handler] needs.
type Config struct {
	Directory Directory
	Domains   []string      // served here; users without a domain are of the first
	TTL       time.Duration // of an answer
	Rate      int           // answers an address may have in a minute; 0 = no bound
	Base      func(*http.Request) string
	Peer      func(*http.Request) (remote netip.AddrPort, secure bool)
	Origin    func(*http.Request) (origin string, ok bool) // for CORS; "*" = all
	Log       *slog.Logger
}

// Handler answers discovery.
type Handler struct {
	cfg     Config
	limiter *rate.Limiter
}

// New returns a handler.
func New(cfg Config) *Handler {
	return &Handler{cfg: cfg, limiter: rate.New(cfg.Rate)}
}

// document is an answer as it is written.
type document struct {
	Version   int    `json:"version"`
	Domain    string `json:"domain"`
	Epoch     uint64 `json:"epoch"`
	TTL       int    `json:"ttl"` // seconds
	Primary   *Node  `json:"primary"`
	Secondary *Node  `json:"secondary"` // null = none
}

// problem is what is written instead.
type problem struct {
	Version int    `json:"version"`
	Error   string `json:"error"`
	Text    string `json:"text"`
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.cors(w, r)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		h.fail(w, http.StatusMethodNotAllowed, "method-not-allowed", "This can only be read.")
		return
	}
	if wait := h.wait(r); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		h.fail(w, http.StatusTooManyRequests, "too-many-requests", "This address asks too often.")
		return
	}
	user, bad := h.user(r)
	if bad != nil {
		h.fail(w, http.StatusBadRequest, bad.Error, bad.Text)
		return
	}
	h.answer(w, r, user)
}

// wait returns how long the sender of r has to wait, 0 for not at all.
func (h *Handler) wait(r *http.Request) time.Duration {
	if h.cfg.Rate <= 0 || h.cfg.Peer == nil {
		return 0
	}
	remote, _ := h.cfg.Peer(r)
	return h.limiter.Take(remote.Addr(), time.Now())
}

// user reads the name that is asked for. What is wrong with it does not depend
// on who exists.
func (h *Handler) user(r *http.Request) (jid.JID, *problem) {
	text := strings.TrimSpace(r.URL.Query().Get("user"))
	switch {
	case text == "":
		return jid.JID{}, &problem{Error: "user-missing", Text: "Name the user: " + Path + "?user=alice@" + h.cfg.Domains[0]}
	case !strings.Contains(text, "@"):
		text += "@" + h.cfg.Domains[0]
	}
	user, err := jid.Parse(text)
	if err != nil || user.Local() == "" {
		return jid.JID{}, &problem{Error: "user-malformed", Text: "The user is not of the form alice@" + h.cfg.Domains[0] + "."}
	}
	for _, d := range h.cfg.Domains {
		if d == user.Domain() {
			return user.Bare(), nil
		}
	}
	return jid.JID{}, &problem{Error: "domain-unknown", Text: "The domain of the user is not served here."}
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, user jid.JID) {
	base := ""
	if h.cfg.Base != nil {
		base = h.cfg.Base(r)
	}
	a := h.cfg.Directory.Locate(user, base)
	doc := document{Version: 1, Domain: user.Domain(), Epoch: a.Epoch, TTL: int(h.cfg.TTL / time.Second), Primary: &a.Primary}
	if a.Secondary.Name != "" {
		doc.Secondary = &a.Secondary
	}
	body, err := encode(doc)
	if err != nil {
		h.cfg.Log.ErrorContext(r.Context(), "discovery", "err", err)
		h.fail(w, http.StatusInternalServerError, "internal", "This cannot be answered.")
		return
	}
	header := w.Header()
	// The epoch tells changes of assignments; a node may also have got another
	// address.
	sum := sha256.Sum256(body)
	tag := `"` + strconv.FormatUint(a.Epoch, 10) + "-" + hex.EncodeToString(sum[:6]) + `"`
	header.Set("Cache-Control", "private, max-age="+strconv.Itoa(doc.TTL)+", stale-if-error="+strconv.Itoa(int(stale/time.Second)))
	header.Set("Etag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header["Content-Type"], header["X-Content-Type-Options"] = jsonContent, noSniff
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client may be gone
	}
}

var (
	jsonContent = []string{"application/json"}
	noSniff     = []string{"nosniff"}
	varyOrigin  = []string{"Origin"}
)

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // for & in addresses
	err := e.Encode(v)
	return out.Bytes(), err
}

func (h *Handler) fail(w http.ResponseWriter, status int, name, text string) {
	body, err := encode(problem{1, name, text})
	if err != nil {
		h.cfg.Log.Error("discovery", "err", err)
	}
	header := w.Header()
	header["Content-Type"], header["X-Content-Type-Options"] = jsonContent, noSniff
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// matches compares as RFC 9110 §13.1.2 has it for reading: weakly.
func matches(fields []string, tag string) bool {
	for _, field := range fields {
		for one := range strings.SplitSeq(field, ",") {
			if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// cors lets pages of the allowed origins ask, and see the tag.
func (h *Handler) cors(w http.ResponseWriter, r *http.Request) {
	if h.cfg.Origin == nil {
		return
	}
	header := w.Header()
	origin, ok := h.cfg.Origin(r)
	if origin != "*" {
		// Also without an origin: the answer is kept, and pages would get it.
		header["Vary"] = varyOrigin
	}
	if !ok || origin == "" {
		return
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", "ETag, Retry-After")
	if r.Method == http.MethodOptions {
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		header.Set("Access-Control-Allow-Headers", "If-None-Match, Cache-Control")
		header.Set("Access-Control-Max-Age", "86400")
	}
}
