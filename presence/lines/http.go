package lines

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// Path is where the lines are.
const Path = "/presence/v1/lines"

const (
	maxRow    = 4 << 10          // bytes of one report
	maxErrors = 10               // told of a bulk feed
	rowWait   = 90 * time.Second // the longest silence in a bulk feed
)

// Handlers returns what answers below Path, by patterns of http.ServeMux.
func (s *Service) Handlers() map[string]http.Handler {
	one, all := http.NewServeMux(), http.NewServeMux()
	one.HandleFunc("GET "+Path+"/{line}", s.serveGet)
	one.HandleFunc("PUT "+Path+"/{line}", s.servePut)
	one.HandleFunc("DELETE "+Path+"/{line}", s.serveDelete)
	all.HandleFunc("POST "+Path, s.serveBulk)
	all.HandleFunc("GET "+Path, s.serveSocket)
	return map[string]http.Handler{Path: s.guard(all), Path + "/": s.guard(one)}
}

// guard lets in who knows the token. What is wrong with another is not said.
func (s *Service) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		want := s.settings.Load().Token
		a, b := sha256.Sum256([]byte(bearer(r))), sha256.Sum256([]byte(want))
		if same := subtle.ConstantTimeCompare(a[:], b[:]) == 1; !same || want == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, problem{Error: "not signed in"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bearer is the token of a request, "" if there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// problem is what is answered in place of a line.
type problem struct {
	Error string  `json:"error"`
	Seq   *uint64 `json:"seq,omitempty"` // the one known, that was not lower
}

func answer(w http.ResponseWriter, status int, what any) {
	body, err := json.Marshal(what)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone
}

func (s *Service) serveGet(w http.ResponseWriter, r *http.Request) {
	v, ok := s.get(r.PathValue("line"), time.Now())
	if !ok {
		answer(w, http.StatusNotFound, problem{Error: "nothing is known of this line"})
		return
	}
	answer(w, http.StatusOK, v)
}

func (s *Service) serveDelete(w http.ResponseWriter, r *http.Request) {
	if !s.ready(r.Context()) {
		alone(w)
		return
	}
	if !s.remove(r.Context(), r.PathValue("line"), time.Now()) {
		answer(w, http.StatusNotFound, problem{Error: "nothing is known of this line"})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Service) servePut(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRow))
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, problem{Error: err.Error()})
		return
	}
	id := r.PathValue("line")
	rep, err := parse(data)
	if err == nil && rep.Line != nil && *rep.Line != id {
		err = errors.New("line is not the one of the address")
	}
	if err != nil {
		answer(w, http.StatusBadRequest, problem{Error: err.Error()})
		return
	}
	v, err := s.put(r.Context(), id, rep, time.Now())
	switch {
	case errors.Is(err, errStale):
		answer(w, http.StatusConflict, problem{Error: err.Error(), Seq: &v.Seq})
	case errors.Is(err, errAlone):
		alone(w)
	case errors.Is(err, errFull):
		answer(w, http.StatusInsufficientStorage, problem{Error: err.Error()})
	case err != nil:
		answer(w, http.StatusBadRequest, problem{Error: err.Error()})
	default:
		answer(w, http.StatusOK, v)
	}
}

func alone(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	answer(w, http.StatusServiceUnavailable, problem{Error: errAlone.Error()})
}

// parse reads one report, and nothing behind it.
func parse(data []byte) (*report, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var r *report
	if err := d.Decode(&r); err != nil {
		return nil, errors.New("no report: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	if r == nil {
		return nil, errors.New("no report: null")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("no report: something stands behind the object")
	}
	return r, nil
}

// summary is the answer to a bulk feed.
type summary struct {
	Taken  int       `json:"taken"`
	Stale  int       `json:"stale"`
	Failed int       `json:"failed"`
	Errors []rowFail `json:"errors"` // the first ones
	Ended  string    `json:"ended,omitempty"`
}

type rowFail struct {
	Row   int    `json:"row"`
	Line  string `json:"line,omitempty"`
	Error string `json:"error"`
}

// begin makes room for a bulk feed, or says that there is none. Who was let in says end.
func (s *Service) begin(w http.ResponseWriter) bool {
	s.entry.Lock()
	defer s.entry.Unlock()
	why := "too many bulk feeds at a time"
	select {
	case <-s.done:
		why = "the node stops"
	default:
		select {
		case s.streams <- struct{}{}:
			s.feeds.Add(1)
			return true
		default:
		}
	}
	w.Header().Set("Retry-After", "5")
	answer(w, http.StatusServiceUnavailable, problem{Error: why})
	return false
}

func (s *Service) end() {
	<-s.streams
	s.feeds.Done()
}

// serveBulk takes a stream of reports for as long as it lasts, each at once.
func (s *Service) serveBulk(w http.ResponseWriter, r *http.Request) {
	if !s.begin(w) {
		return
	}
	defer s.end()
	control := http.NewResponseController(w)
	over := make(chan struct{})
	defer close(over)
	go func() { // ends with the request
		select {
		case <-s.done:
			_ = control.SetReadDeadline(time.Now())
		case <-over:
		}
	}()
	sum := s.feed(r.Context(), r.Body, func() {
		select {
		case <-s.done:
		default:
			_ = control.SetReadDeadline(time.Now().Add(rowWait))
		}
	})
	_ = control.SetWriteDeadline(time.Now().Add(10 * time.Second)) // the one of the request may be over
	status := http.StatusOK
	switch {
	case sum.Ended == errAlone.Error():
		w.Header().Set("Retry-After", "2")
		status = http.StatusServiceUnavailable
	case sum.Taken+sum.Stale == 0 && sum.Failed > 0:
		status = http.StatusBadRequest
	}
	answer(w, status, sum)
}

// feed takes rows until there are no more; wait is called before each.
func (s *Service) feed(ctx context.Context, body io.Reader, wait func()) summary {
	sum := summary{Errors: []rowFail{}}
	in := bufio.NewReaderSize(body, maxRow)
	for row := 1; ; row++ {
		wait()
		select {
		case <-s.done:
			sum.Ended = "the node stops"
			return sum
		default:
		}
		data, err := in.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		switch data = bytes.TrimSpace(data); {
		case long:
			sum.fail(row, "", errLong)
		case err != nil && !errors.Is(err, io.EOF): // what came may not be all of it
		case len(data) > 0:
			s.row(ctx, row, data, &sum)
		}
		if err != nil || sum.Ended != "" {
			if sum.Ended == "" && !errors.Is(err, io.EOF) {
				sum.Ended = err.Error()
			}
			return sum
		}
	}
}

func (s *Service) row(ctx context.Context, row int, data []byte, sum *summary) {
	var r refusal
	switch _, err := s.take(ctx, data, &r); {
	case errors.Is(err, errStale):
		sum.Stale++
	case errors.Is(err, errAlone):
		sum.Ended = err.Error()
		sum.fail(row, r.Line, err)
	case err != nil:
		sum.fail(row, r.Line, err)
	default:
		sum.Taken++
	}
}

func (s *summary) fail(row int, id string, err error) {
	if s.Failed++; len(s.Errors) < maxErrors {
		s.Errors = append(s.Errors, rowFail{row, id, err.Error()})
	}
}
