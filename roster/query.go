package roster

import (
	"context"
	"slices"
	"strconv"

	"github.com/beevik/etree"

	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// Limits of one item: maxText bytes in a name or a group's name (RFC 6121
// §2.3.3 leaves it to the server), maxGroups groups.
const (
	maxText   = 1023
	maxGroups = 100
)

// Register adds the roster requests to m.
func (s *Service) Register(m *mux.Mux) {
	m.Handle(mux.Route{
		Name:  stanza.Name{Space: nsRoster, Local: "query"},
		Get:   s.get,
		Set:   s.set,
		Scope: mux.ScopeAccount,
	})
}

// get answers a roster get (RFC 6121 §2.1.3, §2.6.3).
func (s *Service) get(ctx context.Context, req *mux.Request) ([]byte, error) {
	el, err := req.Element()
	if err != nil {
		return nil, err
	}
	if len(el.ChildElements()) > 0 {
		return nil, stanza.ErrBadRequest("a roster get is empty")
	}
	// Interest comes first: a change after the reading is pushed.
	if sess, ok := s.cfg.Router.Table().ByJID(req.Stanza.From); ok {
		sess.Interest().SetRoster(true)
	}
	r, _, err := s.load(ctx, req.Owner)
	if err != nil {
		return nil, err
	}
	p := s.picture()
	ver := version(p, req.Owner, r.Ver)
	if a := el.SelectAttr("ver"); a != nil && a.Value == ver {
		return nil, nil
	}
	reply := appendQuery(make([]byte, 0, 64+96*len(r.Items)), ver)
	return append(appendItems(reply, p, req.Owner, &r), `</query>`...), nil
}

// set answers a roster set (RFC 6121 §2.3, §2.4, §2.5).
func (s *Service) set(ctx context.Context, req *mux.Request) ([]byte, error) {
	el, err := req.Element()
	if err != nil {
		return nil, err
	}
	it, remove, err := parseSet(el, req.Owner)
	if err != nil {
		return nil, err
	}
	if remove {
		return nil, s.remove(ctx, req.Owner, it.JID)
	}
	return nil, s.put(ctx, req.Owner, it)
}

func notAcceptable(text string) error { return stanza.NewError(stanza.Modify, "not-acceptable", text) }

func parseSet(query *etree.Element, owner jid.JID) (it Item, remove bool, err error) {
	children := query.ChildElements()
	if len(children) != 1 || children[0].Tag != "item" || children[0].NamespaceURI() != nsRoster {
		return it, false, stanza.ErrBadRequest("a roster set has exactly one item")
	}
	el := children[0]
	addr := el.SelectAttrValue("jid", "")
	if addr == "" {
		return it, false, stanza.ErrBadRequest("the item has no jid")
	}
	if it.JID, err = jid.Parse(addr); err != nil {
		return it, false, stanza.NewError(stanza.Modify, "jid-malformed", "")
	}
	if !it.JID.IsBare() {
		return it, false, stanza.ErrBadRequest("a contact has a bare JID")
	}
	if el.SelectAttrValue("subscription", "") == "remove" {
		return it, true, nil
	}
	if it.JID == owner {
		return it, false, stanza.ErrNotAllowed()
	}
	if it.Name = el.SelectAttrValue("name", ""); len(it.Name) > maxText {
		return it, false, notAcceptable("the name is too long")
	}
	it.Groups, err = parseGroups(el)
	return it, false, err
}

func parseGroups(item *etree.Element) ([]string, error) {
	var groups []string
	for _, el := range item.ChildElements() {
		if el.Tag != "group" || el.NamespaceURI() != nsRoster {
			continue
		}
		g := el.Text()
		switch {
		case g == "":
			return nil, notAcceptable("a group has no name")
		case len(g) > maxText:
			return nil, notAcceptable("a group's name is too long")
		case len(groups) == maxGroups:
			return nil, notAcceptable("too many groups")
		case slices.Contains(groups, g):
			return nil, stanza.ErrBadRequest("two groups are the same")
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// put adds a contact or changes its name and groups; the subscription is not
// the client's to set.
func (s *Service) put(ctx context.Context, owner jid.JID, want Item) error {
	var it Item
	says := byHand(s.picture(), owner, &want)
	return s.update(ctx, owner, func(r *Roster) (change, error) {
		it = want
		i := find(r.Items, want.JID)
		if i < 0 && !says {
			return change{}, nil // an automatic contact as it is
		}
		if i >= 0 {
			it = r.Items[i]
			it.Name, it.Groups = want.Name, want.Groups
		}
		if i < 0 || r.Items[i].hidden() {
			if err := s.room(r); err != nil {
				return change{}, err
			}
			it.list()
		}
		return change{put: &it, jid: it.JID}, nil
	}, func(ver uint64) { s.push(ctx, owner, ver, &it) })
}

// room refuses one contact more than the owner may have.
func (s *Service) room(r *Roster) error {
	n := 0
	for i := range r.Items {
		if !r.Items[i].hidden() {
			n++
		}
	}
	if most := s.MaxContacts(); n >= most {
		return stanza.NewError(stanza.Wait, "resource-constraint",
			"the roster is full: "+strconv.Itoa(most)+" contacts")
	}
	return nil
}

// remove takes a contact out and ends the subscriptions both ways (RFC 6121
// §2.5.2).
func (s *Service) remove(ctx context.Context, owner, contact jid.JID) error {
	var old Item
	err := s.update(ctx, owner, func(r *Roster) (change, error) {
		i := find(r.Items, contact)
		if i < 0 || r.Items[i].hidden() {
			if s.automatic(owner, contact) {
				return change{}, errAutomatic()
			}
			return change{}, stanza.ErrItemNotFound()
		}
		old = r.Items[i]
		return change{remove: true, jid: contact}, nil
	}, func(ver uint64) { s.pushRemoval(ctx, owner, ver, contact) })
	if err != nil {
		return err
	}
	// The contact is gone from the owner's roster; what the other side did not
	// take is mended by its next subscription stanza.
	if err := s.part(ctx, owner, &old); err != nil {
		s.cfg.Log.WarnContext(ctx, "end subscriptions of removed contact", "jid", owner, "err", err)
	}
	return nil
}
