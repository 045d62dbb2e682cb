package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"domicile"
)

// act is one thing that the demo did and what came of it: one line of its JSON.
type act struct {
	Step   string          `json:"step"`
	Region domicile.Region `json:"region"`
	OK     bool            `json:"ok"`     // it came out as promised
	Code   string          `json:"code"`   // of a refusal its reason, "ok" or a decision otherwise
	Detail string          `json:"detail"` // what happened, in words
}

// teller writes the story, as text for people or one JSON object a line. One goroutine.
type teller struct {
	out    io.Writer
	json   bool
	colour bool
	width  int

	chapters, steps, failed int
}

func newTeller(out io.Writer, json bool) *teller {
	t := &teller{out: out, json: json, width: 100}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.colour = os.Getenv("NO_COLOR") == ""
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			t.width = min(max(w, 60), 120)
		}
	}
	return t
}

// The terminal's colours that the text uses.
const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

func (t *teller) paint(colour, s string) string {
	if !t.colour || s == "" {
		return s
	}
	return colour + s + plain
}

// chapter begins a part of the story: a numbered heading and what it is about.
func (t *teller) chapter(title, text string) {
	if t.json {
		return
	}
	t.chapters++
	fmt.Fprintf(t.out, "\n%s\n", t.paint(bold, fmt.Sprintf("%d. %s", t.chapters, title)))
	if text != "" {
		fmt.Fprintf(t.out, "   %s\n", strings.Join(wrap(text, t.width-3), "\n   "))
	}
	fmt.Fprintln(t.out)
}

// tell writes one act and counts it.
func (t *teller) tell(a act) {
	t.steps++
	if !a.OK {
		t.failed++
	}
	if t.json {
		t.line(a)
		return
	}
	mark := t.paint(green, "✓")
	if !a.OK {
		mark = t.paint(red, "✗")
	}
	const indent = 18
	head := ""
	if a.Code != "ok" && a.Code != "" {
		head = a.Code + ": "
	}
	lines := wrap(head+a.Detail, t.width-indent)
	lines[0] = t.paint(bold, head) + strings.TrimPrefix(lines[0], head)
	fmt.Fprintf(t.out, "   %s %-12s %s\n", mark, a.Region, strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
}

// say writes text that is no act, to people only; verbatim.
func (t *teller) say(format string, args ...any) {
	if !t.json {
		fmt.Fprintf(t.out, format+"\n", args...)
	}
}

// end writes the summary.
func (t *teller) end() {
	if t.json {
		fmt.Fprintf(t.out, `{"summary": {"steps": %d, "failed": %d}}`+"\n", t.steps, t.failed) // in this very form: scripts grep for it
		return
	}
	verdict := t.paint(green, "every step came out as promised")
	if t.failed > 0 {
		verdict = t.paint(red, fmt.Sprintf("%d did not come out as promised", t.failed))
	}
	fmt.Fprintf(t.out, "\n%d steps: %s.\n", t.steps, verdict)
}

func (t *teller) line(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		raw = []byte(`{"error":"a step could not be written as JSON"}`) // strings, numbers and bools always can
	}
	t.out.Write(append(raw, '\n'))
}

// wrap breaks text into lines of at most width columns, where it can. It returns one line at least.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
