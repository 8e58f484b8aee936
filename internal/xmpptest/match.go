package xmpptest

import (
	"encoding/xml"
	"fmt"
	"maps"
	"regexp"
	"strings"
)

// matcher holds a pattern against what a client got.
type matcher struct {
	vars     map[string]string // kept so far
	full     string            // the client's addresses, implied as "to"
	bare     string
	captured map[string]string // kept by the match under way
}

// match returns what is different, nil for nothing; then what the pattern names
// is kept.
func (m *matcher) match(want, got *element) error {
	m.captured = make(map[string]string)
	if err := m.element(want, got, true); err != nil {
		return err
	}
	maps.Copy(m.vars, m.captured)
	return nil
}

func (m *matcher) element(want, got *element, top bool) error {
	if want.name != got.name {
		return fmt.Errorf("<%s> of %s in place of <%s> of %s", got.name.Local, got.name.Space, want.name.Local, want.name.Space)
	}
	if err := m.attributes(want, got, top); err != nil {
		return fmt.Errorf("<%s>: %w", want.name.Local, err)
	}
	text := got.text
	if len(want.children) > 0 {
		text = strings.TrimSpace(text) // the layout of the script
	}
	if want.moreChildren && want.text == "" {
		text = ""
	}
	if err := m.text(want.text, text); err != nil {
		return fmt.Errorf("<%s>: text: %w", want.name.Local, err)
	}
	return m.children(want, got)
}

func (m *matcher) attributes(want, got *element, top bool) error {
	for name, pattern := range want.attrs {
		value, ok := got.attrs[name]
		if !ok {
			return fmt.Errorf("no attribute %s", name.Local)
		}
		if err := m.text(pattern, value); err != nil {
			return fmt.Errorf("attribute %s: %w", name.Local, err)
		}
	}
	if want.moreAttrs {
		return nil
	}
	for name, value := range got.attrs {
		if _, ok := want.attrs[name]; ok {
			continue
		}
		if top && name == (xml.Name{Local: "to"}) && got.name.Space == nsClient && (value == m.full || value == m.bare) {
			continue
		}
		return fmt.Errorf("unexpected attribute %s='%s'", name.Local, value)
	}
	return nil
}

// children compares in order; with ... elements may stand between.
func (m *matcher) children(want, got *element) error {
	rest := got.children
	for _, w := range want.children {
		var first error
		for {
			if len(rest) == 0 {
				if first != nil {
					return first
				}
				return fmt.Errorf("<%s>: no %s", want.name.Local, w)
			}
			c := rest[0]
			rest = rest[1:]
			err := m.element(w, c, false)
			if err == nil {
				break
			}
			if !want.moreChildren {
				return fmt.Errorf("<%s>: %w", want.name.Local, err)
			}
			if first == nil && w.name == c.name {
				first = err
			}
		}
	}
	if len(rest) == 1 && want.name.Local == "presence" && rest[0].name == (xml.Name{Space: "urn:xmpp:delay", Local: "delay"}) {
		rest = nil // whether presence is old enough to be stamped is the machine's affair
	}
	if len(rest) > 0 && !want.moreChildren {
		return fmt.Errorf("<%s>: unexpected %s", want.name.Local, rest[0])
	}
	return nil
}

// special finds * and {name} in a pattern.
var special = regexp.MustCompile(`\*|\{[a-z][a-z0-9]*\}`)

// text holds a text against a pattern.
func (m *matcher) text(pattern, got string) error {
	var expr strings.Builder
	var names []string
	expr.WriteString(`(?s)^`)
	at := 0
	for _, loc := range special.FindAllStringIndex(pattern, -1) {
		expr.WriteString(regexp.QuoteMeta(pattern[at:loc[0]]))
		at = loc[1]
		word := pattern[loc[0]:loc[1]]
		if word == "*" {
			expr.WriteString(`.*`)
			continue
		}
		name := word[1 : len(word)-1]
		if value, ok := m.known(name); ok {
			expr.WriteString(regexp.QuoteMeta(value))
			continue
		}
		names = append(names, name)
		expr.WriteString(`(.+)`)
	}
	expr.WriteString(regexp.QuoteMeta(pattern[at:]) + `$`)
	found := regexp.MustCompile(expr.String()).FindStringSubmatch(got)
	if found == nil {
		return fmt.Errorf("%q in place of %q", clip(got), clip(m.fill(pattern)))
	}
	for i, name := range names {
		m.captured[name] = found[i+1]
	}
	return nil
}

func (m *matcher) known(name string) (string, bool) {
	if value, ok := m.captured[name]; ok {
		return value, true
	}
	value, ok := m.vars[name]
	return value, ok
}

// fill puts what is kept in place of its names.
func (m *matcher) fill(text string) string {
	return special.ReplaceAllStringFunc(text, func(word string) string {
		if value, ok := m.known(strings.Trim(word, "{}")); ok {
			return value
		}
		return word
	})
}
