package bosh

// KeyHash is for tests of key sequences.
var KeyHash = keyHash

// Doubled is the time within which copies of a request are answered alike.
const Doubled = doubled
