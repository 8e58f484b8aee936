package sip

import (
	"errors"
	"net/netip"
	"strings"
)

// maxURI bounds the URI of a line.
const maxURI = 256

// ErrLine is for what cannot be the address of a line.
var ErrLine = errors.New("no SIP, SIPS or tel URI, nor a number")

// Normalise writes the address of a line in the one way it is compared:
// sip:2001@pbx.example.com without port, password and parameters, or tel:+4930123456.
// Schemes pres and sips become sip, separators in numbers go.
func Normalise(text string) (string, error) {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "<"); ok {
		text, _, _ = strings.Cut(inner, ">")
	}
	if text == "" || len(text) > maxURI || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd }) {
		return "", ErrLine
	}
	scheme, rest, ok := strings.Cut(text, ":")
	switch strings.ToLower(scheme) {
	case "tel":
		return number(rest)
	case "sip", "sips", "pres":
		return address(rest)
	}
	if ok && !strings.Contains(text, "@") {
		return "", ErrLine
	}
	if strings.Contains(text, "@") {
		return address(text)
	}
	return number(text)
}

func number(text string) (string, error) {
	text, _, _ = strings.Cut(text, ";")
	if text = digits(text); text == "" || text == "+" {
		return "", ErrLine
	}
	return "tel:" + text, nil
}

func address(text string) (string, error) {
	text, _, _ = strings.Cut(text, "?")
	user, host, ok := strings.Cut(text, "@")
	if !ok { // a host alone is no line
		return "", ErrLine
	}
	user, _, _ = strings.Cut(user, ";") // such as phone-context
	user, _, _ = strings.Cut(user, ":") // a password
	if d := digits(user); d != "" {
		user = d
	}
	host = hostOf(host)
	if user == "" || host == "" || strings.ContainsAny(user, "<>\"@?") {
		return "", ErrLine
	}
	return "sip:" + user + "@" + host, nil
}

// hostOf returns a host in lower case without port and parameters, or "".
func hostOf(text string) string {
	text, _, _ = strings.Cut(text, ";")
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, _, _ = strings.Cut(inner, "]")
		if a, err := netip.ParseAddr(inner); err == nil && a.Is6() && a.Zone() == "" {
			return "[" + a.String() + "]"
		}
		return ""
	}
	text, _, _ = strings.Cut(text, ":")
	if strings.ContainsAny(text, "@<>\"[]?") {
		return ""
	}
	return strings.ToLower(strings.TrimRight(text, "."))
}

// digits returns a number without separators, or "" if the text is none.
func digits(text string) string {
	var b strings.Builder
	for i, r := range text {
		switch {
		case r >= '0' && r <= '9', r == '*', r == '#', r == '+' && i == 0:
			b.WriteRune(r)
		case strings.ContainsRune("-.()", r):
		default:
			return ""
		}
	}
	return b.String()
}

// Number returns the number or user part of a normalised line.
func Number(line string) string {
	_, rest, _ := strings.Cut(line, ":")
	user, _, _ := strings.Cut(rest, "@")
	return user
}
