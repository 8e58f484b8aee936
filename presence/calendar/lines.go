package calendar

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits bound what reading and expanding a calendar may cost. What is zero
// is the default.
type Limits struct {
	Bytes  int64 // of the whole text, default 16 MiB
	Events int   // default 20,000
	Work   int   // steps of expanding all recurrences together, default 1,000,000
}

const (
	maxLine    = 16 << 10 // longer ones, such as attachments, are skipped
	maxDepth   = 8        // of components in each other
	maxPeriods = 2000     // of an answer
	maxDates   = 5000     // RDATEs or EXDATEs of an event
)

// ErrTooBig tells of a calendar beyond the limits.
var ErrTooBig = errors.New("the calendar is too big")

// ErrNoCalendar tells of a text that is no iCalendar at all.
var ErrNoCalendar = errors.New("no iCalendar")

func (l Limits) filled() Limits {
	if l.Bytes == 0 {
		l.Bytes = 16 << 20
	}
	if l.Events == 0 {
		l.Events = 20_000
	}
	if l.Work == 0 {
		l.Work = 1_000_000
	}
	return l
}

// line is one content line, RFC 5545 §3.1.
type line struct {
	name   string
	params []param
	value  string
}

type param struct{ name, value string }

func (l line) param(name string) string {
	for _, p := range l.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// wanted are the properties that say when and how busy.
var wanted = map[string]bool{
	"BEGIN": true, "END": true, "UID": true, "DTSTART": true, "DTEND": true, "DURATION": true, "RRULE": true, "RDATE": true,
	"EXDATE": true, "RECURRENCE-ID": true, "STATUS": true, "TRANSP": true, "X-MICROSOFT-CDO-BUSYSTATUS": true,
	"FREEBUSY": true, "TZID": true, "TZOFFSETFROM": true, "TZOFFSETTO": true, "X-WR-TIMEZONE": true, "ATTENDEE": true,
	"SEQUENCE": true,
}

// scanner unfolds lines and leaves out those that nobody wants.
type scanner struct {
	r    *bufio.Reader
	left int64
	buf  []byte
}

func newScanner(r io.Reader, limit int64) *scanner {
	return &scanner{r: bufio.NewReaderSize(r, 4096), left: limit}
}

// next returns the next wanted line, or io.EOF.
func (s *scanner) next() (line, error) {
	for {
		raw, err := s.unfold()
		if err != nil {
			return line{}, err
		}
		if end := bytes.IndexAny(raw, ":;"); end <= 0 || !wanted[strings.ToUpper(string(raw[:end]))] {
			continue
		}
		if l, ok := parseLine(string(raw)); ok {
			return l, nil
		}
	}
}

// unfold reads a line with those that continue it; one that is too long comes out empty.
func (s *scanner) unfold() ([]byte, error) {
	s.buf = s.buf[:0]
	long := false
	for first := true; ; first = false {
		if !first {
			if b, err := s.r.Peek(1); err != nil || b[0] != ' ' && b[0] != '\t' {
				break
			}
			if _, err := s.r.Discard(1); err != nil {
				break
			}
		}
		for {
			part, err := s.r.ReadSlice('\n')
			if s.left -= int64(len(part)); s.left < 0 {
				return nil, ErrTooBig
			}
			if !long && len(s.buf)+len(part) > maxLine {
				long = true
			}
			if !long {
				s.buf = append(s.buf, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && (!errors.Is(err, io.EOF) || first && len(part) == 0 && len(s.buf) == 0 && !long) {
				return nil, err // what is between io.EOF and here is the last line, without an end
			}
			break
		}
		s.buf = bytes.TrimRight(s.buf, "\r\n")
	}
	if long {
		return nil, nil
	}
	return s.buf, nil
}

// parseLine takes name, parameters and value apart.
func parseLine(raw string) (line, bool) {
	end := strings.IndexAny(raw, ":;")
	if end <= 0 {
		return line{}, false
	}
	l := line{name: strings.ToUpper(raw[:end])}
	rest := raw[end:]
	for strings.HasPrefix(rest, ";") {
		name, after, ok := strings.Cut(rest[1:], "=")
		if !ok {
			return line{}, false
		}
		var value string
		if strings.HasPrefix(after, `"`) {
			if value, after, ok = strings.Cut(after[1:], `"`); !ok {
				return line{}, false
			}
			// More values of the same parameter, which none of ours has.
			if at := strings.IndexAny(after, ":;"); at >= 0 {
				after = after[at:]
			}
		} else {
			at := strings.IndexAny(after, ":;")
			if at < 0 {
				return line{}, false
			}
			value, after = after[:at], after[at:]
		}
		l.params = append(l.params, param{name: strings.ToUpper(name), value: value})
		rest = after
	}
	if !strings.HasPrefix(rest, ":") {
		return line{}, false
	}
	l.value = strings.TrimSpace(rest[1:])
	return l, true
}

func tooMany(what string, limit int) error {
	return fmt.Errorf("%w: more than %d %s", ErrTooBig, limit, what)
}
