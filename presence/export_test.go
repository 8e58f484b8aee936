package presence

import "github.com/deskline/deskline/xmpp/jid"

// MaxUnsaved is how many changes wait for the store at most.
const MaxUnsaved = maxUnsaved

// Mark has the history look at a user.
func (s *Service) Mark(user jid.JID) { s.history.mark(user) }
