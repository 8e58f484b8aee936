package ari

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/asterisk"
)

const (
	maxAnswer = 64 << 20 // bytes of a list
	maxItems  = 200_000  // of a list
	maxWords  = 4 << 10  // bytes of what is said of an error
	idle      = 10 * time.Second
)

// rest makes the requests of one connection.
type rest struct {
	cfg  Config
	base *url.URL
	http *http.Client
}

func newRest(c *Client) *rest {
	return &rest{cfg: c.cfg, base: c.base, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: c.cfg.TLS, Proxy: http.ProxyFromEnvironment, DisableCompression: true,
			MaxIdleConnsPerHost: atOnce, MaxConnsPerHost: 2 * atOnce, IdleConnTimeout: idle, // Asterisk's are 15 s
			MaxResponseHeaderBytes: 64 << 10,
		},
		// The password is for this Asterisk alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (r *rest) close() { r.http.CloseIdleConnections() }

// status is an answer that is no success.
type status struct {
	code    int
	message string
}

func (s *status) Error() string {
	text := fmt.Sprintf("%d %s", s.code, http.StatusText(s.code))
	if s.message != "" && !strings.EqualFold(s.message, http.StatusText(s.code)) {
		text += ": " + s.message
	}
	return text
}

// is reports whether an error is an answer of a kind.
func is(err error, code int) bool {
	var s *status
	return errors.As(err, &s) && s.code == code
}

// refusal makes an error of an answer that is no success.
func refusal(res *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(res.Body, maxWords)) // whatever came
	var said struct {
		Message string `json:"message"`
	}
	_ = json.Unmarshal(data, &said) // "" unless it is Asterisk
	s := &status{res.StatusCode, said.Message}
	if len(s.message) > 200 {
		s.message = s.message[:200]
	}
	switch s.code {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: look at the user and the password in ari.conf: %w", pbx.ErrRefused, s)
	case http.StatusForbidden:
		return fmt.Errorf("%w: %w", pbx.ErrRefused, s)
	}
	return s
}

// at is the address of a resource, whose parts are escaped here.
func (r *rest) at(query url.Values, parts ...string) *url.URL {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	u := r.base.JoinPath(parts...)
	u.RawQuery = query.Encode()
	return u
}

// do makes a request and has the body of a success read.
func (r *rest) do(ctx context.Context, method string, to *url.URL, read func(*json.Decoder) error) error {
	req, err := http.NewRequestWithContext(ctx, method, to.String(), http.NoBody)
	if err != nil {
		return err
	}
	req.SetBasicAuth(r.cfg.User, r.cfg.Password)
	res, err := r.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", to.Redacted(), cause(ctx, err))
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("ask %s: %w", to.Redacted(), refusal(res))
	}
	body := io.LimitReader(res.Body, maxAnswer)
	if read != nil {
		if err := read(json.NewDecoder(body)); err != nil {
			return fmt.Errorf("ask %s: %w", to.Redacted(), cause(ctx, err))
		}
	}
	_, _ = io.Copy(io.Discard, body) // so that the connection can be used again
	return nil
}

// cause is why a request failed, without its address.
func cause(ctx context.Context, err error) error {
	var outer *url.Error
	switch {
	case ctx.Err() != nil:
		return errSilent
	case errors.As(err, &outer):
		return outer.Err
	}
	return err
}

// list reads a list of Asterisk's, one after another.
func list[T any](ctx context.Context, r *rest, name string, each func(T)) error {
	return r.do(ctx, http.MethodGet, r.at(nil, name), func(d *json.Decoder) error { return items(d, each) })
}

func items[T any](d *json.Decoder, each func(T)) error {
	if first, err := d.Token(); err != nil || first != json.Delim('[') {
		return errors.New("this is no list of Asterisk's")
	}
	for n := 0; d.More(); n++ {
		if n >= maxItems {
			return fmt.Errorf("the list has more than %d items", maxItems)
		}
		var one T
		if err := d.Decode(&one); err != nil {
			return fmt.Errorf("this is no list of Asterisk's: %w", err)
		}
		each(one)
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the list does not end: %w", err)
	}
	return nil
}

// device asks what one device does.
func (r *rest) device(ctx context.Context, name string) (presence.Line, error) {
	var d deviceState
	err := r.do(ctx, http.MethodGet, r.at(nil, "deviceStates", name), func(dec *json.Decoder) error { return dec.Decode(&d) })
	if is(err, http.StatusNotFound) {
		return presence.LineUnknown, nil
	}
	return asterisk.Device(d.State), err
}

// subscribe has the states of all devices told to the app.
func (r *rest) subscribe(ctx context.Context) error {
	return r.do(ctx, http.MethodPost, r.at(url.Values{"eventSource": {"deviceState:"}}, "applications", r.cfg.App, "subscription"), nil)
}

// open opens the WebSocket and has device states told over it. A user who may only read gets
// all events there are. Whether that is so is asked before there is an app: Asterisk does not add all
// events to one that it has.
func (r *rest) open(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Ping)
	defer cancel()
	all := false
	if !r.cfg.Quiet {
		err := r.subscribe(ctx)
		switch {
		case is(err, http.StatusForbidden):
			all = true
		case err != nil && !is(err, http.StatusNotFound): // there is no app yet
			return nil, err
		}
	}
	conn, err := r.socket(ctx, all)
	if err != nil || r.cfg.Quiet {
		return conn, err
	}
	if all {
		err = r.tells(ctx)
	} else {
		err = r.subscribe(ctx)
	}
	if err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	return conn, nil
}

// socket opens the WebSocket.
func (r *rest) socket(ctx context.Context, all bool) (*websocket.Conn, error) {
	query := url.Values{"app": {r.cfg.App}}
	if all {
		query.Set("subscribeAll", "true")
	}
	to := r.at(query, "events")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(r.cfg.User, r.cfg.Password)
	conn, res, err := websocket.Dial(ctx, to.String(), &websocket.DialOptions{HTTPClient: r.http, HTTPHeader: req.Header})
	if res != nil && res.Body != nil {
		defer res.Body.Close()
	}
	switch {
	case err == nil:
		conn.SetReadLimit(maxMessage)
		return conn, nil
	case ctx.Err() != nil:
		err = errSilent
	case res != nil && res.StatusCode == http.StatusNotFound:
		err = errors.New("there is no REST interface: look at enabled in ari.conf, at prefix in http.conf, and for the module res_ari_events")
	case res != nil && res.StatusCode >= 300:
		err = refusal(res)
	}
	return nil, fmt.Errorf("connect to %s: %w", to.Redacted(), err)
}

// tells holds that the app hears of devices. One of the name that was there before, without
// all events, does not.
func (r *rest) tells(ctx context.Context) error {
	var app struct {
		Devices []string `json:"device_names"`
	}
	err := r.do(ctx, http.MethodGet, r.at(nil, "applications", r.cfg.App), func(d *json.Decoder) error { return d.Decode(&app) })
	if err == nil && len(app.Devices) == 0 {
		err = fmt.Errorf("%w: the user may only read, and Asterisk has an app %s already that hears of no devices: name another, or let the user write", pbx.ErrRefused, r.cfg.App)
	}
	return err
}
