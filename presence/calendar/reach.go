package calendar

import (
	"context"
	"fmt"
	"net/http"

	"github.com/deskline/deskline/xmpp/jid"
)

// Reach tries whether the server of a user's calendar answers at all. It signs in
// to nothing.
func (c *Client) Reach(ctx context.Context, user jid.JID) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, Expand(c.c.URL, user), nil)
	if err != nil {
		return fmt.Errorf("reach: %w", err)
	}
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/", "", ""
	r.Header.Set("User-Agent", "deskline")
	resp, err := c.http.Transport.RoundTrip(r) // where it would lead to does not matter
	if err != nil {
		return fmt.Errorf("reach: %w", err)
	}
	return resp.Body.Close()
}
