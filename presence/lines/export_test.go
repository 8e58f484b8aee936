package lines

import (
	"context"
	"io"
)

// Feed takes rows as a bulk feed does.
func (s *Service) Feed(ctx context.Context, body io.Reader) (sum summary) {
	return s.feed(ctx, body, func() {})
}
