// Package deptest holds the tests of how packages hang together: imports point
// down the tiers only, each library has one home, and every package says what it
// is. ARCHITECTURE.md tells why.
package deptest
