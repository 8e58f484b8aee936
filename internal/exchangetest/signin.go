package exchangetest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // NTLM knows no other
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck,gosec // as above
)

// signIn is how far a connection has come.
type signIn struct {
	challenge []byte
	info      []byte
	done      bool
}

// signedIn reports whether a request may pass, and what to answer if it may not.
func (s *Server) signedIn(conn net.Conn, r *http.Request) ([]string, bool) {
	at := s.conns[conn]
	if at == nil {
		at = &signIn{}
		s.conns[conn] = at
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	offered := false
	for _, one := range s.Schemes {
		offered = offered || one == scheme
	}
	switch {
	case scheme == "" && at.done: // NTLM signs in the connection
		return nil, true
	case !offered:
	case scheme == "Basic":
		user, password, _ := r.BasicAuth()
		if user == Domain+`\`+User && password == Password {
			return nil, true
		}
	case scheme == "Bearer":
		if value == s.Token {
			return nil, true
		}
	default:
		message, _ := base64.StdEncoding.DecodeString(value)
		switch {
		case len(message) >= 32 && bytes.HasPrefix(message, []byte("NTLMSSP\x00\x01\x00\x00\x00")):
			return []string{scheme + " " + base64.StdEncoding.EncodeToString(at.begin(message))}, false
		case at.challenge != nil && s.proved(at, message, r):
			at.done = true
			s.SignIns++
			return nil, true
		}
	}
	if offered {
		s.Refused++
	}
	at.challenge, at.done = nil, false
	var list []string
	for _, one := range s.Schemes {
		if one == "Basic" || one == "Bearer" {
			one += ` realm="mail"`
		}
		list = append(list, one)
	}
	return list, false
}

func unicode(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func pair(id uint16, value []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, id)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value))) //nolint:gosec // short
	return append(b, value...)
}

// begin makes a CHALLENGE_MESSAGE ([MS-NLMP] 2.2.1.2) as a member of a domain sends.
func (at *signIn) begin(negotiate []byte) []byte {
	at.challenge, at.done = make([]byte, 8), false
	_, _ = rand.Read(at.challenge)
	stamp := binary.LittleEndian.AppendUint64(nil, uint64(time.Now().UnixNano()/100+116444736000000000)) //nolint:gosec // after 1601
	at.info = bytes.Join([][]byte{
		pair(2, unicode(Domain)), pair(1, unicode("MAIL1")), pair(4, unicode("example.com")), pair(3, unicode("mail1.example.com")), pair(7, stamp), {0, 0, 0, 0},
	}, nil)
	target := unicode(Domain)
	asked := binary.LittleEndian.Uint32(negotiate[12:])
	flags := uint32(0x00000001|0x00000004|0x00000200|0x00010000|0x00800000) | asked&(0x00080000|0x20000000|0x80000000)
	const head = 56
	b := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	field := func(n, at int) {
		b = binary.LittleEndian.AppendUint16(b, uint16(n))  //nolint:gosec // short
		b = binary.LittleEndian.AppendUint16(b, uint16(n))  //nolint:gosec // short
		b = binary.LittleEndian.AppendUint32(b, uint32(at)) //nolint:gosec // short
	}
	field(len(target), head)
	b = binary.LittleEndian.AppendUint32(b, flags)
	b = append(append(b, at.challenge...), make([]byte, 8)...)
	field(len(at.info), head+len(target))
	b = append(b, 10, 0, 0x63, 0x45, 0, 0, 0, 15) // version
	return append(append(b, target...), at.info...)
}

// proved checks an AUTHENTICATE_MESSAGE with NTLMv2 ([MS-NLMP] 3.3.2).
func (s *Server) proved(at *signIn, message []byte, r *http.Request) bool {
	if len(message) < 64 || !bytes.HasPrefix(message, []byte("NTLMSSP\x00\x03\x00\x00\x00")) {
		return false
	}
	field := func(offset int) []byte {
		n, from := int(binary.LittleEndian.Uint16(message[offset:])), int(binary.LittleEndian.Uint32(message[offset+4:]))
		if from+n > len(message) {
			return nil
		}
		return message[from : from+n]
	}
	response, domain, user := field(20), field(28), field(36)
	if !bytes.Equal(domain, unicode(Domain)) || !bytes.Equal(user, unicode(User)) || len(response) < 16+28 {
		return false
	}
	hash := md4.New()
	hash.Write(unicode(Password))
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(md5.New, key)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	key := mac(hash.Sum(nil), unicode(strings.ToUpper(User)), domain)
	if !hmac.Equal(response[:16], mac(key, at.challenge, response[16:])) {
		return false
	}
	if s.Binding && !s.bound(response[16+28:]) {
		return false
	}
	return r.TLS != nil || !s.Binding
}

// bound looks for the channel binding of this server's certificate among the pairs.
func (s *Server) bound(pairs []byte) bool {
	sum := sha256.Sum256(s.Certificate().Raw)
	data := append([]byte("tls-server-end-point:"), sum[:]...)
	all := binary.LittleEndian.AppendUint32(make([]byte, 16), uint32(len(data))) //nolint:gosec // short
	want := md5.Sum(append(all, data...))                                        //nolint:gosec // as above
	return strings.Contains(hex.EncodeToString(pairs), "0a001000"+hex.EncodeToString(want[:]))
}
