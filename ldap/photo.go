package ldap

import (
	"context"
	"fmt"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/deskline/deskline/xmpp/jid"
)

// MaxPhoto bounds a photo; a larger one counts as none.
const MaxPhoto = 1 << 20

// Photo returns the photo of somebody who may chat as it is in the directory, JPEG
// as a rule; nil for none.
func (d *Directory) Photo(ctx context.Context, who jid.JID) ([]byte, error) {
	name := d.cfg.Attributes.Photo
	r, known, _ := d.people.person(who)
	if name == "" || !known || r.why != "" {
		return nil, nil
	}
	var found *goldap.Entry
	err := d.do(ctx, lookup, "search", func(l *goldap.Conn) (err error) {
		found, err = readOne(l, r.dn, "(objectClass=*)", []string{name})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("photo of %s: %w", who, kept(err))
	}
	if found == nil {
		return nil, nil
	}
	photo := found.GetEqualFoldRawAttributeValue(name)
	if len(photo) == 0 || len(photo) > MaxPhoto {
		return nil, nil
	}
	return photo, nil
}
