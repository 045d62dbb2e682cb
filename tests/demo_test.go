package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile/tests/harness"
)

var update = flag.Bool("update", false, "rewrite the transcript in README.md from a fresh run")

// TestStory runs the demo as a check does: one JSON object a line, every promised refusal among them, none failed.
func TestStory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), harness.Program(t, "mailnode"), "demo", "--once", "--output", "json", "--base-port", port())
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("demo --once: %v\n%s", err, stderr.String())
	}
	codes := map[string]int{}
	steps := 0
	var last []byte
	for line := range bytes.Lines(out) {
		last = line
		var a struct {
			Step, Code, Detail string
			OK                 bool
			Summary            any
		}
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("%v in line %q", err, line)
		}
		if a.Summary != nil {
			continue
		}
		steps++
		codes[a.Code]++
		if !a.OK {
			t.Errorf("%s: %s: %s", a.Step, a.Code, a.Detail)
		}
	}
	if want := fmt.Sprintf(`{"summary": {"steps": %d, "failed": 0}}`, steps); strings.TrimSpace(string(last)) != want || steps < 12 {
		t.Errorf("the last line is %s, want %s", last, want)
	}
	for _, code := range []string{"unknown_country", "residence_not_served", "wrong_region", "no_token", "bad_signature", "expired", "replayed",
		"wrong_audience", "missing_signature", "login_failed", "cooling_down", "self_approval", "conflict_of_laws", "content_stored_abroad", "referred", "execute"} {
		if codes[code] == 0 {
			t.Errorf("no step came out as %s", code)
		}
	}
	noProcess(t, dir)
}

func port() string { return fmt.Sprint(harness.BasePort()) }

// noProcess wants no process of this run to be left.
func noProcess(t *testing.T, dir string) {
	t.Helper()
	for _, p := range processes(t, dir) {
		t.Errorf("a process is left: %s", p)
	}
}

// processes returns the command lines in which dir stands: each node has its configuration's path among its words. Linux only.
func processes(t *testing.T, dir string) (found []string) {
	t.Helper()
	words, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range words {
		if raw, err := os.ReadFile(w); err == nil && bytes.Contains(raw, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(raw, []byte{0}, []byte(" "))))
		}
	}
	return found
}

// TestTranscript runs the demo as a person does, holds what it prints against README.md, pastes the commands that it
// prints, and ends it by Ctrl-C.
func TestTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"demo", "--base-port", port()}
	if *update {
		args = args[:1] // the ports that people will see
	}
	cmd := exec.CommandContext(t.Context(), harness.Program(t, "mailnode"), args...)
	cmd.Dir = dir
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text, commands := readDemo(t, pipe, &stderr)
	if !strings.Contains(text, ": every step came out as promised.") {
		t.Errorf("the story failed:\n%s", text)
	}
	compareTranscript(t, text)
	if len(commands) != 5 {
		t.Errorf("%d commands to paste, want 5: %q", len(commands), commands)
	}
	for _, c := range commands {
		t.Run(strings.Fields(strings.TrimPrefix(c, "go run ./cmd/"))[0], func(t *testing.T) { paste(t, dir, c) })
	}
	if runtime.GOOS == "linux" && len(processes(t, dir)) != 3 { // or that none is left proves nothing
		t.Errorf("while the demo stays up its nodes are %q", processes(t, dir))
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, stderr.String())
	}
	noProcess(t, dir)
}

// TestDemoLeavesNothing ends a demo in the middle of its story, by Ctrl-C and by SIGKILL: no process outlives it.
func TestDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, how := range []os.Signal{os.Interrupt, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), harness.Program(t, "mailnode"), "demo", "--output", "json", "--base-port", port())
			cmd.Dir = dir
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for sc := bufio.NewScanner(pipe); sc.Scan(); {
				if strings.Contains(sc.Text(), "account IE") {
					break
				}
			}
			if err := cmd.Process.Signal(how); err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, pipe)
			if err := cmd.Wait(); err == nil {
				t.Error("a story that was cut short is told as a success")
			}
			time.Sleep(100 * time.Millisecond) // for the kernel to end the children of a killed parent
			noProcess(t, dir)
		})
	}
}

// readDemo reads until the demo has printed its last command, or has ended.
func readDemo(t *testing.T, out io.Reader, stderr *bytes.Buffer) (text string, commands []string) {
	t.Helper()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
			if strings.Contains(sc.Text(), "altered.receipt --pins") {
				return
			}
		}
	}()
	for timeout := time.After(2 * time.Minute); ; {
		select {
		case line, more := <-lines:
			if !more {
				return text, commands
			}
			text += line + "\n"
			if c := strings.TrimPrefix(line, "   "); strings.HasPrefix(c, "curl ") || strings.HasPrefix(c, "grep ") || strings.HasPrefix(c, "go run ") {
				commands = append(commands, c)
			}
		case <-timeout:
			t.Fatalf("the demo did not come to its end within two minutes:\n%s%s", text, stderr.String())
		}
	}
}

// paste runs one of the printed commands by the shell, mailctl as go run would build it, and knows what it must do.
func paste(t *testing.T, dir, command string) {
	if strings.HasPrefix(command, "curl") {
		harness.Need(t, "curl", "apt-get install curl")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(command, "go run ./cmd/mailctl", harness.Program(t, "mailctl"), 1))
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	want, word := 0, ""
	switch {
	case strings.HasPrefix(command, "curl"):
		word = "Lunch on Thursday?"
	case strings.HasPrefix(command, "grep"):
		want = 1 // nothing found
	case strings.Contains(command, "account export"):
		want, word = 3, "no_token"
	case strings.Contains(command, "altered"):
		want = 1
	}
	if code != want || !strings.Contains(string(out), word) || strings.HasPrefix(command, "grep") && len(out) > 0 {
		t.Errorf("%s\nexit %d, want %d and %q in:\n%s", command, code, want, word, out)
	}
}

// What differs from run to run.
var masks = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`marker[0-9a-f]{10}`), "MARKER"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "PASSWORD"},
	{regexp.MustCompile(`\d+ (bytes|files)`), "N $1"},
	{regexp.MustCompile(`(of its|any of the|leaf) \d+`), "$1 N"},
	{regexp.MustCompile(`\b[a-z]+[a-z2-7]{26}\b`), "ID"},
	{regexp.MustCompile(`cosigned by \d+ signers?`), "cosigned by N signers"},
}

func masked(s string) []string {
	for _, m := range masks {
		s = m.what.ReplaceAllString(s, m.by)
	}
	return strings.Fields(s)
}

const begins, ends = "<!-- demo transcript begins -->\n", "<!-- demo transcript ends -->"

func compareTranscript(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(harness.Root(t), "README.md")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begins)
	old, after, ok2 := strings.Cut(rest, ends)
	if !ok || !ok2 {
		t.Fatalf("README.md has no place for the transcript, between %q and %q", begins, ends)
	}
	if *update {
		fresh := before + begins + "```text\n" + strings.Trim(text, "\n") + "\n```\n" + ends + after
		if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old = strings.TrimSuffix(strings.TrimPrefix(old, "```text\n"), "```\n")
	got, want := masked(text), masked(old)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("README.md shows another transcript (mend it with: go test ./tests -run TestTranscript -update). They part at\n  now:    %s\n  README: %s",
				around(got, i), around(want, i))
		}
	}
}

func around(words []string, i int) string {
	return strings.Join(words[min(max(i-6, 0), len(words)):min(i+6, len(words))], " ")
}
