package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

func (n *node) buildAdmin(context.Context) error {
	m := http.NewServeMux()
	m.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	n.admin = &http.Server{Handler: m, ReadHeaderTimeout: 10 * time.Second}
	return nil
}

func (n *node) serveAdmin() error {
	if err := n.admin.Serve(n.private); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

func (n *node) stopAdmin(ctx context.Context) error { return n.admin.Shutdown(ctx) }
