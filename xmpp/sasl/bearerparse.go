package sasl

import (
	"strings"
	"unicode/utf8"
)

const (
	// MaxBearer is the largest client message of OAUTHBEARER in bytes. Tokens of
	// users in many groups have 10 KiB.
	MaxBearer = 20 << 10
	// maxPairs is how many keys a message may have; there are seven.
	maxPairs = 16

	kvsep = "\x01"
)

// bearerMessage is a parsed client message (RFC 7628 §3.1).
type bearerMessage struct {
	authzid string
	token   string // "" if the client has none
}

// parseBearer reads gs2-header kvsep *kvpair kvsep.
func parseBearer(msg []byte) (bearerMessage, error) {
	var m bearerMessage
	if len(msg) > MaxBearer {
		return m, malformed("message is too long")
	}
	if !utf8.Valid(msg) {
		return m, malformed("message is not UTF-8")
	}
	header, rest, ok := strings.Cut(string(msg), kvsep)
	if !ok {
		return m, malformed("message is not complete")
	}
	var err error
	if m.authzid, err = parseBearerHeader(header); err != nil {
		return m, err
	}
	pairs, ok := strings.CutSuffix(rest, kvsep)
	if !ok {
		return m, malformed("message does not end as it should")
	}
	auth, err := bearerAuth(pairs)
	if err != nil || auth == "" {
		return m, err
	}
	scheme, token, _ := strings.Cut(auth, " ")
	if !strings.EqualFold(scheme, "Bearer") { // RFC 9110 §11.1
		return m, malformed("the kind of token is not Bearer")
	}
	m.token = strings.Trim(token, " ")
	if !isToken(m.token) {
		return m, malformed("the token has characters it cannot have")
	}
	return m, nil
}

// parseBearerHeader reads the gs2-header of RFC 5801 §4. The mechanism has no
// channel binding.
func parseBearerHeader(header string) (authzid string, err error) {
	flag, rest, ok := strings.Cut(header, ",")
	switch {
	case !ok:
		return "", malformed("message is not complete")
	case strings.HasPrefix(flag, "p="):
		return "", malformed("channel binding is not offered")
	case flag != "n" && flag != "y":
		return "", malformed("channel binding flag is unknown")
	}
	field, end, ok := strings.Cut(rest, ",")
	if !ok || end != "" {
		return "", malformed("the header is not complete")
	}
	if field == "" {
		return "", nil
	}
	// Stanza.js leaves out the "a=". Nothing else could stand here.
	if !strings.HasPrefix(field, "a=") {
		field = "a=" + field
	}
	if authzid, ok = saslname(field, "a="); !ok || strings.ContainsAny(authzid, "\r\n") {
		return "", malformed("authorization identity is not encoded well")
	}
	return authzid, nil
}

// bearerAuth returns the value of the key auth. Keys that are not known are
// passed over (RFC 7628 §3.1).
func bearerAuth(pairs string) (auth string, err error) {
	seen, count := false, 0
	for pairs != "" {
		pair, rest, ok := strings.Cut(pairs, kvsep)
		key, value, is := strings.Cut(pair, "=")
		if count++; !ok || !is || !isKey(key) || !isValue(value) || count > maxPairs {
			return "", malformed("a key is not written well, or there are too many")
		}
		if key == "auth" {
			if seen {
				return "", malformed("the key auth is there twice")
			}
			auth, seen = value, true
		}
		pairs = rest
	}
	return auth, nil
}

// isKey is 1*ALPHA.
func isKey(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

// isValue is *(VCHAR / SP / HTAB / CR / LF).
func isValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 0x20 || c > 0x7e) && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// isToken is b64token (RFC 6750 §2.1), or nothing.
func isToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~+/=", c) >= 0:
		default:
			return false
		}
	}
	return true
}
