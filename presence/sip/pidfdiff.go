package sip

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/beevik/etree"

	"github.com/deskline/deskline/presence"
)

// typeDiff is a presence document, or what has changed in it (RFC 5262).
const typeDiff = "application/pidf-diff+xml"

// maxChanges bounds the changes of a document.
const maxChanges = 256

// PIDFDiff is a document of RFC 5262.
type PIDFDiff struct {
	Version uint64
	Full    bool

	state presence.Line // of a full one
	text  []byte        // of a full one, as presence of RFC 3863
	root  *etree.Element
}

// ParsePIDFDiff reads application/pidf-diff+xml.
func ParsePIDFDiff(body []byte) (PIDFDiff, error) {
	root, err := tree(body)
	if err != nil {
		return PIDFDiff{}, err
	}
	doc := PIDFDiff{root: root, Full: root.Tag == "pidf-full"}
	if !doc.Full && root.Tag != "pidf-diff" {
		return PIDFDiff{}, fmt.Errorf("%w: %.40s in place of pidf-full or pidf-diff", ErrDocument, root.Tag)
	}
	if doc.Version, err = strconv.ParseUint(strings.TrimSpace(root.SelectAttrValue("version", "")), 10, 63); err != nil {
		return PIDFDiff{}, fmt.Errorf("%w: version: %w", ErrDocument, err)
	}
	if doc.Full {
		root.Space, root.Tag = "", "presence"
		doc.root = nil
		doc.text, doc.state, err = written(root)
	}
	if err != nil {
		return PIDFDiff{}, err
	}
	return doc, nil
}

// tree reads a document into a tree after it was found to be within the bounds.
func tree(body []byte) (*etree.Element, error) {
	c, err := newCursor(body)
	if err != nil {
		return nil, err
	}
	if err := c.walk(func(xml.StartElement) error { return nil }, func(string, string) {}, func(string) {}); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	doc.ReadSettings.MaxDepth = maxDepth + 1
	if err := doc.ReadFromBytes(body); err != nil || doc.Root() == nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return doc.Root(), nil
}

// written is the document of a tree, and what it says.
func written(root *etree.Element) ([]byte, presence.Line, error) {
	doc := etree.NewDocumentWithRoot(root)
	text, err := doc.WriteToBytes()
	if err != nil {
		return nil, presence.LineUnknown, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	pidf, err := ParsePIDF(text)
	return text, pidf.State, err
}

// Partial keeps the presence document of one line as one subscription tells of it. The
// zero value has none. It is pure and not safe for concurrent use.
type Partial struct {
	text    []byte // nil: a full document is needed
	version uint64
}

// Size is how many bytes are kept.
func (p *Partial) Size() int { return len(p.text) }

// Apply takes a document and returns what the line does. ErrGap says that documents
// are missing, ErrPatch that a change was not understood or does not fit: a full
// document is needed in either case, and nothing is kept until then.
func (p *Partial) Apply(doc PIDFDiff) (presence.Line, error) {
	if doc.Full {
		p.text, p.version = doc.text, doc.Version
		return doc.state, nil
	}
	if p.text == nil || doc.Version != p.version+1 {
		p.text = nil
		return presence.LineUnknown, ErrGap
	}
	text, state, err := patch(p.text, doc.root)
	if err != nil {
		p.text = nil
		return presence.LineUnknown, err
	}
	p.text, p.version = text, doc.Version
	return state, nil
}

// patch makes the changes of RFC 5261, all or none.
func patch(text []byte, changes *etree.Element) ([]byte, presence.Line, error) {
	root, err := tree(text)
	if err != nil {
		return nil, presence.LineUnknown, err
	}
	ops := changes.ChildElements()
	if len(ops) > maxChanges {
		return nil, presence.LineUnknown, ErrTooLarge
	}
	for _, op := range ops {
		if err := change(root, op); err != nil {
			return nil, presence.LineUnknown, err
		}
	}
	text, state, err := written(root)
	if err != nil {
		return nil, presence.LineUnknown, fmt.Errorf("%w: %w", ErrPatch, err)
	}
	return text, state, nil
}

func change(root, op *etree.Element) error {
	sel, err := parseSelector(op.SelectAttrValue("sel", ""))
	if err != nil {
		return err
	}
	at, err := sel.find(root, op)
	if err != nil {
		return err
	}
	switch op.Tag {
	case "add":
		if sel.attr != "" || sel.text {
			return fmt.Errorf("%w: add to what has no children", ErrPatch)
		}
		return add(root, at, op)
	case "replace":
		return sel.replace(root, at, op)
	case "remove":
		return sel.remove(root, at, op)
	}
	return fmt.Errorf("%w: %.40s", ErrPatch, op.Tag)
}

func add(root, at, op *etree.Element) error {
	if kind := op.SelectAttrValue("type", ""); kind != "" {
		name, ok := strings.CutPrefix(kind, "@")
		if !ok || !isName(name) || strings.Contains(name, ":") { // namespaces and their attributes
			return fmt.Errorf("%w: add %.40s", ErrPatch, kind)
		}
		if at.SelectAttr(name) != nil || name == "xmlns" {
			return fmt.Errorf("%w: an attribute is there already", ErrPatch)
		}
		at.CreateAttr(name, op.Text())
		return nil
	}
	parent, index := at, len(at.Child)
	switch pos := op.SelectAttrValue("pos", ""); {
	case pos == "":
	case pos == "prepend":
		index = 0
	case (pos == "before" || pos == "after") && at != root:
		parent, index = at.Parent(), at.Index()
		if pos == "after" {
			index++
		}
	default:
		return fmt.Errorf("%w: pos %.40s", ErrPatch, pos)
	}
	for _, token := range slices.Clone(op.Child) {
		if token = moved(token, op); token != nil {
			parent.InsertChildAt(index, token)
			index++
		}
	}
	return nil
}

// moved is a copy of a node that takes the namespaces along which are declared around
// it, nil for what does not matter.
func moved(token etree.Token, op *etree.Element) etree.Token {
	switch t := token.(type) {
	case *etree.CharData:
		return etree.NewText(t.Data)
	case *etree.Element:
		one := t.Copy()
		for e := op; e != nil; e = e.Parent() {
			for _, a := range e.Attr {
				if (a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns") && !declares(one, a) {
					one.Attr = append(one.Attr, etree.Attr{Space: a.Space, Key: a.Key, Value: a.Value})
				}
			}
		}
		if !declares(one, etree.Attr{Key: "xmlns"}) {
			one.CreateAttr("xmlns", "")
		}
		return one
	}
	return nil
}

func declares(e *etree.Element, a etree.Attr) bool {
	return slices.ContainsFunc(e.Attr, func(o etree.Attr) bool { return o.Space == a.Space && o.Key == a.Key })
}

func (s selector) replace(root, at, op *etree.Element) error {
	switch {
	case s.attr != "":
		a, err := attributeOf(at, s.attr, op)
		if err != nil || a == nil {
			return fmt.Errorf("%w: no attribute %.40s", ErrPatch, s.attr)
		}
		a.Value = op.Text()
	case s.text:
		if !onlyText(at) || len(op.ChildElements()) > 0 {
			return fmt.Errorf("%w: no text", ErrPatch)
		}
		at.SetText(op.Text())
	default:
		with := op.ChildElements()
		if len(with) != 1 || at == root {
			return fmt.Errorf("%w: %d elements in place of one", ErrPatch, len(with))
		}
		parent, index := at.Parent(), at.Index()
		parent.RemoveChildAt(index)
		parent.InsertChildAt(index, moved(with[0], op))
	}
	return nil
}

func (s selector) remove(root, at, op *etree.Element) error {
	switch {
	case s.attr != "":
		a, err := attributeOf(at, s.attr, op)
		if err != nil || a == nil {
			return fmt.Errorf("%w: no attribute %.40s", ErrPatch, s.attr)
		}
		gone := *a
		at.Attr = slices.DeleteFunc(at.Attr, func(o etree.Attr) bool { return o.Space == gone.Space && o.Key == gone.Key })
	case s.text:
		if !onlyText(at) {
			return fmt.Errorf("%w: no text", ErrPatch)
		}
		at.SetText("")
	case at == root:
		return fmt.Errorf("%w: the document is removed", ErrPatch)
	default:
		at.Parent().RemoveChild(at)
	}
	return nil
}

// onlyText reports whether an element has a text and nothing else, so that it is clear
// which one is meant.
func onlyText(e *etree.Element) bool {
	return e.Text() != "" && len(e.ChildElements()) == 0
}
