package search

import (
	"fmt"
	"sort"
	"strconv"

	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/stanza"
)

const hint = "Type the beginning of a name, an address or a telephone number; several words in any order."

// column is a field of a form and of what is found.
type column struct {
	name, label string
	value       func(p *people.Person) string // nil = not in results
}

func firstOf(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// columns have the four of the standard by their names there.
var columns = []column{
	{"search", "Name, address or telephone", nil},
	{"nick", "Name", func(p *people.Person) string { return p.Name }},
	{"first", "Given name", func(p *people.Person) string { return p.Given }},
	{"last", "Family name", func(p *people.Person) string { return p.Family }},
	{"email", "E-mail", func(p *people.Person) string { return firstOf(p.Mail) }},
	{"phone", "Telephone", func(p *people.Person) string { return firstOf(p.Phones) }},
	{"title", "Title", func(p *people.Person) string { return p.Title }},
	{"department", "Department", func(p *people.Person) string { return p.Department }},
	{"unit", "Organisational unit (DN)", nil},
}

// plain are those known without a form.
var plain = columns[1:5]

const formType = "<field type='hidden' var='FORM_TYPE'><value>" + NS + "</value></field>"

// fieldsReply answers a client that asks what it can search for.
var fieldsReply = func() string {
	out := []byte("<query xmlns='" + NS + "'><instructions>" + hint + "</instructions><first/><last/><nick/><email/>" +
		"<x xmlns='" + nsData + "' type='form'><title>People</title><instructions>" + hint + "</instructions>" + formType)
	for _, c := range columns {
		out = fmt.Appendf(out, "<field type='text-single' var='%s' label='%s'/>", c.name, c.label)
	}
	return string(append(out, "</x></query>"...))
}()

// reported is what stands before the results of a form.
var reported = func() string {
	out := []byte("<reported><field var='jid' type='jid-single' label='Address'/>")
	for _, c := range columns {
		if c.value != nil {
			out = fmt.Appendf(out, "<field var='%s' type='text-single' label='%s'/>", c.name, c.label)
		}
	}
	return string(append(out, "</reported>"...))
}()

// maxReply bounds the people in an answer by their size, so that it fits into the
// queue of any session.
const maxReply = 256 << 10

func (a *ask) reply(r people.Result) []byte {
	var items []byte
	counted := len(r.People)
	if !a.count {
		r, items = a.items(r)
	}
	out := make([]byte, 0, 1024+len(items))
	out = append(out, "<query xmlns='"+NS+"'>"...)
	if a.form {
		out = append(out, "<x xmlns='"+nsData+"' type='result'>"...)
		if r.More {
			out = fmt.Appendf(out, "<instructions>There are more than these %d. Type more to find others.</instructions>", len(r.People))
		}
		out = append(append(out, formType...), reported...)
		out = append(append(out, items...), "</x>"...)
	} else {
		out = append(out, items...)
	}
	if a.paged || r.More {
		out = a.appendPage(out, r, counted)
	}
	return append(out, "</query>"...)
}

// items encodes as many people as an answer may have.
func (a *ask) items(r people.Result) (people.Result, []byte) {
	var out []byte
	back := a.last || !a.before.IsZero()
	begins := make([]int, 0, len(r.People))
	for i := range r.People {
		begins = append(begins, len(out))
		if a.form {
			out = appendFields(out, &r.People[i])
		} else {
			out = appendItem(out, &r.People[i])
		}
	}
	if len(out) <= maxReply {
		return r, out
	}
	r.More = true
	if back { // the first of them are the farthest
		n := sort.SearchInts(begins, len(out)-maxReply)
		r.People, out = r.People[n:], out[begins[n]:]
	} else {
		n := sort.SearchInts(begins, maxReply) - 1
		r.People, out = r.People[:n], out[:begins[n]]
	}
	return r, out
}

func appendItem(out []byte, p *people.Person) []byte {
	out = stanza.AppendEscaped(append(out, "<item jid='"...), p.JID.String())
	out = append(out, "'>"...)
	for _, c := range plain {
		if v := c.value(p); v != "" {
			out = append(append(append(out, '<'), c.name...), '>')
			out = stanza.AppendEscaped(out, v)
			out = append(append(append(out, "</"...), c.name...), '>')
		}
	}
	return append(out, "</item>"...)
}

func appendFields(out []byte, p *people.Person) []byte {
	out = append(out, "<item><field var='jid'><value>"...)
	out = stanza.AppendEscaped(out, p.JID.String())
	out = append(out, "</value></field>"...)
	for _, c := range columns {
		if c.value == nil {
			continue
		}
		// XEP-0004 §3.4: all fields that were reported.
		out = append(append(append(out, "<field var='"...), c.name...), "'><value>"...)
		out = append(stanza.AppendEscaped(out, c.value(p)), "</value></field>"...)
	}
	return append(out, "</item>"...)
}

// appendPage tells where the page begins and ends (XEP-0059). It is told unasked
// if there is more, so that a client can go on.
func (a *ask) appendPage(out []byte, r people.Result, counted int) []byte {
	out = append(out, "<set xmlns='"+nsRSM+"'>"...)
	if n := len(r.People); n > 0 && !a.count {
		out = stanza.AppendEscaped(append(out, "<first>"...), r.People[0].JID.String())
		out = stanza.AppendEscaped(append(out, "</first><last>"...), r.People[n-1].JID.String())
		out = append(out, "</last>"...)
	}
	if first := a.after.IsZero() && a.before.IsZero(); a.count || first && !r.More {
		out = append(strconv.AppendInt(append(out, "<count>"...), int64(counted), 10), "</count>"...)
	}
	return append(out, "</set>"...)
}
