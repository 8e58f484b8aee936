package sip

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Reach asks a server by OPTIONS (RFC 3261 §11) whether it is there; any answer will do.
func (s Subscription) Reach(ctx context.Context, secure *tls.Config) error {
	server, transport, err := s.server()
	if err != nil {
		return err
	}
	addr := net.JoinHostPort(server.Host, strconv.Itoa(server.Port))
	var c net.Conn
	if transport == "tls" {
		c, err = (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", addr)
	} else {
		c, err = (&net.Dialer{}).DialContext(ctx, transport, addr)
	}
	if err != nil {
		return fmt.Errorf("reach: %w", err)
	}
	defer func() { _ = c.Close() }() // it has served
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	tag, uri := rand.Text(), "sip:"+server.Host
	text := "OPTIONS " + uri + " SIP/2.0\r\nVia: SIP/2.0/" + strings.ToUpper(transport) + " " + c.LocalAddr().String() + ";branch=z9hG4bK" + tag + ";rport\r\n" +
		"Max-Forwards: 70\r\nFrom: <sip:deskline@" + server.Host + ">;tag=" + tag[:16] + "\r\nTo: <" + uri + ">\r\nCall-ID: " + tag + "\r\n" +
		"CSeq: 1 OPTIONS\r\nUser-Agent: deskline\r\nContent-Length: 0\r\n\r\n"
	answer := bufio.NewReaderSize(c, 4096)
	for wait := 500 * time.Millisecond; ; wait *= 2 { // RFC 3261 §17.1.2.2, a datagram may be lost
		if _, err := c.Write([]byte(text)); err != nil {
			return fmt.Errorf("reach: %w", err)
		}
		if transport == "udp" {
			_ = c.SetReadDeadline(time.Now().Add(wait))
		}
		line, err := answer.ReadSlice('\n')
		if strings.HasPrefix(string(line), "SIP/2.0 ") {
			return nil
		}
		var slow net.Error
		if ctx.Err() != nil || transport != "udp" || !errors.As(err, &slow) || !slow.Timeout() {
			return fmt.Errorf("reach: no answer: %w", errors.Join(ctx.Err(), err))
		}
	}
}
