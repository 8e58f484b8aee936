package presence

import "time"

// Known returns what is known by one source, whichever node it told. A source that takes over
// from another node takes back of that what is not so any more.
func (s *Service) Known(source string) []Evidence {
	var all []Evidence
	now := time.Now()
	for i := range s.composer.shards {
		sh := &s.composer.shards[i]
		sh.mu.Lock()
		for _, e := range sh.entries {
			all = e.book.of(source, now, all)
		}
		sh.mu.Unlock()
	}
	return all
}

// of adds to a list what is known now by one source.
func (b *Book) of(source string, now time.Time, all []Evidence) []Evidence {
	for i := range b.all {
		if e := &b.all[i]; e.Source == source && e.Expires.After(now) {
			all = append(all, *e)
		}
	}
	return all
}
