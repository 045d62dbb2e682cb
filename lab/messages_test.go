package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{"a\nb": "a\r\nb\r\n", "a\r\nb\r\n": "a\r\nb\r\n", "\n": "\r\n", "a\rb\n": "a\rb\r\n", "": ""} {
		if got := string(Canonical([]byte(in))); got != want {
			t.Errorf("Canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLoadMail(t *testing.T) {
	dir := t.TempDir()
	mbox := "From a@b Thu Jan  1 00:00:00 1970\nSubject: one\n\nbody\n>From quoted\n\nFrom c@d Thu Jan  1 00:00:00 1970\nSubject: two\n\nthe body\nFrom here on it is no separator\n"
	path := filepath.Join(dir, "box")
	if err := os.WriteFile(path, []byte(mbox), 0o600); err != nil {
		t.Fatal(err)
	}
	mails, err := LoadMail(path)
	if err != nil || len(mails) != 2 {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	if want := "Subject: one\r\n\r\nbody\r\nFrom quoted\r\n"; string(mails[0].Text) != want {
		t.Errorf("%q, want %q", mails[0].Text, want)
	}
	if _, err := LoadMail(filepath.Join(dir, "none")); err == nil {
		t.Error("a path that is not there was loaded")
	}
	os.WriteFile(filepath.Join(dir, "nul"), []byte("a\x00b"), 0o600)
	os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600)
	if mails, err := LoadMail(dir); err != nil || len(mails) != 1 {
		t.Errorf("a folder: %d mails, %v", len(mails), err)
	}
}

func TestBehindTrace(t *testing.T) {
	sent := []byte("Subject: x\r\n\r\nbody\r\n")
	for front, ok := range map[string]bool{"": true, "Return-Path: <a@b>\r\nReceived: from x\r\n\tby y; date\r\n": true,
		"X-Spam: no\r\n": false, "Received: x": false, "Received: x\r\n\r\n": false} {
		if err := BehindTrace(append([]byte(front), sent...), sent); (err == nil) != ok {
			t.Errorf("%q: %v", front, err)
		}
	}
	if BehindTrace([]byte("Received: x\r\nSubject: x\r\n\r\nBody\r\n"), sent) == nil {
		t.Error("an altered message was taken for the sent one")
	}
}

func TestBuiltinMailHasTheMarker(t *testing.T) {
	for _, m := range builtin("mk7", "a@example.com") {
		if !bytes.HasSuffix(m.Text, []byte("\r\n")) || bytes.IndexByte(m.Text, 0) >= 0 {
			t.Errorf("%s cannot go over SMTP", m.Name)
		}
		if m.Name == "marker" {
			for _, place := range []string{"mk7@", "Case mk7", "word is mk7", "filename=\"mk7"} {
				if !bytes.Contains(m.Text, []byte(place)) {
					t.Errorf("no marker in %q", place)
				}
			}
		}
	}
}
