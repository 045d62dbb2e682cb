// Package move brings one account from its home to the next, when an approved change of
// residence says so. The account is frozen meanwhile; moving while in use comes later.
//
// # One writer
//
// The source owns the account until it has durably written down the handover: the ownership
// record of the next epoch, signed by the target and by itself. From then on it serves
// nothing of it again. The target serves only with that record in hand. A cut between the
// two leaves the account unavailable, never doubled.
//
// The target hears of the handover only when it has cosigned the source's log with the leaf of it:
// a source that is restored from a backup of before is then refused (region.Node.Confirm), and does
// not serve the account again.
//
// # States
//
// Each side keeps one row for each move in the table "moves" of its store.
//
//	source   planned → frozen → copying → handed-over → serving → erased
//	                  before the handover: → cancelled
//	target   receiving → received → handed-over → serving → erased
//	                  before the handover: → abandoned
//
//	planned      the change is approved, the target is asked
//	frozen       the store reads and changes nothing of the account; sessions end
//	copying      parts of the account cross, each under a permit of its own
//	handed-over  the record with both signatures is on disk
//	serving      the target serves, and has claimed the name
//	erased       the source has destroyed key and bytes, and both logs have the receipt
//
// catching-up, between copying and frozen, comes with moves while in use.
//
// Every state is a leaf of the log ("move.STATE"), written before anybody else learns of it. A
// state is written down first, then acted on: Run, after a start, goes on by the same code,
// and every call between the two may be repeated. The source drives and tries again for
// ever, at most every fifteen seconds; before the handover what the target refuses cancels the move.
//
// # The border
//
// No key crosses: the source's store unseals, the target's seals under a key of its own. What
// crosses with content are parts of at most 4 MiB of bodies and the account's ledger of
// residence, each a sealed permit of class move that names the change; placement's table lets
// none out unless Approved is set, which one function of this package sets, after it has asked
// the ledger. Of the rest (offer, prepare, handover, abandon, erased) each is a small call, and the
// address crosses in the parts only.
//
// The target takes an account only from the region that the registrar names as its home,
// only if the catalog places the residence here, and only with a ledger in which two
// persons of that region asked for and approved the change. All else is refused as
// move_not_approved.
//
// # Freezes
//
// A case that arrives before the handover stops the move ([Machine.Freeze]): the account serves
// again where it is, and the change rests anew, as it does when the target refuses or an
// operator cancels; who may not know of freezes sees no difference. After the handover the case
// is the target's matter.
//
// # Calls
//
// All carry JSON with "v" (1) and "move". move/offer, move/prepare, move/handover, move/abandon and
// move/erased are small; move/residence has the entries of the ledger as a JSON list behind it,
// move/part a run of items: the length of an item's JSON (4 bytes, big-endian), that JSON (store.Item)
// and, of a piece of a body, its bytes. docs/FORMATS.md has the fields.
package move
