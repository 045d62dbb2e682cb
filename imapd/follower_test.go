package imapd

import (
	"strconv"
	"strings"
	"testing"
)

// follower is a client that believes what it is told.
type follower struct {
	t        *testing.T
	names    map[string]string // of commands, by tag
	last     int               // the number of the last one answered
	messages int               // of the selected mailbox
	uidOnly  bool              // UIDONLY was enabled
}

func (f *follower) follow(out string) {
	if strings.Contains(out, "DEFLATE active") {
		return
	}
	var pending []string
	for out != "" {
		line := f.line(&out)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "*":
			pending = append(pending, rest)
		case word == "+", word == "login", word == "DONE": // behind no IDLE it is a tag
		default:
			if _, sent := f.names[word]; !sent {
				f.t.Fatalf("an answer to nothing: %q", line)
			}
			n, _ := strconv.Atoi(word[1:])
			if n <= f.last {
				f.t.Fatalf("an answer out of order: %q", line)
			}
			f.last = n
			f.answered(f.names[word], rest, pending)
			pending = nil
		}
	}
}

// line takes a line with its literals.
func (f *follower) line(out *string) string {
	var all strings.Builder
	for {
		text, rest, ok := strings.Cut(*out, "\r\n")
		if !ok {
			f.t.Fatalf("the output ends within a line: %q", *out)
		}
		*out = rest
		all.WriteString(text)
		i := strings.LastIndexByte(text, '{')
		if i < 0 || !strings.HasSuffix(text, "}") {
			return all.String()
		}
		size, err := strconv.Atoi(text[i+1 : len(text)-1])
		if err != nil {
			return all.String()
		}
		if size > len(*out) {
			f.t.Fatalf("the output ends within a literal: %q", text)
		}
		*out = (*out)[size:]
	}
}

// answered takes what a command was answered.
func (f *follower) answered(name, tagged string, untagged []string) {
	switch status, _, _ := strings.Cut(tagged, " "); status {
	case "OK", "NO", "BAD":
	default:
		f.t.Fatalf("%s is answered %q", name, tagged)
	}
	if strings.HasPrefix(name, "SELECT") || strings.HasPrefix(name, "EXAMINE") {
		f.messages = 0
	}
	for _, line := range untagged {
		first, second, _ := strings.Cut(line, " ")
		if first == "VANISHED" && !strings.HasPrefix(second, "(EARLIER)") {
			f.messages -= f.count(second)
		}
		if first == "ENABLED" && strings.Contains(second, "UIDONLY") {
			f.uidOnly = true
		}
		n, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		switch what, _, _ := strings.Cut(second, " "); what {
		case "EXISTS":
			if n < f.messages {
				f.t.Fatalf("%d messages become %q", f.messages, line)
			}
			f.messages = n
		case "EXPUNGE":
			if n < 1 || n > f.messages || f.uidOnly {
				f.t.Fatalf("of %d messages: %q", f.messages, line)
			}
			f.messages--
		case "UIDFETCH":
			if !f.uidOnly {
				f.t.Fatalf("without UIDONLY: %.100q", line)
			}
		case "FETCH":
			if n < 1 || n > f.messages || f.uidOnly {
				f.t.Fatalf("of %d messages: %.100q", f.messages, line)
			}
		}
	}
}

func (f *follower) count(set string) (n int) {
	for _, part := range strings.Split(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		a, err := strconv.Atoi(from)
		b := a
		if isRange && err == nil {
			b, err = strconv.Atoi(to)
		}
		if err != nil || b < a {
			f.t.Fatalf("a set of UIDs: %q", set)
		}
		n += b - a + 1
	}
	return n
}
