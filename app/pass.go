package app

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
)

// Headers of a request that is passed on.
const (
	headerRemote = "X-Deskline-Remote"
	headerSecure = "X-Deskline-Secure"
	headerAgent  = "X-Deskline-Agent"
	headerSID    = "X-Deskline-Session"
	headerAny    = "X-Deskline-Any" // not only of a session that is there
	headerOwner  = "X-Deskline-Owner"
	headerSure   = "X-Deskline-Sure" // of its lease
)

// watch ends what waits for an owner when that is taken for dead.
func (t *takeover) watch(ctx context.Context, o live.Owner) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.passed++
	id := t.passed
	if t.passes[o] == nil {
		t.passes[o] = make(map[uint64]context.CancelFunc)
	}
	t.passes[o][id] = cancel
	return ctx, func() {
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		if delete(t.passes[o], id); len(t.passes[o]) == 0 {
			delete(t.passes, o)
		}
	}
}

// giveUp ends all that waits for an owner.
func (t *takeover) giveUp(o live.Owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, cancel := range t.passes[o] {
		cancel()
	}
}

// awaited lists the owners that requests were passed on to.
func (t *takeover) awaited() []live.Owner {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.passes))
}

func (t *takeover) sign(req *http.Request) { req.Header.Set("Authorization", "Bearer "+t.secret) }

var errNotThere = errors.New("pass on: the session is not there")

// pass has another node answer: for a session that it has, or any.
func (t *takeover) pass(ctx context.Context, url string, sid router.SID, in *bosh.Request, anyOne bool) (bosh.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+passPath, bytes.NewReader(in.Body))
	if err != nil {
		return bosh.Response{}, fmt.Errorf("pass on: %w", err)
	}
	t.sign(req)
	req.Header.Set(headerSID, string(sid))
	req.Header.Set(headerRemote, in.Remote.String())
	req.Header.Set(headerSecure, strconv.FormatBool(in.Secure))
	req.Header.Set(headerAgent, in.UserAgent)
	if anyOne {
		req.Header.Set(headerAny, "true")
	}
	res, err := t.client.Do(req)
	if err != nil {
		return bosh.Response{}, fmt.Errorf("pass on: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return bosh.Response{}, fmt.Errorf("pass on: %w", err)
	}
	if res.StatusCode == http.StatusMisdirectedRequest || res.Header.Get(headerSID) == "" {
		return bosh.Response{}, errNotThere
	}
	return bosh.Response{Body: body, ContentType: res.Header.Get("Content-Type"), Status: res.StatusCode}, nil
}

// ServeHTTP answers other nodes.
func (t *takeover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+t.secret)) != 1 {
		http.NotFound(w, r)
		return
	}
	if t.stopping.Load() {
		http.Error(w, "the node is shutting down", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == alivePath && t.shared.Adrift() {
		http.Error(w, "cut off from Redis", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == alivePath {
		w.Header().Set(headerSure, strconv.FormatBool(t.shared.Sure()))
		_, _ = io.WriteString(w, t.shared.Me().String())
		return
	}
	if r.URL.Path == givePath {
		t.given(w, r)
		return
	}
	sid := router.SID(r.Header.Get(headerSID))
	body, err := io.ReadAll(r.Body)
	anyOne := r.Header.Get(headerAny) == "true"
	if err != nil || !anyOne && !t.bosh.Holds(sid) {
		http.Error(w, "the session is not here", http.StatusMisdirectedRequest)
		return
	}
	in := bosh.Request{Body: body, Secure: r.Header.Get(headerSecure) == "true", UserAgent: r.Header.Get(headerAgent), Passed: !anyOne}
	in.Remote, _ = netip.ParseAddrPort(r.Header.Get(headerRemote)) // it stays as it was
	out, ok := t.bosh.Serve(r.Context(), &in)
	if !ok {
		panic(http.ErrAbortHandler) // nobody waits, or the session has moved
	}
	w.Header().Set("Content-Type", out.ContentType)
	w.Header().Set(headerSID, string(sid))
	w.Header().Set("Content-Length", strconv.Itoa(len(out.Body)))
	w.WriteHeader(out.Status)
	_, _ = w.Write(out.Body) // the response is kept for a repeat
}
