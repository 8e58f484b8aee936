package sip

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2617 digests, which SIP equipment has no others of
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/icholy/digest"
)

const (
	nonceLife = 5 * time.Minute
	maxNonces = 10000
	maxUsers  = 10000
)

// Users are the keys of those who may publish from anywhere: H(name:realm:password)
// by name, as htdigest writes them; 32 digits are MD5, 64 SHA-256 (RFC 8760).
type Users map[string]string

// ReadUsers reads a file of lines name:realm:key, of which those of the realm count.
func ReadUsers(file, realm string) (Users, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	return parseUsers(f, file, realm)
}

func parseUsers(r io.Reader, file, realm string) (Users, error) {
	users := Users{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		parts := strings.Split(text, ":")
		if len(parts) != 3 || parts[0] == "" {
			return nil, fmt.Errorf("read users: %s, line %d: not name:realm:key", file, n)
		}
		key := strings.ToLower(parts[2])
		if raw, err := hex.DecodeString(key); err != nil || len(raw) != md5.Size && len(raw) != sha256.Size {
			return nil, fmt.Errorf("read users: %s, line %d: the key is neither MD5 nor SHA-256 in hexadecimal", file, n)
		}
		if parts[1] == realm {
			users[parts[0]] = key
		}
		if len(users) > maxUsers {
			return nil, fmt.Errorf("read users: %s: more than %d", file, maxUsers)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read users: %s: %w", file, err)
	}
	return users, nil
}

// gate checks passwords by digest (RFC 8760, RFC 3261 §22). It guards seen by mu.
type gate struct {
	lock atomic.Pointer[lock]
	key  [32]byte
	now  func() time.Time

	mu   sync.Mutex
	seen map[string]int // the highest count of each nonce, so that nothing is replayed
}

// lock is who may come in. It may change.
type lock struct {
	realm string
	users Users
}

func newGate(realm string, users Users) *gate {
	g := &gate{now: time.Now, seen: map[string]int{}}
	g.lock.Store(&lock{realm, users})
	_, _ = rand.Read(g.key[:]) // never fails
	return g
}

// nonce carries when it was made, so that unused ones cost no memory.
func (g *gate) nonce() string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(g.now().UnixNano())) //nolint:gosec // after 1970
	raw = append(raw, rand.Text()[:8]...)
	return base64.RawURLEncoding.EncodeToString(append(raw, g.mac(raw)...))
}

func (g *gate) mac(raw []byte) []byte {
	m := hmac.New(sha256.New, g.key[:])
	m.Write(raw)
	return m.Sum(nil)[:16]
}

func (g *gate) fresh(nonce string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(raw) != 32 || !hmac.Equal(g.mac(raw[:16]), raw[16:]) {
		return false
	}
	age := g.now().Sub(time.Unix(0, int64(binary.BigEndian.Uint64(raw)))) //nolint:gosec // made by nonce
	return age >= 0 && age < nonceLife
}

// challenges are the values of WWW-Authenticate, the stronger first.
func (g *gate) challenges(stale bool) []string {
	var all []string
	for _, algorithm := range []string{"SHA-256", "MD5"} {
		c := digest.Challenge{Realm: g.lock.Load().realm, Nonce: g.nonce(), Algorithm: algorithm, QOP: []string{"auth"}, Stale: stale}
		all = append(all, c.String())
	}
	return all
}

// check returns whether credentials fit a request; stale asks for a new try.
func (g *gate) check(header, method, uri string) (ok, stale bool) {
	if len(header) > 4096 {
		return false, false
	}
	lock := g.lock.Load()
	cred, err := digest.ParseCredentials(header)
	if err != nil || cred.Realm != lock.realm || cred.QOP != "auth" || !sameURI(cred.URI, uri) {
		return false, false
	}
	key, known := lock.users[cred.Username]
	size := 2 * md5.Size
	if strings.EqualFold(cred.Algorithm, "SHA-256") {
		size = 2 * sha256.Size
	}
	if !known || len(key) != size {
		return false, false
	}
	want := g.response(key, method, cred)
	if subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(cred.Response))) != 1 {
		return false, false
	}
	if !g.fresh(cred.Nonce) || !g.count(cred.Nonce, cred.Nc) {
		return false, true
	}
	return true, false
}

func (g *gate) response(key, method string, c *digest.Credentials) string {
	sum := func(text string) string {
		if len(key) == 2*sha256.Size {
			h := sha256.Sum256([]byte(text))
			return hex.EncodeToString(h[:])
		}
		h := md5.Sum([]byte(text)) //nolint:gosec // see the import
		return hex.EncodeToString(h[:])
	}
	return sum(fmt.Sprintf("%s:%s:%08x:%s:%s:%s", key, c.Nonce, c.Nc, c.Cnonce, c.QOP, sum(method+":"+c.URI)))
}

// userOf returns the name in credentials that were checked.
func userOf(header string) string {
	cred, err := digest.ParseCredentials(header)
	if err != nil {
		return ""
	}
	return cred.Username
}

// count refuses a count that was there before.
func (g *gate) count(nonce string, nc int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	last, ok := g.seen[nonce]
	if nc <= last {
		return false
	}
	if !ok && len(g.seen) >= maxNonces {
		for n := range g.seen {
			if !g.fresh(n) {
				delete(g.seen, n)
			}
		}
		if len(g.seen) >= maxNonces {
			return false
		}
	}
	g.seen[nonce] = nc
	return true
}

// sameURI compares loosely: clients leave port and parameters out.
func sameURI(a, b string) bool {
	x, err := Normalise(a)
	if err != nil {
		return a == b
	}
	y, err := Normalise(b)
	return err == nil && x == y
}
