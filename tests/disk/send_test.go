//go:build linux

package disk

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"domicile"
	"domicile/config"
	"domicile/keys"
	"domicile/lab"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
	"domicile/smtpd"
	"domicile/store"
)

// sending is what a region's customers send by, opened as a node opens it. The node neither starts nor calls others.
type sending struct {
	net       *region.Node
	directory *placement.Directory
	home      *smtpd.Home
	queue     *smtpd.Queue
	log       *slog.Logger
	trouble   chan struct{} // the queue has said something, which it does only when something is wrong
	sent      []claim       // what was accepted and is not known to be delivered
}

const labFolder = "lab" // of certificates and the catalog, among the secrets

func makeLab(dir string) error {
	_, err := lab.Init(lab.InitOptions{Dir: filepath.Join(dir, labFolder), Regions: []lab.RegionSpec{
		{Name: home, Country: "IE", Serves: []domicile.Country{"IE"}}, {Name: "us-east", Country: "US", Serves: []domicile.Country{"US"}}}})
	return err
}

// border is what a node reads of a lab.
type border struct {
	catalog  *region.Catalog
	identity []byte
	gossip   [][]byte
	digester *placement.Digester
}

func loadBorder(dir string) (b border, err error) {
	c, err := config.Load(filepath.Join(dir, labFolder, string(node), "node.toml"))
	if err != nil {
		return b, err
	}
	names, err1 := keys.LoadNames(c.NamesKey)
	gossip, err2 := keys.LoadGossip(c.Gossip.KeyFile)
	catalog, err3 := region.LoadCatalog(c.Catalog.Dir, c.Catalog.Genesis)
	identity, err4 := os.ReadFile(c.Identity)
	digester, err5 := placement.NewDigester(names)
	return border{catalog, identity, gossip, digester}, errors.Join(err1, err2, err3, err4, err5)
}

// openSending opens the queue behind all other parts.
func (l *life) openSending() (err error) {
	l.trouble = make(chan struct{}, 1)
	l.log = slog.New(slog.NewTextHandler(l, nil))
	l.net, err = region.New(region.Config{Node: node, Region: home, Roles: []string{region.RoleFront, region.RoleStore}, Catalog: func() *region.Catalog { return l.border.catalog },
		Identity: l.border.identity, Guard: l.guard, RPCListen: "127.0.0.1:0", GossipListen: "127.0.0.1:0", GossipKeys: l.border.gossip})
	if err != nil {
		return err
	}
	l.closers = append(l.closers, l.net.Close)
	names, err := l.store.Table("names")
	if err != nil {
		return err
	}
	registrar, err := placement.NewRegistrar(placement.RegistrarConfig{Region: home, Trust: l.border.catalog, Table: names,
		Record: func(context.Context, string, placement.Ownership) error {
			return errors.New("nobody claims a name here")
		}})
	if err != nil {
		return err
	}
	l.directory, err = placement.NewDirectory(placement.DirectoryConfig{Region: home, Digester: l.border.digester, Trust: l.border.catalog, Remote: l.net, Registrar: registrar, Signer: l.signer,
		Local: func(ctx context.Context, a domicile.Address) (domicile.AccountID, uint64, error) {
			acct, err := l.store.AccountByAddress(ctx, a)
			return acct.ID, acct.Epoch, err
		}})
	if err != nil {
		return err
	}
	l.home = smtpd.NewHome(l.store, smtpd.DefaultMaxSize, l.log)
	l.queue, err = smtpd.OpenQueue(smtpd.QueueConfig{Dir: l.in("outbound"), Region: home, Hostname: "mx.example.com", MaxSize: smtpd.DefaultMaxSize,
		Directory: l.directory, Guard: l.guard, Node: l.net, Home: l.home, Store: l.store, Sealer: l.ring, Log: l.log})
	return err
}

// Write takes a line of the log of what sends mail: on this disk all of them are of trouble.
func (l *life) Write(line []byte) (int, error) {
	select {
	case l.trouble <- struct{}{}:
	default:
	}
	return os.Stderr.Write(line)
}

// letter is the text of a message that a life sends, of several pages.
func letter(id, from, to string) []byte {
	return fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: Sun, 01 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s@example.com>\r\n\r\n%s", from, to, id, id, body(id, 40))
}

// submit logs in to the submission port and sends one message to another account of the region.
func (l *life) submit(ctx context.Context, name string, i int, say func(claim)) error {
	from, to := fmt.Sprintf("%s-stays-%d", name, i), fmt.Sprintf("%s-reads-%d", name, i)
	return l.front(ctx, func(addr string) error {
		s, err := lab.DialSMTP(ctx, addr)
		if err != nil {
			return err
		}
		defer s.Close()
		if _, err := s.Command(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+from+"@example.com\x00"+from))); err != nil {
			return err
		}
		if err := l.journaled(say); err != nil { // the session is on record before its first answer within
			return err
		}
		text := letter(from, from+"@example.com", to+"@example.com")
		if err := s.Send(from+"@example.com", text, to+"@example.com"); err != nil {
			return err
		}
		sent := claim{Kind: "sent", ID: from, In: to}
		l.sent = append(l.sent, sent)
		say(sent)
		return nil
	})
}

// front serves the submission port while fn runs.
func (l *life) front(ctx context.Context, fn func(addr string) error) error {
	srv, err := smtpd.New(smtpd.Config{Door: smtpd.Submission, Region: home, Hostname: "mx.example.com", Lab: true, Directory: l.directory, Guard: l.guard, Node: l.net,
		Home: l.home, Queue: l.queue, Log: l.log, Check: &login.Checker{Accounts: l.store, Address: placement.ParseAddress,
			Kept: plainKept{keys.NewPasswords(nil)}, Tries: login.NewGuesses(login.FirstDelay, placement.ParseAddress)}})
	if err != nil {
		return err
	}
	at, err := l.net.ListenFront("127.0.0.1:0", 64<<10)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(at) }()
	err = fn(at.Addr().String())
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return errors.Join(err, srv.Shutdown(ctx), <-ended)
}

// plainKept keeps passwords as they are: what a check costs is no matter of disks.
type plainKept struct{ *keys.Passwords }

func (plainKept) Check(kept, password string) (bool, error) { return kept == password, nil }

// send has the queue deliver all that is in it.
func (l *life) send(ctx context.Context, say func(claim)) error {
	if err := l.deliverAll(ctx); err != nil {
		return err
	}
	for _, c := range l.sent {
		c.Kind = "delivered"
		say(c)
	}
	l.sent = nil
	return nil
}

// deliverAll runs the queue until it is empty, or says that something is wrong.
func (l *life) deliverAll(ctx context.Context) error {
	list, err := l.queue.List(100)
	if err != nil {
		return err
	}
	for _, q := range list {
		if q.Next.Before(time.Now()) {
			continue
		}
		if _, err := l.queue.Retry(ctx, q.ID); err != nil {
			return err
		}
	}
	select {
	case <-l.trouble: // of before
	default:
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	go func() { l.queue.Run(ctx); close(ended) }()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for err == nil && l.queue.Stats().Waiting > 0 {
		select {
		case <-l.trouble:
			err = errors.New("the queue does not deliver")
		case <-look.C:
		}
	}
	stop()
	<-ended
	return err
}

// holdsSent wants a message whose sender heard 250 to be delivered, once, and byte for byte.
func (l *life) holdsSent(ctx context.Context, c claim) error {
	if err := l.deliverAll(ctx); err != nil {
		return err
	}
	acct := domicile.AccountID(c.In)
	box, err := l.store.MailboxByName(ctx, acct, store.Inbox)
	if err != nil {
		return err
	}
	want, found := letter(c.ID, c.ID+"@example.com", c.In+"@example.com"), 0
	for m, err := range store.AllMessages(ctx, l.store, acct, box.ID) {
		if err != nil {
			return err
		}
		got, err := l.text(ctx, acct, m.ID)
		if err != nil {
			return err
		}
		if bytes.Contains(got, []byte("\r\nSubject: "+c.ID+"\r\n")) {
			if err := lab.BehindTrace(got, want); err != nil {
				return err
			}
			found++
		}
	}
	if found != 1 {
		return fmt.Errorf("it is there %d times", found)
	}
	return nil
}

func (l *life) text(ctx context.Context, acct domicile.AccountID, id domicile.MessageID) ([]byte, error) {
	r, err := l.store.Body(ctx, acct, id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
