package load

// Respond runs a SCRAM client with a given nonce against a server's challenge.
func Respond(mech, user, password, nonce, challenge string) (string, error) {
	s := newScram(mech, user, password)
	s.bare = "n=" + user + ",r=" + nonce
	return s.respond([]byte(challenge), saltCache{})
}
