package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// searches are the numbers of search.
type searches struct {
	took    prometheus.Histogram
	refused prometheus.Counter
}

func newSearches(r *prometheus.Registry) searches {
	s := searches{
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "deskline_search_seconds", Help: "Time to answer a search.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, 1},
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "deskline_searches_refused_total", Help: "Searches of users who had searched too often."}),
	}
	r.MustRegister(s.took, s.refused)
	return s
}

// Searched notes how long a search took.
func (m *Metrics) Searched(took time.Duration) { m.searches.took.Observe(took.Seconds()) }

// SearchRefused counts a search that was refused for the rate of its user.
func (m *Metrics) SearchRefused() { m.searches.refused.Inc() }
