package auth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
)

// memory is an auth.Store.
type memory struct {
	mu       sync.Mutex
	accounts map[jid.JID]auth.Account
	reads    int
	err      error
	readOnly error
}

func newMemory() *memory { return &memory{accounts: make(map[jid.JID]auth.Account)} }

func (m *memory) Account(_ context.Context, bare jid.JID) (auth.Account, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.err != nil {
		return auth.Account{}, m.err
	}
	a, ok := m.accounts[bare]
	if !ok {
		return a, auth.ErrNotFound
	}
	return a, nil
}

func (m *memory) CreateAccounts(_ context.Context, accounts []auth.Account, _ func(int)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range accounts {
		if _, ok := m.accounts[a.JID]; ok {
			return fmt.Errorf("%w: %s", auth.ErrExists, a.JID)
		}
	}
	for _, a := range accounts {
		m.accounts[a.JID] = a
	}
	return m.err
}

func (m *memory) UpdateAccount(_ context.Context, a auth.Account) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.readOnly != nil {
		return m.readOnly
	}
	if _, ok := m.accounts[a.JID]; !ok {
		return auth.ErrNotFound
	}
	m.accounts[a.JID] = a
	return nil
}

func (m *memory) DeleteAccount(_ context.Context, bare jid.JID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.accounts[bare]; !ok {
		return auth.ErrNotFound
	}
	delete(m.accounts, bare)
	return nil
}

func (m *memory) ListAccounts(context.Context, string, string, int) ([]auth.Account, error) {
	return nil, errors.ErrUnsupported
}

// users are the local parts, sorted and joined.
func (m *memory) users() string {
	var names []string
	for j := range maps.Keys(m.accounts) {
		names = append(names, j.Local())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
