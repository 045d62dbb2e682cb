package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// meter tells on the standard error how far work is: a bar on a terminal, else a line now and then, as JSON with --output json.
type meter struct {
	*app
	what  string
	begin time.Time
	last  time.Time
	every time.Duration
	drawn bool
}

// meterProgress is a line of it, as JSON.
type meterProgress struct {
	Progress string `json:"progress"`
	Done     int64  `json:"bytes"`
	Total    int64  `json:"bytes_total"`
	Left     int64  `json:"seconds_left,omitempty"`
}

func (a *app) meter(what string) *meter {
	m := &meter{app: a, what: what, begin: a.now(), every: 5 * time.Second}
	if m.bar() {
		m.every = 200 * time.Millisecond
	}
	m.last = m.begin
	return m
}

func (m *meter) bar() bool { return m.output != "json" && m.terminal() }

// at tells that so many bytes are done, unless it told just now. A total of 0 is not known.
func (m *meter) at(done, total int64) {
	now := m.now()
	if now.Sub(m.last) < m.every {
		return
	}
	m.last, m.drawn = now, true
	p := meterProgress{Progress: m.what, Done: done, Total: total}
	line := m.what + ": " + people(done)
	if total > 0 {
		line += " of " + people(total)
	}
	if took := now.Sub(m.begin).Seconds(); done > 0 && total > done && took > 0 {
		p.Left = int64(float64(total-done) * took / float64(done))
		line += ", " + (time.Duration(p.Left) * time.Second).String() + " left"
	}
	switch {
	case m.output == "json":
		json.NewEncoder(m.errOut).Encode(p)
	case m.bar():
		const width = 30
		filled := 0
		if total > 0 {
			filled = int(min(width*done/total, width))
		}
		fmt.Fprintf(m.errOut, "\r\x1b[K[%s%s] %s", strings.Repeat("#", filled), strings.Repeat(".", width-filled), line)
	default:
		m.note("%s", line)
	}
}

// end takes the bar away.
func (m *meter) end() {
	if m.drawn && m.bar() {
		fmt.Fprint(m.errOut, "\r\x1b[K")
	}
}

// metered tells of bytes as they pass, of a total that may be 0.
type metered struct {
	m           *meter
	done, total int64
}

func (p *metered) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	p.m.at(p.done, p.total)
	return len(b), nil
}

// folderSize is about what the files of a folder have, in bytes; what cannot be looked at is left out.
func folderSize(dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
