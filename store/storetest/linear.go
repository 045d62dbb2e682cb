package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"domicile"
	"domicile/store"
)

// long asks for many more rounds of what is random.
func long() bool { return os.Getenv("DOMICILE_LONG") == "1" }

// linear has clients work on two mailboxes of an account at once, over a line that loses steps and answers, and holds what each was
// told against one order of all acts (linearizability). An act whose answer was lost may stand anywhere after its call, or have no part in it.
func linear(r *Rig) {
	rounds := 8
	if long() {
		rounds = 150
	}
	for n := range rounds {
		seed := rand.Uint64()
		h := newHistory(r, r.Person(fmt.Sprint("linear", n)), seed)
		h.play(5, 16)
		switch porcupine.CheckOperationsTimeout(linearModel, h.ops, time.Minute) {
		case porcupine.Illegal:
			r.T.Fatalf("no order of these acts explains what the clients were told (seed %d):\n%s", seed, h)
		case porcupine.Unknown:
			r.T.Fatalf("a minute did not suffice to find an order (seed %d):\n%s", seed, h)
		}
	}
}

// history is what clients did and were told.
type history struct {
	t     testing.TB
	s     *faulty
	acct  domicile.AccountID
	boxes [2]domicile.MailboxID
	clock atomic.Int64
	size  atomic.Int64 // the next body's: it tells messages apart

	mu  sync.Mutex
	ops []porcupine.Operation // guarded by mu
}

var linearBoxes = [2]string{"INBOX", "Archive"}

func newHistory(r *Rig, acct domicile.AccountID, seed uint64) *history {
	var n atomic.Uint64
	h := &history{t: r.T, acct: acct}
	for i, name := range linearBoxes {
		h.boxes[i] = r.Box(acct, name).ID
	}
	h.s = &faulty{Store: r.Store, next: func(string) fault { // each twentieth call or so
		switch rand.New(rand.NewPCG(seed, n.Add(1))).IntN(20) {
		case 0:
			return lostAnswer
		case 1:
			return lostStep
		}
		return noFault
	}}
	return h
}

// play runs clients at once.
func (h *history) play(clients, acts int) {
	var work sync.WaitGroup
	for c := range clients {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), uint64(h.clock.Load())))
			for range acts {
				h.do(c, randomAct(rng, h))
			}
		})
	}
	work.Wait()
}

// randomAct names UIDs of which some are there, some were, and some will be.
func randomAct(rng *rand.Rand, h *history) act {
	a := act{kind: []string{"deliver", "deliver", "commit", "replace", "flags", "flags", "copy", "move", "expunge", "since", "since", "messages"}[rng.IntN(12)],
		box: rng.IntN(4) / 3}
	for range 1 + rng.IntN(3) {
		a.uids = append(a.uids, store.UID(1+rng.IntN(12)))
	}
	slices.Sort(a.uids)
	a.uids = slices.Compact(a.uids)
	a.op = store.FlagOp(rng.IntN(3))
	a.flags = [][]string{{store.Seen}, {store.Deleted}, {store.Seen, store.Deleted}, {}}[rng.IntN(4)]
	a.seq = store.ModSeq(1 + rng.IntN(29))
	for range map[string]int{"deliver": 1, "commit": 2 + rng.IntN(2), "replace": 1 + rng.IntN(2)}[a.kind] {
		a.sizes = append(a.sizes, h.size.Add(1))
	}
	a.across = rng.IntN(2) == 0
	a.again = rng.IntN(2) == 0
	return a
}

// act is what a client asks for.
type act struct {
	kind   string
	box    int
	uids   []store.UID
	op     store.FlagOp
	flags  []string
	seq    store.ModSeq
	sizes  []int64
	across bool // a message of the box is replaced by some in the other one
	again  bool // a client that asks again by token when an answer was lost
}

// told is what it was told. Of an act whose answer was lost that is nothing.
type told struct {
	lost bool
	none bool // the message to be replaced is not there
	from []store.UID
	made []store.Message
	all  Snapshot

	flagged store.Stored // what came before too
}

// do does one act and writes it down, unless nothing was done.
func (h *history) do(client int, a act) {
	call := h.clock.Add(1)
	tok := store.Token(domicile.NewID("t"))
	var out told
	err := h.call(tok, a, &out)
	for a.again && a.takesToken() && err != nil && domicile.KindOf(err) != domicile.NotExist {
		err = h.call(tok, a, &out)
	}
	end := h.clock.Add(1)
	switch domicile.KindOf(err) {
	case domicile.Unavailable:
		return
	case domicile.Unknown:
		out, end = told{lost: true}, math.MaxInt64
	case domicile.NotExist:
		out = told{none: true}
	default:
		if err != nil {
			h.t.Errorf("%+v: %v", a, err)
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: a, Call: call, Output: out, Return: end})
}

func (a act) takesToken() bool { return a.kind != "since" && a.kind != "messages" }

func (h *history) call(tok store.Token, a act, out *told) (err error) {
	box, to := h.boxes[a.box], linearBoxes[1-a.box]
	switch a.kind {
	case "deliver":
		out.made = make([]store.Message, 1)
		out.made[0], err = (&Rig{Store: h.s}).Deliver(h.acct, tok, linearBoxes[a.box], strings.Repeat("x", int(a.sizes[0])), a.flags...)
	case "commit":
		_, out.made, err = h.s.Commit(ctx, tok, h.acct, linearBoxes[a.box], h.letters(a), nil)
	case "replace":
		if !a.across {
			to = linearBoxes[a.box]
		}
		_, out.made, err = h.s.Commit(ctx, tok, h.acct, to, h.letters(a), &store.Instead{Mailbox: box, UID: a.uids[0]})
	case "flags":
		out.flagged, err = h.s.StoreFlags(ctx, tok, h.acct, box, a.uids, a.op, a.flags, 0)
		out.made = out.flagged.Done
	case "copy":
		_, out.from, out.made, err = h.s.Copy(ctx, tok, h.acct, box, a.uids, to)
	case "move":
		_, out.from, out.made, err = h.s.Move(ctx, tok, h.acct, box, a.uids, to)
	case "expunge":
		out.from, err = h.s.Expunge(ctx, tok, h.acct, box, a.uids)
	case "since":
		out.all, err = Since(h.s, h.acct, box, a.seq)
	case "messages":
		out.made, err = h.s.Messages(ctx, h.acct, box, 0, store.MaxPage)
	}
	return err
}

func (h *history) letters(a act) []store.Letter {
	var bodies []string
	for _, size := range a.sizes {
		bodies = append(bodies, strings.Repeat("x", int(size)))
	}
	letters := (&Rig{Store: h.s, T: h.t}).Letters(h.acct, bodies...)
	for i := range letters {
		letters[i].Flags = a.flags
	}
	return letters
}

func (h *history) String() string {
	var b strings.Builder
	slices.SortFunc(h.ops, func(x, y porcupine.Operation) int { return int(x.Call - y.Call) })
	for _, o := range h.ops {
		fmt.Fprintf(&b, "client %d at %d to %d: %v: %v\n", o.ClientId, o.Call, o.Return, o.Input, o.Output)
	}
	return b.String()
}

func (a act) String() string {
	return fmt.Sprint(a.kind, " in ", linearBoxes[a.box], " uids ", a.uids, " flags ", a.op, a.flags, " sizes ", a.sizes, " across ", a.across, " since ", a.seq)
}

func (o told) String() string {
	var b strings.Builder
	if o.lost {
		return "no answer"
	}
	if o.none {
		return "not there"
	}
	fmt.Fprint(&b, o.from, o.flagged.From, o.flagged.Before)
	for _, m := range append(o.made, o.all.Changed...) {
		fmt.Fprintf(&b, " %d/%d%v", m.UID, m.ModSeq, m.Flags)
	}
	if o.all.Mailbox.ID != "" {
		fmt.Fprint(&b, " gone ", o.all.Vanished, " of ", o.all.Mailbox)
	}
	return b.String()
}
