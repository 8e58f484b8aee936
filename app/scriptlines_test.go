package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// reportLine puts what a script says of a telephone line: the line and a JSON object.
func (s *stage) reportLine(ctx context.Context, order string) error {
	line, report, _ := strings.Cut(order, " ")
	s.mu.Lock()
	address := fmt.Sprintf("http://%s/presence/v1/lines/%s", s.addr, url.PathEscape(line))
	s.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, strings.NewReader(report))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.cfg.Presence.HTTP.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return nil
}
