// Package disclosure runs a region's legal orders: from a token that a stranger can verify to an archive that only its
// authority can open, or to a refusal with a receipt.
//
// # What it promises
//
// Nothing is disclosed unless every signature of the order's token verifies by the region's own registry of authorities;
// the order names this region and an entity that runs it or controls who does; its status list is fresh, the newest seen, and
// says valid;
// its window ends in the past; its scope is one that its type can carry; its token has a use left; and the law that the
// storing region has adopted permits it. Each of these refuses with a reason of its own, and each refusal is a leaf of
// the log before it is an answer.
//
// Nothing leaves before the leaf of its release is in a checkpoint that independent cosigners signed, and nothing leaves
// after a stay, be it entered here or shown by a status list.
//
// A step of a case is written down before its leaf and marked done after it. A crash between the two is repaired at Open,
// which finds the leaf or appends it: each step is in the log once, numbered within its case without gaps. A token is spent, in one act with
// its leaf, before the first message is read.
//
// # Law is data
//
// Facts ([Facts]) are computed in Go. Policies (bundles/*.cedar) combine them and are all that decides; each names its
// regime, article, dates, author and reviewer. Four questions are asked apart: preserve, execute, refer, notify. A forbid
// on execute refuses; else a referral; else a permit executes; else the answer is no_legal_basis. House rules are always
// loaded and only forbid. A decision keeps its facts, their hash and the bundles' hash, and [Replay] makes it again. The
// types of order and the treaties are tables beside the policies.
//
// Which bundles are in force is the region's own configuration. [Engine.Explain] asks any bundle, in force or ended, and
// changes nothing. testdata/matrix.txt shows one case under every bundle.
//
// # Cases
//
//	received → authenticated → preserved → decided → collecting → sealed → release_quorum → released → delivered
//	                                     ↘ refused
//	                                     ↘ referred → awaiting_second_person → decided
//	stayed (from any open state; a lift returns to it), withdrawn
//
// An order for an account that rests elsewhere is referred (content_stored_abroad) and the storing region is told by the
// call order/told; there it is a case of its own that the machine only refers, and that cannot be executed, since the
// order was not addressed to that region. A notice that cannot be told now is told later.
//
// Preservation lists the account's messages and calls Config.Freeze. It does not copy bodies: what the owner removes
// afterwards is reported in the manifest as removed.
//
// # Bytes
//
// A token is a JWS in the General JSON serialisation, at most 64 KiB with 1 to 8 signatures, each with exactly these
// protected members: alg (Ed25519, RFC 9864, or its older name EdDSA; or ES256), typ ("domicile-lbt+jws"), x5t#S256 or x5c, role, iat. There are
// no unprotected headers and no crit. Its payload is [Claims]. A status list is a Token Status List in JWT form with two bits a
// place and 1048576 places, named by [StatusIndex]. A production is described at [Manifest], the files of a case at
// files.go, all of them in docs/FORMATS.md.
//
// # Concurrency
//
// An Engine is safe for concurrent use. One case changes at a time; collection and delivery run beside that and look for a
// stay before each message and each write.
package disclosure
