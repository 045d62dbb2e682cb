package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/admin"
)

// Exit codes, as INTERFACES has them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitWords       = 2
	exitRefused     = 3
	exitUnavailable = 4
)

// refused is what JSON says of a refusal.
type refused struct {
	Refused domicile.Reason `json:"refused"`
	Rule    string          `json:"rule"`
	Detail  string          `json:"detail"`
	Receipt string          `json:"receipt,omitempty"`
}

// failed is what JSON says of a failure.
type failed struct {
	Error string `json:"error"`
	Code  string `json:"code"`
}

// exitError carries an exit code for something that has been shown already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// unsound is the outcome of a check: what was checked is wrong, the words of the command are not. It ends in exit code 1.
type unsound struct {
	what string
	err  error
}

func (e *unsound) Error() string { return e.what + ": " + e.err.Error() }

// report tells of err and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	if u, ok := errors.AsType[*usageError](err); ok {
		a.showFailure(u.text, "usage")
		fmt.Fprint(a.errOut, u.usage)
		return exitWords
	}
	if u, ok := errors.AsType[*unsound](err); ok {
		a.showFailure(u.Error(), codeOf(u.err))
		return exitFailed
	}
	switch domicile.KindOf(err) {
	case domicile.Refused:
		return a.reportRefusal(err)
	case domicile.Unavailable:
		a.showFailure(err.Error(), codeOf(err))
		return exitUnavailable
	case domicile.Invalid:
		a.showFailure(err.Error(), codeOf(err))
		if a.cmd != nil {
			fmt.Fprintf(a.errOut, "Usage: %s\n%s --help says more\n", a.cmd.UseLine(), a.cmd.CommandPath())
		}
		return exitWords
	}
	a.showFailure(err.Error(), codeOf(err))
	return exitFailed
}

// codeOf is the reason, if there is one, else the kind.
func codeOf(err error) string {
	if r := domicile.ReasonOf(err); r != "" {
		return string(r)
	}
	return domicile.KindOf(err).String()
}

func (a *app) showFailure(text, code string) {
	if a.output == "json" {
		a.json(failed{text, code})
		return
	}
	fmt.Fprintln(a.errOut, "mailctl:", printable(text))
}

func (a *app) reportRefusal(err error) int {
	r := refused{Refused: domicile.ReasonOf(err), Detail: err.Error()}
	if e, ok := errors.AsType[*domicile.Error](err); ok {
		r.Rule, r.Detail = e.Rule, e.Detail
	}
	receipt := admin.ReceiptOf(err)
	if here, ok := errors.AsType[*recorded](err); ok {
		receipt = here.receipt
	}
	r.Receipt = a.keepReceipt(string(r.Refused), receipt)
	if a.output == "json" {
		a.json(r)
	} else {
		a.textRefusal(r)
	}
	return exitRefused
}

func (a *app) textRefusal(r refused) {
	fmt.Fprintf(a.errOut, "refused: %s\n", r.Refused)
	t := newTable(a.errOut)
	t.row("  why", r.Detail)
	t.row("  rule", r.Rule)
	if r.Receipt != "" {
		t.row("  receipt", r.Receipt)
		t.row("", "(check it offline: mailctl receipt verify "+r.Receipt+" --pins pins.toml)")
	}
	t.flush()
}

// keepReceipt is writeReceipt for what is done already: the answer counts more than the file, so a folder that cannot be written
// to costs a warning.
func (a *app) keepReceipt(what string, receipt []byte) string {
	path, err := a.writeReceipt(what, receipt)
	if err != nil {
		a.note("mailctl: the receipt could not be written: %v; audit tail shows its leaf, audit prove LEAF writes it again", err)
		return ""
	}
	return path
}

// writable makes a folder, and refuses one in which no file can be made, before anything is done that cannot be done twice.
func writable(cmd *cobra.Command, flag, dir string) error {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".tmp-*"); err == nil {
			f.Close()
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		return usage(cmd, fmt.Sprintf("%s names a folder that cannot be written to, so nothing was done: %v", flag, err))
	}
	return nil
}

// writeReceipt keeps a receipt in the folder of --receipts and returns the file's name; "" if there is none. The name holds
// a digest, so that the same receipt gives the same file and another one never overwrites it.
func (a *app) writeReceipt(what string, receipt []byte) (string, error) {
	if len(receipt) == 0 {
		return "", nil
	}
	sum := sha256.Sum256(receipt)
	path := filepath.Join(a.receipts, fmt.Sprintf("%s-%s.receipt", safeName(what), hex.EncodeToString(sum[:6])))
	return path, writeFile(path, receipt, 0o644)
}

// safeName keeps only characters that cannot leave a folder.
func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, s)
	if s == "" || len(s) > 100 {
		return "file"
	}
	return s
}

// json writes one value on one line.
func (a *app) json(v any) error { return json.NewEncoder(a.out).Encode(v) }

// show writes v as JSON, or as text for people.
func (a *app) show(v any, text func(t *table)) error {
	if a.output == "json" {
		return a.json(v)
	}
	t := newTable(a.out)
	text(t)
	return t.flush()
}

// note writes progress and prose for people.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.errOut, format+"\n", args...) }

// table is text in columns.
type table struct{ w *tabwriter.Writer }

func newTable(w interface{ Write([]byte) (int, error) }) *table {
	return &table{tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)}
}

// row writes one line. Control characters of a cell could rewrite a terminal; they are shown as "?".
func (t *table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(t.w, "\t")
		}
		fmt.Fprint(t.w, printable(fmt.Sprint(c)))
	}
	fmt.Fprintln(t.w)
}

// field writes a name and its value, unless the value is empty.
func (t *table) field(name string, value any) {
	if s := fmt.Sprint(value); s != "" {
		t.row(name+":", s)
	}
}

func (t *table) flush() error { return t.w.Flush() }

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// writeFile writes a file whole: under another name first. Its folder is made if absent.
func writeFile(path string, content []byte, mode os.FileMode) error {
	return replaceFile(path, bytes.NewReader(content), mode)
}

func replaceFile(path string, content io.Reader, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
