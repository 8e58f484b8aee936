package deptest

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Name       string
	Doc        string
	GoFiles    []string
	Imports    []string
}

// list returns the packages of the module.
func list(t *testing.T) []pkg {
	t.Helper()
	touch(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Name,Doc,GoFiles,Imports", module+"...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// touch looks at every Go file, since the cache of test results only knows of
// files that the test itself has seen, not of those that go list reads.
func touch(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // gone since: a test elsewhere cleans up
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			_, _ = os.Stat(path) // for the cache alone
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTree(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if tier(name) < 0 {
			t.Errorf("%s has no tier, give it one in internal/deptest and ARCHITECTURE.md", name)
		}
		if bad := badName(name); bad != "" {
			t.Errorf("%s: %q says nothing, name it by what it does", name, bad)
		}
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment: what it is, why here, which XEP or RFC", name)
		}
		for _, imported := range p.Imports {
			if why := forbidden(name, imported); why != "" {
				t.Errorf("%s imports %s: %s", name, imported, why)
			}
		}
	}
}

func TestForbidden(t *testing.T) {
	for _, tt := range []struct {
		name, pkg, imported, want string
	}{
		{"down", "bosh", module + "session", ""},
		{"far down", "app", module + "xmpp/jid", ""},
		{"up", "router", module + "session", "session is above router"},
		{"sideways", "presence", module + "roster", "roster is beside presence"},
		{"door to door", "bosh", module + "websocket", "websocket is beside bosh"},
		{"within xmpp", "xmpp/stanza", module + "xmpp/jid", ""},
		{"the other way within xmpp", "xmpp/jid", module + "xmpp/stanza", "xmpp/stanza is beside xmpp/jid"},
		{"configs from a domain package", "roster", module + "configs", "configs is above roster"},
		{"no tier", "app", module + "extras", "extras has no tier"},
		{"within the benchmark", "bench/peer", module + "bench/load", ""},
		{"library at home", "configs", "github.com/spf13/viper", ""},
		{"library away", "app", "github.com/spf13/viper", "the home of github.com/spf13/viper is configs"},
		{"part of a library away", "app", "modernc.org/sqlite/lib", "the home of modernc.org/sqlite is store/sqlite"},
		{"library of another name", "app", "modernc.org/sqlitex", ""},
		{"trees in a domain package", "vcard", "github.com/beevik/etree", ""},
		{"trees in a door", "bosh", "github.com/beevik/etree", "the home of github.com/beevik/etree"},
		{"standard library", "app", "net/http", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := forbidden(tt.pkg, tt.imported)
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestBadName(t *testing.T) {
	for name, want := range map[string]string{"internal/utils": "utils", "router": "", "types/jid": "types", "commonly": ""} {
		if got := badName(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
