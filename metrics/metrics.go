package metrics

import (
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of what a scrape shows.
const (
	maxSeries = 256 // of one metric
	maxLabel  = 40  // bytes of a label's value
	other     = "other"
)

// Set is the metrics of one node.
type Set struct{ registry *prometheus.Registry }

// New returns a set with the metrics of the Go runtime and of the process.
func New() *Set {
	s := &Set{prometheus.NewRegistry()}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Counter adds a metric that only grows. The function that it returns adds one, under the values of labels, in their order.
func (s *Set) Counter(name, help string, labels ...string) func(values ...string) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	s.registry.MustRegister(vec)
	bound := newSeries(len(labels))
	return func(values ...string) { vec.WithLabelValues(bound.clean(values)...).Inc() }
}

// Sample tells one number, under the values of the metric's labels.
type Sample func(number float64, values ...string)

// Gauge adds a metric that is read at each scrape: read tells its samples, each set of labels once. It must be quick.
func (s *Set) Gauge(name, help string, read func(Sample), labels ...string) {
	s.registry.MustRegister(newReader(name, help, prometheus.GaugeValue, read, labels))
}

// Total is a Gauge of what only grows.
func (s *Set) Total(name, help string, read func(Sample), labels ...string) {
	s.registry.MustRegister(newReader(name, help, prometheus.CounterValue, read, labels))
}

// Handler answers scrapes, two at a time.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2})
}

// reader is a metric that is read at each scrape.
type reader struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(Sample)
	n    int // labels
}

func newReader(name, help string, kind prometheus.ValueType, read func(Sample), labels []string) *reader {
	return &reader{prometheus.NewDesc(name, help, labels, nil), kind, read, len(labels)}
}

func (r *reader) Describe(to chan<- *prometheus.Desc) { to <- r.desc }

// Collect reads the metric. Samples that clean makes equal are added up: Prometheus takes each set of labels once.
func (r *reader) Collect(to chan<- prometheus.Metric) {
	bound := newSeries(r.n)
	sums, labels := map[string]float64{}, map[string][]string{}
	r.read(func(number float64, values ...string) {
		values = bound.clean(values)
		key := strings.Join(values, "\n")
		sums[key], labels[key] = sums[key]+number, values
	})
	for key, sum := range sums {
		to <- prometheus.MustNewConstMetric(r.desc, r.kind, sum, labels[key]...)
	}
}

// series keeps the labels of one metric to words, and their number bounded.
type series struct {
	labels int
	mu     sync.Mutex
	seen   map[string]bool // guarded by mu
}

func newSeries(labels int) *series { return &series{labels: labels, seen: map[string]bool{}} }

// clean returns the values as they may be shown.
func (s *series) clean(values []string) []string {
	if len(values) != s.labels {
		panic("metrics: a value is needed for each label")
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = word(v)
	}
	key := strings.Join(out, "\n")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seen[key] {
		if len(s.seen) >= maxSeries-1 { // the last one is "other"
			for i := range out {
				out[i] = other
			}
			return out
		}
		s.seen[key] = true
	}
	return out
}

// word returns v if it is one that can name no person.
func word(v string) string {
	if v == "" || len(v) > maxLabel {
		return other
	}
	for i := 0; i < len(v); i++ {
		c := v[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '/' {
			return other
		}
	}
	return v
}
