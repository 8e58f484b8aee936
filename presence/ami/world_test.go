package ami_test

import (
	"log/slog"
	"testing"

	"github.com/deskline/deskline/internal/asterisktest"
	"github.com/deskline/deskline/presence/ami"
)

var discard = slog.New(slog.DiscardHandler)

func client(t *testing.T, cfg ami.Config) *ami.Client {
	t.Helper()
	if cfg.User == "" {
		cfg.User = asterisktest.User
	}
	if cfg.Secret == "" {
		cfg.Secret = asterisktest.Secret
	}
	if cfg.Log == nil {
		cfg.Log = discard
	}
	c, err := ami.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
