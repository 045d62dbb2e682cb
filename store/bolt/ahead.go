package bolt

import (
	"context"
	"io"
	"iter"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"domicile"
)

// How far Bodies reads ahead of who it yields to: so many runs of so many bodies, of each its first piece.
const (
	readRun     = 8
	readRuns    = 4
	readWorkers = 4
)

// Bodies opens bodies in runs, each from one snapshot, and reads the first piece of each body, beside who reads them.
func (s *Store) Bodies(ctx context.Context, acct domicile.AccountID, ids []domicile.MessageID) iter.Seq2[io.Reader, error] {
	return func(yield func(io.Reader, error) bool) {
		runs := (len(ids) + readRun - 1) / readRun
		a := &ahead{s: s, ctx: ctx, acct: acct, ids: ids, room: make(chan struct{}, readRuns), stop: make(chan struct{})}
		for i := range a.opened {
			a.opened[i] = make(chan []openedBody, 1)
		}
		for range min(readWorkers, runtime.GOMAXPROCS(0), runs) {
			a.workers.Go(a.read)
		}
		defer a.end()
		for i := range runs {
			goOn := yieldAll(<-a.opened[i%readRuns], yield)
			if <-a.room; !goOn {
				return
			}
		}
	}
}

// ahead is one call of Bodies.
type ahead struct {
	s       *Store
	ctx     context.Context
	acct    domicile.AccountID
	ids     []domicile.MessageID
	workers sync.WaitGroup
	stop    chan struct{}
	next    atomic.Int64 // of the runs to be opened

	room   chan struct{} // holds one for each run that is opened, or being opened, and not yielded
	opened [readRuns]chan []openedBody
}

type openedBody struct {
	r   *bodyReader // nil if there is an error
	err error
}

// yieldAll yields a run, and closes it however far that came.
func yieldAll(run []openedBody, yield func(io.Reader, error) bool) (goOn bool) {
	defer closeAll(run)
	for _, b := range run {
		if b.r == nil {
			goOn = yield(nil, b.err)
		} else {
			goOn = yield(b.r, nil)
		}
		if !goOn {
			return false
		}
	}
	return true
}

func closeAll(run []openedBody) {
	for _, b := range run {
		if b.r != nil {
			b.r.Close()
		}
	}
}

// read opens runs until there are no more.
func (a *ahead) read() {
	for {
		select {
		case a.room <- struct{}{}: // before the number is taken, so that the run that is waited for has room
		case <-a.stop:
			return
		}
		i := int(a.next.Add(1)) - 1
		from := i * readRun
		if from >= len(a.ids) {
			<-a.room
			return
		}
		a.opened[i%readRuns] <- a.open(a.ids[from:min(from+readRun, len(a.ids))])
	}
}

func (a *ahead) open(ids []domicile.MessageID) []openedBody {
	run := make([]openedBody, len(ids))
	err := a.ctx.Err()
	if err != nil {
		err = unavailable(err)
	} else {
		err = a.s.view(func(tx *txn) error {
			acct, err := a.s.served(tx, a.acct)
			if err != nil {
				return err
			}
			for i, id := range ids {
				run[i] = a.s.openIn(acct, id)
			}
			return nil
		})
	}
	for i, b := range run {
		switch {
		case b.r != nil:
			run[i] = a.filled(b.r)
		case b.err == nil:
			run[i].err = domicile.W(opBody, err)
		}
	}
	return run
}

// filled reads the first piece of a body; an error comes again when it is read. A panic is of this body alone: nobody else would see it on a goroutine
// of ours, and the process would end.
func (a *ahead) filled(r *bodyReader) (b openedBody) {
	defer func() {
		if p := recover(); p != nil {
			a.s.cfg.Log.Error("store: panic while a body was read ahead", "stack", string(debug.Stack()))
			r.Close()
			b = openedBody{err: domicile.E(opBody, domicile.Other, "it could not be read; nothing more is known")}
		}
	}()
	r.fill()
	return openedBody{r: r}
}

// end closes what nobody got.
func (a *ahead) end() {
	close(a.stop)
	a.workers.Wait()
	for _, c := range a.opened {
		select {
		case run := <-c:
			closeAll(run)
		default:
		}
	}
}
