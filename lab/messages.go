package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"domicile"
)

// Mail is one message as it goes over the wire: CRLF at the end of every line, the last included.
type Mail struct {
	Name string
	Text []byte
}

// Limits of what --mail loads.
const (
	maxMails    = 2000
	maxMailSize = 32 << 20
)

// Canonical brings a message file to what SMTP carries: a bare LF becomes CRLF, and the last line ends. What else is odd
// about a message stays.
func Canonical(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/32+2)
	for i, c := range text {
		if c == '\n' && (i == 0 || text[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	if len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	return out
}

// LoadMail reads real messages: every regular file below a folder, one message a file, or the messages of one mbox file. What
// SMTP cannot carry (empty, with a NUL byte) is left out. At most 2000 messages of at most 32 MiB each.
func LoadMail(path string) ([]Mail, error) {
	const op = "load mail"
	info, err := os.Stat(path)
	if err != nil {
		return nil, domicile.E(op, domicile.Invalid, "no such folder or file: "+path)
	}
	var mails []Mail
	if info.IsDir() {
		mails, err = loadFolder(path)
	} else {
		mails, err = loadMbox(path)
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	mails = slices.DeleteFunc(mails, func(m Mail) bool { return len(m.Text) == 0 || bytes.IndexByte(m.Text, 0) >= 0 })
	if len(mails) == 0 {
		return nil, domicile.E(op, domicile.Invalid, "no message was found in "+path+"; give a folder of message files, or an mbox file")
	}
	return mails, nil
}

func loadFolder(root string) ([]Mail, error) {
	var mails []Mail
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || len(mails) == maxMails {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() > maxMailSize {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		mails = append(mails, Mail{Name: filepath.ToSlash(rel), Text: Canonical(text)})
		return err
	})
	return mails, err
}

// loadMbox splits an mbox (RFC 4155): a line "From " behind an empty line begins a message, ">From " is unquoted as mboxrd does.
func loadMbox(path string) ([]Mail, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var mails []Mail
	var text []byte
	begun := false
	end := func() {
		if begun {
			text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
			mails = append(mails, Mail{Name: fmt.Sprintf("%s:%d", filepath.Base(path), len(mails)+1), Text: Canonical(text)})
		}
		text = nil
	}
	empty := true // the line before
	for r := bufio.NewReader(f); len(mails) < maxMails; {
		line, err := r.ReadBytes('\n')
		switch {
		case empty && bytes.HasPrefix(line, []byte("From ")):
			end()
			begun = true
		case bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) && line[0] == '>':
			text = append(text, line[1:]...)
		default:
			text = append(text, line...)
		}
		if len(text) > maxMailSize {
			return nil, domicile.E("mbox", domicile.TooLarge, fmt.Sprintf("a message has more than %d bytes", maxMailSize))
		}
		empty = len(bytes.TrimRight(line, "\r\n")) == 0
		if err != nil {
			end()
			break
		}
	}
	return mails, nil
}

// builtin are the messages of the demo: what people send, in the forms that are easiest to damage on the way. marker
// stands in an address, a subject, a body and the name of an attachment.
func builtin(marker string, to domicile.Address) []Mail {
	head := func(from, subject, id, rest string) string {
		return "From: " + from + "\nTo: <" + string(to) + ">\nSubject: " + subject + "\nDate: Wed, 4 Dec 2013 09:30:00 +0000\nMessage-ID: <" + id + "@sender.example>\n" + rest
	}
	mails := []struct{ name, text string }{
		{"plain", head("Maeve <maeve@sender.example>", "Lunch on Thursday?", "plain", "") +
			"\nHello Aoife,\n\nthe usual place at one?\n.\n.. a line that begins with dots, for whoever forgets to stuff them\nFrom here it is a short walk.\n\n-- \nMaeve\n"},
		{"marker", head(marker+" <"+marker+"@sender.example>", "Case "+marker, "marker", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b1\"\n") +
			"\n--b1\nContent-Type: text/plain; charset=utf-8\n\nThe word is " + marker + ".\n" +
			"--b1\nContent-Type: application/octet-stream; name=\"" + marker + ".bin\"\nContent-Disposition: attachment; filename=\"" + marker + ".bin\"\nContent-Transfer-Encoding: base64\n\n" +
			"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==\n--b1--\n"},
		{"unicode", head("=?UTF-8?Q?Se=C3=A1n_=C3=93_Murch=C3=BA?= <sean@sender.example>", "=?UTF-8?B?RMOtb2wgYW4gdMOtIPCfj6A=?=", "unicode", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n") +
			"\nDia dhuit a Aoife, tá an teach díolta 🏠.\nПривет, 你好, שלום.\n"},
		{"latin1", head("Jürgen <j@sender.example>", "8-bit header and body, no charset said", "latin1", "") + "\nGr\xfc\xdfe aus K\xf6ln, 100 \x80.\n"},
		{"html", head("Shop <noreply@shop.example>", "Your receipt", "html", "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=alt\n") +
			"\n--alt\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: quoted-printable\n\nTotal =E2=82=AC 12=\n.50\n--alt\nContent-Type: text/html\n\n<p>Total <b>&euro; 12.50</b></p>\n--alt--\n"},
		{"pgp", head("Maeve <maeve@sender.example>", "...", "pgp", "MIME-Version: 1.0\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=\"enc\"\n") +
			"\n--enc\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n--enc\nContent-Type: application/octet-stream; name=\"encrypted.asc\"\n\n-----BEGIN PGP MESSAGE-----\n\nhF4DAAAAAAAAAAASAQdAbm90IHJlYWxseSBlbmNyeXB0ZWQgYnV0IHNoYXBlZCBs\naWtlIGl0\n=abcd\n-----END PGP MESSAGE-----\n\n--enc--\n"},
		{"long", head("List <list@sender.example>", "Trailing spaces, tabs and a long line", "long", "") + "\n" + strings.Repeat("0123456789", 90) + "\nspaces at the end   \n\ttab\t\n\n\n"},
	}
	out := make([]Mail, len(mails))
	for i, m := range mails {
		out[i] = Mail{Name: m.name, Text: Canonical([]byte(m.text))}
	}
	return out
}
