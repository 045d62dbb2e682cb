package tests

import (
	_ "embed"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"domicile/tests/harness"
)

//go:embed clients_python.py
var pythonClient string

// TestPython runs clients_python.py: smtplib with STARTTLS; imaplib over IMAPS and over STARTTLS.
func TestPython(t *testing.T) { runPython(t, newPerson(t, "python")) }

// TestPythonAbroad does the same at us-east, which relays it all.
func TestPythonAbroad(t *testing.T) { runPython(t, newPerson(t, "python-abroad").abroad()) }

func runPython(t *testing.T, p *person) {
	python := harness.Need(t, "python3", "apt-get install python3")
	script := p.file("client.py", "")
	write(t, script, []byte(pythonClient))
	sent := letters()
	for i, text := range sent {
		write(t, filepath.Join(p.dir, "out-"+strconv.Itoa(i)), text)
	}
	p.run(nil, python, script, p.ca, "$SMTP", "$IMAP", "$IMAPS", p.address, p.password, p.dir)
	expect(t, p.mailbox("INBOX"), append(sent[:0:0], sent[1:]...)...) // the script expunges the first
	same(t, "appended", p.mailbox("Kept/2026"), [][]byte{sent[2], p.mailbox("INBOX")[0]})
	for i, want := range p.mailbox("INBOX") {
		got, err := os.ReadFile(filepath.Join(p.dir, "in-"+strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "fetched", [][]byte{got}, [][]byte{want})
	}
}
