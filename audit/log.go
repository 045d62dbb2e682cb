package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"sync"
	"time"

	"domicile"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"
)

// Entry is what a caller wants to have recorded as one leaf: at most 64 public and 64 private fields, 16 KiB as encoded.
// Kind, case and the names of fields are 1 to 64 characters of a-z, 0-9, "_", "." and "-".
type Entry struct {
	Kind    string            // what happened, dotted: "order.refused", "disclosure.released", "account.created"
	Reason  domicile.Reason   // the code of a refusal, "" otherwise
	Case    string            // opaque id of the case, "" if none
	Public  map[string]string // class fields that anyone may read: order type, bundle hash. Never a person or an address ("@" is refused).
	Private map[string]string // committed in the leaf by HMAC-SHA-256 under a fresh salt each; kept sealed beside the log, 256 KiB in all
}

// Leaf is an entry that is in the log.
type Leaf struct {
	Index uint64
	Time  time.Time // when it was recorded, by the node's clock, in milliseconds; cosignatures bound it from outside
	Hash  [32]byte  // RFC 6962 leaf hash
}

// Spend consumes one use of a token. (Issuer, JTI) is the key; Max is max_executions, 1 to 1000.
type Spend struct {
	Issuer string
	JTI    string
	Max    int
}

// Signer signs checkpoints. keys.Signer fits.
type Signer interface {
	// Sign returns an Ed25519 signature of msg.
	Sign(msg []byte) ([]byte, error)
	// Public returns the 32-byte Ed25519 public key.
	Public() []byte
	// Name is the key name of the signed note; for a log also its origin.
	Name() string
}

// Sealer seals the private detail of leaves. keys.Box fits.
type Sealer interface {
	Seal(plaintext, associated []byte) ([]byte, error)
	Open(sealed, associated []byte) ([]byte, error)
}

// Config of a log. Dir is made if absent.
type Config struct {
	Dir    string
	Origin string // such as "example.com/domicile/eu-ireland"; the signer's name
	Signer Signer
	Sealer Sealer
	Now    func() time.Time // time.Now if nil
}

// Log is a region's append-only Merkle log. Safe for concurrent use; one process
// holds it open.
//
// A write that fails while leaves are put into the tree leaves the log refusing further entries (domicile.Unavailable) until
// the disk takes writes again, which the next call tries, by the code of recovery, at most once a second. After a failed
// flush of a folder, or a commit of log.db of which nobody knows whether it is on disk, it refuses until it is opened
// again. Reading goes on.
type Log struct {
	cfg   Config
	key   verifier
	disk  *disk
	tiles *tiles
	db    *bolt.DB

	turn chan struct{} // holding its one token is the right to sequence; guards tail
	tail []byte        // the entries of the last, partial bundle

	queueMu sync.Mutex
	queue   []*request // who waits for a leaf, guarded by queueMu

	mu     sync.RWMutex // guards what follows
	head   Head         // of the newest checkpoint on disk
	signed []byte       // that checkpoint
	broken error        // why nothing more is recorded until it is opened again
	stuck  error        // why pending leaves are not in the tree; taken away by mend
	tried  time.Time    // when mend did so last

	updating sync.Mutex // one transaction of log.db at a time, until it is known what became of it
}

// Open opens or makes the log in cfg.Dir and finishes what a crash left pending. It refuses a folder that is of another
// log, older than its log.db (a rollback), or that does not hash to its checkpoint. A missing or older log.db is brought
// up to date from the leaves: spent tokens are never forgotten, though the private fields it held are lost.
func Open(cfg Config) (*Log, error) { return openSteps(cfg, runStep) }

func openSteps(cfg Config, step func(string, func() error) error) (*Log, error) {
	const op = "open audit log"
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Dir == "" || cfg.Signer == nil || cfg.Sealer == nil || !validName(cfg.Origin) || cfg.Origin != cfg.Signer.Name() ||
		len(cfg.Signer.Public()) != ed25519.PublicKeySize {
		return nil, domicile.E(op, domicile.Invalid, "a log needs a folder, a sealer, and an Ed25519 signer whose name is the origin")
	}
	if err := makeRoot(cfg.Dir); err != nil {
		return nil, domicile.W(op, err)
	}
	db, err := openDB(cfg.Dir, cfg.Origin)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	d := newDisk(cfg.Dir, step)
	l := &Log{
		cfg: cfg, key: newVerifier(cfg.Origin, algNote, cfg.Signer.Public()),
		disk: d, tiles: &tiles{disk: d}, db: db, turn: make(chan struct{}, 1),
	}
	if err := l.recover(); err != nil {
		db.Close()
		return nil, domicile.W(op, err)
	}
	return l, nil
}

// Close waits for the leaves being recorded and releases the files. Calls after it are refused (domicile.Unavailable).
func (l *Log) Close() error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.fail(errors.New("it is closed"))
	return domicile.W("close audit log", l.db.Close())
}

// Append records e. On return the leaf is on disk, in the tree, and under a signed checkpoint. Kinds of errors: Invalid and
// TooLarge (nothing recorded, the entry is wrong), Unavailable (nothing recorded), Unknown (it may be found in the log when
// the disk takes writes again, or when the log is opened again). A cancelled ctx is Unavailable if the leaf was not begun yet, else it is waited for.
func (l *Log) Append(ctx context.Context, e Entry) (Leaf, error) {
	leaf, err := l.submit(ctx, e, nil)
	return leaf, domicile.W("append to audit log", err)
}

// Spend consumes one use of a token and records e, as one act: both happen or
// neither, also over a crash. A token with no use left is refused with
// domicile.Replayed, and the Leaf of its first use is returned with the refusal.
// Other errors are those of Append.
func (l *Log) Spend(ctx context.Context, s Spend, e Entry) (Leaf, error) {
	const op = "spend token"
	leaf, err := l.submit(ctx, e, &s)
	return leaf, domicile.W(op, err)
}

// Spent reports whether (issuer, jti) has no use left and the leaf of its first use, which is the zero Leaf if it was never
// used. It is Unavailable while a use is recorded of which nobody knows yet whether it happened (see Append, Unknown).
func (l *Log) Spent(s Spend) (Leaf, bool, error) {
	const op = "look up token"
	var used []uint64
	err := l.db.View(func(tx *bolt.Tx) error {
		used = uses(tx, s.key())
		return nil
	})
	if err != nil {
		return Leaf{}, false, domicile.W(op, err)
	}
	if len(used) == 0 {
		return Leaf{}, false, nil
	}
	leaf, err := l.leaf(used[0])
	if err != nil {
		return Leaf{}, false, domicile.W(op, err)
	}
	return leaf, len(used) >= s.Max, nil
}

// leaf returns a leaf of the tree.
func (l *Log) leaf(index uint64) (Leaf, error) {
	raw, err := l.raw(index, l.snapshot())
	if err != nil {
		return Leaf{}, err
	}
	r, err := parseLeaf(raw, l.cfg.Origin, index)
	if err != nil {
		return Leaf{}, err
	}
	return Leaf{Index: index, Time: r.when(), Hash: tlog.RecordHash(raw)}, nil
}

// raw returns the bytes of one leaf, checked against the root of h.
func (l *Log) raw(index uint64, h Head) ([]byte, error) {
	if index >= h.Size {
		return nil, domicile.E("read leaf", domicile.Unavailable, "it is not in the tree yet")
	}
	leaves, err := l.tiles.bundle(int64(index/tileWidth), h)
	if err != nil {
		return nil, err
	}
	return leaves[index%tileWidth], nil
}

// Leaves calls fn for each leaf from first on, in order: its raw bytes as hashed, checked against the newest checkpoint of
// the time of the call. It stops at fn's first error and returns it as it is.
func (l *Log) Leaves(first uint64, fn func(index uint64, raw []byte) error) error {
	h := l.snapshot()
	for index := first; index < h.Size; {
		leaves, err := l.tiles.bundle(int64(index/tileWidth), h)
		if err != nil {
			return domicile.W("read audit log", err)
		}
		for _, raw := range leaves[index%tileWidth:] {
			if err := fn(index, raw); err != nil {
				return err
			}
			index++
		}
	}
	return nil
}

// Checkpoint returns the newest signed checkpoint, without cosignatures.
func (l *Log) Checkpoint() ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append([]byte(nil), l.signed...), nil
}

// Head returns what the newest checkpoint says.
func (l *Log) Head() Head { return l.snapshot() }

func (l *Log) snapshot() Head {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.head
}

// ConsistencyProof proves that the tree of size old is a prefix of that of size new (C2SP tlog-witness). It is empty if old
// is 0 or equal to new.
func (l *Log) ConsistencyProof(old, new uint64) ([][32]byte, error) {
	const op = "prove consistency"
	h := l.snapshot()
	if old > new || new > h.Size {
		return nil, domicile.E(op, domicile.Invalid, "sizes must rise and be in the log")
	}
	if old == 0 || old == new {
		return nil, nil
	}
	proof, err := tlog.ProveTree(int64(new), int64(old), l.tiles.hashes(h))
	if err != nil {
		return nil, domicile.W(op, err)
	}
	out := make([][32]byte, len(proof))
	for i, p := range proof {
		out[i] = p
	}
	return out, nil
}

// fail notes why nothing more is recorded. The first reason stays.
func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = err
	}
}

// usable is nil unless a commit is in doubt, or the log is closed.
func (l *Log) usable() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.broken == nil {
		return nil
	}
	return &domicile.Error{Op: "audit log", Kind: domicile.Unavailable, Detail: "nothing is recorded until the log is opened again", Err: l.broken}
}
