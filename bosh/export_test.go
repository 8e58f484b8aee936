package bosh

import (
	"time"

	"github.com/deskline/deskline/internal/pack"
)

// KeyHash is for tests of key sequences.
var KeyHash = keyHash

// EmptyBody is the response with nothing to say.
var EmptyBody = emptyBody

// CopiesKept is how many copies of a request are answered.
const CopiesKept = copiesKept

// ReadWindow reads a window back.
func ReadWindow(data []byte, now time.Time) (*Window, error) {
	r := pack.NewReader(data)
	w := readWindow(r, now)
	return w, r.Err()
}

// Forget lets go of the requests whose turn has not come.
func (w *Window) Forget() {
	kept := w.slots[:0]
	for _, s := range w.slots {
		if s.held {
			kept = append(kept, s)
		}
	}
	w.slots = kept
}

// Pack is for the benchmark of compression.
func (h *Handler) Pack(accept string, body []byte) ([]byte, string) { return h.pack(accept, body) }
