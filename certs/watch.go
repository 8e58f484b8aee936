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
	// patience is how long files may be written to before they are read all the same.
	patience = 700 * time.Millisecond
	// sweep finds what the watch cannot: files on a network, a certificate
	// that grows old, a folder that was replaced.
	sweep = time.Minute
)

// Run follows changes of the files and the age of certificates until ctx ends.
// It returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	w := newWatch(k)
	defer w.close()
	quiet := time.NewTimer(settle)
	defer quiet.Stop()
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	var first time.Time // of the events since files were read
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.events():
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			quiet.Reset(min(settle, max(0, patience-now.Sub(first))))
			continue
		case err := <-w.errors():
			k.cfg.Log.Debug("watching certificate", "err", err)
			continue
		case <-quiet.C:
		case <-tick.C:
		}
		first = time.Time{}
		// In this order: what is written between the two is an event.
		w.follow()
		k.refresh(ctx)
		k.warn()
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
	content := k.contentOf(err)
	if content == k.tried {
		return
	}
	k.tried = content
	k.cfg.Log.Error("new certificate cannot be used, the last good one stays", "err", err,
		"until", k.NotAfter().UTC().Format(time.RFC3339))
}

// contentOf stands for what is in the files and what is wrong with it.
func (k *Keeper) contentOf(cause error) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, file := range []string{k.source.CertFile, k.source.KeyFile} {
		data, _ := os.ReadFile(file) // what cannot be read counts as empty
		h.Write(data)
		h.Write([]byte{0})
	}
	h.Write([]byte(cause.Error()))
	h.Sum(sum[:0])
	return sum
}

// watch looks at the folders of the files, not at the files: renewal replaces
// them by renaming, and tools that manage links swap a link beside them.
type watch struct {
	k       *Keeper
	w       *fsnotify.Watcher // nil if the system has none left; the sweep remains
	folders map[string]os.FileInfo
}

func newWatch(k *Keeper) *watch {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		k.cfg.Log.Warn("certificate is looked at once a minute only", "err", err)
		w = nil
	}
	out := &watch{k: k, w: w, folders: map[string]os.FileInfo{}}
	out.follow()
	return out
}

// wanted are the folders of the present source.
func (w *watch) wanted() map[string]os.FileInfo {
	w.k.mu.Lock()
	source := w.k.source
	w.k.mu.Unlock()
	want := map[string]os.FileInfo{}
	add := func(folder string) {
		if info, err := os.Stat(folder); err == nil {
			want[folder] = info
		}
	}
	for _, file := range []string{source.CertFile, source.KeyFile} {
		if file != "" {
			for _, folder := range linkFolders(file) {
				add(folder)
			}
		}
	}
	add(filepath.Join(w.k.cfg.Dir, "certs"))
	walker := walker{seen: map[string]bool{}}
	// The reload says what is wrong with them.
	for _, dir := range w.k.cfg.kept() {
		_ = walker.visit(dir, 0)
	}
	if source.Folder != "" {
		_ = walker.visit(source.Folder, 0)
		walker.paths = append(walker.paths, source.Folder)
	}
	for _, folder := range walker.paths {
		add(folder)
		for _, above := range linkFolders(folder) {
			add(above)
		}
	}
	for _, files := range walker.folders {
		for _, file := range files {
			for _, folder := range linkFolders(file) {
				add(folder)
			}
		}
	}
	return want
}

// follow watches the folders of the present source, and anew those that
// another folder has taken the place of.
func (w *watch) follow() {
	if w.w == nil {
		return
	}
	want := w.wanted()
	for folder, info := range w.folders {
		if now, ok := want[folder]; !ok || !os.SameFile(info, now) {
			_ = w.w.Remove(folder) // gone already is as good
			delete(w.folders, folder)
		}
	}
	for folder, info := range want {
		if _, ok := w.folders[folder]; ok {
			continue
		}
		if err := w.w.Add(folder); err != nil {
			w.k.cfg.Log.Debug("watching certificate", "err", fmt.Errorf("watch %s: %w", folder, err))
			continue
		}
		w.folders[folder] = info
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
