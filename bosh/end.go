package bosh

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// ending says how a session ends: the condition of XEP-0124 §17.2, and for
// remote-stream-error the stream error.
type ending struct {
	condition string // "" for an orderly end
	reason    string
	stream    *stream.Error
	uri       string // of see-other-uri
	silent    bool   // nobody is told: to a client that comes late there is no session
}

// refusals are the stream errors that have a condition of their own as long as
// there is no stream (XEP-0124 §17.2).
var refusals = []string{
	"host-gone", stream.HostUnknown, stream.ImproperAddressing, stream.InternalServerError, "remote-connection-failed",
	stream.UndefinedCondition,
}

// refusalOf says why no session was opened.
func refusalOf(err error) ending {
	var e *stream.Error
	if errors.As(err, &e) && slices.Contains(refusals, e.Condition) {
		return ending{condition: e.Condition, reason: e.Text}
	}
	return endingFor(err)
}

// endingFor says how an error of the session ends it.
func endingFor(err error) ending {
	var e *stream.Error
	if errors.As(err, &e) {
		return endingOf(e)
	}
	return ending{condition: "internal-server-error", reason: "internal error"}
}

func endingOf(e *stream.Error) ending {
	switch {
	case e == nil:
		return ending{reason: "closed"}
	case e.Condition == stream.SystemShutdown:
		return ending{condition: "system-shutdown", reason: "the node is shutting down"}
	case e.Condition == stream.SeeOtherHost && strings.Contains(e.Detail, "://"):
		return ending{condition: "see-other-uri", reason: e.Text, uri: e.Detail}
	}
	return ending{condition: "remote-stream-error", reason: e.Error(), stream: e}
}

// toOthers is what the other requests get that wait when the session ends
// (XEP-0124 §13, §17.2).
func (e ending) toOthers(legacy bool) response {
	if e.condition == "" {
		return response{emptyBody, http.StatusOK}
	}
	return ending{condition: "other-request"}.response(legacy)
}

// log is the reason as the log has it.
func (e ending) log() string {
	switch {
	case e.condition == "" || e.stream != nil || e.silent:
		return e.reason
	case e.reason == "":
		return e.condition
	}
	return e.condition + ": " + e.reason
}

// appendAttrs appends the attributes of a terminating body.
func (e ending) appendAttrs(dst []byte) []byte {
	dst = append(dst, " type='terminate'"...)
	if e.condition != "" {
		dst = appendText(dst, " condition='", e.condition)
	}
	if e.stream != nil {
		dst = append(dst, streamNS...) // XEP-0206 §2
	}
	return dst
}

func (e ending) appendPayload(dst []byte) []byte {
	switch {
	case e.stream != nil:
		return e.stream.AppendXML(dst)
	case e.uri != "":
		dst = append(dst, "<uri>"...)
		return append(stanza.AppendEscaped(dst, e.uri), "</uri>"...)
	case e.condition != "" && e.reason != "":
		// Why, for people; no standard element has room for it.
		dst = append(dst, "<text xmlns='urn:deskline:bosh:1' xml:lang='en'>"...)
		return append(stanza.AppendEscaped(dst, e.reason), "</text>"...)
	}
	return dst
}

// body encodes a terminating body without payload of the session's.
func (e ending) body() []byte {
	out := append(e.appendAttrs([]byte(bodyStart)), '>')
	return append(e.appendPayload(out), bodyEnd...)
}

// status is the HTTP code that says the same to clients of before version 1.6
// (XEP-0124 §17.1); 200 if there is none.
func (e ending) status() int {
	switch e.condition {
	case "bad-request":
		return http.StatusBadRequest
	case "policy-violation":
		return http.StatusForbidden
	case "item-not-found":
		return http.StatusNotFound
	}
	return http.StatusOK
}

// last builds the response that ends the session, after what is left to say.
func (c *conn) last(e ending, rid uint64, now time.Time) []byte {
	out := e.appendAttrs([]byte(bodyStart))
	out = c.win.AppendAttrs(out, rid, now)
	if e.stream == nil && c.negotiates() {
		out = append(out, streamNS...)
	}
	out = append(out, '>')
	for _, f := range c.queue {
		out = append(out, f.Bytes...)
	}
	c.empty()
	return append(e.appendPayload(out), bodyEnd...)
}

// negotiates reports whether an element of the stream's own is queued, whose
// prefix the body has to declare (XEP-0206 §2).
func (c *conn) negotiates() bool {
	for i := range c.queue {
		if bytes.HasPrefix(c.queue[i].Bytes, []byte("<stream:")) {
			return true
		}
	}
	return false
}

// broke says how an error ends the session, and logs what is not for clients.
func (c *conn) broke(ctx context.Context, err error) ending {
	e := endingFor(err)
	if e.condition == stream.InternalServerError {
		c.h.cfg.Load().Log.ErrorContext(ctx, "BOSH request", "sid", c.sess.SID().Ref(), "err", err)
	}
	return e
}

// response is the answer to a request that ends, or that comes after the end.
func (e ending) response(legacy bool) response {
	if legacy {
		return response{e.body(), e.status()}
	}
	return response{e.body(), http.StatusOK}
}
