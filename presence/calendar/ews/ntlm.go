package ews

import (
	"bytes"
	"context"
	"crypto"
	"crypto/md5"      //nolint:gosec // NTLM knows no other
	_ "crypto/sha256" // for crypto.SHA256 below
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/go-ntlmssp"

	"github.com/deskline/deskline/presence/calendar"
)

// line is one connection. NTLM signs in connections, not requests, so the three
// messages have to go over the same one, and what follows needs none.
type line struct {
	http   *http.Client
	url    string
	header map[string]string // of each request
	signed bool
}

func (s *Source) newLine(header map[string]string) *line {
	t := s.t.Clone()
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost = 1, 1
	t.ForceAttemptHTTP2 = false // it shares connections
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	return &line{http: client(t), url: s.c.URL, header: header}
}

// drain reads what little there is of an answer, so that its connection is used again.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

// byNTLM sends an envelope over a connection that is signed in, or is now.
func (s *Source) byNTLM(ctx context.Context, l *line, envelope string) (*http.Response, error) {
	if l.signed {
		resp, err := s.step(ctx, l, envelope, "")
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		drain(resp) // the server closed the connection, or forgot it
	}
	password, err := s.password()
	if err != nil {
		return nil, err
	}
	hello, err := ntlmssp.NewNegotiateMessage("", "")
	if err != nil {
		return nil, fmt.Errorf("sign in by NTLM: %w", err)
	}
	for _, scheme := range []string{"NTLM", "Negotiate"} {
		resp, err := s.step(ctx, l, "", scheme+" "+base64.StdEncoding.EncodeToString(hello))
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		challenge, offered := challenged(resp.Header, scheme)
		if challenge == nil {
			if scheme == "NTLM" && offered && !offers(resp.Header, "NTLM") {
				drain(resp)
				continue
			}
			return resp, nil
		}
		drain(resp)
		proof, err := ntlmssp.NewAuthenticateMessage(bind(challenge, resp.TLS), s.c.Username, password, nil)
		if err != nil {
			return nil, fmt.Errorf("sign in by NTLM: %w", err)
		}
		return s.step(ctx, l, envelope, scheme+" "+base64.StdEncoding.EncodeToString(proof))
	}
	return nil, errors.New("sign in by NTLM: the server offers nothing that is known")
}

// step is one request of a sign-in.
func (s *Source) step(ctx context.Context, l *line, body, authorization string) (*http.Response, error) {
	r, err := s.request(ctx, l, body)
	if err != nil {
		return nil, err
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if authorization != "" && body != "" { // on another connection it would count as a wrong password
		delete(r.Header, calendar.Replayable)
	}
	resp, err := l.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask Exchange: %w", err)
	}
	return resp, nil
}

// offers reports whether a server names a scheme.
func offers(h http.Header, scheme string) bool {
	for _, value := range h.Values("WWW-Authenticate") {
		if name, _, _ := strings.Cut(value, " "); strings.EqualFold(name, scheme) {
			return true
		}
	}
	return false
}

// challenged finds the second message; without one, whether Negotiate is offered.
func challenged(h http.Header, scheme string) (message []byte, negotiate bool) {
	for _, value := range h.Values("WWW-Authenticate") {
		name, text, _ := strings.Cut(value, " ")
		if !strings.EqualFold(name, scheme) || text == "" {
			continue
		}
		if message, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && len(message) < 64<<10 {
			return message, false
		}
	}
	return nil, offers(h, "Negotiate")
}

// What [MS-NLMP] 2.2.1.2 and 2.2.2.1 lay down.
const (
	infoAt       = 40 // length, space and place of the target information
	headLength   = 48
	endOfList    = 0
	bindingsPair = 10 // MsvAvChannelBindings
)

// bind puts the hash of the server's certificate (RFC 5929 §4) into the target
// information of a challenge, which the answer repeats: Exchange with extended
// protection refuses a sign-in that came over another's TLS.
func bind(challenge []byte, state *tls.ConnectionState) []byte {
	token := endpoint(state)
	if token == nil || len(challenge) < headLength {
		return challenge
	}
	length, at := int(binary.LittleEndian.Uint16(challenge[infoAt:])), uint64(binary.LittleEndian.Uint32(challenge[infoAt+4:]))
	if length == 0 || at+uint64(length) > uint64(len(challenge)) {
		return challenge
	}
	info := challenge[at : at+uint64(length)]
	var pairs []byte
	for rest := info; len(rest) >= 4; {
		id, n := binary.LittleEndian.Uint16(rest), 4+int(binary.LittleEndian.Uint16(rest[2:]))
		if id == endOfList || n > len(rest) {
			break
		}
		if id != bindingsPair {
			pairs = append(pairs, rest[:n]...)
		}
		rest = rest[n:]
	}
	pairs = binary.LittleEndian.AppendUint16(pairs, bindingsPair)
	pairs = binary.LittleEndian.AppendUint16(pairs, uint16(len(token)))
	pairs = append(append(pairs, token...), 0, 0, 0, 0)
	if len(pairs) > 1<<16-1 {
		return challenge
	}
	bound := append(bytes.Clone(challenge), pairs...)
	binary.LittleEndian.PutUint16(bound[infoAt:], uint16(len(pairs)))
	binary.LittleEndian.PutUint16(bound[infoAt+2:], uint16(len(pairs)))
	binary.LittleEndian.PutUint32(bound[infoAt+4:], uint32(len(challenge))) //nolint:gosec // below 64 KiB
	return bound
}

// endpoint is the MD5 of a gss_channel_bindings_struct of tls-server-end-point.
func endpoint(state *tls.ConnectionState) []byte {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	cert := state.PeerCertificates[0]
	hash := crypto.SHA256
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	case x509.PureEd25519:
		return nil // RFC 5929 does not define it
	}
	h := hash.New()
	h.Write(cert.Raw)
	data := h.Sum([]byte("tls-server-end-point:"))
	all := make([]byte, 16, 20+len(data)) // of addresses there are none
	all = binary.LittleEndian.AppendUint32(all, uint32(len(data)))
	sum := md5.Sum(append(all, data...)) //nolint:gosec // as above
	return sum[:]
}
