package bosh

// KeyHash is for tests of key sequences.
var KeyHash = keyHash
