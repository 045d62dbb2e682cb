package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domicile/admin"
	"domicile/importer"
	"domicile/store"
)

// importBox is a mailbox of the source, and where it goes.
type importBox struct {
	importer.Mailbox
	to         string
	made       bool  // or found
	bad        error // why it cannot be made
	renumbered int   // brought in, under other UIDs than they were to keep
	todo       []importer.Item
	messages   int // in the scope of the flags
	bytes      int64
	present    int // the account has them from an earlier run
	imported   int
	skipped    int
}

// newImportJob reads what the flags say.
func newImportJob(a *app, cmd *cobra.Command, w importWords) (*importJob, error) {
	j := &importJob{app: a, words: w, patience: importPatience, skipped: map[string]int{}}
	for _, f := range w.folders {
		from, to, ok := strings.Cut(f, "=")
		if !ok || from == "" || to == "" {
			return nil, usage(cmd, "--folder is FROM=TO: a folder of the source, and a mailbox of the account")
		}
		j.folders = append(j.folders, [2]string{from, to})
	}
	if w.since != "" {
		t, err := time.Parse("2006-01-02", w.since)
		if err != nil {
			return nil, usage(cmd, "--since is a date such as 2020-01-31")
		}
		j.since = t
	}
	rate, err := parseRate(w.rate)
	if err != nil {
		return nil, usage(cmd, err.Error())
	}
	j.pace.rate = rate
	return j, nil
}

// parseRate reads bytes a second: a number, with k for 1000 or M for 1000000 behind it. "" is no limit.
func parseRate(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	unit := int64(1)
	switch digits := text[:len(text)-1]; text[len(text)-1] {
	case 'k', 'K':
		text, unit = digits, 1000
	case 'M':
		text, unit = digits, 1000*1000
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n <= 0 || n*unit < 1000 {
		return 0, fmt.Errorf("--limit-rate is bytes a second, such as 500k or 5M, and at least 1k")
	}
	return n * unit, nil
}

// plan says for each mailbox of the source where it goes, and what of it.
func (j *importJob) plan(boxes []importer.Mailbox, has []admin.ImportMailbox) {
	uses := map[string]string{} // special use to the account's mailbox for it
	for _, b := range has {
		if _, twice := uses[b.SpecialUse]; b.SpecialUse != "" && !twice {
			uses[b.SpecialUse] = b.Name
		}
	}
	for _, m := range boxes {
		if j.excluded(m.Name) {
			j.notes = append(j.notes, m.Name+" is left out, as --exclude says")
			continue
		}
		b := &importBox{Mailbox: m}
		to, mapped := j.mapped(m.Name)
		switch own, ok := uses[m.SpecialUse]; {
		case !ok:
		case m.Apart:
			b.SpecialUse = "" // the account's own has it
		case !mapped:
			to = own
			delete(uses, m.SpecialUse)
		}
		var err error
		if b.to, err = store.MailboxName(to); err != nil && m.Err == nil {
			b.Err = &importer.Problem{Code: "bad_name", Detail: "the account can have no mailbox of this name; give it another by --folder"}
		}
		if m.SpecialUse == "\\All" || m.SpecialUse == "\\Flagged" {
			j.notes = append(j.notes, m.Name+" is a view of other folders: its messages come in once more; --exclude leaves it out")
		}
		j.scope(b)
		j.boxes = append(j.boxes, b)
	}
}

// scope counts the messages of a mailbox that the flags ask for, and finds those that are not there yet.
func (j *importJob) scope(b *importBox) {
	for _, i := range b.Items {
		if !j.since.IsZero() && i.Date.Before(j.since) {
			continue
		}
		b.messages++
		b.bytes += i.Size
		if j.known[i.Key] {
			b.present++
			j.doneBytes += i.Size
			continue
		}
		if i.Size > importer.MaxMessage {
			j.skip(b, i, &importer.Problem{Code: importer.TooLarge, Detail: "it has more than 128 MiB"})
			continue
		}
		b.todo = append(b.todo, i)
	}
	b.Items = nil
	j.messages += b.messages
	j.bytes += b.bytes
	j.present += b.present
}

// mapped applies --folder: the longest that fits wins.
func (j *importJob) mapped(name string) (to string, ok bool) {
	best := ""
	to = name
	for _, f := range j.folders {
		from := f[0]
		if (name == from || strings.HasPrefix(name, from+"/")) && len(from) >= len(best) {
			best, to, ok = from, f[1]+name[len(from):], true
		}
	}
	return to, ok
}

func (j *importJob) excluded(name string) bool {
	for _, pattern := range j.words.exclude {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}

// matches says whether a name is that of a pattern in which * stands for anything.
func matches(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for i := 0; i <= len(name); i++ {
		if matches(rest, name[i:]) {
			return true
		}
	}
	return false
}
