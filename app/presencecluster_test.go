package app

import (
	"fmt"
	"testing"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// TestEvidenceInBatches tells many notes in pieces, each once.
func TestEvidenceInBatches(t *testing.T) {
	s := newEvidenceShare(nil)
	user := jid.MustParse("alice@example.com")
	const notes, words = 2*maxBatch + 7, maxBatch + 3
	for i := range notes {
		s.Share(presence.Evidence{User: user, Source: "s", Item: fmt.Sprint(i)})
	}
	for range words {
		s.Told(presence.Word{Full: user})
	}
	seen, said, batches := map[string]bool{}, 0, 0
	for {
		<-s.wake
		news := s.batch()
		if batches++; len(news.Set) > maxBatch || len(news.Said) > maxBatch {
			t.Fatalf("%d notes, %d words at once", len(news.Set), len(news.Said))
		}
		for name := range news.Set {
			seen[name] = true
		}
		if said += len(news.Said); len(s.wake) == 0 {
			break
		}
	}
	if len(seen) != notes || said != words || batches != 3 {
		t.Errorf("%d notes, %d words in %d batches", len(seen), said, batches)
	}
}

// TestWhoComesBackIsNew has a node that dies and comes back count as one that has come.
func TestWhoComesBackIsNew(t *testing.T) {
	s := newEvidenceShare(nil)
	s.forget(map[router.NodeID]bool{"n1": true})
	if s.settled.Load() != nil {
		t.Error("nobody has lived for a while yet")
	}
	s.settled.Store(&map[router.NodeID]bool{"n1": true, "n2": true})
	s.forget(map[router.NodeID]bool{"n1": true, "n3": true})
	s.forget(map[router.NodeID]bool{"n1": true, "n2": true, "n3": true})
	if got := *s.settled.Load(); len(got) != 1 || !got["n1"] {
		t.Errorf("settled are %v", got)
	}
}
