package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/deskline/deskline/presence/calendar"
)

// Path is where the service tells of changes.
const Path = "/presence/v1/graph"

const (
	maxToken   = 2048    // bytes of a validation token
	maxBody    = 1 << 20 // of notifications
	maxNotices = 2000    // of a body
	maxText    = 256     // of what matters in one
	readTime   = 5 * time.Second
)

// notice is what of a notification matters: neither what has changed nor how.
type notice struct {
	ID    string `json:"subscriptionId"`
	State string `json:"clientState"`
	Event string `json:"lifecycleEvent,omitempty"`
}

// ServeHTTP proves to the service that it has the right address, and takes what it tells.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Microsoft Graph tells of changes here, by POST", http.StatusMethodNotAllowed)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, "the query cannot be read", http.StatusBadRequest)
		return
	}
	if tokens, ok := query["validationToken"]; ok {
		validate(w, tokens)
		return
	}
	h.take(w, r)
}

// take has what is told carried out, within limits.
func (h *Hub) take(w http.ResponseWriter, r *http.Request) {
	addr := h.c.Peer(r)
	if wait := h.limit.Wait(addr, time.Now()); wait > 0 {
		refuse(w, http.StatusTooManyRequests, wait)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		refuse(w, http.StatusServiceUnavailable, time.Second)
		return
	}
	// Whoever is slow shall not keep others out. The server sets another deadline for the next
	// request; where none can be set, its own counts.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTime))
	list, err := parseNotices(http.MaxBytesReader(w, r.Body, maxBody))
	proven := false
	for _, n := range list {
		proven = h.hear(n, true) || proven
	}
	if !proven {
		h.limit.Take(addr, time.Now())
	}
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, err.Error(), status)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func refuse(w http.ResponseWriter, status int, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	http.Error(w, "try again later", status)
}

// validate says the token back that the service sends before it makes a subscription.
// Anybody may have it say something, so it is nothing that a browser would show as a page.
func validate(w http.ResponseWriter, tokens []string) {
	token := tokens[0]
	if len(tokens) != 1 || token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool {
		return r == '<' || r == '>' || r == unicode.ReplacementChar || unicode.IsControl(r)
	}) {
		http.Error(w, "this is no validation token", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, token) // the service may be gone
}

// parseNotices reads notifications: {"value": [...]} and whatever else is beside it.
func parseNotices(body io.Reader) ([]notice, error) {
	d := json.NewDecoder(body)
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	var list []notice
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, unread(err)
		}
		if key == "value" && list == nil {
			if list, err = parseValue(d); err != nil {
				return nil, err
			}
			continue
		}
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return nil, unread(err)
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("no notifications: something stands behind the object")
	}
	if list == nil {
		return nil, errors.New("no notifications: value is missing")
	}
	return list, nil
}

func parseValue(d *json.Decoder) ([]notice, error) {
	if err := expect(d, json.Delim('[')); err != nil {
		return nil, err
	}
	list := []notice{}
	for d.More() {
		if len(list) == maxNotices {
			return nil, errors.New("no notifications: too many")
		}
		var n notice
		if err := d.Decode(&n); err != nil {
			return nil, unread(err)
		}
		if len(n.ID) > maxText || len(n.State) > maxText || len(n.Event) > maxText {
			n = notice{} // which proves nothing
		}
		list = append(list, n)
	}
	return list, expect(d, json.Delim(']'))
}

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return unread(err)
	}
	if got != want {
		return fmt.Errorf("no notifications: %v is missing", want)
	}
	return nil
}

// unread is for what cannot be read; the text of such an error may be as long as that.
func unread(err error) error {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return fmt.Errorf("no notifications: %w", err)
	}
	return errors.New("no notifications: " + calendar.Brief(err.Error(), 100))
}
