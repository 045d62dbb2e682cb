package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

func runAppend() (*result, error) {
	return load(func(w, i int) (*imapConn, error) {
		c, err := imapDial(pat(cfg.user, w%cfg.users))
		if err == nil && c.caps == "" {
			err = c.cmd("CAPABILITY", func() { c.caps += string(c.line) })
		}
		return c, err
	}, func(c *imapConn, i int) (int64, error) {
		return c.append(pat(cfg.rcpt, i%cfg.users))
	}, false)
}

// runFetch fetches the whole mailbox once per operation.
func runFetch(cmd string) (*result, error) {
	var msgs, lits, wire int64
	var mu sync.Mutex
	r, err := load(func(w, i int) (*imapConn, error) {
		return imapSelected(pat(cfg.user, w%cfg.users))
	}, func(c *imapConn, i int) (int64, error) {
		var m, l, t int64
		err := c.cmd(cmd, func() {
			if bytes.Contains(c.line, []byte(" FETCH (")) {
				m++
			}
			l += c.lits
			t += c.lits + int64(len(c.line)) + 2
		})
		if err == nil && m != int64(c.exists) {
			err = fmt.Errorf("fetch: %d responses for %d messages", m, c.exists)
		}
		mu.Lock()
		msgs, lits, wire = msgs+m, lits+l, wire+t
		mu.Unlock()
		return t, err
	}, cfg.fresh)
	if err != nil {
		return nil, err
	}
	r.Extra = map[string]any{"messages_per_sec": float64(msgs) / r.Seconds, "literal_mb_per_sec": float64(lits) / 1e6 / r.Seconds, "messages": msgs, "wire_bytes": wire}
	return r, nil
}

func runFetchHeaders() (*result, error) {
	items := "(UID FLAGS ENVELOPE RFC822.SIZE)"
	if cfg.fetch != "" {
		items = cfg.fetch
	}
	return runFetch("FETCH 1:* " + items)
}

func runFetchBodies() (*result, error) {
	items := "(BODY.PEEK[])"
	if cfg.fetch != "" {
		items = cfg.fetch
	}
	return runFetch("UID FETCH 1:* " + items)
}

// search runs a UID SEARCH and returns the UIDs found.
func (c *imapConn) search(q string) ([]uint32, error) {
	var uids []uint32
	err := c.cmd("UID SEARCH "+q, func() {
		if rest, ok := bytes.CutPrefix(c.line, []byte("* SEARCH")); ok {
			for _, f := range bytes.Fields(rest) {
				u, _ := strconv.ParseUint(string(f), 10, 32)
				uids = append(uids, uint32(u))
			}
		}
	})
	return uids, err
}

func runSearch() (*result, error) {
	arg := cfg.query
	switch cfg.key {
	case "text", "body":
		if arg == "" {
			arg = rareWord
		}
		arg = strings.ToUpper(cfg.key) + " " + quote(arg)
	case "subject":
		if arg == "" {
			arg = subjWord
		}
		arg = "SUBJECT " + quote(arg)
	case "from":
		if arg == "" {
			arg = cfg.from
		}
		arg = "FROM " + quote(arg)
	case "since":
		if arg == "" {
			arg = time.Now().Add(-48 * time.Hour).Format("2-Jan-2006")
		}
		arg = "SINCE " + arg
	case "none":
	default:
		return nil, fmt.Errorf("unknown -key %q", cfg.key)
	}
	var mu sync.Mutex
	var first time.Duration
	hits := -1
	r, err := load(func(w, i int) (*imapConn, error) {
		return imapSelected(pat(cfg.user, w%cfg.users))
	}, func(c *imapConn, i int) (int64, error) {
		t := time.Now()
		uids, err := c.search(arg)
		mu.Lock()
		if i == 0 {
			first = time.Since(t)
		}
		if hits >= 0 && hits != len(uids) {
			report(1, fmt.Errorf("hits differ: %d, %d", hits, len(uids)))
		}
		hits = len(uids)
		mu.Unlock()
		return 0, err
	}, cfg.fresh)
	if err != nil {
		return nil, err
	}
	r.Extra = map[string]any{"search": arg, "hits": hits, "first_ms": float64(first.Microseconds()) / 1000}
	return r, nil
}

func runStoreFlags() (*result, error) {
	flags := []string{`\Seen`, `\Flagged`, `\Answered`, `$Label1`}
	return load(func(w, i int) (*imapConn, error) {
		c, err := imapSelected(pat(cfg.user, w%cfg.users))
		if err != nil {
			return nil, err
		}
		if c.uids, err = c.search("ALL"); err == nil && len(c.uids) == 0 {
			err = errors.New("empty mailbox")
		}
		return c, err
	}, func(c *imapConn, i int) (int64, error) {
		sign := "+"
		if c.rnd.IntN(2) == 0 {
			sign = "-"
		}
		uid := c.uids[c.rnd.IntN(len(c.uids))]
		return 0, c.cmd(fmt.Sprintf("UID STORE %d %sFLAGS.SILENT (%s)", uid, sign, flags[c.rnd.IntN(len(flags))]), nil)
	}, false)
}

func runLogin() (*result, error) {
	return load(func(w, i int) (*imapConn, error) {
		if cfg.noSelect {
			return imapDial(pat(cfg.user, i%cfg.users))
		}
		return imapSelected(pat(cfg.user, i%cfg.users))
	}, func(c *imapConn, i int) (int64, error) {
		return 0, c.cmd("LOGOUT", nil)
	}, true)
}
