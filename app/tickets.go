package app

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/cluster"
)

// ticketRecord is the record of a store that nodes share with the keys of TLS
// session tickets.
const ticketRecord = "tls/tickets"

// ticketStore keeps them among the records of the cluster.
type ticketStore struct{ store cluster.Store }

// TicketKeys implements certs.TicketStore.
func (s ticketStore) TicketKeys(ctx context.Context) ([]byte, uint64, error) {
	list, err := s.store.ClusterRecords(ctx)
	for _, r := range list {
		if r.Key == ticketRecord {
			return r.Data, r.Version, err
		}
	}
	return nil, 0, err
}

// SaveTicketKeys implements certs.TicketStore.
func (s ticketStore) SaveTicketKeys(ctx context.Context, data []byte, version uint64) error {
	err := s.store.SaveClusterRecord(ctx, cluster.Record{Key: ticketRecord, Data: data, Version: version}, false)
	if errors.Is(err, cluster.ErrConflict) {
		return certs.ErrTicketsChanged
	}
	return err
}

// serverTLS is how the doors speak TLS. Nodes that share a store share tickets; a
// node alone keeps its keys in memory.
func (n *node) serverTLS(ctx context.Context) *tls.Config {
	var store certs.TicketStore
	if n.cfg.Store.Kind == "redis" {
		store = ticketStore{n.store}
	}
	n.tickets = certs.NewTickets(store, n.log)
	config := n.certs.TLSConfig(n.minTLS())
	n.tickets.Serve(config)
	n.tickets.Refresh(ctx) // clients come before Run gets to it
	return config
}
