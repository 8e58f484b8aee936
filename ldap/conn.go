package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	goldap "github.com/go-ldap/ldap/v3"
)

// maxPacket bounds one message of a server: an entry with a large photo.
const maxPacket = 16 << 20

func init() {
	// The library's own bounds, 2 GiB and 1000, would let a server have all memory.
	ber.MaxPacketLengthBytes = maxPacket
	ber.MaxNestingDepth = 100
}

// conn is a connection that serves one operation at a time. Deadlines are set on
// the socket, below the library, whose own timeouts leave a request behind.
type conn struct {
	*goldap.Conn
	raw    net.Conn
	server *server
	reused bool // so that a failure may only tell that it was idle for too long
	broken bool
	idle   time.Time // since when
}

// run carries out f within the deadline of ctx, or closes the connection.
func (c *conn) run(ctx context.Context, f func(*goldap.Conn) error) error {
	deadline, _ := ctx.Deadline() // the zero time is none
	err := c.raw.SetDeadline(deadline)
	if err != nil {
		c.broken = true
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
	err = f(c.Conn)
	if !stop() {
		c.broken = true
		if err != nil {
			return fmt.Errorf("no answer in time: %w", ctx.Err())
		}
		return nil
	}
	if err != nil && !answered(err) {
		c.broken = true
	}
	if c.raw.SetDeadline(time.Time{}) != nil {
		c.broken = true
	}
	return err
}

// close never waits.
func (c *conn) close() {
	_ = c.raw.SetDeadline(time.Unix(1, 0)) // so that nothing under way can hold it up
	_ = c.Close()
}

// usable reports whether the connection may serve again.
func (c *conn) usable() bool { return !c.broken && !c.IsClosing() }

// answered reports whether an error is what a server said, not that it did not.
func answered(err error) bool {
	e, ok := errors.AsType[*goldap.Error](err)
	return ok && e.ResultCode < goldap.ErrorNetwork
}

// failed reports whether another server may do better.
func failed(err error) bool {
	return err != nil && (!answered(err) || goldap.IsErrorAnyOf(err, goldap.LDAPResultBusy, goldap.LDAPResultUnavailable))
}

// dial connects, with TLS if it is asked for, and binds as the service unless the
// connection is for the passwords of others.
func (s *server) dial(ctx context.Context, asService bool) (_ *conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	began := time.Now()
	defer func() { s.cfg.Metrics.Operation("connect", time.Since(began), err) }()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	transport := raw
	if s.secure {
		client := tls.Client(raw, s.tls)
		if err := client.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		transport = client
	}
	c := &conn{Conn: goldap.NewConn(transport, s.secure), raw: raw, server: s}
	c.Start()
	err = c.run(ctx, func(l *goldap.Conn) error { return s.greet(l, asService) })
	if err != nil || !c.usable() {
		c.close()
		return nil, errors.Join(err, ctx.Err())
	}
	return c, nil
}

func (s *server) greet(l *goldap.Conn, asService bool) error {
	if s.cfg.StartTLS {
		if err := l.StartTLS(s.tls); err != nil {
			return fmt.Errorf("StartTLS: %w", err)
		}
	}
	if !asService || s.cfg.BindDN == "" {
		return nil
	}
	if err := l.Bind(s.cfg.BindDN, s.cfg.BindPassword); err != nil {
		// Another server may know the service, and none of it is the fault of
		// whoever wants to sign in.
		return &serviceError{fmt.Errorf("bind as %s: %w", s.cfg.BindDN, said(err))}
	}
	return nil
}

// serviceError hides the result code of a failed bind of the service, which must
// not be taken for that of a person's.
type serviceError struct{ err error }

func (e *serviceError) Error() string { return e.err.Error() }

// said is what a server said, without the library's words around it.
func said(err error) error {
	e, ok := errors.AsType[*goldap.Error](err)
	switch {
	case !ok:
		return err
	case e.ResultCode == goldap.LDAPResultReferral:
		return errors.New("the server refers to another one (result code 10), which is not followed: set ldap.base to what it holds itself, or ldap.urls to the other")
	case e.Err == nil || e.Err.Error() == "":
		return errors.New(goldap.LDAPResultCodeMap[e.ResultCode])
	case goldap.LDAPResultCodeMap[e.ResultCode] == "":
		return e.Err
	}
	return fmt.Errorf("%s: %w", goldap.LDAPResultCodeMap[e.ResultCode], e.Err)
}

// address splits a URL of the configuration.
func address(text string) (addr, host string, secure bool, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "ldap" && u.Scheme != "ldaps" {
		return "", "", false, fmt.Errorf("ldap.urls: %q is no address", text)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port), u.Hostname(), u.Scheme == "ldaps", nil
}
