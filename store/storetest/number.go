package storetest

import (
	"domicile"
	"domicile/store"
)

// numberMailbox: mail from elsewhere keeps its UIDs.
func numberMailbox(r *Rig) {
	ann := r.Person("ann")
	made, err := r.CreateMailbox(ctx, "", ann, "Old", "")
	r.no(err)
	for _, bad := range [][2]uint32{{0, 5}, {7, 0}, {1<<32 - 1, 5}} {
		r.is(domicile.Invalid, r.NumberMailbox(ctx, ann, made.ID, bad[0], store.UID(bad[1])))
	}
	r.is(domicile.NotExist, r.NumberMailbox(ctx, ann, "b-none", 7, 5))
	r.is(domicile.NotExist, r.NumberMailbox(ctx, "a-none", made.ID, 7, 5))
	taken := r.Box(ann, "Sent").UIDValidity // of a mailbox without mail, which gives it up
	r.no(r.NumberMailbox(ctx, ann, made.ID, taken, 1))
	if sent := r.Box(ann, "Sent"); r.Box(ann, "Old").UIDValidity != taken || sent.UIDValidity == taken || sent.UIDValidity == 0 {
		r.T.Fatalf("UIDVALIDITY %d is given, and the other has %d", taken, sent.UIDValidity)
	}
	r.MustDeliver(ann, "Junk", "x")
	r.is(domicile.Conflict, r.NumberMailbox(ctx, ann, made.ID, r.Box(ann, "Junk").UIDValidity, 5))
	for range 2 { // it may be repeated
		r.no(r.NumberMailbox(ctx, ann, made.ID, 7, 5))
	}
	r.is(domicile.Conflict, r.NumberMailbox(ctx, ann, made.ID, 8, 9)) // somebody may know it by this number, though nothing came yet
	r.same("UID", r.MustDeliver(ann, "Old", "one").UID, 5)
	r.is(domicile.Conflict, r.NumberMailbox(ctx, ann, made.ID, 8, 9))
	r.no(r.NumberMailbox(ctx, ann, made.ID, 7, 4)) // it never falls
	r.same("UID", r.MustDeliver(ann, "Old", "two").UID, 6)
	r.no(r.NumberMailbox(ctx, ann, made.ID, 7, 1000))
	before := r.Box(ann, "Old")
	r.same("numbers", []any{before.UIDValidity, before.UIDNext, before.Messages}, []any{7, 1000, 2})
	r.Reopen()
	r.same("after a restart", r.Box(ann, "Old"), before)
	r.same("UID", r.MustDeliver(ann, "Old", "three").UID, 1000)
	changes, err := Since(r, ann, made.ID, made.HighestModSeq)
	r.no(err)
	r.same("changes", []any{len(changes.Changed), len(changes.Vanished)}, []any{3, 0})

	// What is younger than all has a UIDVALIDITY of its own, also behind one that is greater than the clock's.
	inbox := r.Box(ann, "INBOX")
	r.no(r.NumberMailbox(ctx, ann, inbox.ID, store.MaxUIDValidity, 1))
	next, err := r.CreateMailbox(ctx, "", ann, "New", "")
	r.no(err)
	if next.UIDValidity <= store.MaxUIDValidity {
		r.T.Fatalf("UIDVALIDITY %d", next.UIDValidity)
	}
	r.Check()
}
