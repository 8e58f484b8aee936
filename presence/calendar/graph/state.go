package graph

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"

	"github.com/deskline/deskline/xmpp/jid"
)

// A clientState says whose calendar it is, to those who have the key alone, and proves
// that a node has asked for it: so any node can tell true notifications from others, those
// of subscriptions that a node made which is gone included.
const (
	nonceSize = 12
	tagSize   = 16
	sumSize   = 16
	stateSize = nonceSize + tagSize + sumSize // 59 signs; the service takes 128
)

// tag stands for a user of a source.
type tag [tagSize]byte

var encoding = base64.RawURLEncoding.Strict()

func derive(secret []byte) []byte { return sum(secret, "notifications of calendars") }

func sum(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return h.Sum(nil)
}

func (h *Hub) tag(source string, user jid.JID) tag {
	return tag(sum(h.key, "user", source, user.String())[:tagSize])
}

// seal makes another clientState for a user.
func (h *Hub) seal(t tag) string {
	b := make([]byte, nonceSize, stateSize)
	_, _ = rand.Read(b) // never fails
	b = append(b, t[:]...)
	b = append(b, sum(h.key, "state", string(b))[:sumSize]...)
	return encoding.EncodeToString(b)
}

// open finds out whom a clientState is for, if it is one.
func (h *Hub) open(state string) (tag, bool) {
	if len(state) != encoding.EncodedLen(stateSize) {
		return tag{}, false
	}
	b, err := encoding.DecodeString(state)
	if err != nil {
		return tag{}, false
	}
	said, proof := b[:nonceSize+tagSize], b[nonceSize+tagSize:]
	return tag(said[nonceSize:]), hmac.Equal(proof, sum(h.key, "state", string(said))[:sumSize])
}
