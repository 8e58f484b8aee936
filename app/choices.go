package app

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/private"
	"github.com/deskline/deskline/xmpp/jid"
)

// choices keeps what users chose beside the XML that they store for themselves, in a
// namespace that is the server's.
type choices struct{ store private.Store }

// storedChoice is how a choice is kept.
type storedChoice struct {
	XMLName xml.Name      `xml:"urn:deskline:presence:1 choice"`
	State   presence.Name `xml:"state,attr"`
	Since   time.Time     `xml:"since,attr"`
	Until   *time.Time    `xml:"until,attr,omitempty"`
	By      string        `xml:"by,attr"`
	Text    string        `xml:",chardata"`
}

const choiceElement = "choice"

// Choice implements presence.Choices.
func (c choices) Choice(ctx context.Context, user jid.JID) (presence.Choice, error) {
	data, err := c.store.Private(ctx, user, presence.NSComposed, choiceElement)
	if err != nil || data == nil {
		return presence.Choice{}, err
	}
	var s storedChoice
	if err := xml.Unmarshal(data, &s); err != nil {
		return presence.Choice{}, fmt.Errorf("choice of %s: %w", user, err)
	}
	choice := presence.Choice{State: s.State, Since: s.Since, By: s.By, Text: s.Text}
	if s.Until != nil {
		choice.Until = *s.Until
	}
	return choice, nil
}

// SetChoice implements presence.Choices.
func (c choices) SetChoice(ctx context.Context, user jid.JID, choice presence.Choice) error {
	e := private.Element{Space: presence.NSComposed, Local: choiceElement}
	if choice.State != "" {
		s := storedChoice{State: choice.State, Since: choice.Since, By: choice.By, Text: choice.Text}
		if !choice.Until.IsZero() {
			s.Until = &choice.Until
		}
		var err error
		if e.XML, err = xml.Marshal(s); err != nil {
			return err
		}
	}
	err := c.store.SetPrivate(ctx, user, math.MaxInt32, e) // it takes no room of the user's
	if errors.Is(err, private.ErrNotFound) {
		return presence.ErrNobody
	}
	return err
}

// maxChoiceBody bounds what an administrator sends.
const maxChoiceBody = 4 << 10

// choiceOrder is what an administrator chooses for a user.
type choiceOrder struct {
	State string    `json:"state"`
	Until time.Time `json:"until"`
	Text  string    `json:"text"`
	By    string    `json:"by"`
}

// handleChoices lets administrators choose for users:
// PUT /presence/choice?user=alice@example.com {"state":"dnd","until":"…"}, and DELETE.
func (n *node) handleChoices() {
	n.admin.Handle("PUT /presence/choice", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var o choiceOrder
		d := json.NewDecoder(io.LimitReader(r.Body, maxChoiceBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			http.Error(w, "state, until, text and by are what can be said: "+err.Error(), http.StatusBadRequest)
			return
		}
		n.choose(w, r, o)
	}))
	n.admin.Handle("DELETE /presence/choice", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.choose(w, r, choiceOrder{}) }))
}

func (n *node) choose(w http.ResponseWriter, r *http.Request, o choiceOrder) {
	user, err := jid.Parse(r.URL.Query().Get("user"))
	if err != nil || user.Local() == "" || !n.router.Local(user) {
		http.Error(w, "user=alice@example.com is missing, or of no domain here", http.StatusBadRequest)
		return
	}
	if o.By == "" || len(o.By) > 100 {
		o.By = "administrator"
	}
	choice, err := presence.NewChoice(o.State, o.Until, o.Text, o.By, time.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	switch err := n.presence.Choose(ctx, user.Bare(), choice); {
	case errors.Is(err, presence.ErrNobody):
		http.Error(w, "there is no such account", http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
