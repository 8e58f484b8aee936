package sasl

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/secure/precis"
)

// MaxPassword is the longest password in bytes.
const MaxPassword = 1023

// ErrPassword says that a password cannot be used.
var ErrPassword = errors.New("password cannot be used")

// PreparePassword returns the form of a password that keys are derived from:
// SASLprep, as RFC 5802 §5.1 asks, and for characters newer than that profile
// (Unicode 3.2, so no emoji) PRECIS OpaqueString of RFC 8265 §4.2.
func PreparePassword(password string) (string, error) {
	if password == "" {
		return "", fmt.Errorf("%w: it is empty", ErrPassword)
	}
	if len(password) > MaxPassword {
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrPassword, MaxPassword)
	}
	if !utf8.ValidString(password) {
		return "", fmt.Errorf("%w: it is not UTF-8", ErrPassword)
	}
	if plainASCII(password) {
		return password, nil
	}
	if s, err := stringprep.SASLprep.Prepare(password); err == nil && s != "" {
		return s, nil
	}
	s, err := precis.OpaqueString.String(password)
	if err != nil || s == "" {
		return "", fmt.Errorf("%w: it has characters that are not allowed", ErrPassword)
	}
	return s, nil
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
