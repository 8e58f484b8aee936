package main

import (
	"context"

	"github.com/deskline/deskline/bench/site"
	"github.com/deskline/deskline/bench/wire"
)

// raw is a BOSH client that reads responses in order.
type raw struct {
	*site.Client
	index int
	book  *book
}

func newRaw(i int, doors []string, b *book) *raw {
	c := &raw{index: i, book: b}
	c.Client = site.NewClient(site.ClientConfig{
		User: userOf(i), Resource: b.resource(), Doors: doors, Take: c.take, End: func(why string) { b.fail(i, why) },
	})
	return c
}

func (c *raw) take(el wire.Element) {
	switch string(el.Name) {
	case "message":
		if string(el.Attr("type")) == "error" { // it need not have the body
			c.book.arrive(c.index, 0, append([]byte(">"), el.Attr("id")...))
		} else {
			c.book.arrive(c.index, 0, el.Raw)
		}
	case "presence":
		if string(el.Attr("type")) == "unavailable" {
			c.book.away(c.index, string(el.Attr("from")))
		}
	}
}

func (c *raw) open(ctx context.Context) error {
	return c.Open(ctx, "<presence xmlns='jabber:client'/><presence xmlns='jabber:client' to='"+c.book.full(c.index^1)+"'/>")
}

// say sends a message and returns once it was accepted.
func (c *raw) say(ctx context.Context, mark string) error {
	return c.Send(ctx, "<message xmlns='jabber:client' type='chat' id='"+mark+"' to='"+c.book.full(c.index^1)+"'><body>"+
		mark+"</body></message>")
}

func (c *raw) home()                     { c.Home() }
func (c *raw) close(ctx context.Context) { c.Close(ctx) }
