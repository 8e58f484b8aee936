package sasl

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// clientFirst is a parsed client-first-message (RFC 5802 §7).
type clientFirst struct {
	gs2     string // gs2-header with both commas
	bare    string // client-first-message-bare
	authzid string
	user    string
	nonce   string
}

// clientFinal is a parsed client-final-message.
type clientFinal struct {
	binding      []byte
	nonce        string
	proof        []byte
	withoutProof string
}

func parseClientFirst(msg []byte) (clientFirst, error) {
	var c clientFirst
	s, err := message(msg)
	if err != nil {
		return c, err
	}
	flag, rest, ok := strings.Cut(s, ",")
	if !ok {
		return c, malformed("message is not complete")
	}
	switch {
	case flag == "n", flag == "y": // y: the client could bind; we do not offer it
	case strings.HasPrefix(flag, "p="):
		return c, malformed("channel binding is not offered")
	default:
		return c, malformed("channel binding flag is unknown")
	}
	authzid, bare, ok := strings.Cut(rest, ",")
	if !ok {
		return c, malformed("message is not complete")
	}
	if authzid != "" {
		if c.authzid, ok = saslname(authzid, "a="); !ok {
			return c, malformed("authorization identity is not encoded well")
		}
	}
	c.gs2, c.bare = s[:len(s)-len(bare)], bare
	// A mandatory extension ("m=") stands where the name is expected.
	name, rest, ok := strings.Cut(bare, ",")
	if !ok {
		return c, malformed("message is not complete")
	}
	if c.user, ok = saslname(name, "n="); !ok {
		return c, malformed("user name is not encoded well")
	}
	nonce, _, _ := strings.Cut(rest, ",")
	c.nonce, ok = strings.CutPrefix(nonce, "r=")
	if !ok || !printable(c.nonce) {
		return c, malformed("nonce is missing or not printable")
	}
	return c, nil
}

func parseClientFinal(msg []byte) (clientFinal, error) {
	var c clientFinal
	s, err := message(msg)
	if err != nil {
		return c, err
	}
	// The proof comes last, behind any extensions, and holds no comma.
	i := strings.LastIndexByte(s, ',')
	if i < 0 {
		return c, malformed("message is not complete")
	}
	c.withoutProof = s[:i]
	proof, ok := strings.CutPrefix(s[i+1:], "p=")
	if !ok {
		return c, malformed("proof is missing")
	}
	binding, rest, _ := strings.Cut(c.withoutProof, ",")
	nonce, _, _ := strings.Cut(rest, ",")
	if c.nonce, ok = strings.CutPrefix(nonce, "r="); !ok {
		return c, malformed("nonce is missing")
	}
	if binding, ok = strings.CutPrefix(binding, "c="); !ok {
		return c, malformed("channel binding is missing")
	}
	if c.proof, err = base64.StdEncoding.DecodeString(proof); err != nil {
		return c, malformed("proof is not base64")
	}
	if c.binding, err = base64.StdEncoding.DecodeString(binding); err != nil {
		return c, malformed("channel binding is not base64")
	}
	return c, nil
}

func message(msg []byte) (string, error) {
	if len(msg) > MaxMessage {
		return "", malformed("message is too long")
	}
	if !utf8.Valid(msg) {
		return "", malformed("message is not UTF-8")
	}
	return string(msg), nil
}

// saslname undoes "=2C" and "=3D"; any other "=" is an error (RFC 5802 §5.1),
// and so is NUL.
func saslname(field, prefix string) (string, bool) {
	s, ok := strings.CutPrefix(field, prefix)
	if !ok || s == "" || strings.IndexByte(s, 0) >= 0 {
		return "", false
	}
	if strings.IndexByte(s, '=') < 0 {
		return s, true
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		b.WriteString(before)
		if !found {
			return b.String(), true
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		s = after[2:]
	}
}

// printable is the rule for nonces: ASCII from "!" to "~" without comma.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || s[i] == ',' {
			return false
		}
	}
	return s != ""
}
