package lab

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"

	"domicile"
	"domicile/admin"
	"domicile/move"
)

// niamh is the customer who moves from Ireland to the US.
const niamh = domicile.Address("niamh@" + labDomain)

// demoCoolDown is how long a change of residence rests in the demo. In earnest it is two weeks.
const demoCoolDown = 2 * time.Second

// journey is a customer of Ireland with a mail program that knows us-east alone.
func (s *story) journey(ctx context.Context) error {
	s.chapter("Reading and writing from abroad",
		"A mail program that logs in at the wrong region is relayed home in memory. Only home checks the password, and what she sends waits at home.")
	s.do("read abroad", us, "ok", func() (string, string, error) {
		err := s.readBack(ctx, us)
		return "ok", fmt.Sprintf("%s logs in at us-east and reads her mail there: %s, byte for byte.", aoife, count(len(s.mails), "message")), err
	})
	s.do("guess abroad", us, string(domicile.LoginFailed), func() (string, string, error) {
		_, err := ReadMail(ctx, s.lab.Home(us).IMAP, string(aoife), "a guess", "INBOX")
		if err == nil {
			return "", "", errors.New("a wrong password was taken")
		}
		return string(domicile.LoginFailed), "A wrong password at us-east: refused by Ireland, and on record there.", nil
	})
	reply := Mail{Name: "reply", Text: Canonical([]byte(fmt.Sprintf("From: %s\nTo: %s\nSubject: greetings from a journey\nDate: Wed, 4 Mar 2026 09:00:00 +0000\nMessage-ID: <%s@%s>\n\nSent at us-east, from Ireland.\n",
		aoife, sam, s.marker, labDomain)))}
	s.do("write abroad", us, "ok", func() (string, string, error) {
		err := s.post(ctx, us, aoife, reply, sam)
		return "ok", "She submits a reply at us-east. It is accepted when it rests in her outbound queue, sealed, in Ireland.", err
	})
	s.do("arrive", us, "ok", func() (string, string, error) {
		return "ok", fmt.Sprintf("%s has it, once.", sam), s.awaited(ctx, sam, us, reply)
	})
	s.do("search us-east again", us, "ok", func() (string, string, error) { return s.search("us-east-1") })
	return nil
}

// post sends a message as a customer, by the submission port of a region.
func (s *story) post(ctx context.Context, at domicile.Region, from domicile.Address, m Mail, to domicile.Address) error {
	smtp, err := DialSMTP(ctx, s.lab.Home(at).Submission)
	if err != nil {
		return err
	}
	defer smtp.Close()
	if _, err := smtp.Command(235, "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+string(from)+"\x00"+s.passwords[from]))); err != nil {
		return err
	}
	return smtp.Send(string(from), m.Text, string(to))
}

// awaited waits until a message, and no other, is in somebody's INBOX.
func (s *story) awaited(ctx context.Context, who domicile.Address, at domicile.Region, m Mail) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		got, err := ReadMail(ctx, s.lab.Home(at).IMAP, string(who), s.passwords[who], "INBOX")
		if err == nil && len(got) == 1 {
			return BehindTrace(got[0], m.Text)
		}
		if len(got) > 1 || ctx.Err() != nil || time.Now().After(deadline) {
			return errors.Join(err, ctx.Err(), fmt.Errorf("%d messages are there", len(got)))
		}
	}
}

// moves is a customer who declares another residence, and whose account follows.
func (s *story) moves(ctx context.Context) error {
	s.chapter("A customer moves",
		"Two independent items of evidence, a cool-down, and a second operator of the losing region. Then the account moves by itself. No key crosses.")
	asks, err := s.client(ie, "operator")
	if err != nil {
		return err
	}
	approves, err := s.clientAs("ops-ie-2")
	if err != nil {
		return err
	}
	s.passwords[niamh] = secret()
	letters := builtin(s.marker, niamh)[:2]
	if !s.do("account of a mover", ie, "ok", func() (string, string, error) {
		_, err := asks.CreateAccount(ctx, admin.CreateAccount{Address: string(niamh), Residence: "IE", Password: s.passwords[niamh]})
		if err == nil {
			_, err = s.send(ctx, ie, niamh, letters)
		}
		return "ok", fmt.Sprintf("%s lives in Ireland, and so does her mail: %s.", niamh, count(len(letters), "message")), err
	}) {
		return errors.New("an account could not be made: the story cannot be told")
	}
	var change string
	s.do("declare", ie, "ok", func() (string, string, error) {
		c, err := asks.DeclareResidence(ctx, admin.DeclareResidence{Address: string(niamh), Country: "US", Evidence: []string{"bank=US", "tax=US"}})
		change = c.ID
		return "ok", "She declares a residence in the US, with a bank's word and a tax office's.", err
	})
	s.do("approve too early", ie, string(domicile.CoolingDown), func() (string, string, error) {
		_, err := approves.ApproveChange(ctx, change)
		return s.refused("cooling-down", "A second operator approves at once: the change rests first (two weeks; two seconds here).", err)
	})
	time.Sleep(demoCoolDown)
	s.do("approve oneself", ie, string(domicile.SelfApproval), func() (string, string, error) {
		_, err := asks.ApproveChange(ctx, change)
		return s.refused("self-approval", "The operator who entered it approves it: nobody approves their own.", err)
	})
	s.do("approve", ie, "ok", func() (string, string, error) {
		_, err := approves.ApproveChange(ctx, change)
		return "ok", "The second operator approves.", err
	})
	s.do("move", us, "ok", func() (string, string, error) { return s.moved(ctx, asks, change) })
	s.do("read at the new home", us, "ok", func() (string, string, error) {
		got, err := ReadMail(ctx, s.lab.Home(us).IMAP, string(niamh), s.passwords[niamh], "INBOX")
		if err == nil && len(got) != len(letters) {
			err = fmt.Errorf("%d messages were read and %d sent", len(got), len(letters))
		}
		for i := range got {
			if err == nil {
				err = BehindTrace(got[i], letters[i].Text)
			}
		}
		return "ok", "She reads it in us-east with the same password, byte for byte.", err
	})
	return nil
}

// moved waits until the source has erased the account, and looks that its key is gone.
func (s *story) moved(ctx context.Context, c *admin.Client, change string) (string, string, error) {
	var m move.Info
	for deadline := time.Now().Add(time.Minute); !m.Done; time.Sleep(100 * time.Millisecond) {
		var err error
		if m, err = c.Move(ctx, change); ctx.Err() != nil || time.Now().After(deadline) {
			return "", fmt.Sprintf("After a minute it is %s.", m.State), errors.Join(err, ctx.Err(), errors.New("the account did not arrive"))
		}
	}
	if m.State != move.Erased || m.Receipt == nil {
		return string(m.State), "", nil
	}
	if _, err := os.Stat(s.lab.Path("eu-ireland-1/data/keys/" + string(m.Account))); !os.IsNotExist(err) {
		return "", "", fmt.Errorf("the account's key is still in Ireland (%v)", err)
	}
	return "ok", fmt.Sprintf("Frozen, copied, handed over by a record that both regions signed, served in us-east, and erased in Ireland: leaf %d there and leaf %d here say so. Its Irish key is destroyed.",
		m.Receipt.Source, m.Receipt.Target), nil
}
