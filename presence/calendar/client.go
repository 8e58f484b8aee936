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
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: max(1, c.AtOnce), MaxIdleConnsPerHost: max(1, c.AtOnce), IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities: %s has no certificate", c.CAFile)
		}
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
	name, password, found := strings.NewReplacer("{user}", user.Local(), "{domain}", user.Domain(), "{jid}", user.Bare().String()).Replace(c.c.Username), c.c.Password, c.c.Username != ""
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
		resp.Body = &limited{ReadCloser: resp.Body, left: limit}
		return resp, nil
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4096) // so that the connection can be used again
	_ = resp.Body.Close()
	f := &Failure{Err: fmt.Errorf("ask for a calendar: %s", resp.Status), Own: resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests}
	if resp.StatusCode == http.StatusUnauthorized && c.own == nil && !strings.Contains(c.c.Username, "{") {
		f.Own = false // the service account's: thousands of wrong sign-ins would lock it
	}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 && seconds < 1<<20 {
		f.After = time.Duration(seconds) * time.Second
	}
	return nil, f
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
