package bolt

import (
	"context"
	"io"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"domicile"
)

// How far Bodies reads ahead of who it yields to: so many bodies, of each its first piece.
const (
	readAhead   = 32
	readWorkers = 4
)

// Bodies opens bodies, and reads the first piece of each, beside who reads them.
func (s *Store) Bodies(ctx context.Context, acct domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error] {
	return func(yield func(io.Reader, error) bool) {
		a := &ahead{s: s, ctx: ctx, acct: acct, ids: ids, room: make(chan struct{}, readAhead), stop: make(chan struct{})}
		for i := range a.opened {
			a.opened[i] = make(chan openedBody, 1)
		}
		for range min(readWorkers, runtime.GOMAXPROCS(0), len(ids)) {
			a.workers.Go(a.read)
		}
		defer a.end()
		for i := range ids {
			b := <-a.opened[i%readAhead]
			goOn := b.yield(yield)
			if <-a.room; !goOn {
				return
			}
		}
	}
}

// ahead is one run of Bodies.
type ahead struct {
	s       *Store
	ctx     context.Context
	acct    domicile.AccountID
	ids     []domicile.MessageID
	workers sync.WaitGroup
	stop    chan struct{}
	next    atomic.Int64 // of ids to be opened

	room   chan struct{} // holds one for each body that is opened, or being opened, and not yielded
	opened [readAhead]chan openedBody
}

type openedBody struct {
	r   *bodyReader
	err error
}

func (b openedBody) yield(to func(io.Reader, error) bool) bool {
	if b.err != nil {
		return to(nil, b.err)
	}
	defer b.r.Close()
	return to(b.r, nil)
}

// read opens bodies until there are no more.
func (a *ahead) read() {
	for {
		select {
		case a.room <- struct{}{}: // before the number is taken, so that who is waited for has room
		case <-a.stop:
			return
		}
		i := int(a.next.Add(1)) - 1
		if i >= len(a.ids) {
			<-a.room
			return
		}
		var b openedBody
		if err := a.ctx.Err(); err != nil {
			b.err = domicile.W(opBody, unavailable(err))
		} else if b.r, b.err = a.s.body(a.acct, a.ids[i]); b.err == nil {
			b.r.fill() // an error comes again when it is read
		}
		a.opened[i%readAhead] <- b
	}
}

// end closes what nobody got.
func (a *ahead) end() {
	close(a.stop)
	a.workers.Wait()
	for _, c := range a.opened {
		select {
		case b := <-c:
			if b.r != nil {
				b.r.Close()
			}
		default:
		}
	}
}
