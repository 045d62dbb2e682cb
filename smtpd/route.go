package smtpd

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"domicile"
	"domicile/placement"
	"domicile/region"
)

const (
	traceRoom   = 64 << 10 // bytes of a delivery beside the body: header and framing
	answerTime  = 5 * time.Second
	answerTries = 6
)

// route brings messages to their homes.
type route struct {
	cfg     Config
	other   carrier // the way to other nodes
	telling sync.WaitGroup
}

// carrier is the way to the nodes that hold a store. Errors are those of region.Node's Stream and Ask.
type carrier interface {
	store(ctx context.Context, home domicile.Region, d delivery, body io.Reader) (*accepted, error)
	answered(ctx context.Context, home domicile.Region, a answered) error
}

// deliver streams body home and returns when home has it on disk.
func (r *route) deliver(ctx context.Context, home domicile.Region, d delivery, body io.Reader) (*accepted, error) {
	if r.here(home) {
		return r.cfg.Home.deliver(ctx, r.cfg.Region, d, body)
	}
	out, err := r.other.store(ctx, home, d, body)
	if err == nil && !out.fits(d) {
		return nil, domicile.E("deliver", domicile.Unknown, "home answered in a form that this node does not read; update it")
	}
	return out, err
}

func (r *route) here(home domicile.Region) bool { return home == r.cfg.Region && r.cfg.Home != nil }

// border is the carrier over the region's node, under permits.
type border struct{ cfg Config }

func (b border) store(ctx context.Context, home domicile.Region, d delivery, body io.Reader) (*accepted, error) {
	permits, err := b.permits(ctx, home, d.Recipients)
	defer func() {
		for _, p := range permits {
			p.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	var out accepted
	err = b.cfg.Node.Stream(ctx, permits[0], methodStore, d, body, &out)
	return &out, err
}

// permits asks for one permit for each account, so that each is on record; the stream spends the first.
func (b border) permits(ctx context.Context, home domicile.Region, ids []domicile.AccountID) ([]*region.Permit, error) {
	var out []*region.Permit
	for _, id := range ids {
		p, err := b.cfg.Guard.Permit(ctx, region.Request{Crossing: placement.Crossing{
			Class: domicile.Delivery, Kind: placement.Stream, From: b.cfg.Region, Party: placement.ToRegion, To: home,
			Account: id, Home: home, Ceiling: b.cfg.MaxSize + traceRoom,
		}})
		if err != nil {
			return out, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (b border) answered(ctx context.Context, home domicile.Region, a answered) error {
	return b.cfg.Node.Ask(ctx, domicile.Delivery, home, methodAnswered, a, &struct{}{})
}

// answered tells home, beside the connection, what became of the 250, and again within the time that home waits if that fails.
func (r *route) answered(home domicile.Region, a answered) {
	r.telling.Go(func() {
		if r.tell(home, a) != nil {
			go r.tellAgain(home, a)
		}
	})
}

func (r *route) tellAgain(home domicile.Region, a answered) {
	for i := range answerTries {
		time.Sleep(time.Duration(i+1) * time.Second)
		if r.tell(home, a) == nil {
			return
		}
	}
	r.cfg.Log.Warn("home was not told that a delivery was answered; the same message sent again within days would be taken for a repetition", "home", string(home))
}

func (r *route) tell(home domicile.Region, a answered) error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if r.here(home) {
		return r.cfg.Home.answered(ctx, a)
	}
	return r.other.answered(ctx, home, a)
}

// told waits until homes were told of all answers, or could not be at once, or ctx ends.
func (r *route) told(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.telling.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// reply is an answer to the client, in the words of RFC 3463.
func reply(code int, enhanced smtp.EnhancedCode, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: text}
}

// refusal says err in SMTP. Only what will not change is permanent: a border that cannot be recorded, or a record that
// cannot be verified, bounces nothing.
func refusal(err error, recipients int) *smtp.SMTPError {
	var e *domicile.Error
	full := false
	for in := err; errors.As(in, &e); in = e.Err {
		full = full || e.Rule == quotaRule
	}
	switch domicile.KindOf(err) {
	case domicile.TooLarge:
		switch {
		case full && recipients > 1: // the others' copies must not bounce with it
			return reply(452, smtp.EnhancedCode{4, 2, 2}, "A mailbox is full; try its recipient alone")
		case full:
			return reply(552, smtp.EnhancedCode{5, 2, 2}, "Mailbox full")
		}
		return reply(552, smtp.EnhancedCode{5, 3, 4}, "Message too large")
	case domicile.Refused:
		reason := domicile.ReasonOf(err)
		switch reason {
		case domicile.JournalUnavailable, domicile.PeerUnverified, domicile.CatalogUnverified, domicile.OwnershipUnverified, domicile.ClockUnsure:
			return reply(451, smtp.EnhancedCode{4, 3, 0}, "Not now ("+string(reason)+")")
		}
		return reply(550, smtp.EnhancedCode{5, 7, 1}, "Refused ("+string(reason)+")")
	case domicile.Invalid:
		return reply(554, smtp.EnhancedCode{5, 6, 0}, "The message cannot be delivered as it is")
	case domicile.Unavailable:
		return reply(451, smtp.EnhancedCode{4, 4, 1}, "The recipient's home region is out of reach; try again later")
	}
	return reply(451, smtp.EnhancedCode{4, 3, 0}, "Not delivered now; try again later")
}
