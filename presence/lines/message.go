package lines

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxReports bounds the reports of one message, and so the answer.
const maxReports = 500

// askLines asks for all lines known.
const askLines = "lines"

// asked reports whether a message is a question, {"ask":"lines"}.
func asked(data []byte) (what string, ok bool) {
	var q struct {
		Ask *string `json:"ask"`
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(&q) != nil || q.Ask == nil || d.More() {
		return "", false
	}
	return *q.Ask, true
}

// verdict is the answer to a message of reports.
type verdict struct {
	Message uint64    `json:"message"` // its number, from 1
	Taken   int       `json:"taken"`
	Stale   int       `json:"stale"`
	Failed  int       `json:"failed"`
	Rows    []refusal `json:"rows,omitempty"`  // those that were not taken
	Error   string    `json:"error,omitempty"` // of the message, of which nothing was taken
}

// refusal says of one report why it was not taken.
type refusal struct {
	Row    int     `json:"row"` // from 1
	Line   string  `json:"line,omitempty"`
	Seq    *uint64 `json:"seq,omitempty"` // as reported
	Result string  `json:"result"`        // stale or failed
	Error  string  `json:"error,omitempty"`
	Known  *view   `json:"known,omitempty"` // what counts in place of what is stale
}

// rows takes a message apart: one report, an array of reports, or one a row.
func rows(data []byte) ([][]byte, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil, errors.New("no report")
	}
	var all [][]byte
	switch {
	case json.Valid(data) && data[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(data, &list); err != nil {
			return nil, fmt.Errorf("no reports: %w", err)
		}
		for _, one := range list {
			all = append(all, one)
		}
	case json.Valid(data):
		all = [][]byte{data}
	default:
		for row := range bytes.SplitSeq(data, []byte("\n")) {
			if row = bytes.TrimSpace(row); len(row) > 0 {
				all = append(all, row)
			}
		}
	}
	if len(all) > maxReports {
		return nil, fmt.Errorf("more than %d reports in a message", maxReports)
	}
	return all, nil
}

// message takes the reports of one message, in their order.
func (s *Service) message(ctx context.Context, data []byte) verdict {
	var v verdict
	all, err := rows(data)
	if err != nil {
		v.Error = err.Error()
		return v
	}
	for i, row := range all {
		r := refusal{Row: i + 1}
		known, err := s.take(ctx, row, &r)
		switch {
		case err == nil:
			v.Taken++
			continue
		case errors.Is(err, errStale):
			v.Stale++
			r.Result, r.Known = "stale", &known
		default:
			v.Failed++
			r.Result, r.Error = "failed", err.Error()
		}
		v.Rows = append(v.Rows, r)
	}
	return v
}

// take reads a report and takes it. Whose it is stands in r, as far as it can be told.
func (s *Service) take(ctx context.Context, data []byte, r *refusal) (view, error) {
	if len(data) > maxRow {
		return view{}, errLong
	}
	rep, err := parse(data)
	if err != nil {
		return view{}, err
	}
	id := ""
	if rep.Line != nil {
		id = *rep.Line
	}
	r.Line, r.Seq = id[:min(len(id), maxID)], rep.Seq
	return s.put(ctx, id, rep, time.Now())
}
