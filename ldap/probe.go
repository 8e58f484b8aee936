package ldap

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	goldap "github.com/go-ldap/ldap/v3"
)

// How changes are found.
const (
	bySync  = "sync"  // RFC 4533: the server tells
	byUSN   = "usn"   // the number of the last change, of Active Directory
	byStamp = "stamp" // the time of the last change
)

// nature is what a server says of itself.
type nature struct {
	vendor  string
	changes string
	// origin names the very server whose numbers of changes count; "" if those
	// are the same on all.
	origin string
	usn    int64
	cookie []byte // where RFC 4533 is to begin
}

// probe reads the root of a server (RFC 4512 §5.1).
func (d *Directory) probe(ctx context.Context, c *conn) (n nature, err error) {
	root, err := d.read(ctx, c, "", "vendorName", "vendorVersion", "supportedControl", "supportedCapabilities", "objectClass", "namingContexts",
		"dsServiceName", "highestCommittedUSN")
	if err != nil {
		return n, err
	}
	n.changes = byStamp
	if root == nil {
		return n, nil
	}
	const activeDirectory = "1.2.840.113556.1.4.800"
	switch {
	case slices.Contains(root.GetEqualFoldAttributeValues("supportedCapabilities"), activeDirectory):
		return d.probeAD(ctx, c, root)
	case slices.Contains(root.GetEqualFoldAttributeValues("objectClass"), "OpenLDAProotDSE"):
		n.vendor = "OpenLDAP"
	default:
		n.vendor = root.GetEqualFoldAttributeValue("vendorName") + " " + root.GetEqualFoldAttributeValue("vendorVersion")
	}
	if !slices.Contains(root.GetEqualFoldAttributeValues("supportedControl"), goldap.ControlTypeSyncRequest) {
		return n, nil
	}
	// A server may know the control and not serve it; with a place to begin, which
	// servers that do keep at the top of what they hold, only changes are sent.
	for _, context := range root.GetEqualFoldAttributeValues("namingContexts") {
		if !under(d.cfg.Base, context) {
			continue
		}
		top, err := d.read(ctx, c, context, "contextCSN")
		if err != nil || top == nil {
			break
		}
		if csns := top.GetEqualFoldAttributeValues("contextCSN"); len(csns) > 0 {
			n.changes = bySync
			n.cookie = []byte("rid=000,csn=" + join(csns))
		}
		break
	}
	return n, nil
}

func join(csns []string) string {
	text := csns[0]
	for _, c := range csns[1:] {
		text += ";" + c
	}
	return text
}

func (d *Directory) probeAD(ctx context.Context, c *conn, root *goldap.Entry) (n nature, err error) {
	n.vendor, n.changes = "Active Directory", byUSN
	n.usn, err = strconv.ParseInt(root.GetEqualFoldAttributeValue("highestCommittedUSN"), 10, 64)
	if err != nil {
		return n, fmt.Errorf("highestCommittedUSN: %w", err)
	}
	n.origin = root.GetEqualFoldAttributeValue("dsServiceName")
	// A server restored from a backup counts anew under another invocation.
	settings, err := d.read(ctx, c, n.origin, "invocationId")
	if err == nil && settings != nil {
		n.origin += fmt.Sprintf(" %x", settings.GetEqualFoldRawAttributeValue("invocationId"))
	}
	return n, nil
}

// under reports whether a DN is another one or below it.
func under(dn, top string) bool {
	a, err := goldap.ParseDN(dn)
	b, err2 := goldap.ParseDN(top)
	return err == nil && err2 == nil && (b.EqualFold(a) || b.AncestorOfFold(a))
}

// tryChain finds out whether the server follows groups within groups, on a nesting
// that is there: some know nothing of the rule and silently find nobody.
func (d *Directory) tryChain(ctx context.Context, c *conn, g *groups) error {
	d.chain.Store(false)
	outer, leaf, ok := g.nesting()
	if !ok || len(d.Settings().Enabled.Groups) == 0 {
		return nil
	}
	var found *goldap.Entry
	err := d.timed(ctx, c, "search", d.Settings().ReadTimeout, func(l *goldap.Conn) (err error) {
		found, err = readOne(l, leaf, inGroups([]string{outer.dn}), nil)
		return err
	})
	if err != nil && !answered(err) {
		return err
	}
	d.chain.Store(found != nil)
	return nil
}
