package sip_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

const spaces = ` xmlns="urn:ietf:params:xml:ns:pidf" xmlns:p="urn:ietf:params:xml:ns:pidf-diff" xmlns:r="urn:ietf:params:xml:ns:pidf:rpid" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" entity="sip:2001@pbx.example.com"`

func pidfFull(version int, content string) string {
	return `<?xml version="1.0"?><p:pidf-full` + spaces + ` version="` + strconv.Itoa(version) + `">` + content + `</p:pidf-full>`
}

func pidfDiff(version int, content string) string {
	return `<p:pidf-diff` + spaces + ` version="` + strconv.Itoa(version) + `">` + content + `</p:pidf-diff>`
}

const (
	desk  = `<tuple id="desk"><status><basic>open</basic></status><contact priority="0.8">sip:2001@desk</contact></tuple>`
	cell  = `<tuple id="cell"><status><basic>closed</basic></status></tuple>`
	alice = `<dm:person id="p"><r:activities>%s</r:activities></dm:person>`
)

func TestPartial(t *testing.T) {
	free := pidfFull(7, desk+cell+fmt.Sprintf(alice, ""))
	talks := pidfFull(7, desk+fmt.Sprintf(alice, "<r:on-the-phone/>"))
	for _, tt := range []struct {
		name, full, diff string
		want             presence.Line
		err              error
	}{
		{"add a child", free, `<p:add sel="presence/dm:person/r:activities"><r:on-the-phone/></p:add>`, presence.LineInCall, nil},
		{"add by any name", free, `<p:add sel="*/dm:person[@id='p']/*"><r:busy/></p:add>`, presence.LineInCall, nil},
		{"add first", free, `<p:add sel="/presence" pos="prepend"><note>Ringing</note></p:add>`, presence.LineRinging, nil},
		{"add before", free, `<p:add sel='*/tuple[@id="cell"]' pos="before"><note>On hold</note></p:add>`, presence.LineHeld, nil},
		{"add behind", free, `<p:add sel="*/tuple[2]" pos="after"><note>On the phone</note></p:add>`, presence.LineInCall, nil},
		{"add an attribute", free, `<p:add sel="*/tuple[1]" type="@x">y</p:add><p:replace sel="*/tuple[@x='y']/status/basic/text()">closed</p:replace>`, presence.LineUnknown, nil},
		{"replace a text", free, `<p:replace sel="*/tuple[@id='desk']/status/basic/text()">closed</p:replace>`, presence.LineUnknown, nil},
		{"replace an element", talks, `<p:replace sel="*/dm:person/r:activities/r:on-the-phone"><r:away/></p:replace>`, presence.LineIdle, nil},
		{"replace by a text within", free, `<p:replace sel="*/tuple[contact='sip:2001@desk']/status"><status><basic>closed</basic></status></p:replace>`, presence.LineUnknown, nil},
		{"replace by its own text", free, `<p:replace sel="*/tuple/status/basic[.='open']/text()">closed</p:replace>`, presence.LineUnknown, nil},
		{"replace an attribute", free, `<p:replace sel="*/tuple[1]/contact/@priority">0.1</p:replace><p:remove sel="*/tuple/contact[@priority='0.1']"/>`, presence.LineIdle, nil},
		{"remove", talks, `<p:remove sel="*/dm:person/r:activities/r:on-the-phone" ws="both"/>`, presence.LineIdle, nil},
		{"remove an attribute", free, `<p:remove sel="*/tuple[1]/@id"/><p:remove sel="*/tuple[@id='cell']"/>`, presence.LineIdle, nil},
		{"remove a text", free, `<p:remove sel="*/tuple[1]/status/basic/text()"/>`, presence.LineUnknown, nil},
		{"several", free, `<p:remove sel="*/tuple[2]"/><p:add sel="*"><note>Ringing</note></p:add><p:remove sel="*/note"/>`, presence.LineIdle, nil},
		{"another prefix", free, `<p:add sel="*/d:person/x:activities" xmlns:d="urn:ietf:params:xml:ns:pidf:data-model" xmlns:x="urn:ietf:params:xml:ns:pidf:rpid"><x:busy/></p:add><p:replace sel="*/dm:person/r:activities/r:busy"><r:busy/></p:replace>`, presence.LineInCall, nil},
		{"nothing", talks, ``, presence.LineInCall, nil},
		{"nowhere", free, `<p:remove sel="*/note"/>`, 0, sip.ErrPatch},
		{"many places", free, `<p:remove sel="*/tuple"/>`, 0, sip.ErrPatch},
		{"another namespace", free, `<p:remove sel="*/r:tuple[1]"/>`, 0, sip.ErrPatch},
		{"no namespace", free, `<p:remove sel="*/q:tuple[1]"/>`, 0, sip.ErrPatch},
		{"the root", free, `<p:remove sel="*"/>`, 0, sip.ErrPatch},
		{"beside the root", free, `<p:add sel="*" pos="after"><note/></p:add>`, 0, sip.ErrPatch},
		{"two for one", free, `<p:replace sel="*/tuple[1]"><note/><note/></p:replace>`, 0, sip.ErrPatch},
		{"a namespace", free, `<p:add sel="*" type="namespace::q">urn:q</p:add>`, 0, sip.ErrPatch},
		{"an attribute twice", free, `<p:add sel="*/tuple[1]" type="@id">q</p:add>`, 0, sip.ErrPatch},
		{"no attribute", free, `<p:remove sel="*/tuple[1]/@q"/>`, 0, sip.ErrPatch},
		{"by id", free, `<p:remove sel="id('p')"/>`, 0, sip.ErrPatch},
		{"a comment", free, `<p:remove sel="*/comment()"/>`, 0, sip.ErrPatch},
		{"an axis", free, `<p:remove sel="*//basic"/>`, 0, sip.ErrPatch},
		{"an expression", free, `<p:remove sel="*/tuple[@id='a' or 1]"/>`, 0, sip.ErrPatch},
		{"no end", free, `<p:remove sel="*/tuple[1"/>`, 0, sip.ErrPatch},
		{"no selector", free, `<p:remove/>`, 0, sip.ErrPatch},
		{"no change", free, `<p:shake sel="*"/>`, 0, sip.ErrPatch},
		{"the second fails", free, `<p:add sel="*"><note>Ringing</note></p:add><p:remove sel="*/x"/>`, 0, sip.ErrPatch},
		{"many changes", free, strings.Repeat(`<p:add sel="*"><note/></p:add>`, 300), 0, sip.ErrTooLarge},
		{"a long selector", free, `<p:remove sel="` + strings.Repeat("*/", 600) + `*"/>`, 0, sip.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p sip.Partial
			if _, err := p.Apply(mustDiff(t, tt.full)); err != nil {
				t.Fatal(err)
			}
			state, err := p.Apply(mustDiff(t, pidfDiff(8, tt.diff)))
			if !errors.Is(err, tt.err) || state != tt.want {
				t.Errorf("%d, %v; want %d, %v", state, err, tt.want, tt.err)
			}
			if err != nil && p.Size() > 0 {
				t.Error("a document that is not right any more is kept")
			}
		})
	}
}

func mustDiff(t *testing.T, text string) sip.PIDFDiff {
	t.Helper()
	doc, err := sip.ParsePIDFDiff([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestPartialVersions(t *testing.T) {
	var p sip.Partial
	ringing := `<p:add sel="*"><note>Ringing</note></p:add>`
	for i, s := range []struct {
		text string
		want presence.Line
		err  error
	}{
		{pidfDiff(1, ringing), 0, sip.ErrGap},
		{pidfFull(5, desk), presence.LineIdle, nil},
		{pidfDiff(6, ringing), presence.LineRinging, nil},
		{pidfDiff(6, ringing), 0, sip.ErrGap},
		{pidfDiff(7, ringing), 0, sip.ErrGap}, // until there is a full one
		{pidfFull(2, desk), presence.LineIdle, nil},
		{pidfDiff(4, ringing), 0, sip.ErrGap},
	} {
		if state, err := p.Apply(mustDiff(t, s.text)); state != s.want || !errors.Is(err, s.err) {
			t.Errorf("%d: %d, %v; want %d, %v", i, state, err, s.want, s.err)
		}
	}
}

func TestPIDFDiffMalformed(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want error
	}{
		"another root": {offHook, sip.ErrDocument},
		"no version":   {`<p:pidf-full` + spaces + `/>`, sip.ErrDocument},
		"a version":    {`<p:pidf-diff` + spaces + ` version="-1"/>`, sip.ErrDocument},
		"cut short":    {pidfFull(1, desk)[:200], sip.ErrDocument},
		"entities":     {`<!DOCTYPE x [<!ENTITY a "b">]>` + pidfFull(1, ""), sip.ErrDocument},
		"deep":         {pidfDiff(1, strings.Repeat("<a>", 40)+strings.Repeat("</a>", 40)), sip.ErrTooLarge},
		"long":         {pidfFull(1, strings.Repeat(" ", sip.MaxBody)), sip.ErrTooLarge},
	} {
		if _, err := sip.ParsePIDFDiff([]byte(tt.text)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestPartialSubscription is told of changes, misses one, and is told of some that it
// cannot make.
func TestPartialSubscription(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := start(t, sip.Config{Subscribe: []sip.Subscription{{
		Server: "sip:" + p.listener.Addr().String() + ";transport=tcp", Event: "presence", Lines: []string{"3001"}, Expires: time.Hour,
	}}})
	const diffType = "application/pidf-diff+xml"
	r := p.next()
	if r.headers["accept"] != "application/pidf+xml, application/pidf-diff+xml" || r.headers["supported"] != "" {
		t.Errorf("%+v", r)
	}
	p.answer(r, 200, granted)
	p.notify(r, "active", diffType, pidfFull(0, desk))
	w.await(line3001, presence.LineIdle)
	p.notify(r, "active", diffType, pidfDiff(1, `<p:add sel="*"><note>On hold</note></p:add>`))
	w.await(line3001, presence.LineHeld)
	p.notify(r, "active", diffType, pidfDiff(3, `<p:remove sel="*/note"/>`)) // 2 is missing
	p.answer(p.next(), 200, granted)
	p.notify(r, "active", diffType, pidfFull(4, desk))
	w.await(line3001, presence.LineIdle)
	for version := 5; ; version += 2 {
		p.notify(r, "active", diffType, pidfDiff(version, `<p:remove sel="*/namespace::x"/>`))
		again := p.next()
		p.answer(again, 200, granted)
		if again.headers["call-id"] != r.headers["call-id"] {
			r = again
			break
		}
		p.notify(r, "active", diffType, pidfFull(version+1, desk))
	}
	if r.headers["accept"] != "application/pidf+xml" {
		t.Errorf("asks for changes still: %+v", r)
	}
	p.seq = 0
	p.notify(r, "active", "application/pidf+xml", offHook)
	w.await(line3001, presence.LineInCall)
}
