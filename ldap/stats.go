package ldap

import "time"

// Stats are figures of the moment.
type Stats struct {
	Servers  []ServerStats
	People   int
	Enabled  int
	Complete bool      // everybody was read at least once
	Read     time.Time // when the directory was last read without trouble
	Loading  int       // people read so far by a read of everybody under way
	Suspect  bool      // the last read lacked so many that it has to be confirmed
	Waiting  int       // sign-ins and look-ups that wait for a connection
}

// ServerStats is how a server does.
type ServerStats struct {
	URL   string
	Err   error // why it does not answer, nil if it did when last asked
	Since time.Time
}

// Stats returns the figures of the moment.
func (d *Directory) Stats() Stats {
	s := Stats{Loading: int(d.loading.Load()), Suspect: d.suspect.Load(), Waiting: int(d.waiting[lookup].Load() + d.waiting[login].Load())}
	s.People, s.Enabled, s.Complete, s.Read = d.people.counts()
	for _, server := range d.servers {
		err, since := server.state()
		s.Servers = append(s.Servers, ServerStats{server.url, err, since})
	}
	return s
}

func (d *Directory) enabled() int {
	_, enabled, _, _ := d.people.counts()
	return enabled
}

// Away returns why no server answers, nil if one does.
func (d *Directory) Away() error {
	for _, s := range d.servers {
		if err, _ := s.state(); err == nil {
			return nil
		}
	}
	return d.why(nil)
}
