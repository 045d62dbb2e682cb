// Package metrics counts how a node fares, for Prometheus, in a registry of its own: nothing that a library registers with
// the global one is served. It alone knows the Prometheus library; the other packages call small functions that
// cmd/mailnode hands them.
//
//	m := metrics.New()
//	logins := m.Counter("domicile_logins_total", "Logins, by front and how they ended.", "front", "result")
//	logins("imap", "wrong")
//	m.Gauge("domicile_log_size", "Leaves of the log.", func(is metrics.Sample) { is(float64(log.Head().Size)) })
//	http.Handle("/metrics", m.Handler())
//
// # What it promises
//
// No label can hold a person: a value is 1 to 40 characters of a-z, 0-9, "_", "-" and "/", and anything else becomes "other".
// One metric has at most 256 series; what comes after is counted under "other" in every label. So whatever a caller, or a
// stranger through a caller, makes of a label, a scrape names no address and stays small.
//
// Everything is safe for concurrent use. Names are fixed when the program starts: a name or label that Prometheus does not
// take, or that is there already, panics.
package metrics
