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
	streamNS  = " xmlns:stream='" + stream.NS + "'"
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

// parseNumber reads a non-negative decimal attribute.
func parseNumber(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && s[0] != '+'
}

// isTrue reads a boolean of XML Schema.
func isTrue(s string) bool { return s == "true" || s == "1" }

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
