package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// checkTime is how long a check may take: probes give up soon themselves.
const checkTime = 3 * time.Second

// checks are the conditions of being ready.
type checks struct {
	mu       sync.Mutex // guards below
	list     []*check
	stopping bool
}

type check struct {
	name string
	run  func(ctx context.Context) (string, error)

	mu  sync.Mutex // guards now
	now *flight    // nil while nobody asks
}

// flight is one run of a check, whose answer goes to all who ask meanwhile: a
// check that hangs must not gather goroutines.
type flight struct {
	done   chan struct{} // closed once the rest is set
	detail string
	err    error
	ms     int64
}

func (c *check) ask(ctx context.Context) *flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		return c.now
	}
	f := &flight{done: make(chan struct{})}
	c.now = f
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
		defer cancel()
		began := time.Now()
		f.detail, f.err = c.run(ctx)
		f.ms = time.Since(began).Milliseconds()
		c.mu.Lock()
		c.now = nil
		c.mu.Unlock()
		close(f.done)
	}()
	return f
}

// result is what /readyz tells of a check.
type result struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Degraded bool   `json:"degraded,omitempty"`
	Error    string `json:"error,omitempty"`
	Detail   string `json:"detail,omitempty"`
	MS       int64  `json:"ms"`
}

// Degraded is the error of a check by which the node stays ready: something is
// amiss, and to send clients elsewhere would not help.
type Degraded string

// Error implements error.
func (d Degraded) Error() string { return string(d) }

// Check makes readiness depend on run, which is called at each request for
// /readyz and told by its context to end after some seconds.
func (s *Server) Check(name string, run func(ctx context.Context) error) {
	s.Describe(name, func(ctx context.Context) (string, error) { return "", run(ctx) })
}

// Describe is Check with something to tell while all is well.
func (s *Server) Describe(name string, run func(ctx context.Context) (detail string, err error)) {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	s.checks.list = append(s.checks.list, &check{name: name, run: run})
}

// Drain says that the node is not ready because it is about to stop.
func (s *Server) Drain() {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	s.checks.stopping = true
}

func (c *checks) all() (list []*check, stopping bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.list[:len(c.list):len(c.list)], c.stopping
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	list, stopping := s.checks.all()
	ctx, cancel := context.WithTimeout(r.Context(), checkTime)
	defer cancel()
	results := runAll(ctx, list)
	if stopping {
		results = append(results, result{Name: "running", Error: "the node is stopping"})
	}
	ready := true
	for i := range results {
		ready = ready && results[i].OK
	}
	status := http.StatusOK
	if !ready {
		status = http.StatusServiceUnavailable
	}
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		// Only a client that is gone makes this fail.
		_ = json.NewEncoder(w).Encode(struct {
			Ready  bool     `json:"ready"`
			Checks []result `json:"checks"`
		}{ready, results})
		return
	}
	line(w, status, lines(ready, results))
}

// lines has one line for all and one for each check.
func lines(ready bool, results []result) string {
	out := []string{"ready"}
	if slices.ContainsFunc(results, func(r result) bool { return r.Degraded }) {
		out[0] = "ready, degraded"
	}
	if !ready {
		out[0] = "not ready"
	}
	for _, r := range results {
		said := "ok"
		switch {
		case r.Degraded:
			said = "degraded: " + r.Error
		case !r.OK:
			said = r.Error
		}
		if r.Detail != "" {
			said += ", " + r.Detail
		}
		out = append(out, r.Name+": "+strings.ReplaceAll(said, "\n", " ")+" ("+strconv.FormatInt(r.MS, 10)+" ms)")
	}
	return strings.Join(out, "\n")
}

// runAll runs the checks side by side. One that does not heed its context is
// waited for no longer than that.
func runAll(ctx context.Context, list []*check) []result {
	flights := make([]*flight, len(list))
	for i, c := range list {
		flights[i] = c.ask(ctx)
	}
	results := make([]result, len(list))
	for i, f := range flights {
		results[i].Name = list[i].name
		select {
		case <-f.done:
			_, results[i].Degraded = errors.AsType[Degraded](f.err)
			results[i].MS, results[i].OK, results[i].Detail = f.ms, f.err == nil || results[i].Degraded, f.detail
			if f.err != nil {
				results[i].Error = f.err.Error()
			}
		case <-ctx.Done():
			results[i].MS, results[i].Error = checkTime.Milliseconds(), "no answer within "+checkTime.String()
		}
	}
	return results
}
