package app

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
)

func init() {
	probes["presence.asterisk"] = func(n *node) any { return n.composing.switches.wishes("asterisk:") }
	probes["presence.freeswitch"] = func(n *node) any { return n.composing.switches.wishes("freeswitch:") }
	probes["presence.innovaphone"] = func(n *node) any { return n.composing.switches.wishes("innovaphone:") }
	probes["presence.numbers.country"] = func(n *node) any { return n.composing.lineMap.Numbers().Country }
	probes["presence.numbers.trunk"] = func(n *node) any { return n.composing.lineMap.Numbers().Trunk }
	probes["presence.numbers.international"] = func(n *node) any { return n.composing.lineMap.Numbers().International }
	probes["presence.numbers.national_digits"] = func(n *node) any { return n.composing.lineMap.Numbers().NationalDigits }
	probes["presence.numbers.rules"] = func(n *node) any { return len(n.composing.lineMap.Numbers().Rules) }
}

// wishes names the switches of one kind that are wanted.
func (s *switches) wishes(kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []string{}
	for _, w := range s.wanted {
		if strings.HasPrefix(w.cfg.Name, kind) {
			all = append(all, w.cfg.Name)
		}
	}
	return all
}

// switchOf is a list of one switch, of the kind that a key is for.
func switchOf(t *testing.T, path string) reflect.Value {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kind := strings.TrimPrefix(path, "presence.")
	keys := "address: '127.0.0.1:1', user: a"
	if kind == "innovaphone" {
		keys = "url: 'ws://127.0.0.1:1', lines: ['2001']"
	}
	cfg, err := configs.Parse([]byte("presence: {" + kind + ": [{" + keys + ", password_file: " + secret + "}]}"))
	if err != nil {
		t.Fatal(err)
	}
	return reflect.ValueOf(cfg.Presence).FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, kind) })
}
