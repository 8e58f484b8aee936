package xmpptest

import (
	"fmt"
	"regexp"
	"strings"
)

// Script is a conversation.
type Script struct {
	Name       string
	statements []statement
}

// verb is what a statement is about.
type verb string

const (
	connects      verb = "connects"
	authenticates verb = "authenticates"
	signsIn       verb = "signs in"
	comesOnline   verb = "comes online"
	cannotSignIn  verb = "cannot sign in"
	restarts      verb = "restarts the stream"
	sends         verb = "sends"
	gets          verb = "gets"
	getsAnyOrder  verb = "gets in any order"
	getsNothing   verb = "gets nothing"
	closes        verb = "closes"
	vanishes      verb = "vanishes"
	isEnded       verb = "is ended"
	serverRestart verb = "the server restarts"
	administrates verb = "the administrator"
)

type statement struct {
	line     int
	who      string // the client's name
	door     Door   // "" is the script's
	verb     verb
	password string     // "" is everybody's
	word     string     // a condition
	text     string     // elements to send
	elements []*element // patterns
}

// forms are what statements look like behind the client's name.
var forms = []struct {
	verb verb
	form *regexp.Regexp
}{
	{connects, regexp.MustCompile(`^connects$`)},
	{authenticates, regexp.MustCompile(`^authenticates(?: with '(?P<password>[^']*)')?$`)},
	{signsIn, regexp.MustCompile(`^signs in(?: with '(?P<password>[^']*)')?$`)},
	{comesOnline, regexp.MustCompile(`^comes online(?: with '(?P<password>[^']*)')?$`)},
	{cannotSignIn, regexp.MustCompile(`^cannot sign in(?: with '(?P<password>[^']*)')?(?: because of (?P<word>[a-z-]+))?$`)},
	{restarts, regexp.MustCompile(`^restarts the stream$`)},
	{sends, regexp.MustCompile(`(?s)^sends\s+(?P<text><.*)$`)},
	{getsNothing, regexp.MustCompile(`^gets nothing$`)},
	{getsAnyOrder, regexp.MustCompile(`(?s)^gets in any order\s+(?P<text><.*)$`)},
	{gets, regexp.MustCompile(`(?s)^gets\s+(?P<text><.*)$`)},
	{closes, regexp.MustCompile(`(?s)^closes(?: with\s+(?P<text><.*))?$`)},
	{vanishes, regexp.MustCompile(`^vanishes$`)},
	{isEnded, regexp.MustCompile(`^is ended(?: with (?P<word>[a-z-]+))?$`)},
}

var subject = regexp.MustCompile(`(?s)^(\S+)(?: over (bosh|websocket))?\s+(.*)$`)

// Parse reads a script.
func Parse(name, text string) (*Script, error) {
	s := &Script{Name: name}
	for _, raw := range join(text) {
		st, err := parseStatement(raw.text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, raw.line, err)
		}
		st.line = raw.line
		s.statements = append(s.statements, st)
	}
	return s, nil
}

type rawStatement struct {
	line int
	text string
}

// join puts the lines of each statement together.
func join(text string) []rawStatement {
	var list []rawStatement
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case line == "" || strings.HasPrefix(strings.TrimSpace(line), "#"):
		case len(list) > 0 && (line[0] == ' ' || line[0] == '\t'):
			list[len(list)-1].text += "\n" + line
		default:
			list = append(list, rawStatement{i + 1, line})
		}
	}
	return list
}

func parseStatement(text string) (statement, error) {
	if text == string(serverRestart) {
		return statement{verb: serverRestart}, nil
	}
	if order, ok := strings.CutPrefix(text, string(administrates)+" "); ok {
		return statement{verb: administrates, text: order}, nil
	}
	parts := subject.FindStringSubmatch(text)
	if parts == nil {
		return statement{}, fmt.Errorf("%q is no statement", text)
	}
	st := statement{who: parts[1], door: Door(parts[2])}
	for _, f := range forms {
		found := f.form.FindStringSubmatch(parts[3])
		if found == nil {
			continue
		}
		st.verb = f.verb
		for i, name := range f.form.SubexpNames() {
			switch name {
			case "password":
				st.password = found[i]
			case "word":
				st.word = found[i]
			case "text":
				st.text = found[i]
			}
		}
		return st, st.read()
	}
	return statement{}, fmt.Errorf("%q is no statement", text)
}

// read makes elements of the text of what is got.
func (st *statement) read() error {
	if st.verb != gets && st.verb != getsAnyOrder {
		return nil
	}
	var err error
	st.elements, err = parsePatterns(st.text)
	if err == nil && len(st.elements) == 0 {
		err = fmt.Errorf("no element in %q", st.text)
	}
	return err
}
