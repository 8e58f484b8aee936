package vcard

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// made returns a vCard of what is known of the owner, nil if that is nothing or
// not for the one who asks.
func (s *Service) made(ctx context.Context, req *mux.Request) []byte {
	if s.cfg.People == nil {
		return nil
	}
	p, ok := s.cfg.People.Person(req.Owner)
	if !ok || p.Name == "" && len(p.Mail) == 0 && !s.directory(req.Owner) {
		return nil
	}
	if !req.Self && !s.cfg.Visibility.MaySee(req.Stanza.From.Bare(), req.Owner) {
		return nil
	}
	var photo photo
	if p.Photo {
		photo = s.photos.get(ctx, p)
	}
	return encode(&p, photo, s.MaxBytes())
}

// encode writes a vCard in the order of its DTD, for those clients that care.
func encode(p *people.Person, photo photo, most int) []byte {
	out := make([]byte, 0, 1024)
	name := p.Name
	if name == "" {
		name = strings.TrimSpace(p.Given + " " + p.Family)
	}
	if name == "" {
		name = p.JID.Local()
	}
	out = append(out, "<vCard xmlns='"+NS+"'>"...)
	out = element(out, "FN", name)
	if p.Given+p.Family != "" {
		out = append(out, "<N>"...)
		out = element(element(out, "FAMILY", p.Family), "GIVEN", p.Given)
		out = append(out, "</N>"...)
	}
	at := len(out)
	for _, number := range p.Phones {
		out = append(out, "<TEL><WORK/><VOICE/>"...)
		out = append(element(out, "NUMBER", number), "</TEL>"...)
	}
	for i, address := range p.Mail {
		out = append(out, "<EMAIL><INTERNET/>"...)
		if i == 0 {
			out = append(out, "<PREF/>"...)
		}
		out = append(element(out, "USERID", address), "</EMAIL>"...)
	}
	out = element(out, "JABBERID", p.JID.String())
	out = element(out, "TITLE", p.Title)
	if p.Company+p.Department != "" {
		out = append(out, "<ORG>"...)
		out = element(element(out, "ORGNAME", p.Company), "ORGUNIT", p.Department)
		out = append(out, "</ORG>"...)
	}
	out = append(out, "</vCard>"...)
	if picture := photo.encode(); len(picture) > 0 && len(out)+len(picture) <= most {
		// Behind the name; left out if the vCard grew too large by it.
		out = append(out[:at:at], append(picture, out[at:]...)...)
	}
	return out
}

func (f photo) encode() []byte {
	if len(f.data) == 0 {
		return nil
	}
	out := append([]byte("<PHOTO><TYPE>"), f.mime...)
	out = append(out, "</TYPE><BINVAL>"...)
	out = base64.StdEncoding.AppendEncode(out, f.data)
	return append(out, "</BINVAL></PHOTO>"...)
}

// element writes one that has text.
func element(out []byte, name, text string) []byte {
	if text == "" {
		return out
	}
	out = append(append(append(out, '<'), name...), '>')
	out = stanza.AppendEscaped(out, text)
	return append(append(append(out, "</"...), name...), '>')
}
