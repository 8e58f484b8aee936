package graph

import (
	"strings"
	"time"
)

// Hasten has a source lose no time.
func (s *Source) Hasten(grace time.Duration) {
	s.times = times{around: 10 * time.Millisecond, pace: time.Millisecond, grace: grace, first: 20 * time.Millisecond, again: 20 * time.Millisecond, limit: 10 * time.Second, bye: 5 * time.Second}
}

// Notices reads notifications and returns how many there are.
func Notices(text string) (int, error) {
	list, err := parseNotices(strings.NewReader(text))
	return len(list), err
}

const MaxNotices = maxNotices
