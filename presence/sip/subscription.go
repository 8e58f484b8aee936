package sip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// maxLines bounds the lines of all subscriptions.
const maxLines = 200_000

// maxLists bounds the lists of one server.
const maxLists = 1000

// Subscription names lines of a server that are subscribed to.
type Subscription struct {
	Server         string   // sip:pbx.example.com:5060;transport=tcp
	Event          string   // dialog or presence
	Lines          []string // users as 2001, ranges as 2000-2999, or whole URIs
	Lists          []string // of the server, whose members it tells of (RFC 4662): users or whole URIs
	LinesTo        string   // a list server that takes Lines in the request (RFC 5367), a user or URI; "" = each is subscribed to
	From           string   // who subscribes, a URI; "" = sip:deskline@ and the server's host
	User, Password string   // for digest; "" = none
	Expires        time.Duration
}

// Check says what is wrong with a subscription.
func (s Subscription) Check() error {
	if _, _, err := s.server(); err != nil {
		return err
	}
	if typeOf[s.Event] == "" {
		return fmt.Errorf("event %q is neither dialog nor presence", s.Event)
	}
	if s.From != "" {
		if _, err := Normalise(s.From); err != nil {
			return fmt.Errorf("from %q: %w", s.From, err)
		}
	}
	lines, err := s.uris()
	if err != nil {
		return err
	}
	if err := s.checkLinesTo(len(lines)); err != nil {
		return err
	}
	return s.checkLists()
}

func (s Subscription) checkLinesTo(lines int) error {
	if s.LinesTo == "" {
		return nil
	}
	server, _, err := s.server()
	if err != nil {
		return err
	}
	if _, err := Normalise(s.whole(server.Host, s.LinesTo)); err != nil {
		return fmt.Errorf("lines_to %q: %w", s.LinesTo, err)
	}
	if lines == 0 || lines > MaxMembers {
		return fmt.Errorf("lines_to: takes 1 to %d lines, not %d", MaxMembers, lines)
	}
	if slices.Contains(s.Lists, s.LinesTo) {
		return fmt.Errorf("lines_to: %q is one of lists already", s.LinesTo)
	}
	return nil
}

func (s Subscription) checkLists() error {
	if len(s.Lists) > maxLists {
		return fmt.Errorf("lists: more than %d", maxLists)
	}
	for i, text := range s.Lists {
		server, _, err := s.server()
		if err != nil {
			return err
		}
		if _, err := Normalise(s.whole(server.Host, text)); err != nil || text == "" {
			return fmt.Errorf("lists %q: %w", text, ErrLine)
		}
		if slices.Contains(s.Lists[:i], text) {
			return fmt.Errorf("lists %q: is there twice", text)
		}
	}
	return nil
}

// whole writes a user of the server as a URI.
func (s Subscription) whole(host, text string) string {
	if strings.Contains(text, "@") {
		return text
	}
	return "sip:" + strings.TrimPrefix(text, "sip:") + "@" + host
}

// Transport is udp, tcp or tls.
func (s Subscription) Transport() (string, error) {
	_, transport, err := s.server()
	return transport, err
}

// server returns the address and the transport: udp, tcp or tls.
func (s Subscription) server() (uri sip.Uri, transport string, err error) {
	if err = sip.ParseUri(s.Server, &uri); err != nil {
		return uri, "", fmt.Errorf("server %q: %w", s.Server, err)
	}
	if uri.Scheme != "sip" && uri.Scheme != "sips" || uri.Host == "" {
		return uri, "", fmt.Errorf("server %q: no sip: or sips: URI", s.Server)
	}
	transport = strings.ToLower(uri.UriParams.GetOr("transport", "udp"))
	if uri.Scheme == "sips" {
		transport = "tls"
	}
	if transport != "udp" && transport != "tcp" && transport != "tls" {
		return uri, "", fmt.Errorf("server %q: transport is none of udp, tcp and tls", s.Server)
	}
	if uri.Port == 0 {
		uri.Port = sip.DefaultPort(transport)
	}
	return uri, transport, nil
}

// uris are the addresses of all lines.
func (s Subscription) uris() ([]string, error) {
	server, _, err := s.server()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, text := range s.Lines {
		if from, to, ok := span(text); ok {
			if to < from || to-from >= maxLines {
				return nil, fmt.Errorf("lines %q: no range of at most %d", text, maxLines)
			}
			digits, _, _ := strings.Cut(text, "-")
			for n := from; n <= to; n++ {
				all = append(all, fmt.Sprintf("sip:%0*d@%s", len(digits), n, server.Host))
			}
			continue
		}
		text = s.whole(server.Host, text)
		if _, err := Normalise(text); err != nil {
			return nil, fmt.Errorf("lines %q: %w", text, err)
		}
		all = append(all, text)
	}
	if len(all) > maxLines {
		return nil, fmt.Errorf("more than %d lines", maxLines)
	}
	return all, nil
}

// span reads a range such as 2000-2999.
func span(text string) (from, to int, ok bool) {
	a, b, ok := strings.Cut(text, "-")
	if !ok || len(a) != len(b) || len(a) > 15 {
		return 0, 0, false
	}
	from, err := strconv.Atoi(a)
	if err != nil {
		return 0, 0, false
	}
	to, err = strconv.Atoi(b)
	return from, to, err == nil
}

// contact is where a server reaches this node: the address that the way to it
// begins at, and the port of the listener.
func (s *Source) contact(transport string, server netip.AddrPort) (netip.AddrPort, error) {
	var at net.Addr
	switch udp, tcp, secure := s.Addrs(); transport {
	case "udp":
		at = udp
	case "tcp":
		at = tcp
	default:
		at = secure
	}
	if at == nil {
		return netip.AddrPort{}, errors.New("nothing listens on " + transport)
	}
	own, err := netip.ParseAddrPort(at.String())
	if err != nil || !own.Addr().IsUnspecified() {
		return own, err
	}
	// A UDP socket that is connected sends nothing, and knows the way.
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer func() { _ = c.Close() }() // it was for its address
	return netip.AddrPortFrom(addrOf(c.LocalAddr()), own.Port()), nil
}
