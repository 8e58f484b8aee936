package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/deskline/deskline/bench/wire"
)

// signIn opens the client's session, unharmed.
func (c *client) signIn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + c.user + "\x00" + c.cfg.Password))
	steps := []struct{ attrs, payload, want string }{
		{fmt.Sprintf(" content='text/xml; charset=utf-8' hold='1' wait='55' ver='1.11' to='%s' xml:lang='en'"+
			" xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'", c.cfg.Domain), "", "PLAIN"},
		{"", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain + "</auth>", "<success"},
		{fmt.Sprintf(" xmpp:restart='true' to='%s' xmlns:xmpp='urn:xmpp:xbosh'", c.cfg.Domain), "", "xmpp-bind"},
		{"", "<iq xmlns='jabber:client' id='b' type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</jid>"},
		{"", "<presence xmlns='jabber:client'/>", "<presence"},
	}
	for _, step := range steps {
		if err := c.step(ctx, step.attrs, step.payload, step.want); err != nil {
			return err
		}
	}
	c.expect = c.rid
	return nil
}

// step sends one request and polls until a response has what is wanted.
func (c *client) step(ctx context.Context, attrs, payload, want string) error {
	for {
		req := c.request(attrs, payload)
		body, err := c.lines.exchange(ctx, req.bytes, fateNone, c.random)
		if err != nil {
			return err
		}
		tag := wire.StartTag(body)
		if tag == nil || wire.Attr(tag, "type") != nil || bytes.Contains(body, []byte("<failure")) {
			return fmt.Errorf("server says %s", body)
		}
		if c.sid == "" {
			if c.sid = string(wire.Attr(tag, "sid")); c.sid == "" {
				return errors.New("no sid in the creation response")
			}
			c.pauses = wire.Attr(tag, "maxpause") != nil
		}
		if _, rest, ok := bytes.Cut(body, []byte("<jid>")); ok {
			jid, _, _ := bytes.Cut(rest, []byte("</jid>"))
			c.jid = string(jid)
		}
		if bytes.Contains(body, []byte(want)) {
			return nil
		}
		attrs, payload = "", ""
	}
}
