package entra

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const assertionLife = 5 * time.Minute

// assertion is a JWT that only who has the key of the certificate can make. Entra
// asks for PS256 and the thumbprint of the certificate in x5t#S256.
func (t *Tokens) assertion(now time.Time) (string, error) {
	pair, err := tls.LoadX509KeyPair(t.c.CertFile, t.c.KeyFile)
	if err != nil {
		return "", fmt.Errorf("certificate of the client: %w", err)
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return "", errors.New("certificate of the client: its key is not RSA")
	}
	thumb := sha256.Sum256(pair.Certificate[0])
	head, err := json.Marshal(map[string]string{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(thumb[:])})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"aud": t.c.URL, "iss": t.c.ClientID, "sub": t.c.ClientID, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	sign, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		return "", fmt.Errorf("sign with the key of the client: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sign), nil
}
