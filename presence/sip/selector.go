package sip

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// ErrPatch is for a change that cannot be made: a full document is needed.
var ErrPatch = errors.New("the change does not fit the document")

// What a selector may have at most.
const (
	maxSelector = 1024
	maxSteps    = maxDepth
)

// selector is what RFC 5261 §4.1 allows of XPath, without nodes that presence does not
// depend on: namespace declarations, comments, processing instructions, id().
type selector struct {
	steps []selectStep
	attr  string // the node is an attribute of the element, "" = it is not
	text  bool   // it is the text of the element
}

type selectStep struct {
	name  string // * = any
	tests []selectTest
}

// selectTest is what stands in brackets.
type selectTest struct {
	n           int // the n-th, 0 = one of the others
	attr, child string
	self        bool
	value       string
}

func parseSelector(text string) (selector, error) {
	var s selector
	if len(text) > maxSelector {
		return s, ErrTooLarge
	}
	parts := cutSteps(strings.TrimPrefix(strings.TrimSpace(text), "/"))
	if len(parts) > maxSteps {
		return s, ErrTooLarge
	}
	for i, part := range parts {
		last := i == len(parts)-1 && i > 0
		switch {
		case last && (part == "text()" || part == "text()[1]"):
			s.text = true
			continue
		case last && strings.HasPrefix(part, "@"):
			if s.attr = part[1:]; !isName(s.attr) {
				return s, fmt.Errorf("%w: selector %.60q", ErrPatch, text)
			}
			continue
		}
		step, err := parseStep(part)
		if err != nil {
			return s, fmt.Errorf("%w: selector %.60q", ErrPatch, text)
		}
		s.steps = append(s.steps, step)
	}
	return s, nil
}

// cutSteps cuts at slashes that are within neither brackets nor quotes.
func cutSteps(text string) []string {
	var all []string
	var quote rune
	from, depth := 0, 0
	for i, r := range text {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == '/' && depth == 0:
			all = append(all, text[from:i])
			from = i + 1
		}
	}
	return append(all, text[from:])
}

func parseStep(text string) (selectStep, error) {
	name, rest, _ := strings.Cut(text, "[")
	step := selectStep{name: name}
	if name != "*" && !isName(name) {
		return step, ErrPatch
	}
	if rest == "" && name != text {
		return step, ErrPatch
	}
	for rest != "" {
		end := closing(rest)
		if end < 0 || len(step.tests) >= maxSteps {
			return step, ErrPatch
		}
		test, err := parseTest(rest[:end])
		if err != nil {
			return step, err
		}
		step.tests = append(step.tests, test)
		if rest = rest[end+1:]; rest != "" {
			if rest[0] != '[' || len(rest) == 1 {
				return step, ErrPatch
			}
			rest = rest[1:]
		}
	}
	return step, nil
}

// closing is where the bracket that is open ends, -1 if it does not.
func closing(text string) int {
	var quote rune
	for i, r := range text {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ']':
			return i
		}
	}
	return -1
}

func parseTest(text string) (selectTest, error) {
	if n, err := strconv.ParseUint(text, 10, 15); err == nil && n > 0 {
		return selectTest{n: int(n)}, nil
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '\'' && value[0] != '"' || strings.IndexByte(value[1:], value[0]) != len(value)-2 {
		return selectTest{}, ErrPatch
	}
	test := selectTest{value: value[1 : len(value)-1]}
	switch attr, isAttr := strings.CutPrefix(name, "@"); {
	case name == ".":
		test.self = true
	case isAttr && isName(attr):
		test.attr = attr
	case isName(name):
		test.child = name
	default:
		return test, ErrPatch
	}
	return test, nil
}

// isName reports whether a text is a name with or without a prefix.
func isName(text string) bool {
	prefix, local, ok := strings.Cut(text, ":")
	bad := func(r rune) bool { return strings.ContainsRune("[]()@='\"*:/<>&|,+$! \t\r\n", r) }
	return prefix != "" && !strings.ContainsFunc(prefix, bad) && (!ok || local != "" && !strings.ContainsFunc(local, bad))
}

// find returns the one element that a selector of op leads to.
func (s selector) find(root, op *etree.Element) (*etree.Element, error) {
	var at []*etree.Element
	for i, step := range s.steps {
		var next []*etree.Element
		if i == 0 {
			// The root is presence for those who wrote pidf-full as well.
			if _, local := splitName(step.name); local == "*" || local == "presence" || local == "pidf-full" {
				next = []*etree.Element{root}
			}
			next = passing(next, step.tests, op)
		}
		for _, parent := range at {
			var found []*etree.Element
			for e := range parent.ChildElementsSeq() {
				if ok, err := named(e, step.name, op); err != nil {
					return nil, err
				} else if ok {
					found = append(found, e)
				}
			}
			next = append(next, passing(found, step.tests, op)...)
		}
		at = next
	}
	if len(at) != 1 {
		return nil, fmt.Errorf("%w: a selector leads to %d elements", ErrPatch, len(at))
	}
	return at[0], nil
}

func passing(all []*etree.Element, tests []selectTest, op *etree.Element) []*etree.Element {
	for _, t := range tests {
		if t.n > 0 {
			if t.n > len(all) {
				return nil
			}
			all = all[t.n-1 : t.n]
			continue
		}
		all = slices.DeleteFunc(slices.Clone(all), func(e *etree.Element) bool { return !t.holds(e, op) })
	}
	return all
}

func (t selectTest) holds(e, op *etree.Element) bool {
	switch {
	case t.self:
		return stringOf(e) == t.value
	case t.attr != "":
		a, err := attributeOf(e, t.attr, op)
		return err == nil && a != nil && a.Value == t.value
	}
	for c := range e.ChildElementsSeq() {
		if ok, err := named(c, t.child, op); err == nil && ok && stringOf(c) == t.value {
			return true
		}
	}
	return false
}

// stringOf is the text of an element with that of its children.
func stringOf(e *etree.Element) string {
	var b strings.Builder
	for _, t := range e.Child {
		switch t := t.(type) {
		case *etree.CharData:
			b.WriteString(t.Data)
		case *etree.Element:
			b.WriteString(stringOf(t))
		}
	}
	return b.String()
}

func splitName(name string) (prefix, local string) {
	if prefix, local, ok := strings.Cut(name, ":"); ok {
		return prefix, local
	}
	return "", name
}

// named reports whether an element has a name that op writes: other than in XPath, one
// without a prefix is of the default namespace there (RFC 5261 §4.2.2).
func named(e *etree.Element, name string, op *etree.Element) (bool, error) {
	if name == "*" {
		return true, nil
	}
	prefix, local := splitName(name)
	space, ok := spaceOf(op, prefix)
	if !ok {
		return false, fmt.Errorf("%w: prefix %.20q is not declared", ErrPatch, prefix)
	}
	return e.Tag == local && e.NamespaceURI() == space, nil
}

// spaceOf is the namespace of a prefix where an element stands.
func spaceOf(e *etree.Element, prefix string) (string, bool) {
	for ; e != nil; e = e.Parent() {
		for _, a := range e.Attr {
			if prefix == "" && a.Space == "" && a.Key == "xmlns" || prefix != "" && a.Space == "xmlns" && a.Key == prefix {
				return a.Value, true
			}
		}
	}
	return "", prefix == ""
}

// attributeOf finds an attribute by a name that op writes.
func attributeOf(e *etree.Element, name string, op *etree.Element) (*etree.Attr, error) {
	prefix, local := splitName(name)
	space, ok := "", true
	if prefix == "xml" {
		space = "xml"
	} else if prefix != "" {
		space, ok = spaceOf(op, prefix)
	}
	if !ok {
		return nil, fmt.Errorf("%w: prefix %.20q is not declared", ErrPatch, prefix)
	}
	for i, a := range e.Attr {
		of := ""
		if a.Space == "xml" {
			of = "xml"
		} else if a.Space != "" {
			of, _ = spaceOf(e, a.Space)
		}
		if a.Key == local && of == space && a.Space != "xmlns" && (a.Space != "" || a.Key != "xmlns") {
			return &e.Attr[i], nil
		}
	}
	return nil, nil //nolint:nilnil // there is none, which is no error
}
