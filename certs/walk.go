package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what is looked at below the folder.
const (
	maxDepth   = 4 // subfolders within each other
	maxFolders = 500
	maxFiles   = 5000
	maxFile    = 1 << 20 // bytes
)

// walker goes through a folder and those below, links followed.
type walker struct {
	folders [][]string // the files of each that may have certificates or keys
	paths   []string   // of the folders
	bad     []Problem  // subfolders and links that cannot be followed
	files   int
	seen    map[string]bool
}

func (w *walker) visit(path string, depth int) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	if w.seen[real] || depth > maxDepth {
		return nil // a link that leads back
	}
	w.seen[real] = true
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(w.paths) == maxFolders {
		return fmt.Errorf("there are more than %d folders", maxFolders)
	}
	w.paths = append(w.paths, path)
	var files []string
	for _, entry := range entries {
		// Kubernetes keeps the generations of a volume in ..2026_…, to which links lead.
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		name := filepath.Join(path, entry.Name())
		switch info, err := os.Stat(name); {
		case err != nil && (interesting(name) || !errors.Is(err, fs.ErrNotExist)):
			w.bad = append(w.bad, Problem{File: name, Err: err})
		case err != nil:
		case info.IsDir():
			// What cannot be read is not in the way of the others.
			if err := w.visit(name, depth+1); err != nil {
				w.bad = append(w.bad, Problem{File: name, Err: err})
			}
		case interesting(name):
			if w.files++; w.files > maxFiles {
				return fmt.Errorf("there are more than %d files", maxFiles)
			}
			files = append(files, name)
		}
	}
	w.folders = append(w.folders, files)
	return nil
}

func interesting(name string) bool {
	return slices.Contains([]string{".pem", ".crt", ".cer", ".cert", ".key"}, strings.ToLower(filepath.Ext(name)))
}

// linkFolders returns the folders in which something changes when path leads
// elsewhere or its file is replaced: its own and those of all links on the way.
func linkFolders(path string) []string {
	list := []string{filepath.Dir(path)}
	for range 40 { // as many links as Linux follows
		dir, next := firstLink(path)
		if next == "" {
			break
		}
		list, path = append(list, dir), next
	}
	return append(list, filepath.Dir(path))
}

// firstLink returns the folder of the first link in a path, and the path with
// that link followed; "" if there is none.
func firstLink(path string) (dir, next string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", ""
	}
	parts := strings.Split(path, string(filepath.Separator))
	at := string(filepath.Separator)
	for i, part := range parts {
		dir, at = at, filepath.Join(at, part)
		target, err := os.Readlink(at)
		if err != nil {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		return dir, filepath.Join(append([]string{target}, parts[i+1:]...)...)
	}
	return "", ""
}
