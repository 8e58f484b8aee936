package certs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the files must be quiet: renewal writes one after the other.
	settle = 300 * time.Millisecond
	// sweep finds what the watch cannot: files on a network, a certificate
	// that grows old, a folder that was replaced.
	sweep = time.Minute
)

// Run follows changes of the files and the age of a self-signed certificate
// until ctx ends. It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	w := newWatch(k)
	defer w.close()
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.events():
			quiet.Reset(settle)
		case err := <-w.errors():
			k.cfg.Log.Debug("watching certificate", "err", err)
		case <-quiet.C:
			k.refresh(ctx)
		case <-tick.C:
			w.follow()
			k.refresh(ctx)
		}
	}
}

// refresh reloads, and tells each content that cannot be used once.
func (k *Keeper) refresh(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	err := k.reload(ctx, k.source)
	if err == nil {
		k.tried = [sha256.Size]byte{}
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	certPEM, _ := os.ReadFile(k.source.CertFile) // what cannot be read counts as empty
	keyPEM, _ := os.ReadFile(k.source.KeyFile)
	content := contentOf(certPEM, keyPEM)
	if content == k.tried {
		return
	}
	k.tried = content
	k.cfg.Log.Error("new certificate cannot be used, the last good one stays", "err", err,
		"until", k.NotAfter().UTC().Format(time.RFC3339))
}

// watch looks at the folders of the files, not at the files: renewal replaces
// them by renaming, and tools that manage links swap a link beside them.
type watch struct {
	k       *Keeper
	w       *fsnotify.Watcher // nil if the system has none left; the sweep remains
	folders map[string]bool
}

func newWatch(k *Keeper) *watch {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		k.cfg.Log.Warn("certificate is looked at once a minute only", "err", err)
		w = nil
	}
	out := &watch{k: k, w: w, folders: map[string]bool{}}
	out.follow()
	return out
}

// follow watches the folders of the present source.
func (w *watch) follow() {
	if w.w == nil {
		return
	}
	w.k.mu.Lock()
	source := w.k.source
	w.k.mu.Unlock()
	want := map[string]bool{}
	for _, file := range []string{source.CertFile, source.KeyFile} {
		if file != "" {
			want[filepath.Dir(file)] = true
		}
	}
	for folder := range w.folders {
		if !want[folder] {
			_ = w.w.Remove(folder) // gone already is as good
		}
	}
	w.folders = want
	for folder := range want {
		if err := w.w.Add(folder); err != nil {
			w.k.cfg.Log.Debug("watching certificate", "err", fmt.Errorf("watch %s: %w", folder, err))
		}
	}
}

func (w *watch) events() <-chan fsnotify.Event {
	if w.w == nil {
		return nil
	}
	return w.w.Events
}

func (w *watch) errors() <-chan error {
	if w.w == nil {
		return nil
	}
	return w.w.Errors
}

func (w *watch) close() {
	if w.w != nil {
		_ = w.w.Close() // nothing is written through it
	}
}
