package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Directory notes what is asked of the directory. It is called once.
func (m *Metrics) Directory() *DirectoryMetrics {
	d := &DirectoryMetrics{
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "deskline_ldap_seconds", Help: "Time of the directory's operations: connect, search, bind, page (of people).",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}, []string{"operation"}),
		errors: counters("deskline_ldap_errors_total", "The directory's operations that got no answer.", "operation"),
	}
	m.registry.MustRegister(d.took, d.errors)
	return d
}

// DirectoryMetrics counts the operations of a directory.
type DirectoryMetrics struct {
	took   *prometheus.HistogramVec
	errors *prometheus.CounterVec
}

// Operation notes one of a fixed set of operations.
func (d *DirectoryMetrics) Operation(name string, took time.Duration, err error) {
	d.took.WithLabelValues(name).Observe(took.Seconds())
	if err != nil {
		d.errors.WithLabelValues(name).Inc()
	}
}
