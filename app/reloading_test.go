package app_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
)

// reloader is a node whose configuration changes while it runs.
type reloader struct {
	*server
	file string
	hup  chan os.Signal
	said int // of its log, what has been read
}

func startReloader(t *testing.T, change func(*configs.Config)) *reloader {
	t.Helper()
	r := &reloader{file: filepath.Join(t.TempDir(), "deskline.yaml"), hup: make(chan os.Signal)}
	r.server = startBy(t, change, func(ctx context.Context, o app.Options) error {
		o.File = r.file
		return app.RunHearing(ctx, o, r.hup)
	})
	return r
}

// reload has the node read another configuration, and returns what it says of that.
func (r *reloader) reload(cfg configs.Config) string {
	r.t.Helper()
	var text bytes.Buffer
	if err := cfg.Print(&text); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.file, text.Bytes(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.said = len(r.log.String())
	r.hup <- syscall.SIGHUP
	said := ""
	eventually(r.t, "the word of a reload", func() bool {
		for row := range strings.Lines(r.log.String()[r.said:]) {
			if strings.Contains(row, "msg=reloaded") || strings.Contains(row, "reload: the configuration stays as it is") {
				said = row
			}
		}
		return said != ""
	})
	return said
}

// changes reloads what has to be taken.
func (r *reloader) changes(change func(*configs.Config)) {
	r.t.Helper()
	next := r.cfg
	change(&next)
	if said := r.reload(next); !strings.Contains(said, "msg=reloaded") || !strings.Contains(said, "needs_restart=[]") {
		r.t.Fatal(said)
	}
	r.cfg = next
}

// refuses reloads what is not taken, and wants the reason to be told.
func (r *reloader) refuses(change func(*configs.Config), why string) {
	r.t.Helper()
	next := r.cfg
	change(&next)
	if said := r.reload(next); !strings.Contains(said, "stays as it is") || !strings.Contains(said, why) {
		r.t.Fatalf("%s, want %s", said, why)
	}
}

// sources waits until the node has told of a change of its sources.
func (r *reloader) sources(want string) {
	r.t.Helper()
	eventually(r.t, want, func() bool { return strings.Contains(r.log.String()[r.said:], "sources of presence\" "+want) })
}
