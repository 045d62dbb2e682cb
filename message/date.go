package message

import (
	"strconv"
	"strings"
	"time"
)

// ParseDate reads a Date field (RFC 5322 3.3 and 4.3), and what programs write instead: no weekday or a wrong one, no seconds,
// dashes, month before day, a name behind the zone, years of two digits. Without a zone, or with an unknown one, it is UTC.
// ok is false for what has no day, month and year, or names a day that is not.
func ParseDate(s string) (t time.Time, ok bool) {
	if len(s) > MaxName {
		return t, false
	}
	d := dateReader{day: -1, year: -1}
	for _, w := range dateWords(s) {
		d.word(w)
	}
	if d.day < 1 || d.month == 0 || d.year < 0 {
		return t, false
	}
	t = time.Date(d.year, d.month, d.day, d.clock[0], d.clock[1], d.clock[2], 0, zone(d.zone))
	return t, t.Day() == d.day && t.Month() == d.month // time.Date makes 31 April 1 May
}

// dateWords leaves out comments, and white space around colons.
func dateWords(s string) (words []string) {
	var text strings.Builder
	for sc := (scanner{s: s}); sc.i < len(s); sc.i++ {
		text.WriteString(sc.until(",") + " ")
	}
	for _, w := range strings.FieldsFunc(text.String(), func(r rune) bool { return r == ' ' || r == '\t' || r == '.' }) {
		if n := len(words) - 1; n >= 0 && (w[0] == ':' || strings.HasSuffix(words[n], ":")) {
			words[n] += w
		} else {
			words = append(words, w)
		}
	}
	return words
}

// dateReader takes words for what they can be, in any order but that of day and year.
type dateReader struct {
	day, year int // -1: not seen yet
	month     time.Month
	clock     [3]int
	timed     bool
	zone      int // seconds east of UTC
}

func (d *dateReader) word(w string) {
	switch c := w[0]; {
	case strings.Contains(w, ":"):
		d.time(w)
	case (c == '+' || c == '-') && d.timed:
		d.zone = offset(w)
	case c >= '0' && c <= '9' && strings.Count(w, "-") == 2: // 2-Jan-2006, 2006-01-02
		parts := strings.Split(w, "-")
		if len(parts[0]) == 4 {
			parts[0], parts[2] = parts[2], parts[0]
		}
		for _, p := range parts {
			if p != "" {
				d.word(p)
			}
		}
	case c >= '0' && c <= '9':
		d.number(w)
	case d.timed && strings.EqualFold(w, "pm"):
		if d.clock[0] < 12 {
			d.clock[0] += 12
		}
	case d.timed:
		d.zone = namedZone(w, d.zone)
	case d.month == 0 && len(w) >= 3:
		d.month = monthOf(w)
	}
}

// number is the day, the month if it is between day and year, or the year.
func (d *dateReader) number(w string) {
	n, err := strconv.Atoi(w)
	switch {
	case err != nil || n > 9999:
	case d.day < 0 && len(w) <= 2:
		d.day = n
	case d.month == 0 && len(w) == 2 && n >= 1 && n <= 12:
		d.month = time.Month(n)
	case d.year >= 0 || len(w) < 2:
	case len(w) == 2 && n < 50: // RFC 5322 4.3
		d.year = 2000 + n
	case len(w) <= 3:
		d.year = 1900 + n
	default:
		d.year = n
	}
}

// time reads "15:04:05", "15:04" and a zone that follows without a space.
func (d *dateReader) time(w string) {
	if d.timed {
		return
	}
	d.timed = true
	if i := strings.IndexAny(w, "+-"); i > 0 {
		d.zone = offset(w[i:])
		w = w[:i]
	}
	for i, limit := range []int{23, 59, 60} {
		var digits string
		digits, w, _ = strings.Cut(w, ":")
		if n, err := strconv.Atoi(digits); err == nil && n >= 0 && n <= limit {
			d.clock[i] = n
		}
	}
	d.clock[2] = min(d.clock[2], 59) // a leap second is the one before
}

// offset reads "+0100" and "+01:00", 0 if it is neither.
func offset(w string) int {
	digits := strings.ReplaceAll(w[1:], ":", "")
	n, err := strconv.Atoi(digits)
	if err != nil || len(digits) != 4 || n < 0 || n%100 > 59 || n/100 > 23 {
		return 0
	}
	n = (n/100*60 + n%100) * 60
	if w[0] == '-' {
		return -n
	}
	return n
}

// namedZone knows the zones of RFC 5322 4.3, and those of Europe. An unknown name leaves the zone as it was: it stands behind one.
func namedZone(w string, was int) int {
	if i := strings.IndexAny(w, "+-"); i > 0 && was == 0 { // GMT+0200
		return offset(w[i:])
	}
	if h, ok := zones[strings.ToUpper(w)]; ok && was == 0 {
		return h * 3600
	}
	return was
}

var zones = map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "BST": 1, "EET": 2, "EEST": 3}

func monthOf(w string) time.Month {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if i := strings.Index(names, strings.ToLower(w[:3])); i >= 0 && i%3 == 0 {
		return time.Month(i/3 + 1)
	}
	return 0
}

func zone(seconds int) *time.Location {
	if seconds == 0 {
		return time.UTC
	}
	return time.FixedZone("", seconds)
}
