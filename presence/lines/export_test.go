package lines

import (
	"context"
	"encoding/json"
	"io"
)

// Feed takes rows as a bulk feed does.
func (s *Service) Feed(ctx context.Context, body io.Reader) (sum summary) {
	return s.feed(ctx, body, func() {})
}

// Message takes a message as a feed over WebSocket does, with the answer as it is sent.
func (s *Service) Message(ctx context.Context, data []byte) (v verdict, text []byte) {
	v = s.message(ctx, data)
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return v, text
}
