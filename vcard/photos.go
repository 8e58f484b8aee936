package vcard

import (
	"bytes"
	"container/list"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/people"
)

// Photos has the pictures of people.
type Photos interface {
	// Photo returns the picture of somebody whose Photo is set; no data is none. It
	// may wait for a directory until ctx ends.
	Photo(ctx context.Context, person people.Person) (mime string, data []byte, err error)
}

const (
	photoBytes = 32 << 20         // of pictures kept
	photoLarge = 512 << 10        // none larger is kept or shown
	photoTTL   = time.Hour        // one is kept for so long
	photoNone  = 10 * time.Minute // that there is none
	photoWait  = time.Second      // for one; the session of whoever asks waits too
	photoRest  = 15 * time.Second // nothing is asked after a failure
	photoBusy  = 4                // asked at a time
)

// photo is a picture, or that there is none.
type photo struct {
	mime string
	data []byte
}

// photos asks for pictures and keeps those asked for lately. A directory that is
// slow or dead costs a vCard its picture, and whoever asks little time.
type photos struct {
	from Photos // may be nil
	log  *slog.Logger

	mu    sync.Mutex               // guards what follows
	known map[string]*list.Element // by address
	order list.List                // of *keptPhoto, the one used last in front
	bytes int
	busy  int
	rest  time.Time // nothing is asked before
}

type keptPhoto struct {
	of    string
	photo photo
	until time.Time
}

// keptCost is what an entry takes beside its data.
const keptCost = 256

func newPhotos(from Photos, log *slog.Logger) *photos {
	return &photos{from: from, log: log, known: map[string]*list.Element{}}
}

// get returns the picture of somebody, or none.
func (c *photos) get(ctx context.Context, p people.Person) photo {
	// A copy: the address may be a part of a text of many.
	who := strings.Clone(p.JID.String())
	f, ok := c.begin(who, time.Now())
	if ok {
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, photoWait)
	defer cancel()
	_, data, err := c.from.Photo(ctx, p)
	if err != nil {
		c.log.WarnContext(ctx, "read a photo: vCards go without for a while", "jid", p.JID, "err", err)
	}
	f = picture(data)
	c.end(who, f, err, time.Now())
	return f
}

// begin returns what is kept, or that nothing is to be asked, or takes a place for
// asking.
func (c *photos) begin(who string, now time.Time) (f photo, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.known[who]; e != nil {
		if k := e.Value.(*keptPhoto); now.Before(k.until) {
			c.order.MoveToFront(e)
			return k.photo, true
		}
		c.drop(e)
	}
	if c.from == nil || c.busy >= photoBusy || now.Before(c.rest) {
		return photo{}, true
	}
	c.busy++
	return photo{}, false
}

func (c *photos) end(who string, f photo, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	if err != nil {
		c.rest = now.Add(photoRest)
		return
	}
	if e := c.known[who]; e != nil { // asked for twice at a time
		c.drop(e)
	}
	until := now.Add(photoTTL)
	if len(f.data) == 0 {
		until = now.Add(photoNone)
	}
	c.known[who] = c.order.PushFront(&keptPhoto{who, f, until})
	c.bytes += len(f.data) + keptCost
	for c.bytes > photoBytes {
		c.drop(c.order.Back())
	}
}

func (c *photos) drop(e *list.Element) {
	k := c.order.Remove(e).(*keptPhoto)
	delete(c.known, k.of)
	c.bytes -= len(k.photo.data) + keptCost
}

// picture takes what a directory has for one, if it is: clients show it by its
// type, so the bytes have to be of a type that is nothing but a picture.
func picture(data []byte) photo {
	if len(data) > photoLarge {
		return photo{}
	}
	for _, t := range []struct {
		mime, begin string
	}{{"image/jpeg", "\xff\xd8\xff"}, {"image/png", "\x89PNG\r\n\x1a\n"}, {"image/gif", "GIF8"}} {
		if bytes.HasPrefix(data, []byte(t.begin)) {
			return photo{t.mime, bytes.Clone(data)}
		}
	}
	return photo{}
}
