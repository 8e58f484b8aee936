package admin

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sources are the numbers that other packages keep anyway; they are asked for
// when the metrics are read. Absent ones are left out.
type Sources struct {
	Sessions          map[string]func() int             // by transport
	Held              func() int                        // requests that are held
	Queued            func() (stanzas int, bytes int64) // waiting for all clients together
	Connections       func() int                        // open on the public listener
	Refused           func() uint64                     // connections closed for want of room
	CertificateExpiry func() time.Time                  // of the certificate in service
	Gauges            map[string]func() float64         // further ones, by full name
	GaugeHelp         map[string]string                 // for Gauges
	Counters          []Counter                         // further ones that only rise
	Labelled          []Labelled                        // further ones with labels
}

// Counter is a number that only rises.
type Counter struct {
	Name, Help string
	Read       func() uint64
}

// Labelled is a gauge, or a number that only rises, that has a value for each of some labels.
type Labelled struct {
	Name, Help string
	Labels     []string
	Rises      bool
	Read       func(emit func(value float64, labels ...string))
}

// Watch adds sources. It is called once, before the first reading.
func (m *Metrics) Watch(s Sources) error {
	if err := m.registry.Register(newWatcher(s)); err != nil {
		return fmt.Errorf("watch metrics: %w", err)
	}
	return nil
}

// watcher is a prometheus.Collector over Sources.
type watcher struct {
	s      Sources
	gauges map[string]*prometheus.Desc
	labels []*prometheus.Desc // of s.Labelled
	counts []*prometheus.Desc // of s.Counters
}

var (
	descSessions    = prometheus.NewDesc("deskline_sessions", "Sessions by transport.", []string{"transport"}, nil)
	descHeld        = prometheus.NewDesc("deskline_requests_held", "Requests held until there is something to answer.", nil, nil)
	descQueued      = prometheus.NewDesc("deskline_queue_stanzas", "Stanzas waiting for their clients.", nil, nil)
	descQueuedBytes = prometheus.NewDesc("deskline_queue_bytes", "Size of the stanzas waiting for their clients.", nil, nil)
	descConnections = prometheus.NewDesc("deskline_connections", "Connections open on the public listener.", nil, nil)
	descRefused     = prometheus.NewDesc("deskline_connections_refused_total", "Connections closed for want of room.", nil, nil)
	descCertificate = prometheus.NewDesc("deskline_certificate_expiry_timestamp_seconds", "When the certificate in service expires.", nil, nil)
)

func newWatcher(s Sources) *watcher {
	w := &watcher{s: s, gauges: map[string]*prometheus.Desc{}}
	for name := range s.Gauges {
		w.gauges[name] = prometheus.NewDesc(name, s.GaugeHelp[name], nil, nil)
	}
	for _, c := range s.Counters {
		w.counts = append(w.counts, prometheus.NewDesc(c.Name, c.Help, nil, nil))
	}
	for _, l := range s.Labelled {
		w.labels = append(w.labels, prometheus.NewDesc(l.Name, l.Help, l.Labels, nil))
	}
	return w
}

// Describe implements prometheus.Collector.
func (w *watcher) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSessions, descHeld, descQueued, descQueuedBytes, descConnections, descRefused, descCertificate} {
		ch <- d
	}
	for _, d := range w.gauges {
		ch <- d
	}
	for _, d := range w.labels {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w *watcher) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for transport, count := range w.s.Sessions {
		gauge(descSessions, float64(count()), transport)
	}
	if w.s.Held != nil {
		gauge(descHeld, float64(w.s.Held()))
	}
	if w.s.Queued != nil {
		stanzas, bytes := w.s.Queued()
		gauge(descQueued, float64(stanzas))
		gauge(descQueuedBytes, float64(bytes))
	}
	if w.s.Connections != nil {
		gauge(descConnections, float64(w.s.Connections()))
	}
	if w.s.Refused != nil {
		ch <- prometheus.MustNewConstMetric(descRefused, prometheus.CounterValue, float64(w.s.Refused()))
	}
	if w.s.CertificateExpiry != nil {
		gauge(descCertificate, float64(w.s.CertificateExpiry().Unix()))
	}
	for name, d := range w.gauges {
		gauge(d, w.s.Gauges[name]())
	}
	for i, c := range w.s.Counters {
		ch <- prometheus.MustNewConstMetric(w.counts[i], prometheus.CounterValue, float64(c.Read()))
	}
	for i, l := range w.s.Labelled {
		kind := prometheus.GaugeValue
		if l.Rises {
			kind = prometheus.CounterValue
		}
		l.Read(func(value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(w.labels[i], kind, value, labels...)
		})
	}
}
