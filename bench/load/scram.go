package load

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// saltCache keeps salted passwords, so that the derivation does not load the
// machine whose server is measured. Real clients do it on their own machines.
type saltCache map[string][]byte

// scram is the client's side of one SCRAM exchange (RFC 5802, RFC 7677).
type scram struct {
	hash           func() hash.Hash
	mech, password string
	bare, nonce    string
}

func newScram(mech, user, password string) *scram {
	s := &scram{mech: mech, password: password, nonce: "bench" + user}
	switch mech {
	case "SCRAM-SHA-256":
		s.hash = sha256.New
	case "SCRAM-SHA-512":
		s.hash = sha512.New
	default:
		s.hash = sha1.New
	}
	s.bare = "n=" + user + ",r=" + s.nonce
	return s
}

func (s *scram) first() string {
	return base64.StdEncoding.EncodeToString([]byte("n,," + s.bare))
}

// respond answers the server's challenge.
func (s *scram) respond(challenge []byte, cache saltCache) (string, error) {
	if s == nil {
		return "", errors.New("challenge without an exchange")
	}
	raw, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(challenge)))
	if err != nil {
		return "", fmt.Errorf("decode challenge: %w", err)
	}
	nonce, salt, iterations, err := parseChallenge(string(raw))
	if err != nil {
		return "", err
	}
	key := s.mech + "\x00" + salt + "\x00" + strconv.Itoa(iterations)
	salted, ok := cache[key]
	if !ok {
		b, err := base64.StdEncoding.DecodeString(salt)
		if err != nil {
			return "", fmt.Errorf("decode salt: %w", err)
		}
		if salted, err = pbkdf2.Key(s.hash, s.password, b, iterations, s.hash().Size()); err != nil {
			return "", fmt.Errorf("derive key: %w", err)
		}
		cache[key] = salted
	}
	final := "c=biws,r=" + nonce
	clientKey := s.mac(salted, "Client Key")
	h := s.hash()
	h.Write(clientKey)
	signature := s.mac(h.Sum(nil), s.bare+","+string(raw)+","+final)
	for i := range clientKey {
		clientKey[i] ^= signature[i]
	}
	final += ",p=" + base64.StdEncoding.EncodeToString(clientKey)
	return base64.StdEncoding.EncodeToString([]byte(final)), nil
}

func (s *scram) mac(key []byte, text string) []byte {
	m := hmac.New(s.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func parseChallenge(raw string) (nonce, salt string, iterations int, err error) {
	for part := range strings.SplitSeq(raw, ",") {
		if len(part) < 2 || part[1] != '=' {
			continue
		}
		switch value := part[2:]; part[0] {
		case 'r':
			nonce = value
		case 's':
			salt = value
		case 'i':
			if iterations, err = strconv.Atoi(value); err != nil {
				return "", "", 0, fmt.Errorf("iteration count: %w", err)
			}
		}
	}
	if nonce == "" || salt == "" || iterations < 1 {
		return "", "", 0, errors.New("challenge lacks nonce, salt or iteration count")
	}
	return nonce, salt, iterations, nil
}
