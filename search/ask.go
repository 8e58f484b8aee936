package search

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/beevik/etree"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// ask is a search as a client words it.
type ask struct {
	form          bool // with a data form, and so answered
	terms         []people.Term
	units         []string
	most          int
	paged         bool // with result set management
	count         bool // nothing but how many there are
	after, before jid.JID
	last          bool
}

const names = people.FieldName | people.FieldGiven | people.FieldFamily

// fields are the names that clients may give to what they ask for: those told,
// those of the standard, and those that clients written for other servers send.
var fields = map[string]people.Field{
	"search": people.FieldAny,
	"first":  people.FieldGiven, "given": people.FieldGiven,
	"last": people.FieldFamily, "family": people.FieldFamily, "sn": people.FieldFamily,
	"nick": names | people.FieldID, "name": names, "fn": names, "cn": names, "displayname": names,
	"user": people.FieldID, "username": people.FieldID, "uid": people.FieldID, "userid": people.FieldID,
	"jid":   people.FieldAddress | people.FieldID,
	"email": people.FieldMail, "mail": people.FieldMail,
	"phone": people.FieldPhone, "tel": people.FieldPhone, "telephone": people.FieldPhone, "telephonenumber": people.FieldPhone,
	"title":      people.FieldTitle,
	"department": people.FieldDepartment, "orgunit": people.FieldDepartment, "ou": people.FieldDepartment,
	"company": people.FieldCompany, "org": people.FieldCompany, "orgname": people.FieldCompany,
}

// unit restricts to a part of the directory. Clients that know the field as "ou"
// may send a DN there, too.
const unit = "unit"

func readAsk(el *etree.Element, limits Limits) (ask, error) {
	a := ask{most: limits.Most}
	if limits.Unit != "" {
		a.units = []string{limits.Unit}
	}
	var typed [][]people.Term
	letters := 0
	add := func(name, value string) error {
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		if value == "" {
			return nil
		}
		if name == unit || name == "ou" && strings.Contains(value, "=") {
			if len(value) > 1024 || len(a.units) > 2 {
				return stanza.NewError(stanza.Modify, "not-acceptable", "the unit is too long")
			}
			a.units = append(a.units, value)
			return nil
		}
		in, ok := fields[name]
		if !ok {
			return nil
		}
		terms, err := people.ParseQuery(value, in)
		if err != nil {
			return refusal(err)
		}
		letters += countLetters(value)
		typed = append(typed, terms)
		return nil
	}
	if err := a.read(el, add); err != nil {
		return a, err
	}
	if !a.count {
		a.most = min(a.most, limits.Most)
	}
	if letters < limits.MinLength {
		return a, nil // nobody yet
	}
	var err error
	if a.terms, err = people.JoinTerms(typed...); err != nil {
		return a, refusal(err)
	}
	return a, nil
}

func countLetters(s string) (n int) {
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			n++
		}
	}
	return n
}

func refusal(err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, people.ErrQueryLong):
		text = fmt.Sprintf("the text to search for is longer than %d bytes", people.MaxQueryBytes)
	case errors.Is(err, people.ErrQueryWords):
		text = fmt.Sprintf("more than %d words to search for", people.MaxQueryWords)
	}
	return stanza.NewError(stanza.Modify, "not-acceptable", text)
}

// read gives each field to add.
func (a *ask) read(el *etree.Element, add func(name, value string) error) error {
	for _, child := range el.ChildElements() {
		var err error
		switch child.NamespaceURI() {
		case NS:
			err = add(child.Tag, child.Text())
		case nsData:
			err = a.readForm(child, add)
		case nsRSM:
			err = a.readPage(child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *ask) readForm(x *etree.Element, add func(name, value string) error) error {
	if x.Tag != "x" {
		return nil
	}
	a.form = true
	switch typ := x.SelectAttrValue("type", ""); typ {
	case "submit":
	case "cancel":
		return nil
	default:
		return stanza.ErrBadRequest("the form is to be of type submit")
	}
	for _, f := range x.ChildElements() {
		name := f.SelectAttrValue("var", "")
		if f.Tag != "field" || name == "FORM_TYPE" {
			continue
		}
		if v := f.SelectElement("value"); v != nil {
			if err := add(name, v.Text()); err != nil {
				return err
			}
		}
	}
	return nil
}

// countMost is how far people are counted for those who ask for the number
// alone, which may be about right (XEP-0059 §2.7).
const countMost = 1000

// readPage reads result set management (XEP-0059).
func (a *ask) readPage(set *etree.Element) error {
	if set.Tag != "set" {
		return nil
	}
	a.paged = true
	for _, child := range set.ChildElements() {
		text := strings.TrimSpace(child.Text())
		switch child.Tag {
		case "max":
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 {
				return stanza.ErrBadRequest("max is no number")
			}
			if a.count = n == 0; a.count {
				n = countMost
			}
			a.most = n
		case "after", "before":
			if text == "" {
				a.last = child.Tag == "before"
				continue
			}
			j, err := jid.Parse(text)
			if err != nil {
				return stanza.ErrItemNotFound()
			}
			if child.Tag == "after" {
				a.after = j
			} else {
				a.before = j
			}
		case "index":
			return stanza.NewError(stanza.Cancel, "feature-not-implemented", "pages are asked for by after and before")
		}
	}
	return nil
}
