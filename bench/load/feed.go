package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Feed tells a server what telephone lines do, as a switch does: by one request that goes on.
type Feed struct {
	rows   chan string
	result chan error
}

// NewFeed begins the request.
func NewFeed(ctx context.Context, url, token string) (*Feed, error) {
	out, in := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, out)
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	f := &Feed{rows: make(chan string, 1024), result: make(chan error, 1)}
	go func() { // ends with the request
		w := bufio.NewWriter(in)
		for row := range f.rows {
			_, err := w.WriteString(row)
			if err == nil && len(f.rows) == 0 {
				err = w.Flush()
			}
			if err != nil {
				_ = in.CloseWithError(err)
				for range f.rows { // nobody takes them
				}
				return
			}
		}
		_ = in.Close()
	}()
	go func() { f.result <- deliver(req, out) }() // Close waits for it
	return f, nil
}

func deliver(req *http.Request, body *io.PipeReader) error {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		_ = body.CloseWithError(err)
		return fmt.Errorf("feed: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("feed: %s: %s", res.Status, said)
	}
	_ = body.CloseWithError(err)
	return err
}

// Tell says what a line does.
func (f *Feed) Tell(line, state string) {
	f.rows <- `{"line":"` + line + `","state":"` + state + "\"}\n"
}

// Close ends the request and says whether the server took it.
func (f *Feed) Close() error {
	close(f.rows)
	return <-f.result
}
