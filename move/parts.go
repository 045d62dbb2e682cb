package move

import (
	"context"

	"domicile"
	"domicile/store"
)

// maxUnderWay is how many parts are on their way at a time, so that a long round trip is not waited for behind each. Both sides hold them in memory.
const maxUnderWay = 4

// sendParts sends all parts from where the import stands, some at a time. A target that does not have a part wait for those before it,
// as one of an earlier release, gets them one by one.
func (m *Machine) sendParts(ctx context.Context, r row, at standing) (err error) {
	for most := maxUnderWay; !at.Whole && err == nil; most = 1 {
		at, err = m.sendRun(ctx, r, at, most)
	}
	return err
}

// sendRun sends parts from where the import stands, at most so many at a time, until all have come or the import is not where it was thought to be.
func (m *Machine) sendRun(ctx context.Context, r row, at standing, most int) (standing, error) {
	ctx, cancel := context.WithCancel(ctx)
	parts := m.export(ctx, r.Account, at.At)
	var underWay []sending // the first first
	defer func() {         // nothing is read or sent behind the return
		cancel()
		for range parts {
		}
		for _, s := range underWay {
			<-s.answer
		}
	}()
	for more := true; more || len(underWay) > 0; {
		if more && len(underWay) < most {
			p, ok := <-parts
			if more = ok && p.err == nil && !p.Last; ok && p.err == nil {
				underWay = append(underWay, m.sendPart(ctx, r, p, len(underWay)))
			}
			if p.err != nil {
				return at, p.err
			}
			continue
		}
		s := underWay[0]
		a := <-s.answer
		if underWay = underWay[1:]; a.err != nil {
			return at, a.err
		}
		if at = a.standing; at.At != s.part.Next && !at.Whole {
			return at, nil
		}
		if err := m.advance(ctx, r, func(r row) error { return m.progress(r, s.part, s.part.After == "") }); err != nil {
			return at, err
		}
	}
	return at, ctx.Err()
}

// exported is a part and its items as they cross.
type exported struct {
	store.Part
	body []byte
	err  error
}

// export reads one part after the other from a position on, each while the one before waits to be taken. The channel is closed behind the last.
func (m *Machine) export(ctx context.Context, id domicile.AccountID, after store.Position) <-chan exported {
	out := make(chan exported)
	go func() {
		defer close(out)
		for p := (exported{Part: store.Part{Next: after}}); !p.Last && p.err == nil; {
			p = m.exportOne(ctx, id, p.Next)
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (m *Machine) exportOne(ctx context.Context, id domicile.AccountID, after store.Position) (p exported) {
	if p.Part, p.err = m.cfg.Store.Export(ctx, id, after, store.MaxPart); p.err != nil {
		return p
	}
	p.body, p.err = encodeItems(p.Items)
	for _, i := range p.Items {
		if i.Piece != nil {
			i.Piece.Data = nil // it is in body, and many parts may be in memory
		}
	}
	return p
}

// sending is a part on its way.
type sending struct {
	part   store.Part
	answer <-chan answer
}

// answer says where the import stands behind a part, whatever it did to it.
type answer struct {
	standing
	err error
}

// sendPart sends a part, of which so many are under way before it.
func (m *Machine) sendPart(ctx context.Context, r row, p exported, before int) sending {
	out := make(chan answer, 1)
	go func() {
		var a answer
		a.err = m.send(ctx, r, methodPart, partHead{head{wireVersion, r.ID}, p.After, p.Next, p.Last, before}, p.body, &a.standing)
		out <- a
	}()
	return sending{p.Part, out}
}

// progress notes how far a move has come, for whoever watches.
func (m *Machine) progress(r row, p store.Part, first bool) error {
	if first {
		r.Bytes = 0
	}
	for _, i := range p.Items {
		switch {
		case i.Account != nil:
			r.Total = i.Account.Bytes
		case i.Piece != nil:
			r.Bytes += int64(i.Piece.Length)
			m.moved.Add(int64(i.Piece.Length))
		}
	}
	r.Bytes, r.Tried = min(r.Bytes, r.Total), ""
	return m.rows.put(r)
}
