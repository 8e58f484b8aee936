package redis

import (
	"strings"

	"github.com/deskline/deskline/xmpp/jid"
)

// keys makes the names of keys, see the package's comment.
type keys struct{ prefix string }

func (k keys) schema() string   { return k.prefix + "schema" }
func (k keys) ids() string      { return k.prefix + "ids" }
func (k keys) domains() string  { return k.prefix + "domains" }
func (k keys) groups() string   { return k.prefix + "groups" }
func (k keys) meta() string     { return k.prefix + "meta" }
func (k keys) epoch() string    { return k.prefix + "cluster:{all}:epoch" }
func (k keys) assigned() string { return k.prefix + "cluster:{all}:assigned" }
func (k keys) changes() string  { return k.prefix + "cluster:{all}:changes" }
func (k keys) records() string  { return k.prefix + "cluster:{all}:records" }
func (k keys) order() string    { return k.prefix + "sessions:{all}:order" }
func (k keys) sessions() string { return k.prefix + "sessions:{all}:data" }

// changed is the channel on which nodes tell each other of rosters.
func (k keys) changed() string { return k.prefix + "roster" }

func (k keys) users(domain string) string   { return k.prefix + "users:{" + tag(domain) + "}" }
func (k keys) batch(token string) string    { return k.prefix + "batch:{" + token + "}" }
func (k keys) account(owner jid.JID) string { return k.owned(owner, "account") }
func (k keys) roster(owner jid.JID) string  { return k.owned(owner, "roster") }
func (k keys) removed(owner jid.JID) string { return k.owned(owner, "removed") }
func (k keys) offline(owner jid.JID) string { return k.owned(owner, "offline") }
func (k keys) private(owner jid.JID) string { return k.owned(owner, "private") }
func (k keys) vcard(owner jid.JID) string   { return k.owned(owner, "vcard") }
func (k keys) seen(owner jid.JID) string    { return k.owned(owner, "seen") }

func (k keys) origins(owner jid.JID) string { return k.owned(owner, "origins") }

// history is what the owner was, and since when.
func (k keys) history(owner jid.JID) string { return k.owned(owner, "history") }

func (k keys) owned(owner jid.JID, what string) string {
	return k.prefix + "{" + tag(owner.Bare().String()) + "}:" + what
}

// all are the keys of an account, its own first.
func (k keys) all(owner jid.JID) []string {
	return []string{
		k.account(owner), k.roster(owner), k.removed(owner), k.offline(owner),
		k.private(owner), k.vcard(owner), k.seen(owner), k.origins(owner), k.history(owner),
	}
}

var braces = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D")

// tag is an address within braces. Redis takes the first closing brace for the
// end, and hashes the whole key when there is nothing before that.
func tag(address string) string {
	if !strings.ContainsAny(address, "{}%") {
		return address
	}
	return braces.Replace(address)
}

// member is the entry of an account in the list of its domain. NUL is below
// every character of a local part, so entries stand in the order of those.
func member(local, id string) string { return local + "\x00" + id }

// behind is the range of entries after those of a local part.
func behind(local string) string {
	if local == "" {
		return "-"
	}
	return "[" + local + "\x01"
}
