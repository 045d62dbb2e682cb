package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"domicile/audit"
)

// keptReceipt is a receipt that the story wrote to a file.
type keptReceipt struct {
	name string // file in receipts/
	text []byte
}

// keep writes a receipt for mailctl receipt verify to read later. A missing one is an error.
func (s *story) keep(name string, text []byte) error {
	if len(text) == 0 {
		return errors.New("no receipt came with it")
	}
	r := keptReceipt{name: strings.ReplaceAll(name, " ", "-") + ".receipt", text: text}
	s.receipts = append(s.receipts, r)
	return os.WriteFile(s.lab.Path(filepath.Join("receipts", r.name)), text, 0o644)
}

// proofs verifies every receipt as a stranger would: with the pins, and without any network.
func (s *story) proofs(context.Context) error {
	s.chapter("What a stranger can check", "Every refusal and the disclosure left a receipt: one file, checked offline against pinned keys.")
	raw, err := os.ReadFile(s.lab.Path(s.lab.Pins))
	if err != nil {
		return err
	}
	pins, err := audit.ParsePins(raw)
	if err != nil {
		return err
	}
	s.do("verify every receipt", "", "ok", func() (string, string, error) {
		for _, r := range s.receipts {
			if _, err := audit.VerifyReceipt(r.text, pins); err != nil {
				return "", "", fmt.Errorf("%s: %w", r.name, err)
			}
		}
		return "ok", fmt.Sprintf("%s verify.", count(len(s.receipts), "receipt")), nil
	})
	i := slices.IndexFunc(s.receipts, func(r keptReceipt) bool { return r.name == "disclosure.receipt" })
	if i < 0 {
		return errors.New("the disclosure left no receipt")
	}
	s.do("the disclosure was cosigned", ie, "ok", func() (string, string, error) {
		v, err := audit.VerifyReceipt(s.receipts[i].text, pins)
		if err != nil {
			return "", "", err
		}
		witness := false
		for name := range v.Cosigners {
			witness = witness || strings.HasSuffix(name, "/"+s.lab.Witness.Name)
		}
		if !witness {
			return "", "", errors.New("the witness is not among its cosigners")
		}
		return "ok", fmt.Sprintf("Its receipt says: leaf %d of %s, cosigned by %s, the witness among them.", v.Index, v.Origin, count(len(v.Cosigners), "signer")), nil
	})
	s.do("one altered byte", "", "ok", func() (string, string, error) { return s.alter(s.receipts[i], pins) })
	return nil
}

// alter changes each byte of a receipt in turn, and leaves one such copy for the person to try.
func (s *story) alter(r keptReceipt, pins audit.Pins) (string, string, error) {
	for i := range r.text {
		bad := slices.Clone(r.text)
		bad[i] ^= 1
		if _, err := audit.VerifyReceipt(bad, pins); err == nil {
			return "", "", fmt.Errorf("with byte %d altered it still verifies", i)
		}
		if i == len(r.text)/2 {
			if err := os.WriteFile(s.lab.Path("receipts/altered.receipt"), bad, 0o644); err != nil {
				return "", "", err
			}
		}
	}
	return "ok", fmt.Sprintf("Each of its %d bytes was altered in turn: no such copy verifies.", len(r.text)), nil
}

// invite prints what to connect to and what to try. Each command works when pasted into a shell in the folder of the project.
func (s *story) invite() {
	home, east := s.lab.Home(ie), s.lab.Home(us)
	s.say(`
The nodes stay up until Ctrl-C. A mail program can connect (user name: the whole address; on loopback a lab needs no TLS):

   %-22s IMAP %s   submission %s   password %s
   %-22s IMAP %s   submission %s   password %s

Commands to paste, in the project's folder:`, aoife, home.IMAP, home.Submission, s.passwords[aoife], sam, east.IMAP, east.Submission, s.passwords[sam])
	if s.opts.JSON {
		return
	}
	for _, c := range s.tries() {
		s.say("\n   # %s\n   %s", c.says, c.command)
	}
	s.say("")
}

// try is one command to paste.
type try struct{ says, command string }

func (s *story) tries() []try {
	mailctl := "go run ./cmd/mailctl "
	pins := " --pins " + s.show(s.lab.Pins)
	return []try{
		{"the Irish customer's first message, read at home",
			fmt.Sprintf("curl --silent --user '%s:%s' 'imap://%s/INBOX;UID=1'", aoife, s.passwords[aoife], s.lab.Home(ie).IMAP)},
		{"the word that was sent through us-east is nowhere in its folder: no line",
			"grep -r " + s.marker + " " + s.show("us-east-1")},
		{"headquarters asks for the mail: refused, no_token",
			mailctl + "account export " + string(aoife) + " --to " + s.show("export") + " --receipts " + s.show("receipts") +
				" --node " + s.lab.Home(us).Admin + " --identity " + s.show(s.lab.Who(us, "operator").Identity)},
		{"the disclosure's receipt, checked offline", mailctl + "receipt verify " + s.show("receipts/disclosure.receipt") + pins},
		{"a copy of it with one altered byte: refused", mailctl + "receipt verify " + s.show("receipts/altered.receipt") + pins},
	}
}
