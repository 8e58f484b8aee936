// Package people is who there is in an installation, wherever that is kept: a
// directory, or the local accounts. A [Source] tells of all people and then of
// what changes; each part that wants to know (search, automatic contacts, who may
// sign in) is a [Sink], and keeps of a person only what it needs.
package people

import (
	"context"
	"iter"

	"github.com/deskline/deskline/xmpp/jid"
)

// Person is one human as a source has it. Texts are as they are shown; a sink
// folds case and accents itself.
type Person struct {
	JID        jid.JID // bare; names the person everywhere
	ID         string  // the source's own name that outlives a rename, such as entryUUID; may be ""
	Name       string  // to show
	Given      string
	Family     string
	Mail       []string // the first is the one to show
	Phones     []string // as written in the source
	Lines      []string // telephone lines, as Phones or as SIP addresses; nil = Phones are
	Title      string
	Department string
	Company    string
	Unit       string   // where the person is in the tree of a directory: the DN above the entry; "" = nowhere
	Groups     []string // names of groups, of a directory their DNs, nested ones unrolled, in no order
	Entity     string   // the organisational entity, "" = none
	Photo      bool     // whether the source can be asked for one
	Enabled    bool     // may use chat
	Why        string   // why not, if not enabled
}

// Source knows people.
type Source interface {
	// Run tells of everybody, then of each change, until ctx ends. It goes on by
	// itself after a failure, which it logs; what sinks know stays till then.
	Run(ctx context.Context, to Sink) error
}

// Sink is told of people by one source. Calls come one after another.
type Sink interface {
	// Replace says who there is, in place of all that was said before. If the
	// sequence ends with an error, nothing changes, and the error is returned.
	Replace(ctx context.Context, all iter.Seq2[Person, error]) error
	// Change says what is new or different, and who is gone.
	Change(ctx context.Context, put []Person, gone []jid.JID) error
}
