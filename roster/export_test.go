package roster

// Cached counts the snapshots in memory.
func (s *Service) Cached() int { return s.cache.len() }
