package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"domicile"
	"domicile/admin"
	"domicile/config"
	"domicile/imapd"
	"domicile/smtpd"
)

// Bytes that a stranger's connection may get before a login. SMTP has none: that is what it gets at all.
const (
	smtpStranger = 1 << 20
	imapStranger = 64 << 10
)

// start joins the other nodes and opens the fronts.
func (n *node) start(ctx context.Context) (ready, error) {
	at := ready{Ready: true, Node: n.cfg.Name, Region: n.cfg.Region, RPC: n.cfg.RPC.Advertise}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	n.opened(func() error { stop(); n.work.Wait(); return nil })
	n.opened(n.net.Close) // before the parts that answer its calls
	if err := n.net.Start(background); err != nil {
		return at, err
	}
	var err error
	if at.HTTP, err = n.startHTTP(); err != nil || n.cfg.Witness() {
		return at, err
	}
	if n.store != nil {
		n.work.Go(func() { n.net.KeepCosigned(background, n.audit) })
		n.work.Go(func() { n.nameWatch().run(background) })
		n.work.Go(func() { n.queue.Run(background) })
		n.work.Go(func() { n.moves.Run(background) })
		if n.cfg.Backup.Dir != "" {
			n.work.Go(func() { n.keepBackup(background) })
		}
	}
	if err = n.startSMTP(&at); err != nil {
		return at, err
	}
	if err = n.startIMAP(&at); err != nil {
		return at, err
	}
	at.Admin, err = n.startAdmin(background)
	return at, err
}

// startSMTP opens the fronts that take mail, each a server of its own: from other servers, and from customers.
func (n *node) startSMTP(at *ready) error {
	for _, f := range []struct {
		name string
		door smtpd.Door
		conf config.Front
		at   *string
		tls  bool
	}{{"smtp", smtpd.MX, n.cfg.SMTP, &at.SMTP, false}, {"lmtp", smtpd.LMTP, n.cfg.LMTP, &at.LMTP, false},
		{"submission", smtpd.Submission, n.cfg.Submission, &at.Submission, false}, {"submissions", smtpd.Submission, n.cfg.Submissions, &at.Submissions, true}} {
		if f.conf.Listen == "" {
			continue
		}
		s, err := n.smtpServer(f.name, f.door, f.conf)
		if err != nil {
			return err
		}
		l, err := n.net.ListenFront(f.conf.Listen, smtpStranger)
		if err == nil && f.tls {
			l = tls.NewListener(l, n.frontTLS())
		}
		if *f.at, err = n.serveFront(s, l, err); err != nil {
			return err
		}
	}
	return nil
}

// smtpServer makes the server of one front.
func (n *node) smtpServer(name string, door smtpd.Door, conf config.Front) (*smtpd.Server, error) {
	return smtpd.New(smtpd.Config{Door: door, Region: n.region(), Hostname: conf.Hostname, MaxSize: conf.MaxSize, Lab: n.cfg.Lab,
		Directory: n.directory, Guard: n.guard, Node: n.net, Home: n.home, TLS: n.frontTLS(), Log: n.log, Now: n.cfg.Now,
		Check: n.logins, Queue: n.queue,
		Login:  func(result string) { n.counts.login(name, result) },
		HostOf: n.hostOf,
		Count:  func(command string, code int) { n.counts.reply(name, command, code) }})
}

// startIMAP opens the IMAP fronts, in the clear and within TLS by the node's certificate: one server each, before one home.
func (n *node) startIMAP(at *ready) error {
	for _, f := range []struct {
		name string
		conf config.Front
		at   *string
		tls  bool
	}{{"imap", n.cfg.IMAP, &at.IMAP, false}, {"imaps", n.cfg.IMAPS, &at.IMAPS, true}} {
		if f.conf.Listen == "" {
			continue
		}
		s, err := imapd.New(imapd.Config{Region: n.region(), Hostname: f.conf.Hostname, Lab: n.cfg.Lab, Home: n.reading, Guard: n.guard, TLS: n.frontTLS(),
			Implicit: f.tls, MaxSize: f.conf.MaxSize, NoUnauthenticate: f.conf.NoUnauthenticate, Check: n.logins, Log: n.log,
			Resolve: n.directory.Resolve, Moved: n.directory.Moved, Network: n.net,
			HostOf:   func(r domicile.Region) string { return n.catalog.Load().HostOf(r) },
			RegionOf: func(host string) (domicile.Region, bool) { return n.catalog.Load().RegionOfHost(host) },
			Count:    func(result string) { n.counts.login(f.name, result) }})
		if err != nil {
			return err
		}
		l, err := n.net.ListenFront(f.conf.Listen, imapStranger)
		if *f.at, err = n.serveFront(s, l, err); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) startAdmin(background context.Context) (string, error) {
	if n.cfg.Admin.Listen == "" {
		return "", nil
	}
	var made admin.Backups
	if n.cfg.Backup.Dir != "" && n.store != nil {
		asked, err := n.store.Table("backups")
		if err != nil {
			return "", err
		}
		if made, err = openBackups(background, n, n.repository, asked); err != nil {
			return "", err
		}
	}
	s, err := admin.New(admin.Config{Region: n.region(), Backups: made, Node: domicile.Node(n.cfg.Name), Network: n.net, Catalog: n.catalog.Load, Store: n.store,
		Directory: n.directory, Residence: n.residence, Moves: n.moves, Orders: n.orders, Audit: n.audit, AuditDir: n.data("audit"), Guard: n.guard, Queue: operatorsQueue{n.queue}, Passwords: n.passwords, Log: n.log, Now: n.cfg.Now, Clock: n.clock, Undelete: n.cfg.KeepExpunged(), Changed: n.reading.Changed})
	if err != nil {
		return "", err
	}
	l, err := n.net.ListenOperators(n.cfg.Admin.Listen)
	return n.serveFront(s, l, err)
}

// serveFront runs a front until it is shut down; if it ends before, the node ends too.
func (n *node) serveFront(f front, l net.Listener, err error) (string, error) {
	if err != nil {
		return "", err
	}
	n.fronts = append(n.fronts, f)
	n.work.Go(func() {
		if err := f.Serve(l); err != nil && !n.draining.Load() {
			n.failed <- err
		}
	})
	return l.Addr().String(), nil
}

// drain takes nothing new, waits for what is under way, and leaves the rest to closeAll.
func (n *node) drain() error {
	n.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	ends := []func(context.Context) error{}
	for _, f := range n.fronts {
		ends = append(ends, f.Shutdown)
	}
	if n.reading != nil {
		ends = append(ends, n.reading.Shutdown, n.sending.Shutdown)
	}
	var work sync.WaitGroup
	errs := make([]error, len(ends))
	for i, end := range ends {
		work.Go(func() { errs[i] = end(ctx) })
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		n.log.Warn("some sessions were cut", "error", err)
	}
	return nil
}
