package sip

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// What a list may have at most. A full NOTIFY has some 700 bytes for each of its
// members, so one of 5,000 fits, which needs TCP or TLS.
const (
	MaxList      = 4 << 20 // bytes of all parts together
	MaxMembers   = 10_000  // with those of nested lists
	maxInstances = 16      // of a member: telephones that were forked to
	maxNested    = 4       // lists within lists
)

// List is what a NOTIFY of RFC 4662 says of a list: the RLMI document and what its
// parts hold.
type List struct {
	URI       string // as written
	Version   uint64
	Full      bool // all members are there
	Resources []Resource
}

// Resource is a member of a list, or a list within it.
type Resource struct {
	URI       string // as written
	Instances []Instance
}

// Instance is one of what a member is subscribed to at: several only behind a proxy
// that forks.
type Instance struct {
	ID     string
	State  string // active, pending or terminated
	Reason string // of the end

	cid  string
	said *reading // nil: nothing that can be read
	list *List    // nil: no list
}

// ParseRLMI reads application/rlmi+xml. The parts that it names are elsewhere.
func ParseRLMI(body []byte) (List, error) {
	c, err := newCursorOf(body, MaxList, 4*MaxMembers)
	if err != nil {
		return List{}, err
	}
	r := rlmiReader{c: c}
	if err := c.walk(r.start, func(string, string) {}, func(string) {}); err != nil {
		return List{}, err
	}
	return r.doc, nil
}

type rlmiReader struct {
	c   *cursor
	doc List
}

func (r *rlmiReader) start(e xml.StartElement) error {
	switch name := e.Name.Local; {
	case len(r.c.path) == 1:
		return r.root(e)
	case name == "resource" && len(r.c.path) == 2:
		if len(r.doc.Resources) >= MaxMembers {
			return ErrTooLarge
		}
		uri := strings.TrimSpace(attribute(e, "uri"))
		if uri == "" {
			return fmt.Errorf("%w: a resource without uri", ErrDocument)
		}
		r.doc.Resources = append(r.doc.Resources, Resource{URI: cut(uri)})
	case name == "instance" && len(r.c.path) == 3 && r.c.parent() == "resource":
		return r.instance(e)
	}
	return nil
}

func (r *rlmiReader) root(e xml.StartElement) error {
	if e.Name.Local != "list" {
		return fmt.Errorf("%w: %s in place of list", ErrDocument, e.Name.Local)
	}
	r.doc.URI = cut(strings.TrimSpace(attribute(e, "uri")))
	switch full := strings.TrimSpace(attribute(e, "fullState")); full {
	case "true", "1":
		r.doc.Full = true
	case "false", "0":
	default:
		return fmt.Errorf("%w: fullState %.20q", ErrDocument, full)
	}
	version, err := strconv.ParseUint(strings.TrimSpace(attribute(e, "version")), 10, 63)
	if err != nil {
		return fmt.Errorf("%w: version: %w", ErrDocument, err)
	}
	r.doc.Version = version
	return nil
}

func (r *rlmiReader) instance(e xml.StartElement) error {
	of := &r.doc.Resources[len(r.doc.Resources)-1]
	if len(of.Instances) >= maxInstances {
		return ErrTooLarge
	}
	one := Instance{
		ID: cut(attribute(e, "id")), Reason: cut(strings.TrimSpace(attribute(e, "reason"))), cid: contentID(attribute(e, "cid")),
	}
	switch one.State = strings.ToLower(strings.TrimSpace(attribute(e, "state"))); one.State {
	case "active", "pending", "terminated":
	default:
		return fmt.Errorf("%w: state %.20q of an instance", ErrDocument, one.State)
	}
	of.Instances = append(of.Instances, one)
	return nil
}

// contentID writes an identifier of a part in one way: the standard has <> in the
// header of the part alone, some write it elsewhere, and some an URI of RFC 2392.
func contentID(text string) string {
	text = strings.TrimPrefix(strings.TrimSpace(text), "cid:")
	return strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
}
