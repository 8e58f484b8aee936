package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/deskline/deskline/xmpp/jid"
)

// What a pattern of addresses may have in it.
const (
	loginMark   = "{login}"
	companyMark = "{company}"
)

// maxIncrement bounds the numbers tried for one login.
const maxIncrement = 10000

// Assigned is an address or a password that an import has made.
type Assigned struct {
	Login    string
	JID      jid.JID
	Password string // "" = it was in the file
}

// address makes the address of the nth of those with one login.
func (r *row) address(pattern, domain string, n int) (jid.JID, error) {
	login := r.login
	if n > 1 {
		login += strconv.Itoa(n)
	}
	company := strings.Join(strings.Fields(r.company), "-") // no blanks in a local part
	local := strings.NewReplacer(loginMark, login, companyMark, company).Replace(pattern)
	j := owner(local, domain)
	if j.IsZero() {
		return j, fmt.Errorf("user %q is no valid name", local)
	}
	return j, nil
}

// increment gives each row an address that nobody has, neither here nor in the
// file, by a number behind the login.
func (s *Service) increment(ctx context.Context, rows []row, pattern, domain string) error {
	taken := make(map[jid.JID]bool, len(rows))
	for i := range rows {
		r := &rows[i]
		for n := 1; ; n++ {
			if n > maxIncrement {
				return &ImportError{Lines: []*LineError{{r.line, fmt.Errorf("there are %d of the name %s", maxIncrement, r.login)}}}
			}
			j, err := r.address(pattern, domain, n)
			if err != nil {
				return &ImportError{Lines: []*LineError{{r.line, err}}}
			}
			if taken[j] {
				continue
			}
			_, err = s.store.Account(ctx, j)
			if err == nil {
				continue
			}
			if !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("look up account %s: %w", j, err)
			}
			taken[j], r.account.JID = true, j
			break
		}
	}
	return nil
}

// generate makes the passwords that are missing, 80 random bits each, and returns
// all that was made of the rows.
func generate(rows []row) []Assigned {
	var made []Assigned
	for i := range rows {
		r := &rows[i]
		a := Assigned{Login: r.login, JID: r.account.JID}
		if r.password == "" {
			a.Password = strings.ToLower(rand.Text()[:16])
			r.password = a.Password
		}
		if a.Password != "" || a.JID.Local() != r.login {
			made = append(made, a)
		}
	}
	return made
}
