package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxDocument bounds what an issuer may send.
const maxDocument = 512 << 10

// wellKnown is behind the issuer's URL (OpenID Connect Discovery §4).
const wellKnown = "/.well-known/openid-configuration"

// source is where the keys of an issuer are.
type source struct {
	issuer, url, file string
	client            *http.Client
}

// found is what a look at the keys brings.
type found struct {
	keys  []key
	where string
	skew  time.Duration // the issuer's clock less ours
	timed bool          // skew is known
}

func newSource(i Issuer) (*source, error) {
	s := &source{issuer: i.Name, url: i.JWKSURL, file: i.JWKSFile}
	if s.file != "" {
		return s, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if i.CAFile != "" {
		pem, err := os.ReadFile(i.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s has no certificates", i.CAFile)
		}
	}
	s.client = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true, // it is asked once an hour
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("too many redirects")
			}
			return SafeURL(req.URL)
		},
	}
	return s, nil
}

// SafeURL returns why keys may not be fetched from a URL: somebody between could
// put in keys of their own.
func SafeURL(u *url.URL) error {
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return fmt.Errorf("%s://%s is not safe, https is needed", u.Scheme, u.Host)
	}
	return nil
}

// discovery is the address of the issuer's OpenID configuration.
func discovery(issuer string) string { return strings.TrimRight(issuer, "/") + wellKnown }

// load looks at the keys.
func (s *source) load(ctx context.Context) (found, error) {
	if s.file != "" {
		data, err := readFile(s.file)
		if err != nil {
			return found{}, fmt.Errorf("jwks_file: %w", err)
		}
		keys, err := parseKeys(data)
		return found{keys: keys, where: s.file}, err
	}
	where := s.url
	if where == "" {
		var err error
		if where, err = s.discover(ctx); err != nil {
			return found{}, err
		}
	}
	data, f, err := s.get(ctx, where)
	if err != nil {
		return found{}, err
	}
	f.where = where
	f.keys, err = parseKeys(data)
	return f, err
}

// discover returns where the issuer says its keys are.
func (s *source) discover(ctx context.Context) (string, error) {
	where := discovery(s.issuer)
	data, _, err := s.get(ctx, where)
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return "", fmt.Errorf("read %s: %w", where, err)
	}
	// Discovery §4.3: otherwise it could speak for another.
	if doc.Issuer != s.issuer {
		return "", fmt.Errorf("read %s: it is of issuer %.200q, not %q", where, doc.Issuer, s.issuer)
	}
	if doc.Keys == "" {
		return "", fmt.Errorf("read %s: it has no jwks_uri", where)
	}
	return doc.Keys, nil
}

// get fetches a document.
func (s *source) get(ctx context.Context, where string) ([]byte, found, error) {
	var f found
	u, err := url.Parse(where)
	if err == nil {
		err = SafeURL(u)
	}
	if err != nil {
		return nil, f, fmt.Errorf("fetch keys: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, f, fmt.Errorf("fetch keys: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	began := time.Now()
	resp, err := s.client.Do(req)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, f, fmt.Errorf("fetch %s: no answer within %s", where, fetchTime)
	}
	if err != nil {
		return nil, f, fmt.Errorf("fetch keys: %w", err)
	}
	defer resp.Body.Close()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now := time.Now()
		// It has whole seconds, and was made in between.
		f.skew, f.timed = date.Add(time.Second/2).Sub(began.Add(now.Sub(began)/2)), true
	}
	if resp.StatusCode != http.StatusOK {
		return nil, f, fmt.Errorf("fetch %s: %s", where, resp.Status)
	}
	data, err := read(resp.Body)
	if err != nil {
		return nil, f, fmt.Errorf("fetch %s: %w", where, err)
	}
	return data, f, nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() // read only
	return read(file)
}

func read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("it is above %d KiB", maxDocument>>10)
	}
	return data, err
}

// Report is what Inspect finds.
type Report struct {
	Keys  int
	Where string        // the file or URL
	Skew  time.Duration // the issuer's clock less ours, to a second
	Timed bool          // Skew is known
}

// Inspect looks at an issuer's keys once.
func Inspect(ctx context.Context, i Issuer) (Report, error) {
	s, err := newSource(i)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	f, err := s.load(ctx)
	return Report{Keys: len(f.keys), Where: f.where, Skew: f.skew.Round(time.Second), Timed: f.timed}, err
}
