package websocket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
	"github.com/deskline/deskline/xmpp/stream"
)

// run serves the connection until it has ended.
func (c *conn) run(ctx context.Context) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write(ctx)
	}()
	err := c.read(ctx)
	var told *stream.Error
	switch {
	case err == nil:
		_ = c.Close(nil)
	case errors.As(err, &told):
		_ = c.Close(told)
	case websocket.CloseStatus(err) != -1:
		c.end(&ending{reason: "left", lost: true})
	default:
		c.end(&ending{reason: "lost", lost: true})
	}
	<-written
}

// read handles what the client sends. It returns nil when the client closed
// the stream, a *stream.Error for the client, or the connection's own error.
func (c *conn) read(ctx context.Context) error {
	for {
		data, err := c.message()
		if err != nil {
			return err
		}
		c.hear()
		if len(bytes.TrimSpace(data)) == 0 {
			continue // what keeps other streams alive is harmless here
		}
		n, err := stanza.ParseFrame(data, c.limits.Stanza)
		if err != nil {
			return c.streamError(ctx, err)
		}
		more, err := c.handle(ctx, n)
		if err != nil || !more {
			return err
		}
	}
}

// message reads one text message. It has no deadline: pings find out about a
// client that stops in the middle.
func (c *conn) message() ([]byte, error) {
	kind, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	if kind != websocket.MessageText {
		// RFC 7395 §3.2
		return nil, stream.NewError(stream.BadFormat, "only text messages are understood")
	}
	limit := c.limits.Stanza.StanzaBytes
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, stream.NewError(stream.PolicyViolation, "message is larger than "+strconv.Itoa(limit)+" bytes")
	}
	return data, nil
}

// handle takes one element; more is false after the client's <close/>.
func (c *conn) handle(ctx context.Context, n *stanza.Node) (more bool, err error) {
	c.hearing.Lock()
	defer c.hearing.Unlock()
	switch {
	case c.isOver() != nil:
		return false, session.ErrEnded
	case n.Name == stanza.Name{Space: stream.NSFraming, Local: "open"}:
		return true, c.open(ctx, n)
	case n.Name == stanza.Name{Space: stream.NSFraming, Local: "close"},
		n.Name == stanza.Name{Space: stream.NS, Local: "error"}:
		return false, nil
	case c.sess == nil && (n.Name.Local == "open" || n.Name.Local == "stream"):
		return false, stream.NewError(stream.InvalidNamespace, "a stream begins with <open/> of "+stream.NSFraming)
	case c.sess == nil:
		return false, stream.NewError(stream.BadFormat, "a stream begins with <open/>")
	}
	if err := c.sess.Receive(ctx, n); err != nil {
		return false, c.streamError(ctx, err)
	}
	if !c.bound.Load() && c.sess.JID().Resource() != "" {
		c.bound.Store(true)
	}
	return true, nil
}

// open starts the stream, or starts it anew after authentication
// (RFC 7395 §3.4, §3.7).
func (c *conn) open(ctx context.Context, n *stanza.Node) error {
	if v := n.Attr("version"); !strings.HasPrefix(v, "1.") {
		return stream.NewError(stream.UnsupportedVersion, "version 1.0 is spoken here")
	}
	o := session.Opening{To: n.Attr("to"), From: n.Attr("from"), Lang: n.AttrNS(stanza.NSXML, "lang")}
	var err error
	if c.sess == nil {
		var s Session
		if s, err = c.door.cfg.Open(ctx, c, o); err == nil {
			c.sess = s
		}
	} else {
		err = c.sess.Restart(ctx, o)
	}
	if err != nil {
		return c.streamError(ctx, err)
	}
	c.opened.Store(true)
	err = c.Write(session.Frame{Bytes: c.opening(c.sess.Domain().String())}, session.Frame{Bytes: c.sess.Features()})
	if err != nil && !errors.Is(err, session.ErrEnded) {
		return stream.NewError(stream.ResourceConstraint, "")
	}
	return nil
}

// opening encodes <open/>. The id is not the session's, which is a secret.
func (c *conn) opening(from string) []byte {
	out := append([]byte("<open xmlns='"+stream.NSFraming+"' version='1.0' xml:lang='en' id='"), rand.Text()...)
	out = append(out, "' from='"...)
	return append(stanza.AppendEscaped(out, from), "'/>"...)
}

// closing encodes <close/>.
func closing(seeOther string) []byte {
	out := []byte("<close xmlns='" + stream.NSFraming + "'")
	if seeOther != "" {
		out = append(stanza.AppendEscaped(append(out, " see-other-uri='"...), seeOther), '\'')
	}
	return append(out, "/>"...)
}

// streamError makes of an error one that can be told.
func (c *conn) streamError(ctx context.Context, err error) error {
	var told *stream.Error
	if errors.As(err, &told) {
		return told
	}
	var syntax *stanza.SyntaxError
	if errors.As(err, &syntax) {
		return stream.FromSyntax(syntax)
	}
	c.door.cfg.Log.ErrorContext(ctx, "WebSocket stream", "remote", c.info.Remote.Addr().String(), "err", err)
	return stream.NewError(stream.InternalServerError, "")
}
