// Package private keeps XML that clients store for themselves (XEP-0049), one
// element for each name, seen by nobody but its owner.
//
//	s := private.New(private.Config{Store: store})
//	s.Register(m)
package private

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// NS is the namespace of private storage.
const NS = "jabber:iq:private"

// Config sets up private storage. Zero limits have the defaults given.
type Config struct {
	Store Store
	Limits
	MaxNames int      // elements in one request, default 16
	Reserved []string // namespaces that the server itself keeps here
}

// Limits can change while running; what is kept beyond them stays.
type Limits struct {
	Bytes    int // of one element, default 64 KiB
	Elements int // of one owner, default 100
}

// Service answers requests for private storage. Safe for concurrent use.
type Service struct {
	cfg    Config
	limits atomic.Pointer[Limits]
}

// New makes a Service.
func New(cfg Config) *Service {
	cfg.MaxNames = cmp.Or(cfg.MaxNames, 16)
	s := &Service{cfg: cfg}
	s.SetLimits(cfg.Limits)
	return s
}

// SetLimits changes the limits.
func (s *Service) SetLimits(l Limits) {
	l.Bytes = cmp.Or(l.Bytes, 64<<10)
	l.Elements = cmp.Or(l.Elements, 100)
	s.limits.Store(&l)
}

// Limits returns what is in force.
func (s *Service) Limits() Limits { return *s.limits.Load() }

// Register adds private storage to the accounts.
func (s *Service) Register(m *mux.Mux) {
	m.Handle(mux.Route{Name: stanza.Name{Space: NS, Local: "query"}, Get: s.get, Set: s.set, Scope: mux.ScopeAccount})
}

func (s *Service) get(ctx context.Context, req *mux.Request) ([]byte, error) {
	content, err := s.content(req)
	if err != nil {
		return nil, err
	}
	// XEP-0049 §3: one element a request.
	if len(content.Children) != 1 {
		return nil, stanza.ErrBadRequest("name one element")
	}
	name := content.Children[0].Name
	stored, err := s.cfg.Store.Private(ctx, req.Owner, name.Space, name.Local)
	if err != nil {
		return nil, storeError(fmt.Errorf("read private %s of %s: %w", name.Space, req.Owner, err))
	}
	reply := []byte("<query xmlns='" + NS + "'>")
	if stored == nil {
		reply = append(append(append(reply, '<'), name.Local...), " xmlns='"...)
		reply = append(stanza.AppendEscaped(reply, name.Space), "'/>"...)
	} else {
		reply = append(reply, stored...)
	}
	return append(reply, "</query>"...), nil
}

func (s *Service) set(ctx context.Context, req *mux.Request) ([]byte, error) {
	content, err := s.content(req)
	if err != nil {
		return nil, err
	}
	if len(content.Children) == 0 || len(content.Children) > s.cfg.MaxNames {
		return nil, stanza.NewError(stanza.Modify, "not-acceptable", "no element, or too many")
	}
	limits := s.limits.Load()
	elements := make([]Element, 0, len(content.Children))
	for _, c := range content.Children {
		raw := content.ChildBytes(c)
		if len(raw) > limits.Bytes {
			return nil, stanza.NewError(stanza.Modify, "policy-violation", fmt.Sprintf("element is larger than %d bytes", limits.Bytes))
		}
		if slices.Contains(s.cfg.Reserved, c.Name.Space) {
			return nil, stanza.NewError(stanza.Modify, "not-acceptable", "the namespace is the server's")
		}
		e := Element{Space: c.Name.Space, Local: c.Name.Local}
		if !isEmpty(raw) {
			e.XML = bytes.Clone(raw)
		}
		elements = append(elements, e)
	}
	err = s.cfg.Store.SetPrivate(ctx, req.Owner, limits.Elements, elements...)
	if errors.Is(err, ErrFull) {
		return nil, stanza.NewError(stanza.Wait, "resource-constraint",
			fmt.Sprintf("private storage is full: %d elements; one that is set empty makes room", limits.Elements))
	}
	if err != nil {
		return nil, storeError(fmt.Errorf("store private elements of %s: %w", req.Owner, err))
	}
	return nil, nil
}

// isEmpty reports that an element says no more than its name does, which is
// also the answer for one that is not kept.
func isEmpty(raw []byte) bool {
	n, err := stanza.ParseFrame(bytes.Clone(raw), stanza.Limits{Bytes: len(raw), StanzaBytes: len(raw)})
	if err != nil || len(inner(raw)) > 0 {
		return false
	}
	for _, a := range n.Attrs {
		if a.Name.Space != "xmlns" {
			return false
		}
	}
	return true
}

// content returns the elements in the query, each independent of what the
// query's start tag declares: they are parsed as those of a stanza.
func (s *Service) content(req *mux.Request) (*stanza.Stanza, error) {
	// The mux routes for the owner alone; what is private is looked at twice.
	if !req.Self {
		return nil, stanza.ErrForbidden()
	}
	raw := req.Stanza.ChildBytes(req.Payload)
	limits := stanza.Limits{Bytes: len(raw) + 1024, StanzaBytes: len(raw) + 1024}
	query, err := stanza.ParseFrame(raw, limits)
	if err != nil {
		return nil, fmt.Errorf("parse private query: %w", err)
	}
	frame := []byte("<iq xmlns='" + stanza.NSClient + "'")
	for _, a := range query.Attrs {
		if a.Name.Space == "xmlns" && a.Name.Local != "" {
			frame = append(append(append(frame, " xmlns:"...), a.Name.Local...), "='"...)
			frame = append(stanza.AppendEscaped(frame, a.Value), '\'')
		}
	}
	frame = append(append(append(frame, '>'), inner(raw)...), "</iq>"...)
	limits = stanza.Limits{Bytes: len(frame), StanzaBytes: len(frame)}
	node, err := stanza.ParseFrame(frame, limits)
	if err != nil {
		return nil, fmt.Errorf("parse private elements: %w", err)
	}
	st, err := node.Stanza()
	if err != nil {
		return nil, fmt.Errorf("parse private elements: %w", err)
	}
	for _, c := range st.Children {
		if c.Name.Space == stanza.NSClient || c.Name.Space == NS || c.Name.Space == "" {
			return nil, stanza.NewError(stanza.Modify, "not-acceptable", "element has no namespace of its own")
		}
	}
	return st, nil
}

// inner returns the content of a well-formed element.
func inner(raw []byte) []byte {
	var quote byte
	for i, c := range raw {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '>':
			if raw[i-1] == '/' {
				return nil
			}
			return raw[i+1 : bytes.LastIndex(raw, []byte("</"))]
		}
	}
	return nil
}

func storeError(err error) error {
	if errors.Is(err, ErrNotFound) {
		return stanza.ErrServiceUnavailable()
	}
	return err
}
