package sip

import (
	"errors"

	"github.com/deskline/deskline/presence"
)

// Bounds of documents that are kept for the changes in them: some hundred bytes for
// each line as a rule.
const (
	maxKept  = 64 << 20 // bytes of all lines
	maxUnfit = 3        // changes of a line that could not be made, before no more are asked for
)

// accepts are the types that a subscription asks for. Those of equal rank are in the
// server's choice (RFC 3261 §20.1); some take the first they know, some no parameters.
func (w *watch) accepts() string {
	kind := typeOf[w.target.event]
	switch {
	case w.list != nil:
		return kind + ", " + typeRelated + ", " + typeRLMI
	case w.target.event == eventPresence && !w.whole:
		return kind + ", " + typeDiff
	}
	return kind
}

// changed takes a document of RFC 5262. What cannot be used leads to a full one, and to
// full ones alone where that is no accident, or the memory is short.
func (s *subscriber) changed(w *watch, doc PIDFDiff) (presence.Line, error) {
	before := w.partial.Size()
	state, err := w.partial.Apply(doc)
	s.kept += w.partial.Size() - before
	if err != nil && !errors.Is(err, ErrGap) {
		s.source.log.Debug("change of a presence document not made", "server", w.target.server.String(), "line", w.line, "err", err)
		w.unfit++
		err = ErrGap
	}
	if w.unfit >= maxUnfit || s.kept > maxKept {
		s.source.log.Debug("full presence documents asked for alone", "server", w.target.server.String(), "line", w.line, "unfit", w.unfit, "kept", s.kept)
		w.whole, w.reset = true, true // in a new dialog, with another Accept
		s.forget(w)
		s.again(w)
	}
	return state, err
}

// forget lets go of the document of a line.
func (s *subscriber) forget(w *watch) {
	s.kept -= w.partial.Size()
	w.partial = Partial{}
}
