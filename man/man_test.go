package man

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// page writes a page, and returns what it is below its heading.
func page(t *testing.T, fill func(*Page)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made")
	if err := Write(dir, "a-page", 5, "says it", fill); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "a-page.5"))
	if err != nil {
		t.Fatal(err)
	}
	head := ".TH \"A\\-PAGE\" \"5\" \"\" \"domicile\" \"domicile manual\"\n.SH NAME\na\\-page \\- says it\n"
	body, ok := strings.CutPrefix(string(raw), head)
	if !ok {
		t.Fatalf("it begins otherwise: %s", raw)
	}
	return body
}

// Paragraphs are parted, lines that are indented stay as they are, and the first paragraph of a section or an item needs no mark.
func TestParagraphs(t *testing.T) {
	got := page(t, func(p *Page) {
		p.Section("KEYS")
		p.Text("\nOne\nline on.\n\nTwo:\n\n  kept  as\n  it is\n\nThree.\n")
		p.Item("word", "What it is.\n\nMore.")
		p.Text("Behind it.")
		p.Section("END")
		p.Text("  kept first")
		p.Example("\nan example\n  of two lines\n")
	})
	want := strings.Join([]string{
		".SH KEYS", "One", "line on.", ".PP", "Two:", ".PP", ".nf", "  kept  as", "  it is", ".fi", ".PP", "Three.",
		".TP", `\fBword\fR`, "What it is.", ".IP", "More.", ".PP", "Behind it.",
		".SH END", ".PP", ".nf", "  kept first", ".fi",
		".nf", "an example", "  of two lines", ".fi", ""}, "\n")
	if got != want {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
}

// No text is a request of roff, or a character that it makes another of.
func TestEscape(t *testing.T) {
	for text, want := range map[string]string{
		".SH not a heading": `\&.SH not a heading`,
		"'SH neither":       `\(aqSH neither`,
		`\fBnot bold\fR`:    `\efBnot bold\efR`,
		"--flag ~/x `y` ^":  `\-\-flag \(ti/x \(gay\(ga \(ha`,
		`"quoted"`:          `\(dqquoted\(dq`,
		"é … 日":             `\[u00E9] \[u2026] \[u65E5]`,
		"in .the middle":    "in .the middle",
	} {
		if got := escapeLine(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Each command that is available has a page, which names what is above and below it, its flags and its example.
func TestCommands(t *testing.T) {
	run := func(*cobra.Command, []string) {}
	root := &cobra.Command{Use: "tool", Short: "does things"}
	root.PersistentFlags().String("node", "", "which `HOST` to ask (DOMICILE_NODE)")
	sub := &cobra.Command{Use: "do THING", Short: "does a thing", Long: "Do it.\n\nWell.", Example: "  tool do it", Run: run}
	sub.Flags().IntP("times", "n", 3, "how often")
	sub.Flags().Bool("secret", false, "nobody is told")
	sub.Flags().MarkHidden("secret")
	root.AddCommand(sub, &cobra.Command{Use: "hidden", Hidden: true, Run: run})
	dir := t.TempDir()
	if err := Commands(dir, root); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if err != nil || !slices.Equal(names, []string{"tool-do.1", "tool.1"}) {
		t.Fatal(names, err)
	}
	for name, c := range map[string]struct{ has, lacks []string }{
		"tool.1": {[]string{".SH COMMANDS\n.TP\n\\fBtool\\-do(1)\\fR\ndoes a thing\n", "\\fB\\-\\-node HOST\\fR\nwhich HOST to ask (DOMICILE_NODE)\n"}, []string{"hidden", "SEE ALSO", "DESCRIPTION"}},
		"tool-do.1": {[]string{"\\fBtool do THING", ".SH DESCRIPTION\nDo it.\n.PP\nWell.\n", "\\fB\\-n, \\-\\-times int\\fR\nhow often (default 3)\n",
			".SH OPTIONS OF ALL COMMANDS\n", ".SH EXAMPLES\n.nf\n  tool do it\n.fi\n", ".SH SEE ALSO\n\\fBtool\\fR(1)\n"}, []string{"secret", "COMMANDS\n.TP\n\\fBtool"}},
	} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, has := range c.has {
			if !strings.Contains(string(raw), has) {
				t.Errorf("%s has no %q:\n%s", name, has, raw)
			}
		}
		for _, lacks := range c.lacks {
			if strings.Contains(string(raw), lacks) {
				t.Errorf("%s has %q", name, lacks)
			}
		}
	}
}

// What cannot be written is told, and ends it.
func TestCommandsFail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if Commands(file, &cobra.Command{Use: "tool"}) == nil {
		t.Error("it says that pages are in what is no folder")
	}
}
