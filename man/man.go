package man

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Page is a page that is being written.
type Page struct{ out bytes.Buffer }

// Write writes a page of a section into dir, which is made if absent.
func Write(dir, name string, section int, short string, fill func(*Page)) error {
	p := &Page{}
	fmt.Fprintf(&p.out, ".TH \"%s\" \"%d\" \"\" \"domicile\" \"domicile manual\"\n", escape(strings.ToUpper(name)), section)
	p.Section("NAME")
	fmt.Fprintf(&p.out, "%s \\- %s\n", escape(name), escape(short))
	fill(p)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%d", name, section)), p.out.Bytes(), 0o644)
}

// Section begins a section.
func (p *Page) Section(title string) { fmt.Fprintf(&p.out, ".SH %s\n", escape(title)) }

// Item writes a word and what is said of it.
func (p *Page) Item(word, text string) {
	fmt.Fprintf(&p.out, ".TP\n\\fB%s\\fR\n", escape(word))
	p.paragraphs(text, ".IP")
}

// Text writes paragraphs.
func (p *Page) Text(text string) { p.paragraphs(text, ".PP") }

// paragraphs writes text; between marks what parts two paragraphs.
func (p *Page) paragraphs(text, between string) {
	kept, begun := false, false
	keep := func(on bool) {
		if on != kept {
			p.out.WriteString(map[bool]string{true: between + "\n.nf\n", false: ".fi\n"}[on])
			kept = on
		}
	}
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
			keep(false)
			begun = false
			continue
		case strings.HasPrefix(line, " "):
			keep(true)
		case kept || !begun && p.mid():
			keep(false)
			p.out.WriteString(between + "\n")
		}
		begun = true
		p.out.WriteString(escapeLine(line) + "\n")
	}
	keep(false)
}

// mid says whether text was written behind the last macro.
func (p *Page) mid() bool {
	all := strings.TrimSuffix(p.out.String(), "\n")
	last := all[strings.LastIndexByte(all, '\n')+1:]
	return !strings.HasPrefix(last, ".SH") && !strings.HasPrefix(last, ".TP") && !strings.HasPrefix(last, "\\fB")
}

// Example writes lines as they are.
func (p *Page) Example(text string) {
	p.out.WriteString(".nf\n")
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		p.out.WriteString(escapeLine(strings.TrimRight(line, "\n")) + "\n")
	}
	p.out.WriteString(".fi\n")
}

// escape keeps text from being taken for requests of roff.
func escape(s string) string {
	s = strings.NewReplacer("\\", "\\e", "-", "\\-", "'", "\\(aq", "\"", "\\(dq", "`", "\\(ga", "^", "\\(ha", "~", "\\(ti").Replace(s)
	var out strings.Builder
	for _, r := range s {
		if r < 0x80 {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, "\\[u%04X]", r)
		}
	}
	return out.String()
}

func escapeLine(s string) string {
	if s = escape(s); strings.HasPrefix(s, ".") {
		s = "\\&" + s
	}
	return s
}

// Commands writes a page for a program and for each of its commands.
func Commands(dir string, root *cobra.Command) error {
	var err error
	each(root, func(c *cobra.Command) {
		if err == nil {
			err = command(dir, c)
		}
	})
	return err
}

// each calls fn with a command and all below it, but those that are hidden and help.
func each(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			each(sub, fn)
		}
	}
}

// Name is that of a command's page.
func Name(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func command(dir string, c *cobra.Command) error {
	return Write(dir, Name(c), 1, c.Short, func(p *Page) {
		p.Section("SYNOPSIS")
		fmt.Fprintf(&p.out, "\\fB%s\\fR\n", escape(c.UseLine()))
		if text := c.Long; text != "" {
			p.Section("DESCRIPTION")
			p.Text(text)
		}
		p.commands(c)
		p.flags("OPTIONS", c.NonInheritedFlags())
		p.flags("OPTIONS OF ALL COMMANDS", c.InheritedFlags())
		if c.Example != "" {
			p.Section("EXAMPLES")
			p.Example(c.Example)
		}
		if c.HasParent() {
			p.Section("SEE ALSO")
			fmt.Fprintf(&p.out, "\\fB%s\\fR(1)\n", escape(Name(c.Parent())))
		}
	})
}

func (p *Page) commands(c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	p.Section("COMMANDS")
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			p.Item(Name(sub)+"(1)", sub.Short)
		}
	}
}

func (p *Page) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.Section(title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, text := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		// A default that comes from the environment is that of whoever writes the page.
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "0s" && d != "[]" && !strings.Contains(text, "(DOMICILE_") {
			text += " (default " + d + ")"
		}
		p.Item(strings.TrimSpace(name+" "+kind), text)
	})
}
