package storetest

import (
	"slices"
	"sync"

	"domicile"
	"domicile/store"
)

// largeActs copies, renames and deletes more messages than an act may hold up others for. Whoever reads meanwhile sees all of them or none.
func largeActs(r *Rig) {
	ann, bob := r.Person("ann"), r.Person("bob")
	box := r.Box(ann, "INBOX").ID
	one := r.MustDeliver(ann, "INBOX", "x")
	uids := []store.UID{one.UID}
	for len(uids) <= store.MaxPage {
		_, _, made, err := r.Copy(ctx, "", ann, box, uids, "INBOX")
		r.no(err)
		uids = append(uids, uidsOf(made)...)
	}
	stop, beside := make(chan struct{}), sync.WaitGroup{}
	beside.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if n := int(r.Box(ann, "Archive").Messages); n != 0 && n != len(uids) {
				r.T.Errorf("a part of a copy is seen: %d of %d", n, len(uids))
				return
			}
			if _, err := r.Deliver(bob, "", "INBOX", "beside"); err != nil && domicile.KindOf(err) != domicile.Unavailable {
				r.T.Error(err)
				return
			}
		}
	})
	var last []store.Message
	for range 2 {
		validity, from, made, err := r.Copy(ctx, "all", ann, box, uids, "Archive")
		r.no(err)
		r.same("copied", []any{validity, from, len(made), slices.IsSorted(uidsOf(made))}, []any{r.Box(ann, "Archive").UIDValidity, uids, len(uids), true})
		r.same("said again", last == nil || slices.Equal(uidsOf(last), uidsOf(made)), true)
		last = made
	}
	close(stop)
	beside.Wait()
	r.same("there", uidsOf(r.List(ann, "Archive")), uidsOf(last))
	r.no(r.RenameMailbox(ctx, "", ann, "INBOX", "Old"))
	r.same("renamed", []any{uidsOf(r.List(ann, "Old")), len(r.List(ann, "INBOX"))}, []any{uids, 0})
	old := r.Box(ann, "Old")
	r.no(r.DeleteMailbox(ctx, "", ann, "Old"))
	_, err := r.Messages(ctx, ann, old.ID, 0, 1)
	r.is(domicile.NotExist, err)
	again, err := r.CreateMailbox(ctx, "", ann, "Old", "")
	r.no(err)
	r.same("of that name", []any{again.Messages, again.UIDValidity > old.UIDValidity}, []any{0, true})
	r.no(r.Purge(ctx, ann))
	used, err := r.Used(ctx, ann)
	r.no(err)
	r.same("used by the copies", used, one.Size)
	r.no(r.DeleteMailbox(ctx, "", ann, "Archive"))
	r.no(r.Purge(ctx, ann))
	used, err = r.Used(ctx, ann)
	r.no(err)
	r.same("used", used, int64(0))
	_, err = r.Body(ctx, ann, one.ID)
	r.is(domicile.NotExist, err)
}
