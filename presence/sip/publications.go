package sip

import (
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
)

// The event packages, and the type of their documents.
const (
	eventPresence = "presence"
	eventDialog   = "dialog"
	typePIDF      = "application/pidf+xml"
	typeDialog    = "application/dialog-info+xml"
)

var typeOf = map[string]string{eventPresence: typePIDF, eventDialog: typeDialog}

// publish is a PUBLISH request without its wire.
type publish struct {
	by                           publisher
	event, contentType, encoding string
	resource                     string // the Request-URI, normalised
	ifMatch                      string
	expires                      time.Duration // negative: not given
	body                         []byte
	doc                          document
}

// publisher is who publishes, and for which host.
type publisher struct {
	addr netip.Addr
	user string // "" = nobody signed in, the address is trusted
	host string
}

// document is the body of one, read before anything is locked.
type document struct {
	refused *answer // nil: it can be used
	line    string
	state   presence.Line // of presence
	dialogs DialogInfo
}

// answer is what becomes of one.
type answer struct {
	code    int
	reason  string
	etag    string
	expires time.Duration
}

// lifetimes bounds how long a publication lives.
type lifetimes struct{ min, max time.Duration }

// publications is the event state compositor of RFC 3903: pure, and not safe for
// concurrent use.
type publications struct {
	limit int
	life  lifetimes
	byTag map[string]*publication
	board *board
}

type publication struct {
	by              publisher
	event, resource string
	line, origin    string
	book            Book
	state           presence.Line
	expires         time.Time
}

// handle carries out one request.
func (p *publications) handle(req publish, now time.Time) answer {
	if _, ok := typeOf[req.event]; !ok {
		return answer{code: 489, reason: "Bad Event"}
	}
	life := req.expires
	switch {
	case life < 0 || life > p.life.max: // RFC 3903 §6 step 4: it may be shortened
		life = p.life.max
	case life > 0 && life < p.life.min:
		return answer{code: 423, reason: "Interval Too Brief"}
	}
	one := p.byTag[req.ifMatch]
	if req.ifMatch != "" && (one == nil || one.event != req.event || one.resource != req.resource || !one.expires.After(now)) {
		return answer{code: 412, reason: "Conditional Request Failed"}
	}
	if one == nil && len(req.body) == 0 {
		return answer{code: 400, reason: "No Document"}
	}
	if one == nil && life > 0 && len(p.byTag) >= p.limit {
		return answer{code: 503, reason: "Too Many Publications"}
	}
	if len(req.body) > 0 {
		var no *answer
		if one, no = p.read(req, one); no != nil {
			return *no
		}
	}
	return p.keep(req, one, life, now)
}

// parse reads the body. Choose tells whether the entity of the document or the
// Request-URI is the line.
func (r *publish) parse(choose func(entity, resource string) string) {
	mime, _, _ := strings.Cut(r.contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(mime), typeOf[r.event]) || r.encoding != "" && !strings.EqualFold(r.encoding, "identity") {
		r.doc.refused = &answer{code: 415, reason: "Unsupported Media Type"}
		return
	}
	var entity string
	var err error
	if r.event == eventDialog {
		r.doc.dialogs, err = ParseDialogInfo(r.body)
		entity = r.doc.dialogs.Entity
	} else {
		var doc PIDF
		doc, err = ParsePIDF(r.body)
		entity, r.doc.state = doc.Entity, doc.State
	}
	if err != nil {
		r.doc.refused = refusal(err)
		return
	}
	r.doc.line = choose(entity, r.resource)
}

func refusal(err error) *answer {
	if errors.Is(err, ErrTooLarge) {
		return &answer{code: 413, reason: "Request Entity Too Large"}
	}
	return &answer{code: 400, reason: "Malformed Document"}
}

// read takes a document into a copy of a publication, or into a new one, so that
// one that is refused changes nothing.
func (p *publications) read(req publish, old *publication) (*publication, *answer) {
	if req.doc.refused != nil {
		return nil, req.doc.refused
	}
	one := &publication{event: req.event, resource: req.resource, origin: rand.Text()}
	if old != nil {
		*one = *old
		one.book.dialogs = slices.Clone(old.book.dialogs)
		one.book.ended = slices.Clone(old.book.ended)
	}
	one.line, one.state = req.doc.line, req.doc.state
	if req.event == eventDialog {
		if err := one.book.Publish(req.doc.dialogs); err != nil {
			return nil, refusal(err)
		}
		one.state = one.book.State()
	}
	return one, nil
}

func (p *publications) keep(req publish, one *publication, life time.Duration, now time.Time) answer {
	old := p.byTag[req.ifMatch]
	if old != nil {
		delete(p.byTag, req.ifMatch)
		if life == 0 || old.line != one.line {
			p.board.drop(old.line, old.origin, now)
		}
	}
	etag := rand.Text()
	if life > 0 {
		one.by, one.expires = req.by, now.Add(life)
		p.byTag[etag] = one
		p.board.put(one.line, one.origin, one.state, one.expires, now)
	}
	return answer{code: 200, reason: "OK", etag: etag, expires: life}
}

// expire forgets publications that nobody has refreshed.
func (p *publications) expire(now time.Time) {
	for tag, one := range p.byTag {
		if !one.expires.After(now) {
			delete(p.byTag, tag)
			p.board.lapse(one.line, one.origin, now)
		}
	}
}

// outlaw forgets publications of those who may not publish any more.
func (p *publications) outlaw(may func(publisher) bool, now time.Time) {
	for tag, one := range p.byTag {
		if !may(one.by) {
			delete(p.byTag, tag)
			p.board.lapse(one.line, one.origin, now)
		}
	}
}
