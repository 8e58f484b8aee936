package admin

import (
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/deskline/deskline/xmpp/stanza"
)

// other stands for label values that are too many or a client's invention.
const other = "other"

// maxReasons bounds the label values of reasons and the like.
const maxReasons = 50

// Metrics holds the numbers of a node. Its methods are safe for concurrent use;
// those for stanzas and latencies cost an atomic addition or a few.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	received, sent [stanza.KindIQ + 1]prometheus.Counter
	delivery       prometheus.Histogram
	logins         *prometheus.CounterVec
	ended          *prometheus.CounterVec
	store          *prometheus.HistogramVec
	storeErrors    *prometheus.CounterVec
	failovers      *prometheus.CounterVec
	tokens         *prometheus.CounterVec
	searches       searches

	reasons, results labels
}

// NewMetrics returns the metrics of a node of this version.
func NewMetrics(version string, log *slog.Logger) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), log: log,
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "deskline_delivery_seconds", Help: "Time from a message's arrival to its leaving for the client, the oldest of each response.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}),
		logins: counters("deskline_logins_total", "Logins by mechanism and result.", "mechanism", "result"),
		ended:  counters("deskline_sessions_ended_total", "Sessions ended, by transport and reason.", "transport", "reason"),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "deskline_store_seconds", Help: "Time of the store's reads, and of its commits, each of many writes.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"operation"}),
		storeErrors: counters("deskline_store_errors_total", "The store's operations in which the disk or the file failed.", "operation"),
		tokens:      counters("deskline_tokens_refused_total", "Tokens that were refused at login, by reason.", "reason"),
		failovers:   counters("deskline_failovers_total", "Takeovers of users by a node of the pair, seen to begin by this node, by reason.", "reason"),
	}
	stanzas := counters("deskline_stanzas_total", "Stanzas by kind and direction: in from clients, out to clients.", "kind", "direction")
	for kind := stanza.KindMessage; kind <= stanza.KindIQ; kind++ {
		m.received[kind] = stanzas.WithLabelValues(kind.String(), "in")
		m.sent[kind] = stanzas.WithLabelValues(kind.String(), "out")
	}
	// What is none of the three is not counted.
	m.received[0] = prometheus.NewCounter(prometheus.CounterOpts{Name: "deskline_unused"})
	m.sent[0] = m.received[0]
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "deskline_build_info", Help: "The version that runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.delivery, m.logins, m.ended, m.store, m.storeErrors, m.failovers, m.tokens, stanzas, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.searches = newSearches(m.registry)
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, ErrorLog: promLog{m.log}})
}

type promLog struct{ log *slog.Logger }

func (l promLog) Println(v ...any) { l.log.Warn("metrics", "detail", v) }

// Received counts a stanza from a client.
func (m *Metrics) Received(kind stanza.Kind) { m.received[kindIndex(kind)].Inc() }

// Sent counts a stanza for a client.
func (m *Metrics) Sent(kind stanza.Kind) { m.sent[kindIndex(kind)].Inc() }

func kindIndex(kind stanza.Kind) stanza.Kind {
	if kind > stanza.KindIQ {
		return 0
	}
	return kind
}

// Delivered notes how long a message took from arrival to leaving for a client.
func (m *Metrics) Delivered(d time.Duration) { m.delivery.Observe(d.Seconds()) }

// mechanisms are those a client may name and get a label of their own.
var mechanisms = map[string]string{
	"PLAIN": "PLAIN", "EXTERNAL": "EXTERNAL", "ANONYMOUS": "ANONYMOUS", "OAUTHBEARER": "OAUTHBEARER",
	"SCRAM-SHA-1": "SCRAM-SHA-1", "SCRAM-SHA-256": "SCRAM-SHA-256", "SCRAM-SHA-512": "SCRAM-SHA-512",
	"SCRAM-SHA-1-PLUS": "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS": "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS": "SCRAM-SHA-512-PLUS",
}

// Login counts a login; result is "success" or the condition of its failure.
func (m *Metrics) Login(mechanism, result string) {
	known, ok := mechanisms[mechanism]
	if !ok {
		known = other
	}
	m.logins.WithLabelValues(known, m.results.bound(result)).Inc()
}

// TokenRefused counts a token that was refused.
func (m *Metrics) TokenRefused(reason string) { m.tokens.WithLabelValues(reason).Inc() }

// Ended counts the end of a session.
func (m *Metrics) Ended(transport, reason string) {
	m.ended.WithLabelValues(transport, m.reasons.bound(reason)).Inc()
}

// Failover counts a node that begins to take over the users of its peer.
func (m *Metrics) Failover(reason string) { m.failovers.WithLabelValues(reason).Inc() }

// Store returns what notes operations of one kind, how long they took and
// whether the store failed.
func (m *Metrics) Store(operation string) func(d time.Duration, err error) {
	took, wrong := m.store.WithLabelValues(operation), m.storeErrors.WithLabelValues(operation)
	return func(d time.Duration, err error) {
		took.Observe(d.Seconds())
		if err != nil {
			wrong.Inc()
		}
	}
}

// labels lets a bounded number of values pass, so that no mistake and no
// client can make metrics without end.
type labels struct {
	mu   sync.Mutex // guards seen
	seen map[string]struct{}
}

func (l *labels) bound(value string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.seen[value]; ok {
		return value
	}
	if len(l.seen) >= maxReasons {
		return other
	}
	if l.seen == nil {
		l.seen = map[string]struct{}{}
	}
	l.seen[value] = struct{}{}
	return value
}
