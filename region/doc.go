// Package region is the border: who the regions are, who is on the other side, and how a byte leaves.
//
// # How does a byte leave?
//
// Only through a [Guard], and only behind a [Permit]. A caller describes the crossing; [Guard.Permit] asks
// placement.Decide, writes the answer down durably, and only then returns. If that write fails the answer is no. A Permit
// has no exported fields and works once, for one guard; a nil, zero, spent, closed, expired or borrowed one sends no byte.
//
//	sealed    size and digest known before                    [Guard.Send] (a disclosure), [Node.Send] (a part of a move)
//	stream    ceiling known before (a delivery, a session)     [Guard.Writer], [Node.Stream], [Conn.Attach] (to the end, or [Conn.Detach]); of class relay the last alone
//	standing  small messages of a fixed shape, totals kept     opened by the node itself: [Node.Ask], answers of
//	          (gossip, lookups, checkpoints, answers)          a [Handler], clients before login, operators
//
// Nothing else in a node listens, dials or resolves. [Node] owns the sockets: [Node.ListenFront] hands metered connections
// to the mail fronts, [Node.ListenOperators] to the admin interface, [Node.ListenHTTP] to health and metrics; gossip runs
// over a metered transport, and [SealDefaults] makes every library that dials by itself fail. What is counted are the bytes
// handed to the connection: of a call its frames, of a client's session the TLS records; TLS and HTTP/2 between nodes add
// their own on top.
//
//	p, err := guard.Permit(ctx, region.Request{Crossing: placement.Crossing{
//		Class: domicile.Delivery, Kind: placement.Stream, Party: placement.ToRegion,
//		To: "eu-ireland", Account: id, Home: "eu-ireland", Ceiling: 64 << 20}})
//	if err != nil { ... } // refused, and written down; or Unavailable: it could not be written down
//	defer p.Close()
//	err = node.Stream(ctx, p, "delivery/store", header, body, &reply)
//
// # The catalog
//
// One signed document lists the regions. A folder holds 1.toml, 2.toml, …: each a C2SP signed note whose text is TOML with
// the fields of [Catalog]. Version 1 is pinned by its hash ("sha256:<hex>") in the node's configuration and signed by every
// region in it; each later version names the hash of the one before, is signed by at least Quorum regions of that one, and
// by every region that it touches: its own entry or its entity's owners, the registrar of a domain (old and new), the list
// of those who serve a country; quorum, cosigners and witnesses touch all. A new region, and a new key, signs itself in.
// [LoadCatalog] refuses what is older, has a gap or lacks a signature, and says which; [AdvanceCatalog] remembers the
// newest in the data folder.
//
// # Who is there
//
// Each region has its own certificate authority ([Authority]): a root and two intermediates, for nodes and for operators.
// A certificate says in its SAN URIs who it is, and is believed only if it ends, through the right intermediate, in a root
// whose fingerprint the catalog gives for the region that it names. Anything else is PeerUnverified. What a peer may ask
// depends on that, never on what gossip says. Gossip (memberlist, encrypted) tells which nodes live and at which address:
// a hint; of the nodes that it names those that proved themselves are called first. A node's metadata is JSON of at most
// 512 bytes: region, roles, RPC address, catalog version, start time.
//
// # Calls between nodes
//
// Plain net/http over HTTP/2 with mutual TLS 1.3, POST /rpc/1/METHOD. No generated code: there is no generation step to
// keep, JSON can be read in a test's output, and a stream needs a closing frame of our own in any case. A request is
// frames: 'H' with length (4 bytes, big-endian) and the caller's JSON; 'D' with length and at most 64 KiB of the body; 'K',
// a sign of life; 'E' with the body's length (8 bytes) and SHA-256. Only behind a good 'E' may the receiver commit. The
// answer is one JSON object, {"reply": …} or {"error": {"kind", "reason", "rule", "detail"}}; any HTTP status but 200 says
// that nothing was done.
// One region may have so many calls answered at once, and so many of a method in a time (order notices: 30 a minute); past
// that it is told 429.
//
// # Sessions
//
// A front that does not hold a client's store hands the connection to a node that does ([Node.OpenSession], [Node.ServeSessions]):
// a tunnel of frames in both directions of one HTTP/2 request (docs/FORMATS.md, "Sessions between nodes"), on connections of its own.
// Each end holds at most a window of 128 KiB for a party that does not read, under credit of its own, so that no session takes the room of
// others. Both ends are a [Conn]: metered, with a small allowance until [Conn.Attach]. A region whose front hands sessions over has
// only so many places for those that are not logged in, and so many for one client's network ([Node.Sessions] counts).
//
// # The journal
//
// Sessions, deliveries and standing permits, and refusals, are records of a sealed [Journal]: opened before, closed after.
// A file NNNNNNNNNNNNNNNNNNNN.journal is named after the number of its first record and holds "domicile journal 1\n", that
// number (8 bytes, big-endian) and the chain hash before it (32 bytes), then frames: length (4 bytes), sealed record,
// and the chain hash SHA-256(hash before, sealed record). The plain text is JSON; the number of the record is its associated data.
// At open a torn tail is cut off (and that written down); any other damage is an error. Records left open by a crash are
// closed as unknown. Every interval [Journal.Commit] has the log take one leaf over what is new. Writers that wait share
// one fsync; an end, for which nobody waits, goes with the next of them, within 50 ms. After a failed write the journal takes nothing, so no permit is given and standing ones let nothing out, until
// the disk takes writes again: tried each second, what was promised to nobody is cut off, and that is written down.
//
// # Order of things
//
// Open the journal, the log, the guard, then the node; register handlers; [Node.Start]. Close in reverse: node, guard
// (which commits the journal to the log), journal, log.
//
// Not here yet: a gossip pool of its own inside a region (one WAN pool serves all), and fetching a catalog from others.
package region
