package sip

import (
	"context"

	"github.com/emiago/sipgo/sip"
)

type Subscription struct{}
type subscriber struct{}

func newSubscriber(s *Source, all []Subscription) (*subscriber, error) { return &subscriber{}, nil }
func (s *subscriber) run(ctx context.Context) error                    { return nil }
func (s *Source) onNotify(req *sip.Request, tx sip.ServerTransaction) {
	s.respond(tx, req, 481, "Subscription Does Not Exist")
}
