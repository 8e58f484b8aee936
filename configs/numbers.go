package configs

import (
	"strings"

	"github.com/deskline/deskline/presence"
)

// Numbers is how telephone numbers are written in an installation.
type Numbers struct {
	Country        string   `key:"country" live:"yes"`
	Trunk          string   `key:"trunk" live:"yes"`
	International  string   `key:"international" live:"yes"`
	NationalDigits int      `key:"national_digits" min:"0" max:"15" live:"yes"`
	Rules          []string `key:"rules" live:"yes"` // pattern=number
}

// maxRules bounds the rules, each of which is tried for each number.
const maxRules = 100

// Rules returns how numbers are compared.
func (p Presence) Rules() (presence.Numbers, error) {
	n := p.Numbers
	out := presence.Numbers{Country: n.Country, Trunk: n.Trunk, International: n.International, NationalDigits: n.NationalDigits}
	for _, text := range n.Rules {
		rule, err := presence.ParseRule(text)
		if err != nil {
			return out, err
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

func (l *loader) checkNumbers() {
	n := l.cfg.Presence.Numbers
	for _, f := range []struct {
		key, text, example string
		most               int
	}{
		{"presence.numbers.country", strings.TrimPrefix(n.Country, "+"), "49", 3},
		{"presence.numbers.trunk", n.Trunk, "0", 4},
		{"presence.numbers.international", n.International, "00", 5},
	} {
		if strings.Trim(f.text, "0123456789") != "" || len(f.text) > f.most {
			l.add(f.key, "%q is none, write digits such as %s", f.text, f.example)
		}
	}
	if strings.HasPrefix(n.Country, "+") || strings.HasPrefix(n.Country, "0") {
		l.add("presence.numbers.country", "%q is no code of a country such as 49, without + and zeros in front", n.Country)
	}
	if len(n.Rules) > maxRules {
		l.add("presence.numbers.rules", "has %d rules, more than %d", len(n.Rules), maxRules)
	}
	if _, err := l.cfg.Presence.Rules(); err != nil {
		l.add("presence.numbers.rules", "%v", err)
	}
}
