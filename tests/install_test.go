package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"domicile/config"
	"domicile/tests/harness"
)

// installed is where make install puts what it makes of the programs that the tests run.
func installed(t *testing.T) string {
	t.Helper()
	harness.Need(t, "make", "apt-get install make")
	bin, dest := t.TempDir(), t.TempDir()
	for _, name := range []string{"mailnode", "mailctl"} {
		if err := os.Symlink(harness.Program(t, name), filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("make", "-C", "..", "install", "--old-file=bin", "BIN="+bin, "DESTDIR="+dest, "PREFIX=/opt/x")
	cmd.Env = append(os.Environ(), "DOMICILE_NODE=192.0.2.9:1") // whoever makes a package is not in it
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	return filepath.Join(dest, "opt", "x")
}

var subcommand = regexp.MustCompile(`(?m)^  ([a-z-]+) `)

// TestInstall: everything is where PREFIX says; each command that --help tells of has a manual page, with each of its flags and its examples, and there are no others.
func TestInstall(t *testing.T) {
	t.Parallel()
	at := installed(t)
	for _, name := range []string{"bin/mailnode", "bin/mailctl", "lib/systemd/system/mailnode.service", "share/bash-completion/completions/mailctl",
		"share/zsh/site-functions/_mailnode", "share/fish/vendor_completions.d/mailctl.fish", "share/man/man5/node.toml.5"} {
		if info, err := os.Stat(filepath.Join(at, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	unit, err := os.ReadFile(filepath.Join(at, "lib/systemd/system/mailnode.service"))
	if err != nil || !strings.Contains(string(unit), "ExecStart=/opt/x/bin/mailnode serve") || strings.Contains(string(unit), "/usr/local/bin") {
		t.Errorf("the unit: %v\n%s", err, unit)
	}
	pages := map[string]bool{}
	for _, program := range []string{"mailnode", "mailctl"} {
		compare(t, at, []string{program}, pages)
	}
	files, err := os.ReadDir(filepath.Join(at, "share/man/man1"))
	if err != nil || len(files) != len(pages) || len(pages) < 100 {
		t.Errorf("%d pages of %d commands, %v", len(files), len(pages), err)
	}
}

// compare holds the page of a command, and those below it, against its help.
func compare(t *testing.T, at string, words []string, pages map[string]bool) {
	t.Helper()
	out, err := exec.Command(filepath.Join(at, "bin", words[0]), append(words[1:], "--help")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Join(words, "-")
	pages[name] = true
	raw, err := os.ReadFile(filepath.Join(at, "share/man/man1", name+".1"))
	if err != nil {
		t.Error(err)
		return
	}
	page := strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\e`, `\`, `\(dq`, `"`, `\(ti`, "~", `\(ga`, "`", `\(ha`, "^").Replace(string(raw))
	help := string(out)
	if strings.Contains(page, "192.0.2.9") {
		t.Errorf("%s tells of the environment in which it was made", name)
	}
	for _, flag := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(help[strings.Index(help, "Usage:"):], -1) {
		if flag != "--help" && !strings.Contains(page, flag) {
			t.Errorf("the page of %s has no %s", name, flag)
		}
	}
	if _, example, ok := strings.Cut(help, "Examples:\n"); ok {
		first, _, _ := strings.Cut(example, "\n")
		if !strings.Contains(page, strings.TrimSpace(first)) {
			t.Errorf("the page of %s has no example %q", name, first)
		}
	}
	_, list, _ := strings.Cut(help, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, sub := range subcommand.FindAllStringSubmatch(list, -1) {
		if sub[1] != "help" {
			compare(t, at, append(words[:len(words):len(words)], sub[1]), pages)
		}
	}
}

// TestManualOfNode: each key of node.toml has its words in node.toml(5).
func TestManualOfNode(t *testing.T) {
	t.Parallel()
	at := installed(t)
	raw, err := os.ReadFile(filepath.Join(at, "share/man/man5/node.toml.5"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(raw), `\-`, "-")
	n := 0
	var walk func(prefix string, of reflect.Type)
	walk = func(prefix string, of reflect.Type) {
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("toml"), ",")
			if of.Field(i).Type.Kind() == reflect.Struct {
				walk(prefix+key+".", of.Field(i).Type)
				continue
			}
			n++
			_, text, ok := strings.Cut(page, `\fB`+prefix+key+" (")
			_, text, _ = strings.Cut(text, "\n")
			if !ok || len(text) < 10 || strings.HasPrefix(text, ".TP") {
				t.Errorf("node.toml(5) says nothing of %s", prefix+key)
			}
		}
	}
	walk("", reflect.TypeFor[config.Node]())
	if n < 50 {
		t.Errorf("only %d keys were found", n)
	}
}

// TestManualReads: groff finds nothing wrong with the pages.
func TestManualReads(t *testing.T) {
	t.Parallel()
	groff := harness.Need(t, "groff", "apt-get install groff")
	at := installed(t)
	for _, section := range []string{"man1", "man5"} {
		files, err := filepath.Glob(filepath.Join(at, "share/man", section, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		cmd := exec.Command(groff, append([]string{"-man", "-Tutf8", "-ww"}, files...)...)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		out = regexp.MustCompile(`.\x08`).ReplaceAll(out, nil) // bold, by a second stroke
		if err != nil || said.Len() > 0 || !strings.Contains(string(out), "SYNOPSIS") && section == "man1" {
			t.Errorf("%s: %v %s", section, err, said.String())
		}
	}
}
