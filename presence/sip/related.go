package sip

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
)

// The types of a list.
const (
	typeRelated = "multipart/related"
	typeRLMI    = "application/rlmi+xml"
)

// Bounds of a body in parts (RFC 2387).
const (
	maxParts      = 2 * MaxMembers // with those of nested lists
	maxPartHeader = 4 << 10
)

// isList reports whether a body tells of a list.
func isList(contentType string) bool {
	text, _, _ := strings.Cut(contentType, ";")
	text = strings.TrimSpace(text)
	return strings.EqualFold(text, typeRelated) || strings.EqualFold(text, typeRLMI)
}

// ParseList reads the body of a NOTIFY that tells of a list, with the documents of an
// event package in it. A part that cannot be read is left out, not the whole list.
func ParseList(event, contentType string, body []byte) (List, error) {
	if len(body) > MaxList {
		return List{}, ErrTooLarge
	}
	r := listReader{event: event, parts: maxParts, members: MaxMembers}
	return r.read(contentType, body, maxNested)
}

// listReader reads a list and those within it.
type listReader struct {
	event   string
	parts   int // that may follow
	members int // as well
}

// piece is a part of the body, not read yet.
type piece struct {
	contentType string
	body        []byte
}

func (r *listReader) read(contentType string, body []byte, depth int) (List, error) {
	if depth < 0 {
		return List{}, ErrTooLarge
	}
	text, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return List{}, fmt.Errorf("%w: content type: %w", ErrDocument, err)
	}
	var pieces map[string]piece
	if text == typeRelated {
		if body, pieces, err = r.split(params, body); err != nil {
			return List{}, err
		}
	}
	list, err := ParseRLMI(body)
	if err != nil {
		return List{}, err
	}
	if r.members -= len(list.Resources); r.members < 0 {
		return List{}, ErrTooLarge
	}
	for i := range list.Resources {
		for k := range list.Resources[i].Instances {
			one := &list.Resources[i].Instances[k]
			p, ok := pieces[one.cid]
			if !ok || one.cid == "" || one.State != "active" {
				continue
			}
			delete(pieces, one.cid) // each is read once, however often it is named
			if err := r.fill(one, p, depth); errors.Is(err, ErrTooLarge) && isList(p.contentType) {
				return List{}, err
			}
		}
	}
	return list, nil
}

// fill reads the part that belongs to an instance.
func (r *listReader) fill(one *Instance, p piece, depth int) error {
	if isList(p.contentType) {
		list, err := r.read(p.contentType, p.body, depth-1)
		if err == nil {
			one.list = &list
		}
		return err
	}
	said, err := readDocument(r.event, p.contentType, p.body)
	if err == nil && said.diff == nil { // that was not asked for, the list itself tells of changes
		one.said = &said
	}
	return err
}

// split returns the RLMI document, which is the part that start names or the first,
// and all parts by their Content-ID.
func (r *listReader) split(params map[string]string, body []byte) ([]byte, map[string]piece, error) {
	if params["boundary"] == "" {
		return nil, nil, fmt.Errorf("%w: no boundary", ErrDocument)
	}
	all := map[string]piece{}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	start := contentID(params["start"])
	var root *piece
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: parts: %w", ErrDocument, err)
		}
		if r.parts--; r.parts < 0 || headerBytes(p.Header) > maxPartHeader {
			return nil, nil, ErrTooLarge
		}
		content, err := io.ReadAll(decoded(p))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: a part: %w", ErrDocument, err)
		}
		one := piece{contentType: p.Header.Get("Content-Type"), body: content}
		id := contentID(p.Header.Get("Content-Id"))
		if root == nil || start != "" && id == start {
			root = &one
		}
		if _, twice := all[id]; id != "" && !twice {
			all[id] = one
		}
	}
	if root == nil {
		return nil, nil, fmt.Errorf("%w: no parts", ErrDocument)
	}
	if text, _, _ := strings.Cut(root.contentType, ";"); !strings.EqualFold(strings.TrimSpace(text), typeRLMI) {
		return nil, nil, fmt.Errorf("%w: %.40q in place of %s", ErrDocument, text, typeRLMI)
	}
	return root.body, all, nil
}

// decoded undoes the encoding of a part but for quoted-printable, which its reader
// does. SIP needs none, so it is one of binary, 8bit and 7bit as a rule.
func decoded(p *multipart.Part) io.Reader {
	if strings.EqualFold(strings.TrimSpace(p.Header.Get("Content-Transfer-Encoding")), "base64") {
		return base64.NewDecoder(base64.StdEncoding, p)
	}
	return p
}

func headerBytes(h textproto.MIMEHeader) int {
	n := 0
	for name, values := range h {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}
