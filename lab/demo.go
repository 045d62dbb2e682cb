package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/admin"
)

// DemoOptions say how to tell the story.
type DemoOptions struct {
	Dir      string // made anew; a folder that no demo or lab init made is refused
	Mail     string // real messages, see LoadMail; "" = built-in ones
	BasePort int
	Once     bool // end when the story is told, instead of staying up
	JSON     bool
	Out, Err io.Writer
	Self     string // path of mailnode
}

// The story's regions and customers.
const (
	us = domicile.Region("us-east")
	ie = domicile.Region("eu-ireland")

	aoife = domicile.Address("aoife@" + labDomain) // resident in Ireland
	sam   = domicile.Address("sam@" + labDomain)   // resident in the US
)

// storyTime bounds the telling, not the staying up.
const storyTime = 10 * time.Minute

// story is the telling: the nodes that run, and what has come of it so far.
type story struct {
	*teller
	opts    DemoOptions
	lab     *Lab
	running []*Process
	clients map[string]*admin.Client

	marker    string
	mails     []Mail
	passwords map[domicile.Address]string
	receipts  []keptReceipt
}

// Demo makes a lab in Dir, runs its nodes as processes, and tells the story as their client, over sockets only. failed is
// how many steps did not come out as promised; err is what kept the story from being told to its end. Unless Once, it then
// stays up until ctx ends. No process outlives it.
func Demo(ctx context.Context, o DemoOptions) (failed int, err error) {
	s := &story{teller: newTeller(o.Out, o.JSON), opts: o, clients: map[string]*admin.Client{},
		passwords: map[domicile.Address]string{aoife: secret(), sam: secret()}, marker: "marker" + secret()[:10]}
	if err := s.prepare(); err != nil {
		return 0, err
	}
	release, err := hold(s.lab.Dir)
	if err != nil {
		return 0, err
	}
	defer release()
	defer s.stop()
	telling, cancel := context.WithTimeout(ctx, storyTime)
	defer cancel()
	for _, chapter := range []func(context.Context) error{s.regions, s.accounts, s.mail, s.journey, s.orders, s.treaty, s.moves, s.proofs} {
		if err := chapter(telling); err != nil {
			s.tell(act{Step: "the story was cut short", Code: failureCode(err), Detail: err.Error()})
			s.end()
			return s.failed, err
		}
	}
	s.end()
	if o.Once {
		return s.failed, s.stop()
	}
	s.invite()
	return s.failed, s.stayUp(ctx)
}

// secret returns a password that is easy to paste.
func secret() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// prepare makes lab and mail: what can fail without a story.
func (s *story) prepare() (err error) {
	if s.mails = builtin(s.marker, aoife); s.opts.Mail != "" {
		real, err := LoadMail(s.opts.Mail)
		if err != nil {
			return err
		}
		s.mails = append(slices.DeleteFunc(s.mails, func(m Mail) bool { return m.Name != "marker" }), real...)
	}
	if err := Remove(s.opts.Dir); err != nil {
		return err
	}
	s.lab, err = Init(InitOptions{Dir: s.opts.Dir, BasePort: s.opts.BasePort, CoolDown: demoCoolDown, Regions: []RegionSpec{
		{Name: us, Country: "US", Serves: []domicile.Country{"US"}},
		{Name: ie, Country: "IE", Serves: []domicile.Country{"IE", "AT", "BE", "DE", "ES", "FR", "IT", "NL", "PT"}}}})
	if err != nil {
		return err
	}
	for _, moved := range s.lab.Moved {
		fmt.Fprintln(s.opts.Err, moved)
	}
	return os.MkdirAll(s.lab.Path("receipts"), 0o755)
}

// do does one act and tells it. want is the code that was promised; fn returns the one that came.
func (s *story) do(step string, r domicile.Region, want string, fn func() (code, detail string, err error)) bool {
	code, detail, err := fn()
	ok := err == nil && code == want
	switch {
	case err != nil:
		detail = strings.TrimSpace(detail + " " + err.Error())
		if code == "" {
			code = failureCode(err)
		}
	case !ok:
		detail = fmt.Sprintf("%s was promised. %s", want, detail)
	}
	s.tell(act{Step: step, Region: r, OK: ok, Code: code, Detail: detail})
	return ok
}

func failureCode(err error) string {
	if r := domicile.ReasonOf(err); r != "" {
		return string(r)
	}
	return domicile.KindOf(err).String()
}

// refused turns the error of an act that must be refused into a code, and keeps the receipt that came with it.
func (s *story) refused(receipt, detail string, err error) (string, string, error) {
	if domicile.KindOf(err) != domicile.Refused {
		if err == nil {
			err = errors.New("it was done, and must not be")
		}
		return "", detail, err
	}
	return string(domicile.ReasonOf(err)), detail, s.keep(receipt, admin.ReceiptOf(err))
}

// client returns a connection to a region's admin address, as its first operator with the role.
func (s *story) client(r domicile.Region, role string) (*admin.Client, error) {
	return s.clientAs(s.lab.Who(r, role).Name)
}

// clientAs is client as the operator of a name.
func (s *story) clientAs(name string) (*admin.Client, error) {
	if c := s.clients[name]; c != nil {
		return c, nil
	}
	who := s.lab.Operators[slices.IndexFunc(s.lab.Operators, func(o Operator) bool { return o.Name == name })]
	id, err := os.ReadFile(s.lab.Path(who.Identity))
	if err != nil {
		return nil, err
	}
	c, err := admin.NewClient(s.lab.Home(who.Region).Admin, id)
	if err == nil {
		s.clients[name] = c
	}
	return c, err
}

// stop ends every node. Safe to repeat.
func (s *story) stop() error {
	for _, c := range s.clients {
		c.Close()
	}
	var errs []error
	for _, p := range slices.Backward(s.running) {
		errs = append(errs, p.Stop())
	}
	s.running = nil
	return errors.Join(errs...)
}

// stayUp waits for ctx to end, or a node to die of itself.
func (s *story) stayUp(ctx context.Context) error {
	gone := make(chan domicile.Node, len(s.running))
	for _, p := range s.running {
		go func() { <-p.exited; gone <- p.Name }()
	}
	select {
	case <-ctx.Done():
		s.say("\nstopping %d nodes", len(s.running))
		return s.stop()
	case name := <-gone:
		err := domicile.E("demo", domicile.Unavailable, fmt.Sprintf("%s ended by itself; its log is %s", name, s.show(filepath.Join(string(name), "node.log"))))
		return errors.Join(err, s.stop())
	}
}

// show writes a path of the lab as the person who gave --dir would.
func (s *story) show(rel string) string {
	path := filepath.ToSlash(filepath.Join(s.opts.Dir, rel))
	if !filepath.IsAbs(path) && !strings.HasPrefix(path, "../") {
		path = "./" + path
	}
	return path
}
