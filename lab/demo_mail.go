package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"domicile"
	"domicile/admin"
)

// regions starts every node as a process of its own and waits until they have found each other.
func (s *story) regions(ctx context.Context) error {
	s.chapter("Two regions and a witness find each other",
		"Each region has its own certificate authority. Both belong to one US parent. A node knows a few seeds, and nothing more.")
	names := []domicile.Node{domicile.Node(s.lab.Witness.Name)}
	for _, n := range s.lab.Nodes {
		names = append(names, n.Name)
	}
	for _, name := range names {
		var r domicile.Region
		if n := s.lab.Node(name); n != nil {
			r = n.Region
		}
		if !s.do("start "+string(name), r, "ok", func() (string, string, error) {
			p, err := s.lab.Start(ctx, s.opts.Self, name)
			if err != nil {
				return "", "", err
			}
			s.running = append(s.running, p)
			return "ok", s.lab.introduce(name), nil
		}) {
			return errors.New("a node did not start: the story cannot be told")
		}
	}
	for _, r := range []domicile.Region{us, ie} {
		s.do("find each other "+string(r), r, "ok", func() (string, string, error) { return s.found(ctx, r, names) })
	}
	return nil
}

// introduce says what a node serves.
func (l *Lab) introduce(name domicile.Node) string {
	n := l.Node(name)
	if n == nil {
		return string(name) + " is up. It only cosigns logs, and no state of this story can compel it."
	}
	return fmt.Sprintf("%s is up: SMTP %s, IMAP %s, operators %s.", name, n.SMTP, n.IMAP, n.Admin)
}

// found waits until a region's node knows all the others to be alive.
func (s *story) found(ctx context.Context, r domicile.Region, names []domicile.Node) (string, string, error) {
	c, err := s.client(r, "operator")
	if err != nil {
		return "", "", err
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		nodes, err := c.Nodes(ctx)
		alive := 0
		for _, n := range nodes {
			if n.Alive {
				alive++
			}
		}
		if err == nil && alive == len(names) {
			return "ok", fmt.Sprintf("It knows %d nodes by gossip, itself included.", alive), nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return "", fmt.Sprintf("After 30 s it knows %d of %d nodes.", alive, len(names)), errors.Join(err, ctx.Err(), errors.New("not all found"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// accounts makes two customers, and refuses two who cannot be placed.
func (s *story) accounts(ctx context.Context) error {
	s.chapter("Where a customer lives decides where the mail rests", "")
	create := func(r domicile.Region, a domicile.Address, residence string) (admin.Account, error) {
		c, err := s.client(r, "operator")
		if err != nil {
			return admin.Account{}, err
		}
		password := s.passwords[a]
		if password == "" {
			password = secret()
		}
		return c.CreateAccount(ctx, admin.CreateAccount{Address: string(a), Residence: residence, Password: password})
	}
	for _, who := range []struct {
		r    domicile.Region
		a    domicile.Address
		cc   string
		text string
	}{{ie, aoife, "IE", "A customer resident in Ireland"}, {us, sam, "US", "A customer resident in the US"}} {
		if !s.do("account "+who.cc, who.r, "ok", func() (string, string, error) {
			acct, err := create(who.r, who.a, who.cc)
			return "ok", fmt.Sprintf("%s: %s rests in %s.", who.text, who.a, acct.Region), err
		}) {
			return errors.New("an account could not be made: the story cannot be told")
		}
	}
	for _, bad := range []struct {
		step string
		cc   string
		r    domicile.Region
		want domicile.Reason
		text string
	}{
		{"residence XX", "XX", ie, domicile.UnknownCountry, `A residence of "XX" is no country: refused, never sent to a default region.`},
		{"residence BR", "BR", ie, domicile.ResidenceNotServed, "Brazil is a country, but no region of this catalog serves it."},
		{"residence IE at us-east", "IE", us, domicile.WrongRegion, "An Irish resident's account asked of us-east: the home region makes it, nobody else."},
	} {
		s.do(bad.step, bad.r, string(bad.want), func() (string, string, error) {
			_, err := create(bad.r, "nobody@"+labDomain, bad.cc)
			return s.refused(strings.ReplaceAll(bad.step, " ", "-"), bad.text, err)
		})
	}
	return nil
}

// mail arrives at the wrong region, and is read at home.
func (s *story) mail(ctx context.Context) error {
	s.chapter("Mail for Ireland arrives in the US",
		"It is streamed home while it arrives. us-east answers 250 only when Ireland has it on disk, sealed, and keeps nothing.")
	if !s.do("deliver at the wrong region", us, "ok", func() (string, string, error) {
		size, err := s.send(ctx, us, aoife, s.mails)
		return "ok", fmt.Sprintf("%s (%d bytes) for %s accepted by SMTP at us-east.", count(len(s.mails), "message"), size, aoife), err
	}) {
		return errors.New("mail was not accepted: the story cannot be told")
	}
	s.do("search us-east", us, "ok", func() (string, string, error) { return s.search("us-east-1") })
	s.do("read at home", ie, "ok", func() (string, string, error) {
		err := s.readBack(ctx, ie)
		return "ok", fmt.Sprintf("Read over IMAP in Ireland: %s, byte for byte what was accepted, behind the trace fields.", count(len(s.mails), "message")), err
	})
	s.do("sealed at rest", ie, "ok", func() (string, string, error) {
		code, _, err := s.search("eu-ireland-1")
		return code, "At home too there is no readable byte of it on disk: it rests sealed.", err
	})
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (s *story) send(ctx context.Context, at domicile.Region, to domicile.Address, mails []Mail) (size int, err error) {
	smtp, err := DialSMTP(ctx, s.lab.Home(at).SMTP)
	if err != nil {
		return 0, err
	}
	defer smtp.Close()
	for _, m := range mails {
		from := "sender@sender.example"
		if m.Name == "marker" {
			from = s.marker + "@sender.example"
		}
		if err := smtp.Send(from, m.Text, string(to)); err != nil {
			return size, fmt.Errorf("%s: %w", m.Name, err)
		}
		size += len(m.Text)
	}
	return size, nil
}

// readBack reads all of the mail by a region's front, and wants it to be what was sent.
func (s *story) readBack(ctx context.Context, at domicile.Region) error {
	got, err := ReadMail(ctx, s.lab.Home(at).IMAP, string(aoife), s.passwords[aoife], "INBOX")
	if err != nil {
		return err
	}
	if len(got) != len(s.mails) {
		return fmt.Errorf("%d messages were read and %d sent", len(got), len(s.mails))
	}
	for i, m := range s.mails {
		if err := BehindTrace(got[i], m.Text); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

// search looks for what was sent in every file of a node's folder, its log included.
func (s *story) search(node string) (string, string, error) {
	words := [][]byte{[]byte(s.marker), []byte(aoife)}
	for _, m := range s.mails {
		if w := telling(m.Text); w != nil {
			words = append(words, w)
		}
	}
	files := 0
	err := filepath.WalkDir(s.lab.Path(node), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		files++
		for _, w := range words {
			if bytes.Contains(raw, w) {
				return fmt.Errorf("something of the mail is readable in %s", path)
			}
		}
		return err
	})
	return "ok", fmt.Sprintf("Nothing of it is in any of the %d files of %s: grep for %s finds no line.", files, s.show(node), s.marker), err
}

// telling returns a piece of a message that hardly any other file has: of its longest line, nil if it is short.
func telling(text []byte) []byte {
	var best []byte
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > len(best) {
			best = line
		}
	}
	if len(best) < 24 {
		return nil
	}
	return best[:min(len(best), 64)]
}
