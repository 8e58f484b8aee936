package graph

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Probe asks an address as the service does before it tells of changes there.
func Probe(ctx context.Context, address string) error {
	token := "Probe: " + rand.Text()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"?validationToken="+url.QueryEscape(token), http.NoBody)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	r.Header.Set("User-Agent", "deskline")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the token
		}
		return fmt.Errorf("probe: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	switch {
	case err != nil:
		return fmt.Errorf("probe: %w", err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("probe: %s", resp.Status)
	case string(text) != token || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain"):
		return errors.New("probe: something else answers")
	}
	return nil
}
