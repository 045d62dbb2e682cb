package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/metrics"
	"domicile/move"
	"domicile/region"
	"domicile/smtpd"
)

// counts are what the parts of a node tell of themselves as it happens; the rest is read when somebody asks.
type counts struct {
	set      *metrics.Set
	crossing func(domicile.EgressClass, error)
	reply    func(front, command string, code int)
	delivery func(error)
	login    func(front, result string)
	check    func(how string)
	queue    func(smtpd.Outcome)
}

func newCounts() *counts {
	s := metrics.New()
	crossing := s.Counter("domicile_crossings_total", "Permits asked for at the border, by class of bytes and what came of it.", "class", "outcome")
	reply := s.Counter("domicile_smtp_replies_total", "Answers to recipients (RCPT) and to messages (DATA), by front and code.", "front", "command", "code")
	delivery := s.Counter("domicile_deliveries_total", "Messages brought to this node's store, by what came of it.", "outcome")
	login := s.Counter("domicile_logins_total", "Logins of mail clients, by front and how they ended.", "front", "result")
	check := s.Counter("domicile_login_checks_total", "Logins checked at this node, by how: cached, hashed (argon2id), app, proved (SCRAM), busy (not at all).", "how")
	queue := s.Counter("domicile_queue_outcomes_total", "What became of recipients of queued messages, and of notices to their senders.", "outcome")
	return &counts{
		set:      s,
		crossing: func(c domicile.EgressClass, err error) { crossing(string(c), outcome(err)) },
		reply:    func(front, command string, code int) { reply(front, strings.ToLower(command), strconv.Itoa(code)) },
		delivery: func(err error) { delivery(outcome(err)) },
		login:    func(front, result string) { login(front, result) },
		check:    func(how string) { check(how) },
		queue:    func(o smtpd.Outcome) { queue(string(o)) },
	}
}

// outcome is "ok", the code of a refusal, or the kind of another error: out of closed lists all.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	if r := domicile.ReasonOf(err); r != "" {
		return string(r)
	}
	return domicile.KindOf(err).String()
}

// measure adds what is read at each scrape. Call it when all parts are built.
func (n *node) measure() {
	s := n.counts.set
	s.Gauge("domicile_ready", "1 if the node serves, as /readyz says, else 0.", func(is metrics.Sample) {
		is(oneIf(len(n.troubles()) == 0))
	})
	s.Gauge("domicile_catalog_version", "Version of the catalog in force.", func(is metrics.Sample) { is(float64(n.catalog.Load().Version)) })
	s.Gauge("domicile_gossip_members", "Nodes that gossip knows, this one included, by whether they are alive.", func(is metrics.Sample) {
		alive, all := 0, n.net.Members()
		for _, m := range all {
			if m.Alive {
				alive++
			}
		}
		is(float64(alive), "alive")
		is(float64(len(all)-alive), "dead")
	}, "state")
	s.Gauge("domicile_connections", "Connections that are open, by front.", func(is metrics.Sample) {
		n.connections(func(front string, c region.Connections) { is(float64(c.Open), front) })
	}, "front")
	s.Total("domicile_connections_total", "Connections, by front, taken or refused past a limit.", func(is metrics.Sample) {
		n.connections(func(front string, c region.Connections) {
			is(float64(c.Taken), front, "taken")
			is(float64(c.Refused), front, "refused")
		})
	}, "front", "result")
	if n.guard != nil {
		n.measureBorder()
	}
	if n.store != nil {
		n.measureStore()
		n.measureQueue()
		n.measureCosigners()
		n.measureMoves()
		n.measureBackup()
	}
}

// measureStore adds how the mail store's log and index fare, and those who read it.
func (n *node) measureStore() {
	s, read := n.counts.set, n.storeStats
	s.Gauge("domicile_heavy_waiting", "IMAP commands that wait for a turn to search, sort, thread, list many messages or take some apart.", func(is metrics.Sample) {
		is(float64(n.reading.Waiting()))
	})
	s.Gauge("domicile_store_segments", "Files of the store's log.", func(is metrics.Sample) { is(float64(read().Segments)) })
	s.Gauge("domicile_store_bytes", "Bytes of the store's log: all, and those of bodies that a message names.", func(is metrics.Sample) {
		st := read()
		is(float64(st.SegmentBytes), "all")
		is(float64(st.LiveBytes), "live")
	}, "kind")
	s.Gauge("domicile_store_incoming", "Messages that are coming in.", func(is metrics.Sample) { is(float64(read().Incoming)) })
	s.Gauge("domicile_store_index_pending", "Keys that are durable in the log and not in the index file yet.", func(is metrics.Sample) { is(float64(read().Pending)) })
	s.Gauge("domicile_store_base_age_seconds", "Since the newest base of the index was written; +Inf if there is none.", func(is metrics.Sample) {
		age := math.Inf(1)
		if base := read().Base; !base.IsZero() {
			age = time.Since(base).Seconds()
		}
		is(age)
	})
	s.Total("domicile_store_damaged_frames_total", "Frames of the log that did not check when they were read.", func(is metrics.Sample) { is(float64(read().Damaged)) })
	s.Total("domicile_store_compacted_bytes_total", "Bytes that compaction moved.", func(is metrics.Sample) { is(float64(read().Moved)) })
	s.Total("domicile_store_flushes_total", "Groups of changes that reached the disk, with one flush each.", func(is metrics.Sample) { is(float64(read().Flushes)) })
	s.Total("domicile_store_acts_total", "Changes in these groups.", func(is metrics.Sample) { is(float64(read().Acts)) })
	s.Gauge("domicile_store_index_remade", "1 if the last start found the index file damaged and made it anew.", func(is metrics.Sample) {
		remade := 0.0
		if read().Remade != nil {
			remade = 1
		}
		is(remade)
	})
	s.Total("domicile_store_index_errors_total", "Commits of the index file that failed.", func(is metrics.Sample) { is(float64(read().ApplyErrors)) })
}

// measureQueue adds how the outbound queue fares.
func (n *node) measureQueue() {
	s := n.counts.set
	s.Gauge("domicile_queue_messages", "Messages in the outbound queue, by whether an operator holds them.", func(is metrics.Sample) {
		q := n.queue.Stats()
		is(float64(q.Waiting), "waiting")
		is(float64(q.Held), "held")
	}, "state")
	s.Gauge("domicile_queue_bytes", "What the outbound queue counts against its limit.", func(is metrics.Sample) { is(float64(n.queue.Stats().Bytes)) })
	s.Gauge("domicile_queue_oldest_seconds", "Since the oldest message in the outbound queue came, 0 if there is none.", func(is metrics.Sample) {
		is(n.queue.Stats().Oldest.Seconds())
	})
}

// measureBorder adds what a node of a region has and a witness has not.
func (n *node) measureBorder() {
	s := n.counts.set
	s.Gauge("domicile_permits_live", "Permits given and not closed, by class and kind: of client_session and stream, the sessions under way.", func(is metrics.Sample) {
		for form, live := range n.guard.Live() {
			is(float64(live), string(form.Class), form.Kind.String())
		}
	}, "class", "kind")
	s.Gauge("domicile_log_leaves", "Leaves of this node's audit log.", func(is metrics.Sample) { is(float64(n.audit.Head().Size)) })
	s.Gauge("domicile_relayed_sessions", "Sessions in tunnels between nodes that are open, by side: handed over by a front of this node, or served by its store.", func(is metrics.Sample) {
		out, served, _ := n.net.Sessions()
		is(float64(out), "front")
		is(float64(served), "home")
	}, "side")
	s.Total("domicile_relayed_sessions_total", "Sessions to be relayed, by side, front, and what came of it.", func(is metrics.Sample) {
		_, _, began := n.net.Sessions()
		for o, count := range began {
			side := "home"
			if o.Out {
				side = "front"
			}
			is(float64(count), side, o.Front, o.Result)
		}
	}, "side", "front", "result")
	orders := &orderSteps{log: n.audit, next: n.audit.Head().Size, steps: map[[2]string]int{}}
	s.Total("domicile_order_steps_total", "Steps of cases since the node started, by state reached and reason code.", orders.read, "step", "code")
}

// measureMoves adds the accounts on their way out of and into this region.
func (n *node) measureMoves() {
	s := n.counts.set
	s.Gauge("domicile_moves", "Moves of accounts out of and into this region, by state of this region's side.", func(is metrics.Sample) {
		// An error of the store shows in others of these numbers; here it leaves the series out.
		if counts, err := n.moves.Counts(); err == nil {
			for _, state := range move.States {
				is(float64(counts[state]), string(state))
			}
		}
	}, "state")
	s.Total("domicile_moved_bytes_total", "Bytes of bodies that other regions took of accounts that moved, since the node started.", func(is metrics.Sample) {
		is(float64(n.moves.Moved()))
	})
}

// measureCosigners adds how far each cosigner is behind the log.
func (n *node) measureCosigners() {
	s := n.counts.set
	s.Gauge("domicile_log_cosigned_leaves", "Leaves that each cosigner has cosigned since the node started.", func(is metrics.Sample) {
		for who, c := range n.net.Cosigned() {
			is(float64(c.Size), string(who))
		}
	}, "cosigner")
	s.Gauge("domicile_log_cosigned_age_seconds", "Time since each cosigner's last cosignature; +Inf if there was none since the node started.", func(is metrics.Sample) {
		for who, c := range n.net.Cosigned() {
			age := math.Inf(1)
			if !c.When.IsZero() {
				age = time.Since(c.When).Seconds()
			}
			is(age, string(who))
		}
	}, "cosigner")
	s.Gauge("domicile_clock_ahead_seconds", "How far this node's clock is ahead of each cosigner's, by its cosignatures of the last hour; NaN if there was none.", func(is metrics.Sample) {
		ahead := n.net.ClockAhead()
		for who := range n.net.Cosigned() {
			by, ok := ahead[who]
			if !ok {
				is(math.NaN(), string(who))
				continue
			}
			is(by.Seconds(), string(who))
		}
	}, "cosigner")
}

// connections tells what each front has, by its name.
func (n *node) connections(is func(front string, c region.Connections)) {
	at := n.at.Load()
	if at == nil {
		return
	}
	all := n.net.Connections()
	for front, addr := range map[string]string{"smtp": at.SMTP, "lmtp": at.LMTP, "submission": at.Submission, "submissions": at.Submissions, "imap": at.IMAP, "imaps": at.IMAPS, "admin": at.Admin, "http": at.HTTP} {
		if c, ok := all[addr]; ok {
			is(front, c)
		}
	}
}

// orderSteps counts the steps of cases by their leaves, so that what is counted is what was recorded.
type orderSteps struct {
	log *audit.Log

	mu    sync.Mutex
	next  uint64            // guarded by mu: the first leaf not read yet
	steps map[[2]string]int // guarded by mu
}

// maxLeaves bounds what one scrape reads of the log; the next one goes on.
const maxLeaves = 4096

var errEnough = errors.New("enough for one scrape")

func (o *orderSteps) read(is metrics.Sample) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last := o.next + maxLeaves
	// An error ends the reading; the next scrape begins where it ended.
	_ = o.log.Leaves(o.next, func(index uint64, raw []byte) error {
		if index >= last {
			return errEnough
		}
		o.next = index + 1
		_, e, err := audit.DecodeLeaf(raw)
		if step, ok := strings.CutPrefix(e.Kind, "order."); ok && err == nil {
			code := string(e.Reason)
			if code == "" {
				code = "none"
			}
			o.steps[[2]string{step, code}]++
		}
		return nil
	})
	for s, count := range o.steps {
		is(float64(count), s[0], s[1])
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
