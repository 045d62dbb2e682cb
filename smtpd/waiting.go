package smtpd

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"domicile"
	"domicile/store"
)

const (
	answerLife = time.Minute      // how long home waits to hear whether the sender was answered
	answerWait = 20 * time.Second // how long a repetition waits for that, before it is told to come back
)

// waiting holds the tokens of deliveries under way: being committed, or committed with an answer that home does not know
// to have gone out. A repetition waits, because only then is it known whether it is one. Without
// this, a mail sent again on purpose right behind the 250 could come before the word that the 250 went out, and be lost.
type waiting struct {
	patience, forget time.Duration
	mu               sync.Mutex
	held             map[string]*hold
}

// hold is one token that is held.
type hold struct {
	settled chan struct{}
	timer   *time.Timer // of expire
}

// claim holds token, when nobody else does any more. Unavailable after patience.
func (w *waiting) claim(ctx context.Context, token string) error {
	var late <-chan time.Time // of one that has to wait
	for {
		w.mu.Lock()
		other, ok := w.held[token]
		if !ok {
			if w.held == nil {
				w.held = map[string]*hold{}
			}
			w.held[token] = &hold{settled: make(chan struct{})}
			w.mu.Unlock()
			return nil
		}
		w.mu.Unlock()
		if late == nil {
			timer := time.NewTimer(w.patience)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-other.settled:
			continue
		case <-late:
		case <-ctx.Done():
		}
		return domicile.E("", domicile.Unavailable, "the same message is being delivered by another connection; try again in a minute")
	}
}

// expire settles token after a while, if nothing else does.
func (w *waiting) expire(token string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.held[token]
	if h == nil {
		return
	}
	h.timer = time.AfterFunc(w.forget, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.held[token] == h {
			w.drop(token, h)
		}
	})
}

// settle lets go of token. No harm if nobody holds it.
func (w *waiting) settle(token string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.held[token]; h != nil {
		w.drop(token, h)
	}
}

// drop lets go of a token. The caller holds mu.
func (w *waiting) drop(token string, h *hold) {
	if h.timer != nil {
		h.timer.Stop() // or those of a busy minute would stay in memory
	}
	close(h.settled)
	delete(w.held, token)
}

// free reports whether no token that begins so is held.
func (w *waiting) free(prefix string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for token := range w.held {
		if strings.HasPrefix(token, prefix) {
			return false
		}
	}
	return true
}

// gather has those who call wait within a short time go on at one moment, so that what they do in the store then shares a flush: nobody waits
// for the word on an answer, but for who sends the same message again.
type gather struct {
	mu   sync.Mutex
	next chan struct{} // closed at that moment; nil if nobody waits
}

const gatherTime = 50 * time.Millisecond

func (g *gather) wait() {
	g.mu.Lock()
	next := g.next
	if next == nil {
		next = make(chan struct{})
		g.next = next
		time.AfterFunc(gatherTime, func() {
			g.mu.Lock()
			g.next = nil
			g.mu.Unlock()
			close(next)
		})
	}
	g.mu.Unlock()
	<-next
}

// tokenKey is the region's key for tokens of deliveries, made at first use.
type tokenKey struct {
	store store.Store
	mu    sync.Mutex
	key   []byte
}

func (k *tokenKey) get() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key != nil {
		return k.key, nil
	}
	t, err := k.store.Table("delivery")
	if err != nil {
		return nil, err
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	if _, err := t.CompareAndSwap("token-key", nil, fresh); err != nil {
		return nil, err
	}
	key, ok, err := t.Get("token-key")
	if err != nil {
		return nil, err
	}
	if !ok || len(key) != 32 {
		return nil, domicile.E("token key", domicile.Other, "the key of the delivery table is missing or malformed; run mailctl fsck")
	}
	k.key = key
	return key, nil
}
