// Package roster keeps contact lists and presence subscriptions (RFC 6121 §2
// and §3). [Advance] is the table of appendix A without I/O; [Service] answers
// roster requests, carries subscription stanzas from one account to another and
// tells who may see whom from memory.
//
//	s := roster.New(roster.Config{Store: store, Router: r, Accounts: accounts, Log: log})
//	s.Register(m)
//	s.Join(presence)
//	err := s.HandleSubscription(ctx, st) // st is a presence of type subscribe, …
package roster
