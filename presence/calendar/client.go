package calendar

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// ClientConfig is how calendars are had over HTTP.
type ClientConfig struct {
	URL      string // with {user}, {domain} or {jid} where it differs from user to user
	Plain    bool   // http:// off this machine is allowed
	CAFile   string // PEM; "" = the system's
	Username string // of a service account; placeholders as in URL
	Password string
	Logins   string // a file of logins of their own: jid, user and password a line
	AtOnce   int
}

// Client asks servers on behalf of users.
type Client struct {
	c    ClientConfig
	http *http.Client
	own  *logins
}

// NewClient makes a client; nothing is asked yet.
func NewClient(c ClientConfig) (*Client, error) {
	if err := CheckURL(Expand(c.URL, jid.MustParse("user@example.com")), c.Plain); err != nil {
		return nil, err
	}
	t, err := Transport(c.CAFile, c.AtOnce)
	if err != nil {
		return nil, err
	}
	client := &Client{c: c, http: &http.Client{Transport: t}}
	client.http.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("too many redirects")
		}
		if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("redirected to where there is no TLS")
		}
		if via[0].Method != http.MethodGet && r.Method == http.MethodGet {
			return errors.New("redirected in a way that makes another request of it")
		}
		return CheckURL(r.URL.String(), c.Plain)
	}
	if c.Logins != "" {
		client.own = &logins{file: c.Logins}
		if err := client.own.load(); err != nil {
			return nil, err
		}
	}
	return client, nil
}

// Transport is for servers of calendars: with few connections, and TLS only with those
// whom the authorities of a PEM file have signed, or the system's if there is no file.
func Transport(caFile string, atOnce int) (*http.Transport, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: max(1, atOnce), MaxIdleConnsPerHost: max(1, atOnce), IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authorities: %s has no certificate", caFile)
	}
	return t, nil
}

// Replayable is the name of a header that, without a value, is not sent and tells
// net/http that a POST only asks: it may go over another connection when the server
// has closed the one that was kept.
const Replayable = "X-Idempotency-Key"

// CheckURL says what is wrong with an address.
func CheckURL(text string, plain bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("is no address such as https://cal.example.com/{user}/calendar/")
	}
	if u.User != nil {
		return errors.New("has a login in the address, which logs would show: use username and password")
	}
	if u.Scheme == "http" && !plain && !loopback(u.Hostname()) {
		return errors.New("has no TLS, so that calendars and passwords could be read on the way: use https, or set plain")
	}
	return nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Fill puts a user into the placeholders of a name, such as a mail address.
func Fill(pattern string, user jid.JID) string {
	return strings.NewReplacer("{user}", user.Local(), "{domain}", user.Domain(), "{jid}", user.Bare().String()).Replace(pattern)
}

// Expand fills the placeholders of an address.
func Expand(pattern string, user jid.JID) string {
	return strings.NewReplacer("{user}", url.PathEscape(user.Local()), "{domain}", url.PathEscape(user.Domain()), "{jid}", url.PathEscape(user.Bare().String())).Replace(pattern)
}

// Do sends a request for a user. The body of the response is limited; a status
// that is no success or 304 is a Failure.
func (c *Client) Do(ctx context.Context, user jid.JID, method string, header map[string]string, body string, limit int64) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, Expand(c.c.URL, user), strings.NewReader(body))
	if err != nil {
		return nil, &Failure{Err: errors.New("the address cannot be used"), Own: true}
	}
	r.Header.Set("User-Agent", "deskline")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	name, password, found := Fill(c.c.Username, user), c.c.Password, c.c.Username != ""
	if c.own != nil {
		if err := c.own.load(); err != nil {
			return nil, err
		}
		if l, ok := c.own.of(user); ok {
			name, password, found = l.name, l.password, true
		} else if c.c.Username == "" {
			return nil, &Failure{Err: errors.New("the file of logins has none for this user"), Own: true}
		}
	}
	if found {
		r.SetBasicAuth(name, password)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask for a calendar: %w", err)
	}
	if resp.StatusCode/100 == 2 || resp.StatusCode == http.StatusNotModified {
		resp.Body = Limit(resp.Body, limit)
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4096) // so that the connection can be used again
	_ = resp.Body.Close()
	f := &Failure{Err: fmt.Errorf("ask for a calendar: %s", resp.Status), Own: resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests}
	if resp.StatusCode == http.StatusUnauthorized && c.own == nil && !strings.Contains(c.c.Username, "{") {
		f.Own = false // the service account's: thousands of wrong sign-ins would lock it
	}
	f.After = RetryAfter(resp.Header.Get("Retry-After"))
	return nil, f
}

// RetryAfter is how long a server wishes to be left alone, 0 if it does not say.
func RetryAfter(text string) time.Duration {
	// Microsoft's may have a fraction, such as 2.128.
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > 0 && seconds < 1<<20 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(time.Until(at), 1<<20*time.Second))
	}
	return 0
}

// Limit has a body fail, as too big, when there is more than so many bytes.
func Limit(body io.ReadCloser, bytes int64) io.ReadCloser {
	return &limited{ReadCloser: body, left: bytes}
}

// limited fails when there is more than the limit.
type limited struct {
	io.ReadCloser
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	n, err := l.ReadCloser.Read(b)
	if l.left -= int64(n); l.left < 0 {
		return 0, &Failure{Err: ErrTooBig, Own: true}
	}
	return n, err
}
