package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"domicile"
	"domicile/admin"
	"domicile/disclosure"
)

// orders are served at both regions: what is not lawful there is refused, each with its own code and a receipt.
func (s *story) orders(ctx context.Context) error {
	s.chapter("Orders that are refused",
		"An order is decided by the law of the region that stores the mail. Each refusal has its own code, and a receipt.")
	atUS, err := s.client(us, "legal")
	if err != nil {
		return err
	}
	s.do("export at us-east", us, string(domicile.NoToken), func() (string, string, error) {
		ops, err := s.client(us, "operator")
		if err != nil {
			return "", "", err
		}
		var none counter
		err = ops.ExportAccount(ctx, admin.ExportAccount{Address: string(aoife)}, &none)
		if none > 0 {
			return "", "", fmt.Errorf("%d bytes came out", none)
		}
		return s.refused("export-at-us-east", "Headquarters asks us-east to export the Irish account, with no order at all.", err)
	})
	onParent := demand{Entity: parentEntity, Region: us, Target: aoife}
	for _, bad := range []struct {
		step, text string
		want       domicile.Reason
		make       func(demand, time.Time) ([]byte, []byte, error)
		edit       func(*disclosure.Claims)
	}{
		{step: "no token", want: domicile.NoToken, text: "A demand on letterhead, without a token that says on what legal basis.",
			make: func(demand, time.Time) ([]byte, []byte, error) { return nil, orderPaper("nobody", "none"), nil }},
		{step: "forged", want: domicile.BadSignature, text: "A genuine warrant, for somebody else: the target was changed after the court signed it.", make: s.lab.forged},
		{step: "expired", want: domicile.Expired, text: "A genuine warrant of which the time is over.", make: s.lab.warrant, edit: func(c *disclosure.Claims) {
			c.IssuedAt, c.NotBefore, c.Expires = c.IssuedAt-7200, c.NotBefore-7200, c.IssuedAt-3600
			c.Scope.Window.To = c.IssuedAt
		}},
		{step: "wrong audience", want: domicile.WrongAudience, text: "A genuine warrant on the Irish entity, presented at us-east, which it does not name.", make: s.lab.warrant,
			edit: func(c *disclosure.Claims) { c.Audience = disclosure.Audience{Entity: regionEntity(ie), Region: ie} }},
	} {
		s.do(bad.step, us, string(bad.want), func() (string, string, error) {
			w := onParent
			w.Edit = bad.edit
			a, err := s.submit(ctx, atUS, bad.make, w)
			return s.answer(bad.step, bad.text, a, err)
		})
	}
	if err := s.ownCustomer(ctx, atUS); err != nil {
		return err
	}
	return s.abroad(ctx, atUS, onParent)
}

// counter counts bytes that must not come.
type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// submit makes a token as of now and serves it.
func (s *story) submit(ctx context.Context, c *admin.Client, make func(demand, time.Time) ([]byte, []byte, error), w demand) (disclosure.Answer, error) {
	token, paper, err := make(w, time.Now())
	if err != nil {
		return disclosure.Answer{}, err
	}
	return c.SubmitOrder(ctx, admin.SubmitOrder{Token: token, Target: string(w.Target), Document: paper})
}

// answer turns what a region answered into an act's outcome, and keeps the receipt. The code of what is executed is "execute".
func (s *story) answer(receipt, text string, a disclosure.Answer, err error) (string, string, error) {
	if err != nil {
		return "", text, err
	}
	code := string(a.Code)
	if a.Decision == "execute" {
		code = "execute"
	}
	if a.Decision == "refuse" && len(a.Receipt) == 0 {
		return code, text, errors.New("the refusal has no receipt")
	}
	return code, text, s.keep(receipt, a.Receipt)
}

// ownCustomer has us-east execute a warrant for a customer of its own, and refuse the same warrant the second time.
func (s *story) ownCustomer(ctx context.Context, atUS *admin.Client) error {
	if _, err := s.send(ctx, ie, sam, builtin("none", sam)[:1]); err != nil {
		return domicile.W("mail for the customer in the US", err)
	}
	token, paper, err := s.lab.warrant(demand{Entity: regionEntity(us), Region: us, Target: sam}, time.Now())
	if err != nil {
		return err
	}
	serve := func() (disclosure.Answer, error) {
		return atUS.SubmitOrder(ctx, admin.SubmitOrder{Token: token, Target: string(sam), Document: paper})
	}
	s.do("warrant for a US customer", us, "execute", func() (string, string, error) {
		a, err := serve()
		code, text, err := s.answer("us-warrant", "The same kind of warrant for a customer of us-east: executed, under us-2018.", a, err)
		if err != nil || code != "execute" {
			return code, strings.TrimSpace(text + " " + a.Detail), err
		}
		p, err := atUS.ProduceOrder(ctx, admin.ProduceOrder{ID: a.Case, To: s.lab.Path("production")})
		return code, fmt.Sprintf("%s %d bytes were collected and sealed.", text, p.Bytes), err
	})
	s.do("replayed", us, string(domicile.Replayed), func() (string, string, error) {
		a, err := serve()
		return s.answer("replayed", "That warrant once more: it is spent, and the log knows.", a, err)
	})
	return nil
}

// abroad serves genuine warrants for mail in Ireland: on the Irish entity, and on its US parent.
func (s *story) abroad(ctx context.Context, atUS *admin.Client, onParent demand) error {
	atIE, err := s.client(ie, "legal")
	if err != nil {
		return err
	}
	s.do("warrant on the Irish entity", ie, string(domicile.ConflictOfLaws), func() (string, string, error) {
		a, err := s.submit(ctx, atIE, s.lab.warrant, demand{Entity: regionEntity(ie), Region: ie, Target: aoife})
		code, text, err := s.answer("irish-entity", "A genuine US warrant, served on the Irish entity. Rule "+a.Rule+": "+a.Detail+".", a, err)
		if err == nil && !strings.Contains(strings.ToLower(a.Detail), "treaty") && !strings.Contains(strings.ToLower(a.Detail), "mutual") {
			err = errors.New("the refusal does not name the treaty path")
		}
		return code, text, err
	})
	s.do("the three right answers", ie, "ok", func() (string, string, error) { return s.ofTheirTime(ctx, atIE) })
	s.do("warrant on the US parent", us, string(domicile.ContentStoredAbroad), func() (string, string, error) {
		a, err := s.submit(ctx, atUS, s.lab.warrant, onParent)
		if err == nil && (a.Decision != "refer" || !strings.Contains(a.Awaiting, string(ie))) {
			err = fmt.Errorf("decision %q, awaiting %q: a referral to %s was promised", a.Decision, a.Awaiting, ie)
		}
		return s.answer("us-parent", "The same warrant, served on the US parent: us-east holds nothing of it, so it decides nothing, and tells Ireland.", a, err)
	})
	s.do("referred in Ireland", ie, string(domicile.Referred), func() (string, string, error) { return s.referred(ctx, atIE) })
	return nil
}

// referred waits until Ireland has the case that us-east told it of, in the hands of a person.
func (s *story) referred(ctx context.Context, atIE *admin.Client) (string, string, error) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		cases, err := atIE.Cases(ctx)
		for _, c := range cases {
			if c.Decision == "refer" && c.Issuer == usCourt {
				return string(domicile.Referred), fmt.Sprintf("Ireland has the case. No machine decides it: it awaits %s.", c.Awaiting), nil
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return "", "", errors.Join(err, ctx.Err(), errors.New("the case did not come to Ireland"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// ofTheirTime asks what each dated law would answer to that warrant. Nothing changes by asking.
func (s *story) ofTheirTime(ctx context.Context, atIE *admin.Client) (string, string, error) {
	token, _, err := s.lab.warrant(demand{Entity: regionEntity(ie), Region: ie, Target: aoife}, time.Now())
	if err != nil {
		return "", "", err
	}
	var said []string
	for _, law := range []struct{ bundle, want string }{{"us-2014", "execute"}, {"us-2016", "refuse"}, {"us-2018", "refer"}} {
		x, err := atIE.ExplainOrder(ctx, admin.ExplainOrder{Token: token, Target: string(aoife), Bundle: law.bundle})
		if err != nil {
			return "", "", err
		}
		if x.Decision != law.want {
			return "", "", fmt.Errorf("%s answers %s, and %s was promised", law.bundle, x.Decision, law.want)
		}
		said = append(said, law.bundle+" would "+x.Decision)
	}
	return "ok", "The same facts had three right answers in four years. Asked, without effect: " + strings.Join(said, ", ") + ".", nil
}
