package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/deskline/deskline/presence/calendar"
)

type zoned struct {
	Time string `json:"dateTime"`
	Zone string `json:"timeZone"`
}

const stamp = "2006-01-02T15:04:05"

// slot is the length of what availabilityView has a digit for.
const slot = 15 * time.Minute

func (p *part) path() string {
	return "/users/" + url.PathEscape(p.as) + "/calendar/getSchedule"
}

// window is what is asked for, from a whole minute on.
func (p *part) window() (from, until time.Time) {
	return p.asks[0].From.UTC().Truncate(time.Minute), p.asks[0].Until.UTC().Truncate(time.Minute)
}

func (p *part) body() map[string]any {
	from, until := p.window()
	return map[string]any{
		"schedules": p.boxes, "startTime": zoned{from.Format(stamp), "UTC"}, "endTime": zoned{until.Format(stamp), "UTC"},
		"availabilityViewInterval": int(slot / time.Minute),
	}
}

var header = map[string]string{"Content-Type": "application/json", "Accept": "application/json", "Prefer": `outlook.timezone="UTC"`}

// send asks for some parts at once. The error is of all of them.
func (s *Source) send(ctx context.Context, token string, parts []*part) ([]reply, error) {
	if len(parts) == 1 {
		resp, err := s.post(ctx, token, parts[0].path(), parts[0].body())
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		r := reply{status: resp.StatusCode, after: calendar.RetryAfter(resp.Header.Get("Retry-After"))}
		if err := json.NewDecoder(resp.Body).Decode(&r.body); err != nil && r.status/100 == 2 {
			return nil, unreadable(err, len(parts[0].asks))
		}
		return []reply{r}, nil
	}
	list := make([]request, len(parts))
	for i, p := range parts {
		list[i] = request{Method: http.MethodPost, URL: p.path(), Headers: header, Body: p.body()}
	}
	answers, err := s.batch(ctx, token, list)
	if err != nil {
		return nil, err
	}
	replies := make([]reply, len(answers))
	for i, a := range answers {
		replies[i] = a.reply()
	}
	return replies, nil
}

// request is a part of a JSON batch.
type request struct {
	ID      string            `json:"id"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    any               `json:"body,omitempty"`
}

// batch sends requests as one. The error is of all of them.
func (s *Source) batch(ctx context.Context, token string, list []request) ([]answer, error) {
	for i := range list {
		list[i].ID = strconv.Itoa(i + 1)
	}
	resp, err := s.post(ctx, token, "/$batch", map[string]any{"requests": list})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r := reply{status: resp.StatusCode, after: calendar.RetryAfter(resp.Header.Get("Retry-After"))}
		_ = json.NewDecoder(resp.Body).Decode(&r.body)
		return nil, r.failure()
	}
	answers, err := parseBatch(resp.Body, len(list))
	if err != nil {
		return nil, unreadable(err, len(list)*Mailboxes)
	}
	return answers, nil
}

func (s *Source) post(ctx context.Context, token, path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.c.URL+path, bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("ask Microsoft Graph: the address cannot be used")
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	r.Header.Set("User-Agent", "deskline")
	r.Header[calendar.Replayable] = nil
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask Microsoft Graph: %w", err)
	}
	resp.Body = calendar.Limit(resp.Body, s.c.Bytes)
	return resp, nil
}

// unreadable is for an answer that cannot be read: of fewer it may be shorter.
func unreadable(err error, n int) error {
	return &calendar.Failure{
		Err:   fmt.Errorf("read the answer of Microsoft Graph: %w", err),
		Fewer: n > 1, Own: n == 1 && errors.Is(err, calendar.ErrTooBig),
	}
}
