package oauth

// ParseKeys reads a JWK Set and returns how many keys are of use.
func ParseKeys(data []byte) (int, error) {
	keys, err := parseKeys(data)
	return len(keys), err
}

// MaxKeys is how many keys an issuer may have.
const MaxKeys = maxKeys
