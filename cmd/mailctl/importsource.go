package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domicile/importer"
)

// openSource opens what --from names.
func openSource(cmd *cobra.Command, w importWords) (importer.Source, error) {
	kind, rest, _ := strings.Cut(w.from, ":")
	switch {
	case rest == "":
	case kind == "maildir":
		return importer.OpenMaildir(rest)
	case kind == "mbox", kind == "mboxo", kind == "mboxrd", kind == "mboxcl2":
		return importer.OpenMbox(importer.Form(kind), rest)
	case kind == "imap", kind == "imaps":
		return openIMAP(cmd, w)
	}
	return nil, usage(cmd, "--from is one of maildir:PATH, mbox:PATH, imaps://USER@HOST")
}

func openIMAP(cmd *cobra.Command, w importWords) (importer.Source, error) {
	u, err := url.Parse(w.from)
	if err != nil || u.Hostname() == "" || u.User.Username() == "" || strings.Trim(u.Path, "/") != "" {
		return nil, usage(cmd, "--from is imaps://USER@HOST[:PORT]; an @ in the user's name may stay as it is")
	}
	if _, open := u.User.Password(); open {
		return nil, usage(cmd, "a password is no part of --from, where others see it: give it by --password-file")
	}
	if err := needs(cmd, "password-file"); err != nil {
		return nil, err
	}
	raw, err := readFile(w.passwordFile)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{ServerName: u.Hostname()}
	if w.sourceCA != "" {
		ca, err := readFile(w.sourceCA)
		if err != nil {
			return nil, err
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(ca) {
			return nil, usage(cmd, "--source-ca holds no certificate in PEM")
		}
	}
	port, dial := u.Port(), dialPlain
	if u.Scheme == "imaps" {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTime}, Config: conf}).DialContext(ctx, "tcp", addr)
		}
	}
	if port == "" {
		port = strconv.Itoa(map[string]int{"imap": 143, "imaps": 993}[u.Scheme])
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	cfg := importer.IMAPConfig{Host: u.Hostname(), User: u.User.Username(), Password: string(bytes.TrimRight(raw, "\r\n")),
		Connect: func(ctx context.Context) (net.Conn, error) { return dial(ctx, addr) }}
	if loopback(u.Hostname()) {
		cfg.Host = addr // a tunnel: behind another port may be another server
	} else if u.Scheme == "imap" {
		cfg.StartTLS = conf
	}
	return importer.NewIMAP(cfg), nil
}

const dialTime = 30 * time.Second

func dialPlain(ctx context.Context, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", addr)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
