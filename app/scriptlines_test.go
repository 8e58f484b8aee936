package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// reportLine puts what a script says of a telephone line: the line and a JSON object.
func (s *stage) reportLine(ctx context.Context, order string) error {
	line, report, _ := strings.Cut(order, " ")
	s.mu.Lock()
	address := fmt.Sprintf("http://%s/presence/v1/lines/%s", s.addr, url.PathEscape(line))
	s.mu.Unlock()
	for {
		status, text, err := s.tellLine(ctx, address, report)
		if err == nil && status != http.StatusOK && status != http.StatusServiceUnavailable { // as on a machine that stands still for seconds
			err = fmt.Errorf("%d: %s", status, text)
		}
		if err != nil || status == http.StatusOK {
			return err
		}
	}
}

func (s *stage) tellLine(ctx context.Context, address, report string) (status int, text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, strings.NewReader(report))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.cfg.Presence.HTTP.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// known returns what a node knows of a user's lines.
func (s *stage) known(ctx context.Context, user string) (string, error) {
	s.mu.Lock()
	address := fmt.Sprintf("http://%s/presence?user=%s@%s", s.ops, user, domain)
	s.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var report struct {
		Sources []struct {
			Source, Item, State string
			Seq                 uint64
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		return "", err
	}
	return fmt.Sprint(report.Sources), nil
}

// agree waits until all nodes know the same of a user's lines.
func (p stages) agree(ctx context.Context, user string) error {
	for {
		all := make(map[string]bool)
		for _, s := range p {
			text, err := s.known(ctx, user)
			if err != nil {
				return err
			}
			all[text] = true
		}
		if len(all) == 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nodes differ in what they know of %s: %w", user, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// administer has the first node do it, and what it was told of a line known to the others before the
// script goes on.
func (p stages) administer(ctx context.Context, order string) error {
	if err := p[0].administer(ctx, order); err != nil || !strings.HasPrefix(order, "reports ") {
		return err
	}
	for _, user := range people {
		if err := p.agree(ctx, user); err != nil {
			return err
		}
	}
	return nil
}
