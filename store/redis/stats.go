package redis

// Stats tells how busy a store is.
type Stats struct {
	Queued   int   // calls waiting for the next round trip
	Flying   int   // round trips under way
	Trips    int64 // round trips so far
	Commands int64 // commands so far
}

// Stats returns the present numbers.
func (s *Store) Stats() Stats {
	b := s.pipes
	return Stats{Queued: len(b.queue), Flying: int(b.flying.Load()), Trips: b.trips.Load(), Commands: b.sent.Load()}
}
