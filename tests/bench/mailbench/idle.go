package main

import (
	"bytes"
	"fmt"
	"sync"
	"time"
)

// runIdle opens cfg.idles connections in IDLE, spread over cfg.users
// accounts, then delivers cfg.n messages one after another and measures, for
// every idle connection on the mailbox, the time to its EXISTS: from the start
// of the delivery and from its OK (negative when the notice came first).
func runIdle() (*result, error) {
	cfg.buffer = 4 << 10 // of each connection
	var before, after memory
	if cfg.pid != 0 {
		before = readMemory(cfg.pid, cfg.children)
	}
	type notice struct {
		conn int
		at   time.Time
	}
	notices := make(chan notice, 1<<16)
	perUser := make([]int, cfg.users)
	conns := make([]*imapConn, cfg.idles)
	var mu sync.Mutex
	var firstErr error
	var wg sync.WaitGroup
	sem := make(chan bool, 8)
	tOpen := time.Now()
	for k := range cfg.idles {
		perUser[k%cfg.users]++
		wg.Add(1)
		sem <- true
		go func() {
			defer func() { <-sem; wg.Done() }()
			c, err := imapSelected(pat(cfg.user, k%cfg.users))
			if err == nil && cfg.traffic {
				err = c.traffic()
			}
			if err == nil {
				if _, err = c.send("IDLE"); err == nil {
					for err = c.readResp(); err == nil && c.line[0] != '+'; err = c.readResp() {
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && firstErr == nil {
				firstErr = fmt.Errorf("connection %d: %w", k, err)
			}
			conns[k] = c
		}()
	}
	wg.Wait()
	openSecs := time.Since(tOpen).Seconds()
	if firstErr != nil {
		return nil, firstErr
	}
	time.Sleep(cfg.settle)
	if cfg.pid != 0 {
		after = readMemory(cfg.pid, cfg.children)
	}
	for k, c := range conns {
		go func() {
			for c.readResp() == nil {
				if bytes.HasSuffix(c.line, []byte(" EXISTS")) {
					notices <- notice{k, time.Now()}
				}
			}
		}()
	}

	// One delivery connection per account, or one for all with SMTP/LMTP.
	senders := map[int]*imapConn{}
	var smtp *smtpConn
	var err error
	if cfg.via != "append" {
		if smtp, err = smtpDial(cfg.viaAddr, cfg.via); err != nil {
			return nil, err
		}
		defer smtp.close()
	}
	var fromStart, fromOK []time.Duration
	lost := 0
	t0 := time.Now()
	for i := range cfg.n {
		u := i % cfg.users
		if perUser[u] == 0 {
			continue
		}
		if smtp == nil && senders[u] == nil {
			if senders[u], err = imapDial(pat(cfg.user, u)); err != nil {
				return nil, err
			}
			defer senders[u].close()
		}
		start := time.Now()
		if smtp != nil {
			_, err = smtp.deliver(pat(cfg.rcpt, u))
		} else {
			_, err = senders[u].append(pat(cfg.rcpt, u))
		}
		if err != nil {
			return nil, err
		}
		ok := time.Now()
		limit := time.After(35 * time.Second)
		for got := 0; got < perUser[u]; got++ {
			select {
			case nt := <-notices:
				if nt.conn%cfg.users != u {
					got--
					continue
				}
				fromStart = append(fromStart, nt.at.Sub(start))
				fromOK = append(fromOK, nt.at.Sub(ok))
			case <-limit:
				lost += perUser[u] - got
				got = perUser[u]
			}
		}
		time.Sleep(cfg.pause)
	}
	el := time.Since(t0).Seconds()
	for _, c := range conns {
		c.close()
	}
	r := &result{Conns: cfg.idles, Users: cfg.users, Ops: len(fromStart), Errors: lost, Seconds: el}
	r.PerSec = float64(len(fromStart)) / el
	r.Latency = summarize(fromStart)
	r.Extra = map[string]any{"latency_from_ok_ms": summarize(fromOK), "open_seconds": openSecs}
	if cfg.pid != 0 {
		r.Extra["memory_before"], r.Extra["memory_after"] = before, after
		r.Extra["rss_kib_per_conn"] = float64(after.RSS-before.RSS) / float64(cfg.idles)
		r.Extra["pss_kib_per_conn"] = float64(after.PSS-before.PSS) / float64(cfg.idles)
	}
	return r, nil
}

// traffic does what a mail program does before it idles.
func (c *imapConn) traffic() error {
	for _, command := range []string{"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", "UID SEARCH UNSEEN", "STATUS INBOX (MESSAGES UNSEEN)", "FETCH * (BODY.PEEK[])", `LIST "" *`} {
		if err := c.cmd(command, nil); err != nil {
			return err
		}
	}
	return nil
}
