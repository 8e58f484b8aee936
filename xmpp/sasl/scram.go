package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"hash"
	"strconv"

	"github.com/deskline/deskline/xmpp/jid"
)

// The names of the SCRAM mechanisms.
const (
	ScramSHA1   = "SCRAM-SHA-1"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// Hash returns the hash function of a SCRAM mechanism, nil for any other name.
func Hash(mechanism string) func() hash.Hash {
	switch mechanism {
	case ScramSHA1:
		return sha1.New
	case ScramSHA256:
		return sha256.New
	case ScramSHA512:
		return sha512.New
	}
	return nil
}

type scramState uint8

const (
	awaitFirst scramState = iota
	awaitFinal
	scramOver
)

// scram is the server side of RFC 5802 §5.
type scram struct {
	hash     func() hash.Hash
	verifier Verifier
	state    scramState
	first    clientFirst
	nonce    string // the client's and ours
	reply    string // server-first-message
	keys     Keys
	identity jid.JID
}

// NewSCRAM starts an exchange of one of the SCRAM mechanisms; false says that
// the name is none of them.
func NewSCRAM(mechanism string, v Verifier) (Exchange, bool) {
	h := Hash(mechanism)
	return &scram{hash: h, verifier: v}, h != nil
}

func (s *scram) Identity() jid.JID { return s.identity }

func (s *scram) Step(ctx context.Context, response []byte) ([]byte, bool, error) {
	if s.state == awaitFirst && response == nil {
		return []byte{}, false, nil
	}
	state := s.state
	s.state = scramOver
	switch state {
	case awaitFirst:
		reply, err := s.firstMessage(ctx, response)
		if err != nil {
			return nil, false, err
		}
		s.state = awaitFinal
		return reply, false, nil
	case awaitFinal:
		reply, err := s.finalMessage(ctx, response)
		return reply, err == nil, err
	default:
		return nil, false, malformed("the exchange is over")
	}
}

func (s *scram) firstMessage(ctx context.Context, msg []byte) ([]byte, error) {
	first, err := parseClientFirst(msg)
	if err != nil {
		return nil, err
	}
	keys, err := s.verifier.Keys(ctx, first.user)
	if err != nil {
		return nil, asFailure(ctx, err)
	}
	s.first, s.keys = first, keys
	s.nonce = first.nonce + rand.Text()
	s.reply = "r=" + s.nonce +
		",s=" + base64.StdEncoding.EncodeToString(keys.Salt) +
		",i=" + strconv.Itoa(keys.Iterations)
	return []byte(s.reply), nil
}

func (s *scram) finalMessage(ctx context.Context, msg []byte) ([]byte, error) {
	final, err := parseClientFinal(msg)
	if err != nil {
		return nil, err
	}
	// RFC 5802 §6: a changed header means that somebody stood between.
	if string(final.binding) != s.first.gs2 {
		return nil, malformed("channel binding does not match")
	}
	if subtle.ConstantTimeCompare([]byte(final.nonce), []byte(s.nonce)) != 1 {
		return nil, malformed("nonce does not match")
	}
	authMessage := []byte(s.first.bare + "," + s.reply + "," + final.withoutProof)
	id, err := s.verifier.Prove(ctx, s.first.user, s.first.authzid, func() bool {
		return s.proves(authMessage, final.proof)
	})
	if err != nil {
		return nil, asFailure(ctx, err)
	}
	s.identity = id
	signature := s.mac(s.keys.ServerKey, authMessage)
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), nil
}

// proves recovers the client key from the proof and compares its hash with the
// stored one (RFC 5802 §3).
func (s *scram) proves(authMessage, proof []byte) bool {
	signature := s.mac(s.keys.StoredKey, authMessage)
	if len(proof) != len(signature) {
		return false
	}
	clientKey := make([]byte, len(proof))
	subtle.XORBytes(clientKey, proof, signature)
	h := s.hash()
	h.Write(clientKey)
	return hmac.Equal(h.Sum(nil), s.keys.StoredKey)
}

func (s *scram) mac(key, msg []byte) []byte {
	m := hmac.New(s.hash, key)
	m.Write(msg)
	return m.Sum(nil)
}
