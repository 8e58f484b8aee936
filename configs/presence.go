package configs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// Presence is how presence is composed of what users, telephones and calendars say.
type Presence struct {
	Policy        string        `key:"policy" one:"modern cisco" live:"yes"`
	RingingIsBusy bool          `key:"ringing_is_busy" live:"yes"`
	PhoneOnly     string        `key:"phone_only" one:"hide show" live:"yes"`
	IdleAfter     time.Duration `key:"idle_after" min:"0s" max:"24h" live:"yes"`
	Gather        time.Duration `key:"gather" min:"0s" max:"2s" live:"yes"`
	History       time.Duration `key:"history" min:"0s" max:"8784h" live:"yes"` // 0 = none
	Shows         Shows         `key:"shows"`
	Language      string        `key:"language" one:"en de fr es it nl" live:"yes"`
	Texts         []string      `key:"texts" live:"yes"`       // state=text, in place of those of the language
	Supervisors   []string      `key:"supervisors" live:"yes"` // group > group
	Lines         []string      `key:"lines" live:"yes"`       // line=user
	LinesFile     string        `key:"lines_file" live:"yes"`  // the same, one a row; "" = none
	Numbers       Numbers       `key:"numbers"`
	HTTP          PresenceHTTP  `key:"http"`
	Calendars     []Calendar    `key:"calendars" live:"yes"`
	Asterisk      []Asterisk    `key:"asterisk" live:"yes"` // switches, in pbx.go
	FreeSWITCH    []FreeSWITCH  `key:"freeswitch" live:"yes"`
	Innovaphone   []Innovaphone `key:"innovaphone" live:"yes"`
}

// Shows are what clients show of states that no user has chosen.
type Shows struct {
	Phone       string `key:"phone" one:"dnd away xa none" live:"yes"`
	Meeting     string `key:"meeting" one:"dnd away xa none" live:"yes"`
	OutOfOffice string `key:"out_of_office" one:"dnd away xa none" live:"yes"`
}

// PresenceHTTP is where others tell over HTTP what lines do.
type PresenceHTTP struct {
	Token    Secret        `key:"token" live:"yes"` // "" = nobody may
	TTL      time.Duration `key:"ttl" min:"1s" max:"24h" live:"yes"`
	MaxLines int           `key:"max_lines" min:"1" max:"1000000"`
}

func defaultPresence() Presence {
	return Presence{
		Policy: "modern", PhoneOnly: "hide", IdleAfter: 5 * time.Minute, Gather: 100 * time.Millisecond, History: 7 * 24 * time.Hour,
		Numbers: Numbers{Trunk: "0", International: "00"},
		Shows:   Shows{Phone: "dnd", Meeting: "dnd", OutOfOffice: "xa"}, Language: "en",
		HTTP: PresenceHTTP{TTL: time.Hour, MaxLines: 50000},
	}
}

// maxLineList bounds the file of lines.
const maxLineList = 16 << 20

// minToken is the least length of a token that is not guessed.
const minToken = 16

// AllLines returns whose lines are, of the list and the file, by presence.LineKey.
func (c Config) AllLines() (map[string][]jid.JID, error) {
	all := map[string][]jid.JID{}
	for _, row := range c.Presence.Lines {
		if err := c.addLine(all, row); err != nil {
			return nil, fmt.Errorf("presence.lines: %w", err)
		}
	}
	if c.Presence.LinesFile == "" {
		return all, nil
	}
	info, err := os.Stat(c.Presence.LinesFile)
	if err != nil {
		return nil, fmt.Errorf("presence.lines_file: %w", err)
	}
	if info.Size() > maxLineList {
		return nil, fmt.Errorf("presence.lines_file: %s is larger than %s", c.Presence.LinesFile, Size(maxLineList))
	}
	data, err := os.ReadFile(c.Presence.LinesFile)
	if err != nil {
		return nil, fmt.Errorf("presence.lines_file: %w", err)
	}
	n := 0
	for row := range strings.Lines(string(data)) {
		n++
		row = strings.TrimSpace(row)
		if row == "" || strings.HasPrefix(row, "#") {
			continue
		}
		if err := c.addLine(all, row); err != nil {
			return nil, fmt.Errorf("presence.lines_file: %s, row %d: %w", c.Presence.LinesFile, n, err)
		}
	}
	return all, nil
}

// addLine reads line=user; a user without a domain is of the first one.
func (c Config) addLine(all map[string][]jid.JID, row string) error {
	at := strings.LastIndexByte(row, '=')
	if at < 0 {
		return fmt.Errorf("%q is not written line=user", row)
	}
	key, name := presence.LineKey(row[:at]), strings.TrimSpace(row[at+1:])
	if key == "" {
		return fmt.Errorf("%q names no line", row)
	}
	if !strings.Contains(name, "@") && len(c.Domains) > 0 {
		name += "@" + c.Domains[0]
	}
	user, err := jid.Parse(name)
	switch {
	case err != nil || user.Local() == "" || !user.IsBare():
		return fmt.Errorf("%q is no user", name)
	case !slices.Contains(c.Domains, user.Domain()):
		return fmt.Errorf("%s is of none of domains", user)
	case slices.Contains(all[key], user):
		return nil
	}
	all[key] = append(all[key], user)
	return nil
}

// AllTexts returns what is shown in each state: those of the language, and those set.
func (p Presence) AllTexts() (map[presence.Name]string, error) {
	texts := presence.Texts(p.Language)
	for _, row := range p.Texts {
		state, text, ok := strings.Cut(row, "=")
		name := presence.Name(strings.TrimSpace(state))
		if _, known := texts[name]; !ok || !known {
			return nil, fmt.Errorf("%q is not written state=text with a state such as on-the-phone", row)
		}
		if len(text) > 200 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			return nil, errors.New("a text has more than 200 bytes, or signs that no text has")
		}
		texts[name] = strings.TrimSpace(text)
	}
	return texts, nil
}

// Oversights returns who may see whom by groups.
func (p Presence) Oversights() ([]presence.Oversight, error) {
	var all []presence.Oversight
	for _, row := range p.Supervisors {
		who, team, ok := strings.Cut(row, ">")
		o := presence.Oversight{Supervisors: strings.TrimSpace(who), Team: strings.TrimSpace(team)}
		if !ok || o.Supervisors == "" || o.Team == "" || strings.Contains(team, ">") {
			return nil, fmt.Errorf("%q is not written Supervisors > Agents, with names of groups", row)
		}
		all = append(all, o)
	}
	return all, nil
}

func (l *loader) checkPresence() {
	p := l.cfg.Presence
	if _, err := p.Oversights(); err != nil {
		l.add("presence.supervisors", "%v", err)
	}
	if _, err := p.AllTexts(); err != nil && !l.has("presence.language") {
		l.add("presence.texts", "%v", err)
	}
	if _, err := l.cfg.AllLines(); err != nil {
		key, text, _ := strings.Cut(err.Error(), ": ")
		l.add(key, "%s", text)
	}
	if t := p.HTTP.Token.Reveal(); t != "" && (len(t) < minToken || strings.ContainsAny(t, " \t\r\n")) {
		l.add("presence.http.token", "is shorter than %d letters or has spaces, make one with: openssl rand -hex 24", minToken)
	}
}
