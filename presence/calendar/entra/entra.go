// Package entra gets access tokens for the node itself from Microsoft Entra ID, or
// whatever else speaks the client credentials grant of OAuth 2.0 (RFC 6749 §4.4). The
// node shows who it is by a secret, or by signing with the key of a certificate
// (RFC 7523 §2.2), which never leaves it.
//
//	tokens, err := entra.New(entra.Config{URL: url, ClientID: id, SecretFile: file, Scope: scope})
//	token, err := tokens.Token(ctx)
package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/presence/calendar"
)

// Config is who asks for tokens, where and what for.
type Config struct {
	URL        string // of the token endpoint
	ClientID   string
	Scope      string
	SecretFile string // read for each token, so that a new secret needs no restart
	CertFile   string // PEM, with KeyFile in place of a secret
	KeyFile    string
	CAFile     string // "" = the system's
	Plain      bool   // http:// off this machine is allowed
}

// Tokens keeps one token and renews it before it ends.
type Tokens struct {
	c    Config
	http *http.Client
	turn chan struct{} // one asks at a time, the others wait for what it gets

	mu      sync.Mutex // guards what follows
	token   string
	renewal time.Time // from then on another is asked for
	end     time.Time // the token is refused from then on
	retry   time.Time // no other is asked for before
}

const (
	maxAnswer  = 256 << 10
	maxToken   = 64 << 10
	timeout    = 30 * time.Second
	spareTime  = 5 * time.Minute
	retryPause = 10 * time.Second
)

// New makes what keeps tokens; none is asked for yet.
func New(c Config) (*Tokens, error) {
	if err := calendar.CheckURL(c.URL, c.Plain); err != nil {
		return nil, fmt.Errorf("token endpoint: %w", err)
	}
	t, err := calendar.Transport(c.CAFile, 1)
	if err != nil {
		return nil, err
	}
	tokens := &Tokens{c: c, turn: make(chan struct{}, 1), http: &http.Client{
		Transport: t, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	_, err = tokens.proof(time.Now()) // a file that is missing is better told at the start
	return tokens, err
}

// Token returns a token, which may take a request.
func (t *Tokens) Token(ctx context.Context) (string, error) {
	if token, ok := t.current(time.Now()); ok {
		return token, nil
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if token, ok := t.current(time.Now()); ok { // another has got it meanwhile
		return token, nil
	}
	token, life, err := t.ask(ctx)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		// One that is about to end serves while the endpoint is away.
		if now.Before(t.end) {
			t.retry = now.Add(retryPause)
			return t.token, nil
		}
		return "", err
	}
	t.token, t.end, t.retry = token, now.Add(life), time.Time{}
	t.renewal = t.end.Add(-min(spareTime, life/2))
	return token, nil
}

func (t *Tokens) current(now time.Time) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token, now.Before(t.end) && (now.Before(t.renewal) || now.Before(t.retry))
}

// Refused says that a server did not take a token, so that the next is another one.
func (t *Tokens) Refused(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token, t.end = "", time.Time{}
	}
}

// proof is what shows who asks.
func (t *Tokens) proof(now time.Time) (url.Values, error) {
	if t.c.CertFile != "" {
		assertion, err := t.assertion(now)
		return url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion},
		}, err
	}
	text, err := os.ReadFile(t.c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret of the client: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return nil, fmt.Errorf("secret of the client: %s is empty", t.c.SecretFile)
	}
	return url.Values{"client_secret": {secret}}, nil
}

// ask gets a token and how long it lives.
func (t *Tokens) ask(ctx context.Context) (string, time.Duration, error) {
	form, err := t.proof(time.Now())
	if err != nil {
		return "", 0, err
	}
	form.Set("grant_type", "client_credentials")
	form.Set("client_id", t.c.ClientID)
	form.Set("scope", t.c.Scope)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.c.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errors.New("ask for an access token: the address cannot be used")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "deskline")
	resp, err := t.http.Do(r)
	if err != nil {
		return "", 0, fmt.Errorf("ask for an access token: %w", err)
	}
	defer resp.Body.Close()
	token, life, err := parse(resp.StatusCode, calendar.Limit(resp.Body, maxAnswer))
	if err != nil {
		return "", 0, &calendar.Failure{Err: fmt.Errorf("ask for an access token: %w", err), After: calendar.RetryAfter(resp.Header.Get("Retry-After"))}
	}
	return token, life, nil
}

// parse reads an answer (RFC 6749 §5.1 and §5.2).
func parse(status int, body io.Reader) (string, time.Duration, error) {
	var a struct {
		Token string      `json:"access_token"`
		Type  string      `json:"token_type"`
		Life  json.Number `json:"expires_in"` // a number, or the text of one
		Error string      `json:"error"`
		Why   string      `json:"error_description"`
	}
	err := json.NewDecoder(body).Decode(&a)
	if status != http.StatusOK {
		if a.Error != "" {
			return "", 0, fmt.Errorf("%d %s: %s", status, calendar.Brief(a.Error, 60), calendar.Brief(a.Why, 160))
		}
		return "", 0, fmt.Errorf("%d %s", status, http.StatusText(status))
	}
	if err != nil {
		return "", 0, errors.New("the answer cannot be read")
	}
	if !strings.EqualFold(a.Type, "Bearer") || a.Token == "" || len(a.Token) > maxToken || strings.ContainsFunc(a.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", 0, errors.New("the answer has no bearer token")
	}
	seconds, err := a.Life.Int64()
	if err != nil || seconds <= 0 {
		seconds = 300 // RFC 6749 §5.1: it should say
	}
	return a.Token, time.Duration(min(seconds, 7*86400)) * time.Second, nil
}
