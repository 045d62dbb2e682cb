package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/importer"
)

// importReport is what account import prints, as JSON.
type importReport struct {
	Address   string          `json:"address"`
	Source    string          `json:"source"`
	DryRun    bool            `json:"dry_run,omitempty"`
	Messages  int             `json:"messages"` // at the source, in the scope of the flags
	Bytes     int64           `json:"bytes"`
	Present   int             `json:"present"` // of an earlier run
	Imported  int             `json:"imported"`
	Skipped   map[string]int  `json:"skipped"` // by reason
	Mailboxes []boxReport     `json:"mailboxes"`
	Problems  []importProblem `json:"problems"` // the first thousand
	Notes     []string        `json:"notes"`
	Leaf      *uint64         `json:"leaf,omitempty"` // of the end
	Error     string          `json:"error,omitempty"`
	Code      string          `json:"code,omitempty"`
}

type boxReport struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Messages int    `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Present  int    `json:"present"`
	Imported int    `json:"imported"`
	Skipped  int    `json:"skipped"`
}

// importProblem is a message, or a whole mailbox, that was not brought in.
type importProblem struct {
	Mailbox string `json:"mailbox"`
	Message string `json:"message,omitempty"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

const maxProblems = 1000

// skip counts a message that is not brought in, and says why.
func (j *importJob) skip(box *importBox, item importer.Item, why error) {
	p := importProblem{Mailbox: box.Name, Message: item.Name(), Code: importer.Unreadable, Detail: why.Error()}
	if problem, ok := errors.AsType[*importer.Problem](why); ok {
		p.Code = problem.Code
	}
	box.skipped++
	j.skipped[p.Code]++
	j.doneBytes += item.Size
	if whole := why == box.Err || why == box.bad; whole && box.skipped > 1 {
		return // it was told of all of the mailbox
	} else if whole {
		p.Message = ""
	}
	if len(j.problems) < maxProblems {
		j.problems = append(j.problems, p)
	}
}

// checkQuota says before anything is sent that not all will fit, and counts mailboxes that cannot be read at all.
func (j *importJob) checkQuota() {
	for _, b := range j.boxes {
		if b.Err != nil && b.messages == 0 {
			j.skipped["mailbox"]++
			p := importProblem{Mailbox: b.Name, Code: importer.Unreadable, Detail: b.Err.Error()}
			j.problems = append(j.problems, p)
		}
	}
	quota, held := j.imp.Account.Quota, int64(0)
	if j.imp.Account.Bytes != nil {
		held = *j.imp.Account.Bytes
	}
	if more := j.bytes - j.doneBytes; quota > 0 && held+more > quota {
		j.notes = append(j.notes, fmt.Sprintf("the quota is %s, of which %s are used: %s more will not fit", people(quota), people(held), people(more)))
	}
}

// show prints the summary, and says how it went.
func (j *importJob) show(err error) error {
	r := importReport{Address: j.words.address, Source: j.src.Name(), DryRun: j.words.dryRun, Messages: j.messages, Bytes: j.bytes, Present: j.present,
		Imported: j.imported, Skipped: j.skipped, Mailboxes: []boxReport{}, Problems: append([]importProblem{}, j.problems...), Notes: append([]string{}, j.notes...)}
	for _, b := range j.boxes {
		r.Mailboxes = append(r.Mailboxes, boxReport{b.Name, b.to, b.messages, b.bytes, b.present, b.imported, b.skipped})
	}
	if j.ended != nil {
		r.Leaf = &j.ended.Leaf
	}
	if err != nil {
		r.Error, r.Code = err.Error(), codeOf(err)
	}
	if shown := j.app.show(r, r.text); shown != nil {
		return shown
	}
	switch {
	case err != nil && domicile.KindOf(err) == domicile.Unavailable:
		return exitError(exitUnavailable)
	case err != nil || len(j.skipped) > 0:
		return exitError(exitFailed)
	}
	return nil
}

func (r importReport) text(t *table) {
	t.row("FROM", "TO", "MESSAGES", "BYTES", "THERE", "BROUGHT IN", "SKIPPED")
	for _, b := range r.Mailboxes {
		t.row(b.From, b.To, b.Messages, b.Bytes, b.Present, b.Imported, b.Skipped)
	}
	t.row()
	t.field("messages", fmt.Sprintf("%d, of %s", r.Messages, people(r.Bytes)))
	t.field("there before", r.Present)
	if r.DryRun {
		t.field("to bring in", r.Messages-r.Present)
	} else {
		t.field("brought in", r.Imported)
	}
	for _, code := range slices.Sorted(maps.Keys(r.Skipped)) {
		t.field("skipped", fmt.Sprintf("%d %s", r.Skipped[code], code))
	}
	for _, p := range r.Problems {
		t.field("skipped", strings.TrimSpace(p.Mailbox+" "+p.Message)+": "+p.Detail)
	}
	for _, n := range r.Notes {
		t.field("note", n)
	}
	if r.Leaf != nil {
		t.field("leaf", *r.Leaf)
	}
	t.field("stopped", r.Error)
}

// people writes a number of bytes for people.
func people(n int64) string {
	value, unit := float64(n), "bytes"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, u
	}
	if unit == "bytes" {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// progress tells how far an import is, on the standard error.
type progress struct {
	j     *importJob
	begin time.Time
	from  int64 // bytes that were there at the beginning
	last  time.Time
	every time.Duration
}

func newProgress(j *importJob) *progress {
	p := &progress{j: j, begin: j.now(), from: j.doneBytes, every: 5 * time.Second}
	if j.output != "json" && j.terminal() {
		p.every = 200 * time.Millisecond
	}
	return p
}

// tell shows where the import stands, unless it did just now.
func (p *progress) tell() {
	if now := p.j.now(); now.Sub(p.last) >= p.every {
		p.last = now
		p.write(now)
	}
}

func (p *progress) finish() {
	p.write(p.j.now())
	if p.j.output != "json" && p.j.terminal() {
		fmt.Fprintln(p.j.errOut)
	}
}

// importProgress is a line of progress, as JSON.
type importProgress struct {
	Messages      int   `json:"messages"`
	MessagesTotal int   `json:"messages_total"`
	Bytes         int64 `json:"bytes"`
	BytesTotal    int64 `json:"bytes_total"`
	Rate          int64 `json:"bytes_per_second"`
	Left          int64 `json:"seconds_left"`
}

func (p *progress) write(now time.Time) {
	j := p.j
	v := importProgress{Messages: j.present + j.imported, MessagesTotal: j.messages, Bytes: j.doneBytes, BytesTotal: j.bytes}
	for _, n := range j.skipped {
		v.Messages += n
	}
	if took := now.Sub(p.begin).Seconds(); took > 0 {
		v.Rate = int64(float64(v.Bytes-p.from) / took)
	}
	rest := "?"
	if v.Rate > 0 {
		v.Left = (v.BytesTotal - v.Bytes) / v.Rate
		rest = (time.Duration(v.Left) * time.Second).String()
	}
	line := fmt.Sprintf("%d of %d messages, %s of %s, %s/s, %s left", v.Messages, v.MessagesTotal, people(v.Bytes), people(v.BytesTotal), people(v.Rate), rest)
	switch {
	case j.output == "json":
		json.NewEncoder(j.errOut).Encode(v)
	case j.terminal():
		const width = 30
		filled := width
		if v.BytesTotal > 0 {
			filled = int(min(width*v.Bytes/v.BytesTotal, width))
		}
		fmt.Fprintf(j.errOut, "\r\x1b[K[%s%s] %s", strings.Repeat("#", filled), strings.Repeat(".", width-filled), line)
	default:
		j.note("%s", line)
	}
}
