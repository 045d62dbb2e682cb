package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/backup"
	"domicile/config"
	"domicile/disclosure"
	"domicile/imapd"
	"domicile/keys"
	"domicile/login"
	"domicile/move"
	"domicile/placement"
	"domicile/region"
	"domicile/residence"
	"domicile/smtpd"
	"domicile/store"
	"domicile/store/bolt"
)

// journalKeep is how long records of sessions and deliveries are kept before whole files of them are removed.
const journalKeep = 90 * 24 * time.Hour

// node is the parts list of one node.
type node struct {
	cfg     *config.Node
	log     *slog.Logger
	catalog atomic.Pointer[region.Catalog]
	signer  *keys.Signer
	cert    atomic.Pointer[tls.Certificate] // for the fronts within TLS

	// Nil for a witness.
	root      *keys.Root
	secret    *keys.Secret
	audit     *audit.Log
	journal   *region.Journal
	guard     *region.Guard
	directory *placement.Directory
	passwords *keys.Passwords
	logins    *login.Checker

	// Nil on a node that holds no store.
	store      store.Store
	bolt       *bolt.Store // the same, for what only this driver has
	storeStats func() bolt.Stats
	registrar  *placement.Registrar
	residence  *residence.Ledger
	preserving atomic.Pointer[residence.Ledger] // the same, for the store, which asks from goroutines of its own
	orders     *disclosure.Engine
	moves      *move.Machine
	home       *smtpd.Home
	ring       *keys.Ring
	queue      *smtpd.Queue
	sending    *smtpd.Server // serves the submissions of this node's accounts that other nodes hand over
	reading    *imapd.Home

	mirror   atomic.Pointer[backup.Mirror] // nil without a repository, or while it cannot be opened
	cosigner *audit.Witness                // of others' logs; nil on a node that is neither witness nor store

	net    *region.Node
	fronts []front

	began    time.Time      // when it was started
	closers  []func() error // in the order in which the parts were made
	stop     context.CancelFunc
	work     sync.WaitGroup
	failed   chan error
	draining atomic.Bool
	restored *backup.Mark          // of a folder that was restored, confirmed, and not settled yet
	at       atomic.Pointer[ready] // where it serves, once it does
	counts   *counts
}

// front is a server and where it listens.
type front interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// hostOf names the host of a region's customers, "" if the catalog has none.
func (n *node) hostOf(r domicile.Region) string { return n.catalog.Load().HostOf(r) }

// opened remembers how to close a part.
func (n *node) opened(close func() error) { n.closers = append(n.closers, close) }

// closeAll releases the parts, the last made first.
func (n *node) closeAll() {
	for _, c := range slices.Backward(n.closers) {
		if err := c(); err != nil {
			n.log.Error("a part did not close well", "error", err)
		}
	}
	n.closers = nil
}

// data names a folder of the data folder.
func (n *node) data(name string) string { return filepath.Join(n.cfg.Data, name) }

func (n *node) region() domicile.Region { return domicile.Region(n.cfg.Region) }

// build makes every part and joins them. Nothing listens yet.
func (n *node) build() error {
	if err := n.open(); err != nil {
		return err
	}
	steps := []func() error{n.buildNetwork, n.buildCosigner}
	if !n.cfg.Witness() {
		steps = []func() error{n.buildBorder, n.recordFirst, n.recordRoot, n.buildNetwork, n.buildCosigner, n.buildLogins, n.buildStore, n.buildDirectory, n.buildQueue, n.buildCases, n.settleRestored, n.buildBackup}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// open takes the data folder and reads what is needed first.
func (n *node) open() error {
	if err := region.Stamp(n.cfg.Data, n.region(), domicile.Node(n.cfg.Name)); err != nil {
		return err
	}
	release, err := region.Lock(n.cfg.Data)
	if err != nil {
		return err
	}
	n.opened(release)
	catalog, err := n.readCatalog()
	if err != nil {
		return err
	}
	n.catalog.Store(catalog)
	n.signer, err = keys.LoadSigner(n.cfg.SigningKey)
	return err
}

// buildBorder opens the log, the journal and the guard that writes to both.
func (n *node) buildBorder() (err error) {
	if n.root, err = keys.LoadRoot(n.cfg.RootKey); err != nil {
		return err
	}
	if n.secret, err = n.root.Open(n.cfg.Data); err != nil {
		return err
	}
	n.audit, err = audit.Open(audit.Config{Dir: n.data("audit"), Origin: n.signer.Name(), Signer: n.signer, Sealer: n.secret.Box("audit"), Now: n.cfg.Now})
	if err != nil {
		return err
	}
	n.opened(n.audit.Close)
	n.journal, err = region.OpenJournal(n.data("journal"), n.secret.Box("journal"), journalKeep, n.cfg.Now)
	if err != nil {
		return err
	}
	n.opened(n.journal.Close)
	n.guard, err = region.NewGuard(region.GuardConfig{Region: n.region(), Log: n.audit, Journal: n.journal, Now: n.cfg.Now, Count: n.counts.crossing})
	if err != nil {
		return err
	}
	n.opened(n.guard.Close)
	return nil
}

func (n *node) buildNetwork() error {
	identity, err := n.loadIdentity()
	if err != nil {
		return err
	}
	gossip, err := keys.LoadGossip(n.cfg.Gossip.KeyFile)
	if err != nil {
		return err
	}
	c := n.cfg
	n.net, err = region.New(region.Config{
		Node: domicile.Node(c.Name), Region: n.region(), Roles: c.Roles, Catalog: n.catalog.Load, Identity: identity, Guard: n.guard,
		RPCListen: c.RPC.Listen, RPCAdvertise: c.RPC.Advertise, RPCInside: c.RPC.Inside, GossipInside: c.Gossip.Inside,
		AdminAdvertise: adminAddress(c.Admin), BeforeCosign: n.copyFirst,
		FrontLimits:  region.Limits{Open: int(c.Limits.Connections), OpenEach: int(c.Limits.PerNetwork), NewEachMinute: int(c.Limits.NewPerMinute)},
		GossipListen: c.Gossip.Listen, GossipAdvertise: c.Gossip.Advertise, Seeds: c.Gossip.Seeds, GossipKeys: gossip, Log: n.log, Now: n.cfg.Now,
	})
	return err
}

// buildCosigner answers other regions that want their logs cosigned.
func (n *node) buildCosigner() (err error) {
	if !n.cfg.Witness() && !n.cfg.Has("store") {
		return nil
	}
	n.cosigner, err = audit.OpenWitness(n.data("cosigner"), n.signer, n.otherLogs(n.catalog.Load()), n.cfg.Now)
	if err != nil {
		return err
	}
	n.opened(n.cosigner.Close)
	n.net.ServeCosigner(n.cosigner)
	return nil
}

// adminAddress is what other nodes are told, so that they can send an operator on; "" where it cannot be known.
func adminAddress(l config.Listen) string {
	if l.Advertise != "" {
		return l.Advertise
	}
	if ap, err := netip.ParseAddrPort(l.Listen); err != nil || ap.Addr().IsUnspecified() || ap.Port() == 0 {
		return ""
	}
	return l.Listen
}

// otherLogs maps the origin of every region's log but our own to its verifier key.
func (n *node) otherLogs(c *region.Catalog) map[string]string {
	logs := map[string]string{}
	for _, r := range c.Regions {
		if r.Name != n.region() {
			origin, _, _ := strings.Cut(r.Key, "+")
			logs[origin] = r.Key
		}
	}
	return logs
}

func (n *node) buildStore() error {
	if !n.cfg.Has("store") {
		return nil
	}
	ring, err := keys.OpenRing(n.secret, n.data("keys"))
	if err != nil {
		return err
	}
	n.ring = ring
	n.opened(ring.Close)
	s, err := bolt.Open(bolt.Config{Dir: n.data("store"), Region: n.region(), Sealer: ring, Now: n.cfg.Now, Log: n.log, SegmentSize: n.cfg.StoreSegment, Undelete: n.cfg.KeepExpunged(),
		Preserved: n.preserved})
	if err != nil {
		return err
	}
	n.opened(s.Close)
	if n.restored != nil {
		erased, err := s.EraseKeyless(context.Background())
		if err == nil {
			err = s.Renumber(context.Background())
		}
		if err != nil {
			return err
		}
		if erased > 0 {
			n.log.Warn("accounts that were erased after the backup was made are erased again", "accounts", erased)
		}
	}
	n.store, n.bolt, n.storeStats = s, s, s.Stats
	n.logins.Accounts, n.logins.Update = s, s.UpdateAccount
	n.home = smtpd.NewHome(s, n.cfg.SMTP.MaxSize, n.log)
	n.home.Count = n.counts.delivery
	n.home.Register(n.net)
	return n.buildReading()
}

// buildReading makes what serves the sessions of this node's accounts, whichever front they come in by.
func (n *node) buildReading() (err error) {
	n.reading, err = imapd.NewHome(imapd.HomeConfig{Region: n.region(), Hostname: n.cfg.IMAPS.Hostname, Store: n.store, Guard: n.guard, TLS: n.frontTLS(), MaxSize: n.cfg.IMAP.MaxSize,
		PerAccount: int(n.cfg.Limits.PerAccount), Check: n.logins, Log: n.log, HostOf: n.hostOf, Count: func(result string) { n.counts.login("imaps", result) }})
	if err != nil {
		return err
	}
	n.opened(func() error {
		ctx, cut := context.WithCancel(context.Background())
		cut()
		n.reading.Shutdown(ctx)
		return nil
	})
	n.reading.Register(n.net)
	return nil
}

func (n *node) buildDirectory() error {
	key, err := keys.LoadNames(n.cfg.NamesKey)
	if err != nil {
		return err
	}
	digester, err := placement.NewDigester(key)
	if err != nil {
		return err
	}
	if err := n.buildRegistrar(); err != nil {
		return err
	}
	cfg := placement.DirectoryConfig{
		Region: n.region(), Digester: digester, Trust: trust{n.catalog.Load}, Remote: n.net, Registrar: n.registrar, Signer: n.signer, Now: n.cfg.Now}
	if n.store != nil {
		cfg.Local = n.local
		n.net.ServeOwn(n.local)
	} else {
		cfg.Nearby = n.net.OwnAccount
	}
	n.directory, err = placement.NewDirectory(cfg)
	return err
}

func (n *node) buildRegistrar() error {
	if n.store == nil {
		return nil
	}
	names, err := n.store.Table("names")
	if err != nil {
		return err
	}
	n.registrar, err = placement.NewRegistrar(placement.RegistrarConfig{Region: n.region(), Trust: trust{n.catalog.Load}, Table: names, Record: n.recordName, Now: n.cfg.Now})
	if err != nil {
		return err
	}
	n.net.ServeRegistrar(n.registrar)
	return nil
}

// buildQueue opens what customers have sent and is not delivered yet.
func (n *node) buildQueue() error {
	if n.store == nil {
		return nil
	}
	expire, err := time.ParseDuration(n.cfg.Queue.Expire)
	if err != nil {
		return err
	}
	n.queue, err = smtpd.OpenQueue(smtpd.QueueConfig{
		Dir: n.data("outbound"), Region: n.region(), Hostname: n.cfg.Submission.Hostname, MaxSize: max(n.cfg.Submission.MaxSize, n.cfg.Submissions.MaxSize),
		Directory: n.directory, Guard: n.guard, Node: n.net, Home: n.home, Store: n.store, Sealer: n.ring, Log: n.log,
		Expire: expire, MaxBytes: n.cfg.Queue.MaxBytes, AccountBytes: n.cfg.Queue.AccountBytes, Rate: n.cfg.Queue.Rate, Now: n.cfg.Now, Count: n.counts.queue,
	})
	if err != nil {
		return err
	}
	n.sending, err = n.smtpServer("submission", smtpd.Submission, n.cfg.Submission)
	if err != nil {
		return err
	}
	n.opened(func() error {
		ctx, cut := context.WithCancel(context.Background())
		cut()
		n.sending.Shutdown(ctx)
		return nil
	})
	n.sending.Register(n.net)
	return nil
}

// buildCases opens what rests on accounts: the residence ledger and the cases.
func (n *node) buildCases() error {
	if n.store == nil {
		return nil
	}
	entries, err := n.store.Table("residence")
	if err != nil {
		return err
	}
	coolDown, err := time.ParseDuration(n.cfg.Residence.CoolDown)
	if err != nil {
		return err
	}
	between, err := time.ParseDuration(n.cfg.Residence.Between)
	if err != nil {
		return err
	}
	n.residence, err = residence.Open(residence.Config{Region: n.region(), Table: entries, Record: n.recordResidence, Now: n.cfg.Now, CoolDown: coolDown, Between: between})
	if err != nil {
		return err
	}
	n.preserving.Store(n.residence)
	if err := n.buildMoves(); err != nil {
		return err
	}
	n.orders, err = disclosure.Open(disclosure.Config{
		Region: n.region(), Node: domicile.Node(n.cfg.Name), Lab: n.cfg.Lab, Catalog: n.catalog.Load, Store: n.store, Log: n.audit, Guard: n.guard,
		Notifier: n.net, Resolve: n.directory.Resolve, Cosign: func(ctx context.Context) (int, error) { return n.net.CosignNow(ctx, n.audit) },
		Box: n.secret.Box("cases"), Dir: n.data("productions"), Registry: n.cfg.Disclosure.Registry, Bundles: n.cfg.Disclosure.Bundles, Now: n.cfg.Now,
		Freeze: n.freeze, Clock: n.clock, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.opened(n.orders.Close)
	return nil
}

// buildMoves opens the moves out of and into this region. It comes before anything that asks where an account rests.
func (n *node) buildMoves() (err error) {
	n.moves, err = move.Open(move.Config{Region: n.region(), Node: domicile.Node(n.cfg.Name), Store: n.store, Residence: n.residence, Directory: n.directory,
		Place: func(c domicile.Country) (domicile.Region, error) {
			return placement.Place(c, n.catalog.Load().Placement())
		},
		Network: n.net, Guard: n.guard, Log: n.audit, TokenKey: n.home.TokenKey, Quiet: n.quiet, Logger: n.log, Now: n.cfg.Now,
		Cosign:  func(ctx context.Context, by domicile.Region) error { return n.net.CosignBy(ctx, n.audit, by) },
		Pending: func(_ context.Context, id domicile.AccountID) (bool, error) { return !n.queue.Idle(id), nil }})
	if err != nil {
		return err
	}
	n.moves.Register(n.net)
	return nil
}
