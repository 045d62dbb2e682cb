package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"domicile"
	"domicile/audit"
)

// maxFile bounds a file given on the command line, in bytes: a court's paper is the largest.
const maxFile = 15 << 20

// readFile reads a file that a flag or argument names; one that is not there is the caller's mistake.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &domicile.Error{Op: "read", Kind: domicile.Invalid, Err: err}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &domicile.Error{Op: "read", Kind: domicile.Invalid, Err: err}
	}
	if len(raw) > maxFile {
		return nil, domicile.E("read", domicile.Invalid, path+" is larger than 15 MiB")
	}
	return raw, nil
}

// readPins reads the keys that a receipt or log is held against.
func readPins(path string) (audit.Pins, error) {
	raw, err := readFile(path)
	if err != nil {
		return audit.Pins{}, err
	}
	return audit.ParsePins(raw)
}

// password reads a password from the standard input, or asks a person for it.
func (a *app) password(cmd *cobra.Command, fromStdin bool) (string, error) {
	if fromStdin {
		raw, err := untilCtrlC(cmd, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.in, 4097)) })
		if err != nil {
			return "", domicile.W("password", err)
		}
		raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
		if len(raw) > 4096 || bytes.ContainsAny(raw, "\x00\n\r") {
			return "", usage(cmd, "the password on the standard input must be one line")
		}
		return string(raw), nil
	}
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usage(cmd, "give the password on the standard input, with --password-stdin")
	}
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", domicile.W("password", err)
	}
	fmt.Fprint(a.errOut, "Password: ")
	raw, err := untilCtrlC(cmd, func() ([]byte, error) { return term.ReadPassword(int(f.Fd())) })
	fmt.Fprintln(a.errOut)
	if err != nil {
		err = errors.Join(err, term.Restore(int(f.Fd()), before)) // a read that was left behind has echo off
	}
	return string(raw), domicile.W("password", err)
}

// untilCtrlC reads from a person or a pipe, and leaves the read behind when the command is interrupted.
func untilCtrlC(cmd *cobra.Command, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		raw []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		raw, err := read()
		done <- result{raw, err}
	}()
	select {
	case r := <-done:
		return r.raw, r.err
	case <-cmd.Context().Done():
		return nil, domicile.E("read", domicile.Other, "interrupted; nothing was done")
	}
}
