package xmpptest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// client is one stream of the conversation.
type client struct {
	name           string // as in the script
	user, resource string
	domain         string
	wire           wire
	in             *inbox
	full           string // once bound
	acted          bool   // since it last gave a sign of life
	signs          int
}

// split takes the name of a client apart.
func splitName(name string) (user, resource string) {
	address, _, _ := strings.Cut(name, "#")
	user, resource, _ = strings.Cut(address, "/")
	return user, resource
}

func (p *player) connect(ctx context.Context, st *statement) (*client, error) {
	if old := p.clients[st.who]; old != nil {
		if _, over := old.in.state(); over == nil {
			return nil, errors.New("is there already")
		}
		if err := p.leave(old); err != nil {
			return nil, err
		}
	}
	c := &client{name: st.who, in: newInbox()}
	c.user, c.resource = splitName(st.who)
	var other bool
	if c.user, c.domain, other = strings.Cut(c.user, "@"); !other {
		c.domain = p.cfg.Domain
	}
	door := st.door
	if door == "" {
		door = p.cfg.Door
	}
	dial := dialBOSH
	if door == WebSocket {
		dial = dialWebSocket
	}
	var err error
	url := func() string { return p.cfg.URL(door, c.user) }
	if c.wire, err = dial(ctx, url, c.domain, c.in); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	p.clients[c.name] = c
	p.order = append(p.order, c.name)
	return c, nil
}

// next takes the next element.
func (c *client) next(ctx context.Context) (*element, error) {
	var e *element
	ok := c.in.look(ctx, func(got []*element, _ *ending) ([]*element, bool) {
		if len(got) == 0 {
			return got, false
		}
		e = got[0]
		return got[1:], true
	})
	if !ok {
		return nil, c.why(ctx)
	}
	return e, nil
}

// why says why nothing more comes.
func (c *client) why(ctx context.Context) error {
	_, over := c.in.state()
	switch {
	case over == nil:
		return fmt.Errorf("nothing came: %w", ctx.Err())
	case over.err != nil:
		return fmt.Errorf("the stream has ended with %q: %w", over.condition, over.err)
	}
	return fmt.Errorf("the stream has ended with %q", over.condition)
}

// want takes the next element, which must be of that name.
func (c *client) want(ctx context.Context, space, local string) (*element, error) {
	e, err := c.next(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for <%s>: %w", local, err)
	}
	if e.name.Space != space || e.name.Local != local {
		return nil, fmt.Errorf("got %s in place of <%s>", e, local)
	}
	return e, nil
}

func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// prove sends the password and returns the answer.
func (c *client) prove(ctx context.Context, password string) (*element, error) {
	if _, err := c.want(ctx, nsStreams, "features"); err != nil {
		return nil, err
	}
	if err := c.wire.send("<auth xmlns='" + nsSASL + "' mechanism='PLAIN'>" + plain(c.user, password) + "</auth>"); err != nil {
		return nil, err
	}
	return c.next(ctx)
}

func (c *client) authenticate(ctx context.Context, password string) error {
	e, err := c.prove(ctx, password)
	if err != nil {
		return err
	}
	if e.name.Space != nsSASL || e.name.Local != "success" {
		return fmt.Errorf("cannot authenticate: %s", e)
	}
	if err := c.wire.restart(); err != nil {
		return err
	}
	_, err = c.want(ctx, nsStreams, "features")
	return err
}

func (c *client) refused(ctx context.Context, password, condition string) error {
	e, err := c.prove(ctx, password)
	if err != nil {
		return err
	}
	if e.name.Space != nsSASL || e.child(nsSASL, condition) == nil {
		return fmt.Errorf("got %s in place of %s", e, condition)
	}
	return c.wire.close()
}

func (c *client) bind(ctx context.Context) error {
	resource := ""
	if c.resource != "" {
		resource = "<resource>" + escape(c.resource) + "</resource>"
	}
	if err := c.wire.send("<iq xmlns='" + nsClient + "' type='set' id='bind'><bind xmlns='" + nsBind + "'>" + resource + "</bind></iq>"); err != nil {
		return err
	}
	e, err := c.want(ctx, nsClient, "iq")
	if err != nil {
		return err
	}
	b := e.child(nsBind, "bind")
	if e.attr("type") != "result" || e.attr("id") != "bind" || b == nil || b.child(nsBind, "jid") == nil {
		return fmt.Errorf("cannot bind: %s", e)
	}
	c.full = b.child(nsBind, "jid").text
	return nil
}

// appear sends initial presence, which comes back before all others.
func (c *client) appear(ctx context.Context) error {
	if err := c.wire.send("<presence xmlns='" + nsClient + "'/>"); err != nil {
		return err
	}
	c.acted = true
	e, err := c.want(ctx, nsClient, "presence")
	if err == nil && (e.attr("from") != c.full || e.attr("type") != "") {
		err = fmt.Errorf("got %s in place of its own presence", e)
	}
	return err
}

// over waits for the end of the stream.
func over(got []*element, e *ending) ([]*element, bool) { return got, e != nil }

// sync asks for a sign of life: all that the server sent before has come then,
// and all that it was sent is done.
func (c *client) sync(ctx context.Context) error {
	c.signs++
	id := "sync-" + strconv.Itoa(c.signs)
	err := c.wire.send("<iq xmlns='" + nsClient + "' type='get' id='" + id + "' to='" + escape(c.domain) + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	if err != nil {
		c.in.look(ctx, over)
		return fmt.Errorf("cannot ask for a sign of life (%w): %w", err, c.why(ctx))
	}
	ok := c.in.look(ctx, func(got []*element, _ *ending) ([]*element, bool) {
		for i, e := range got {
			if e.name.Local == "iq" && e.attr("id") == id {
				return append(got[:i:i], got[i+1:]...), true
			}
		}
		return got, false
	})
	if !ok {
		return fmt.Errorf("asked for a sign of life: %w", c.why(ctx))
	}
	c.acted = false
	return nil
}
