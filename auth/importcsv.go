package auth

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/deskline/deskline/xmpp/sasl"
)

const (
	maxLineErrors = 20
	maxField      = 1023 // bytes, as a part of a JID
	maxGroups     = 100
)

var columns = []string{"user", "password", "name", "email", "groups", "company"}

// row is one line of an import.
type row struct {
	line     int
	account  Account
	login    string
	company  string
	password string
}

// collector gathers what is wrong.
type collector struct{ wrong ImportError }

// add reports whether it is worth going on.
func (c *collector) add(line int, err error) bool {
	c.wrong.Lines = append(c.wrong.Lines, &LineError{line, err})
	c.wrong.More = len(c.wrong.Lines) == maxLineErrors
	return !c.wrong.More
}

func (c *collector) err() error {
	if len(c.wrong.Lines) == 0 {
		return nil
	}
	return &c.wrong
}

// rowReader gathers the rows of a file and what is wrong with them.
type rowReader struct {
	domain string
	o      ImportOptions
	order  []string // names of the columns
	rows   []row
	lines  map[string]int // by JID
	wrong  collector
}

// readRows reads the whole file and refuses it for any wrong line.
func readRows(r io.Reader, domain string, o ImportOptions) ([]row, error) {
	in := bufio.NewReader(r)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = in.Discard(3) // peeked
	}
	file := csv.NewReader(in)
	file.FieldsPerRecord = -1
	rr := rowReader{domain: domain, o: o, order: columns, lines: make(map[string]int)}
	for first := true; ; first = false {
		fields, err := file.Read()
		if errors.Is(err, io.EOF) {
			return rr.rows, rr.wrong.err()
		}
		if bad, ok := errors.AsType[*csv.ParseError](err); ok {
			rr.wrong.add(bad.Line, bad.Err)
			return nil, rr.wrong.err() // where the next line begins is a guess
		}
		if err != nil {
			return nil, fmt.Errorf("read accounts: %w", err)
		}
		line, _ := file.FieldPos(0)
		if !rr.take(fields, line, first) {
			return nil, rr.wrong.err()
		}
	}
}

// take reports whether it is worth going on.
func (rr *rowReader) take(fields []string, line int, first bool) bool {
	if first && isHeader(fields) {
		order, err := header(fields)
		if err != nil {
			rr.wrong.add(line, err)
			return false
		}
		rr.order = order
		return true
	}
	parsed, err := rr.parse(fields)
	if err != nil {
		return rr.wrong.add(line, err)
	}
	key := parsed.account.JID.String()
	if before, twice := rr.lines[key]; twice && !rr.o.Increment {
		return rr.wrong.add(line, fmt.Errorf("user %s is on line %d already", parsed.account.JID.Local(), before))
	}
	parsed.line = line
	rr.lines[key] = line
	rr.rows = append(rr.rows, parsed)
	return true
}

func isHeader(fields []string) bool {
	var user, password bool
	for _, f := range fields {
		switch headerName(f) {
		case "user":
			user = true
		case "password":
			password = true
		}
	}
	return user && password
}

func headerName(field string) string { return strings.ToLower(strings.TrimSpace(field)) }

func header(fields []string) ([]string, error) {
	order := make([]string, 0, len(fields))
	for _, f := range fields {
		name := headerName(f)
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("column %q is unknown, use %s", f, strings.Join(columns, ", "))
		}
		if slices.Contains(order, name) {
			return nil, fmt.Errorf("column %q is there twice", f)
		}
		order = append(order, name)
	}
	return order, nil
}

func (rr *rowReader) parse(fields []string) (row, error) {
	var r row
	order, domain := rr.order, rr.domain
	if len(fields) > len(order) {
		return r, fmt.Errorf("%d fields, at most %d expected", len(fields), len(order))
	}
	byName := make(map[string]string, len(fields))
	for i, f := range fields {
		if !utf8.ValidString(f) {
			return r, fmt.Errorf("%s is not UTF-8", order[i])
		}
		byName[order[i]] = f
	}
	user := strings.TrimSpace(byName["user"])
	if user == "" {
		return r, errors.New("user is missing")
	}
	r.login, r.company = strings.TrimSuffix(user, "@"+domain), strings.TrimSpace(byName["company"])
	if r.company == "" && strings.Contains(rr.o.Pattern, companyMark) {
		return r, errors.New("company is missing, which users.jid asks for")
	}
	var err error
	if r.account.JID, err = r.address(rr.o.Pattern, domain, 1); err != nil {
		return r, err
	}
	r.password = byName["password"]
	if r.password != "" || rr.o.Assigned == nil {
		if _, err := sasl.PreparePassword(r.password); err != nil {
			return r, err
		}
	}
	r.account.Name = strings.TrimSpace(byName["name"])
	r.account.Email = strings.TrimSpace(byName["email"])
	for g := range strings.SplitSeq(byName["groups"], ";") {
		if g = strings.TrimSpace(g); g != "" && !slices.Contains(r.account.Groups, g) {
			r.account.Groups = append(r.account.Groups, g)
		}
	}
	return r, checkDetails(r.account)
}

func checkDetails(a Account) error {
	if !singleLine(a.Name) {
		return errors.New("name is too long or has control characters")
	}
	if a.Email != "" {
		local, host, ok := strings.Cut(a.Email, "@")
		if !ok || local == "" || host == "" || !singleLine(a.Email) || strings.ContainsAny(a.Email, " \t") {
			return fmt.Errorf("email %q is no address", a.Email)
		}
	}
	if len(a.Groups) > maxGroups {
		return fmt.Errorf("more than %d groups", maxGroups)
	}
	for _, g := range a.Groups {
		if !singleLine(g) {
			return errors.New("a group is too long or has control characters")
		}
	}
	return nil
}

func singleLine(s string) bool {
	return len(s) <= maxField && strings.IndexFunc(s, unicode.IsControl) < 0
}
