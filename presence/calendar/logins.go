package calendar

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/deskline/deskline/xmpp/jid"
)

// logins is a file with a login a line: jid, user and password, with blanks
// between them; the password may have blanks. It is read again when it changes.
type logins struct {
	file string

	mu   sync.Mutex // guards what follows
	when time.Time
	size int64
	all  map[string]login
}

type login struct{ name, password string }

func (l *logins) load() error {
	info, err := os.Stat(l.file)
	if err != nil {
		return fmt.Errorf("file of logins: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all != nil && info.ModTime().Equal(l.when) && info.Size() == l.size {
		return nil
	}
	text, err := os.ReadFile(l.file)
	if err != nil {
		return fmt.Errorf("file of logins: %w", err)
	}
	all := map[string]login{}
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		n++
		one := strings.TrimSpace(s.Text())
		if one == "" || strings.HasPrefix(one, "#") {
			continue
		}
		who, rest, _ := strings.Cut(one, " ")
		name, password, ok := strings.Cut(strings.TrimSpace(rest), " ")
		user, err := jid.Parse(who)
		if !ok || err != nil {
			// The line itself is not told, for it has a password.
			return fmt.Errorf("file of logins: line %d of %s is not: jid user password", n, l.file)
		}
		all[user.Bare().String()] = login{name, strings.TrimSpace(password)}
	}
	l.all, l.when, l.size = all, info.ModTime(), info.Size()
	return nil
}

func (l *logins) of(user jid.JID) (login, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.all[user.Bare().String()]
	return one, ok
}
