package sip_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// part is one of a body in parts.
type part struct{ id, kind, body string }

// related writes a body as Kamailio does.
func related(root string, parts ...part) (contentType, body string) {
	var b strings.Builder
	for _, p := range append([]part{{"root@rls", "application/rlmi+xml;charset=\"UTF-8\"", root}}, parts...) {
		fmt.Fprintf(&b, "--cut\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <%s>\r\nContent-Type: %s\r\n\r\n%s\r\n\r\n", p.id, p.kind, p.body)
	}
	return `multipart/related;type="application/rlmi+xml";start="<root@rls>";boundary="cut"`, b.String() + "--cut--\r\n"
}

func rlmi(version int, full bool, resources string) string {
	return fmt.Sprintf(`<?xml version="1.0"?><list uri="sip:agents@pbx" xmlns="urn:ietf:params:xml:ns:rlmi" version="%d" fullState="%t">%s</list>`, version, full, resources)
}

func resource(user string, instances ...string) string {
	return `<resource uri="sip:` + user + `@pbx"><name>Agent</name>` + strings.Join(instances, "") + `</resource>`
}

func active(id, cid string) string {
	return `<instance id="` + id + `" state="active" cid="` + cid + `"/>`
}

func over(id, reason string) string {
	return `<instance id="` + id + `" state="terminated" reason="` + reason + `"/>`
}

const dialogType = "application/dialog-info+xml"

// busy is the part of a member in a call, dialog-info with versions of its own.
func busy(cid, version string) part {
	return part{cid, dialogType, info(version, "full", call("c", "confirmed"))}
}

func idle(cid, version string) part { return part{cid, dialogType, info(version, "full", "")} }

// told gathers what a roll says, as user=state.
type told map[string]presence.Line

func (s told) say(line, origin string, state presence.Line) { s[sip.Number(line)+"@"+origin] = state }

func (s told) String() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(s)) {
		if s[key] != presence.LineUnknown {
			all = append(all, fmt.Sprintf("%s=%d", key, s[key]))
		}
	}
	return strings.Join(all, " ")
}

type step struct {
	name    string
	root    string
	parts   []part
	restart bool
	wait    time.Duration
	want    string
	err     error
}

func TestRoll(t *testing.T) {
	three := resource("2001", active("a", "c1")) + resource("2002", active("a", "c2")) + resource("2003")
	begin := step{name: "full", root: rlmi(1, true, three), parts: []part{busy("c1", "0"), idle("c2", "0")}, want: "2001@l=4 2002@l=1"}
	for name, steps := range map[string][]step{
		"partial":            {begin, {root: rlmi(2, false, resource("2002", active("a", "c9"))), parts: []part{busy("c9", "1")}, want: "2001@l=4 2002@l=4"}},
		"a version is lost":  {begin, {root: rlmi(3, false, resource("2002", active("a", "c9"))), parts: []part{busy("c9", "1")}, want: "2001@l=4 2002@l=1", err: sip.ErrGap}, {root: rlmi(4, false, ""), want: "2001@l=4 2002@l=1", err: sip.ErrGap}, {root: rlmi(5, true, three), parts: []part{idle("c1", "1"), busy("c2", "1")}, want: "2001@l=1 2002@l=4"}},
		"the same version":   {begin, {root: rlmi(1, false, ""), want: "2001@l=4 2002@l=1", err: sip.ErrGap}},
		"partial first":      {{root: rlmi(0, false, three), err: sip.ErrGap}},
		"counted anew":       {begin, {root: rlmi(0, true, three), parts: []part{idle("c1", "1"), idle("c2", "1")}, want: "2001@l=1 2002@l=1"}, {root: rlmi(1, false, resource("2001", active("a", "x"))), parts: []part{busy("x", "2")}, want: "2001@l=4 2002@l=1"}},
		"one has gone":       {begin, {name: "not yet", root: rlmi(2, true, resource("2001", active("a", "c1"))), parts: []part{busy("c1", "1")}, want: "2001@l=4 2002@l=1"}, {name: "now", wait: 3 * time.Second, want: "2001@l=4"}},
		"full in two":        {begin, {root: rlmi(2, true, resource("2001", active("a", "c1"))), parts: []part{busy("c1", "1")}, want: "2001@l=4 2002@l=1"}, {root: rlmi(3, false, resource("2002", active("a", "c2"))), parts: []part{idle("c2", "1")}, want: "2001@l=4 2002@l=1"}, {wait: 3 * time.Second, want: "2001@l=4 2002@l=1"}},
		"ended":              {begin, {root: rlmi(2, false, resource("2001", over("a", "rejected"))), want: "2002@l=1"}, {root: rlmi(3, false, resource("2001", active("b", "x"))), parts: []part{idle("x", "0")}, want: "2001@l=1 2002@l=1"}},
		"pending":            {begin, {root: rlmi(2, false, resource("2001", `<instance id="a" state="pending"/>`)), want: "2002@l=1"}},
		"no instances":       {begin, {root: rlmi(2, false, resource("2001")), want: "2002@l=1"}},
		"names made up":      {begin, {root: rlmi(2, false, resource("2001", active("zz", "x"))), parts: []part{idle("x", "1")}, want: "2001@l=1 2002@l=1"}},
		"forked":             {{root: rlmi(0, true, resource("2001", active("a", "1"), active("b", "2"))), parts: []part{busy("1", "0"), idle("2", "0")}, want: "2001@l=4"}, {root: rlmi(1, false, resource("2001", active("a", "1"))), parts: []part{idle("1", "1")}, want: "2001@l=1"}, {root: rlmi(2, false, resource("2001", active("b", "1"))), parts: []part{busy("1", "1")}, want: "2001@l=4"}, {root: rlmi(3, false, resource("2001", over("b", ""))), want: "2001@l=1"}},
		"a part is missing":  {begin, {root: rlmi(2, true, three), parts: []part{idle("c2", "1")}, want: "2001@l=4 2002@l=1"}},
		"a part is bad":      {begin, {root: rlmi(2, false, three), parts: []part{{"c1", dialogType, "<x"}, busy("c2", "1")}, want: "2001@l=4 2002@l=4"}},
		"an empty part":      {begin, {root: rlmi(2, false, resource("2001", active("a", "c1"))), parts: []part{{"c1", dialogType, ""}}, want: "2002@l=1"}},
		"partial dialogs":    {begin, {root: rlmi(2, false, resource("2001", active("a", "c1"))), parts: []part{{"c1", dialogType, info("1", "partial", call("c", "terminated"))}}, want: "2001@l=1 2002@l=1"}, {root: rlmi(3, false, resource("2001", active("a", "c1"))), parts: []part{{"c1", dialogType, info("5", "partial", call("d", "early"))}}, want: "2001@l=1 2002@l=1", err: sip.ErrGap}},
		"begun anew":         {begin, {restart: true, root: rlmi(7, false, three), want: "2001@l=4 2002@l=1", err: sip.ErrGap}, {root: rlmi(0, true, three), parts: []part{idle("c1", "0"), idle("c2", "0")}, want: "2001@l=1 2002@l=1"}},
		"no line, long, odd": {{root: rlmi(0, true, `<resource uri="mailto:x"/><resource uri="`+strings.Repeat("x", 900)+`"/>`+resource("2001", active("a", "&lt;c1&gt;"))), parts: []part{busy("c1", "0")}, want: "2001@l=4"}},
	} {
		t.Run(name, func(t *testing.T) { play(t, steps) })
	}
}

func play(t *testing.T, steps []step) {
	t.Helper()
	r, now, said := sip.NewRoll("l"), time.Now(), told{}
	for i, s := range steps {
		if s.restart {
			r.Restart()
		}
		now = now.Add(s.wait)
		r.Settle(said.say, now)
		if s.root != "" {
			kind, body := related(s.root, s.parts...)
			list, err := sip.ParseList("dialog", kind, []byte(body))
			if err != nil {
				t.Fatalf("step %d %s: %v", i, s.name, err)
			}
			if err := r.Apply(list, said.say, now); !errors.Is(err, s.err) {
				t.Errorf("step %d %s: %v, want %v", i, s.name, err, s.err)
			}
		}
		if said.String() != s.want {
			t.Errorf("step %d %s: %s, want %s", i, s.name, said, s.want)
		}
	}
}

// TestRollNested has lists within a list, as Asterisk sends them: a member in two of
// them counts in each.
func TestRollNested(t *testing.T) {
	r, now, said := sip.NewRoll("l"), time.Now(), told{}
	apply := func(version int, full bool, inner ...string) error {
		t.Helper()
		var resources string
		var parts []part
		for i, root := range inner {
			cid := fmt.Sprintf("n%d", i)
			kind, body := related(root, busy("c1", "0"), idle("c2", "0"))
			resources += resource(fmt.Sprintf("team%d", i), active("a", cid))
			parts = append(parts, part{cid, strings.ReplaceAll(kind, "cut", "in"), strings.ReplaceAll(body, "--cut", "--in")})
		}
		kind, body := related(rlmi(version, full, resources), parts...)
		list, err := sip.ParseList("dialog", kind, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return r.Apply(list, said.say, now)
	}
	if err := apply(0, true, rlmi(0, true, resource("2001", active("a", "c1"))), rlmi(0, true, resource("2001", active("a", "c2")))); err != nil {
		t.Fatal(err)
	}
	if want := "2001@l sip:team0@pbx=4 2001@l sip:team1@pbx=1"; said.String() != want || r.Members() != 4 {
		t.Errorf("%s, want %s; %d members", said, want, r.Members())
	}
	if err := apply(1, false, rlmi(2, false, "")); !errors.Is(err, sip.ErrGap) {
		t.Errorf("%v", err)
	}
	if err := apply(2, true, rlmi(3, true, resource("2001", active("a", "c2")))); err != nil {
		t.Error(err)
	}
	r.Settle(said.say, now.Add(3*time.Second))
	if want := "2001@l sip:team0@pbx=1"; said.String() != want || r.Members() != 2 {
		t.Errorf("%s, want %s; %d members", said, want, r.Members())
	}
	r.Clear(said.say)
	if said.String() != "" || r.Members() != 0 {
		t.Errorf("%s; %d members", said, r.Members())
	}
}

func TestRollEnded(t *testing.T) {
	r := sip.NewRoll("l")
	for version, reason := range []string{"noresource", "noresource", "rejected"} {
		kind, body := related(rlmi(version, true, resource("2001", over("a", reason))))
		list, err := sip.ParseList("dialog", kind, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Apply(list, told{}.say, time.Now()) // a full one never misses another
		ended := r.Ended()
		if version == 1 && len(ended) > 0 || version != 1 && !slices.Equal(ended, []sip.Ended{{"sip:2001@pbx", reason}}) {
			t.Errorf("%d: %+v", version, ended)
		}
	}
}

func TestRollBounded(t *testing.T) {
	r := sip.NewRoll("l")
	var err error
	for version := 0; version < 3 && err == nil; version++ {
		var b strings.Builder
		for i := range sip.MaxMembers / 2 {
			b.WriteString(`<resource uri="sip:` + fmt.Sprint(version*sip.MaxMembers+i) + `@pbx"/>`)
		}
		var list sip.List
		if list, err = sip.ParseRLMI([]byte(rlmi(version, version == 0, b.String()))); err != nil {
			t.Fatal(err)
		}
		err = r.Apply(list, told{}.say, time.Now())
	}
	if !errors.Is(err, sip.ErrTooLarge) || r.Members() != sip.MaxMembers {
		t.Errorf("%v with %d members", err, r.Members())
	}
}

func TestParseList(t *testing.T) {
	kind, body := related(rlmi(0, true, resource("2001", active("a", "c1"))), busy("c1", "0"))
	for _, tt := range []struct {
		name, kind, body string
		want             error
	}{
		{"Kamailio", kind, body, nil},
		{"without start", `multipart/related; type="application/rlmi+xml"; boundary=cut`, body, nil},
		{"line feeds", kind, strings.ReplaceAll(body, "\r\n", "\n"), nil},
		{"RLMI alone", "application/rlmi+xml", rlmi(0, true, resource("2001")), nil},
		{"no boundary", "multipart/related", body, sip.ErrDocument},
		{"another boundary", "multipart/related;boundary=b", body, sip.ErrDocument},
		{"cut short", kind, body[:len(body)-12], sip.ErrDocument},
		{"no parts", kind, "--cut--\r\n", sip.ErrDocument},
		{"another root", "multipart/related;boundary=cut;start=c1", body, sip.ErrDocument},
		{"no type", ";;", body, sip.ErrDocument},
		{"no list", "application/rlmi+xml", "<presence/>", sip.ErrDocument},
		{"no version", "application/rlmi+xml", `<list uri="sip:a@b" fullState="true"/>`, sip.ErrDocument},
		{"no fullState", "application/rlmi+xml", `<list uri="sip:a@b" version="0"/>`, sip.ErrDocument},
		{"a state", "application/rlmi+xml", rlmi(0, true, resource("2001", `<instance id="a" state="odd"/>`)), sip.ErrDocument},
		{"no uri", "application/rlmi+xml", rlmi(0, true, `<resource/>`), sip.ErrDocument},
		{"long", kind, strings.Repeat("x", sip.MaxList+1), sip.ErrTooLarge},
		{"long header", kind, strings.Replace(body, "Content-ID: <c1", "Content-ID: <"+strings.Repeat("x", 5000), 1), sip.ErrTooLarge},
		{"many members", "application/rlmi+xml", rlmi(0, true, strings.Repeat(`<resource uri="a"/>`, sip.MaxMembers+1)), sip.ErrTooLarge},
		{"many instances", "application/rlmi+xml", rlmi(0, true, resource("2001", strings.Repeat(over("a", ""), 20))), sip.ErrTooLarge},
		{"many parts", kind, strings.Repeat("--cut\r\n\r\n\r\n", 2*sip.MaxMembers+1) + "--cut--\r\n", sip.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := sip.ParseList("dialog", tt.kind, []byte(tt.body)); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// TestParseListDeep has lists within lists without end.
func TestParseListDeep(t *testing.T) {
	kind, body := "application/rlmi+xml", rlmi(0, true, "")
	for depth := range 7 {
		boundary := fmt.Sprintf("b%d", depth)
		root, inner := "--"+boundary+"\r\nContent-Type: application/rlmi+xml\r\n\r\n"+rlmi(0, true, resource("x", active("a", "n")))+"\r\n", body
		body = root + "--" + boundary + "\r\nContent-ID: <n>\r\nContent-Type: " + kind + "\r\n\r\n" + inner + "\r\n--" + boundary + "--\r\n"
		kind = "multipart/related;boundary=" + boundary
		_, err := sip.ParseList("dialog", kind, []byte(body))
		if want := depth >= 4; errors.Is(err, sip.ErrTooLarge) != want {
			t.Errorf("%d deep: %v", depth+1, err)
		}
	}
}
