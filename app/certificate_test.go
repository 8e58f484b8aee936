package app_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/configs"
)

// putCertificate replaces the certificate in a folder as renewal does, and
// returns its fingerprint.
func putCertificate(t *testing.T, dir string) string {
	t.Helper()
	cert, key, err := certs.SelfSigned([]string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b, err := certs.ParseBundle(cert)
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "next")
	if err := errors.Join(os.WriteFile(next, slices.Concat(cert, key), 0o600), os.Rename(next, filepath.Join(dir, "site.pem"))); err != nil {
		t.Fatal(err)
	}
	return certs.Describe(b.Certs[0], time.Now()).SHA256
}

// holder is a BOSH session over TLS.
type holder struct {
	http *http.Client
	url  string
	sid  string
	rid  int
	held chan string // what its held request was answered
}

func (h *holder) post(ctx context.Context, attrs, elements string) (string, error) {
	h.rid++
	return h.send(ctx, h.rid, attrs, elements)
}

func (h *holder) send(ctx context.Context, rid int, attrs, elements string) (string, error) {
	body := "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh' rid='" + strconv.Itoa(rid) + "' sid='" + h.sid + "' " + attrs + ">" + elements + "</body>"
	if h.sid == "" {
		body = strings.Replace(body, "sid='' ", "", 1)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	res, err := h.http.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || strings.Contains(string(data), "type='terminate'")) {
		err = fmt.Errorf("%s: %s", res.Status, data)
	}
	return string(data), err
}

// login signs in and leaves a request held.
func (h *holder) login(ctx context.Context, user, resource string) error {
	answer, err := h.post(ctx, "to='localhost' ver='1.11' wait='300' hold='1'", "")
	if err != nil {
		return err
	}
	m := sidOf.FindStringSubmatch(answer)
	if m == nil {
		return fmt.Errorf("no session: %s", answer)
	}
	h.sid = m[1]
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	for _, step := range [][2]string{
		{"", "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + token + "</auth>"},
		{"xmpp:restart='true' to='localhost'", ""},
		{"", "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" + resource + "</resource></bind></iq>"},
	} {
		if answer, err = h.post(ctx, step[0], step[1]); err != nil {
			return err
		}
	}
	if !strings.Contains(answer, "/"+resource) {
		return fmt.Errorf("not bound: %s", answer)
	}
	h.rid++
	h.held = make(chan string, 1)
	go func(rid int) {
		answer, err := h.send(ctx, rid, "", "")
		if err != nil {
			answer = "lost: " + err.Error()
		}
		h.held <- answer
	}(h.rid)
	return nil
}

// TestCertificateReplaced replaces the certificate again and again while 1,000
// sessions hold their requests over TLS. None is lost, or even answered early.
func TestCertificateReplaced(t *testing.T) {
	const sessions, times = 1000, 5
	dir := t.TempDir()
	putCertificate(t, dir)
	s := start(t, func(c *configs.Config) {
		c.Certs.Dir, c.BOSH.Wait, c.Limits.Resources, c.Auth.FailedLoginsPerMinute = dir, 5*time.Minute, sessions, 100000
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	seen := new(atomic.Value) // the certificate of the latest handshake
	all := make([]*holder, sessions)
	inParallel(t, sessions, func(i int) error {
		h := &holder{url: "https://" + s.addr + "/http-bind", rid: 1000, http: &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", VerifyConnection: func(c tls.ConnectionState) error {
				seen.Store(certs.Describe(c.PeerCertificates[0], time.Now()).SHA256)
				return nil
			}},
		}}}
		all[i] = h
		return h.login(ctx, []string{"alice", "bob"}[i%2], "r"+strconv.Itoa(i))
	})
	heldAll := fmt.Sprintf("\ndeskline_requests_held %d\n", sessions)
	eventually(t, "all requests held", func() bool { return strings.Contains(s.metrics(), heldAll) })

	var sum string
	for range times {
		sum = putCertificate(t, dir)
		eventually(t, "new certificate in service", func() bool {
			state, _ := secureGet(t, s.addr, "/healthz", &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
			return certs.Describe(state.PeerCertificates[0], time.Now()).SHA256 == sum
		})
		if !strings.Contains(s.metrics(), heldAll) {
			t.Fatal("requests were let go of")
		}
	}
	var answered atomic.Int64
	inParallel(t, sessions, func(i int) error {
		h := all[i]
		// It is held in place of the first one, to which the answer goes.
		h.rid++
		second := make(chan error, 1)
		go func() {
			_, err := h.send(ctx, h.rid, "", "<iq xmlns='jabber:client' type='get' id='p"+strconv.Itoa(i)+"'><ping xmlns='urn:xmpp:ping'/></iq>")
			second <- err
		}()
		select {
		case first := <-h.held:
			if !strings.Contains(first, "id='p"+strconv.Itoa(i)+"'") {
				return fmt.Errorf("session %d: held request was answered %q", i, first)
			}
		case err := <-second:
			return fmt.Errorf("session %d: new request: %w", i, err)
		case <-ctx.Done():
			return ctx.Err()
		}
		answered.Add(1)
		return nil
	})
	if got := seen.Load(); got != sum {
		t.Errorf("new connections got certificate %v, not the newest", got)
	}
	if m := s.metrics(); !strings.Contains(m, fmt.Sprintf(`deskline_sessions{transport="bosh"} %d`, sessions)) || strings.Contains(m, "deskline_sessions_ended_total{") ||
		!strings.Contains(m, `deskline_certificate_expiry_seconds{name="localhost"} 7.1`) {
		t.Errorf("sessions are lost:\n%s", m)
	}
	t.Logf("%d sessions kept their requests over %d certificates", answered.Load(), times)
}

// inParallel calls do for each number below n, some at a time.
func inParallel(t *testing.T, n int, do func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
}

func (s *server) metrics() string {
	s.t.Helper()
	return get(s.t, "http://"+s.ops+"/metrics")
}
