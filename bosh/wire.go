package bosh

import (
	"crypto/sha1" //nolint:gosec // XEP-0124 §15 says SHA-1
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// NS is the namespace of the wrapper element, NSXBOSH that of its XMPP
// attributes (XEP-0206).
const (
	NS      = "http://jabber.org/protocol/httpbind"
	NSXBOSH = "urn:xmpp:xbosh"
)

const (
	bodyStart = "<body xmlns='" + NS + "'"
	bodyEnd   = "</body>"
)

var emptyBody = []byte(bodyStart + "/>")

func appendNumber(dst []byte, prefix string, n uint64) []byte {
	return append(strconv.AppendUint(append(dst, prefix...), n, 10), '\'')
}

func appendText(dst []byte, prefix, s string) []byte {
	return append(stanza.AppendEscaped(append(dst, prefix...), s), '\'')
}

// keyHash is the next member of a key sequence (XEP-0124 §15.3).
func keyHash(key string) string {
	sum := sha1.Sum([]byte(key)) //nolint:gosec // XEP-0124 §15 says SHA-1
	return hex.EncodeToString(sum[:])
}

// ending says how a session ends: the condition of XEP-0124 §17.2, and for
// remote-stream-error the stream error.
type ending struct {
	condition string // "" for an orderly end
	reason    string
	stream    *stream.Error
}

func endingOf(e *stream.Error) ending {
	switch {
	case e == nil:
		return ending{reason: "closed"}
	case e.Condition == stream.SystemShutdown:
		return ending{condition: "system-shutdown", reason: "the node is shutting down"}
	}
	return ending{condition: "remote-stream-error", reason: e.Error(), stream: e}
}

// appendAttrs appends the attributes of a terminating body.
func (e ending) appendAttrs(dst []byte) []byte {
	dst = append(dst, " type='terminate'"...)
	if e.condition != "" {
		dst = appendText(dst, " condition='", e.condition)
	}
	return dst
}

func (e ending) appendPayload(dst []byte) []byte {
	switch {
	case e.stream != nil:
		return e.stream.AppendXML(dst)
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
		return 400
	case "policy-violation":
		return 403
	case "item-not-found":
		return 404
	}
	return 200
}

// parseNumber reads a non-negative decimal attribute.
func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && s[0] != '+'
}

// version is a protocol version such as 1.11.
type version struct{ major, minor int }

func parseVersion(s string) (version, bool) {
	major, minor, ok := strings.Cut(s, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return version{a, b}, ok && err1 == nil && err2 == nil && a >= 0 && b >= 0
}

func (v version) less(o version) bool {
	return v.major < o.major || v.major == o.major && v.minor < o.minor
}

func (v version) String() string { return strconv.Itoa(v.major) + "." + strconv.Itoa(v.minor) }

var ourVersion = version{1, 11}
