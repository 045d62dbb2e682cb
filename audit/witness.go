package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"domicile"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/mod/sumdb/tlog"
)

const maxWitnessBody = 128 << 10 // bytes of a request

var bucketSeen = []byte("seen") // origin: the checkpoint last cosigned

// Witness cosigns the checkpoints of others (C2SP tlog-witness, tlog-cosignature: cosignature/v1),
// after checking that each extends the last it cosigned. What it last saw is on disk before it signs. Safe for concurrent
// use; one process holds it open. After a commit of which nobody knows whether it is on disk it refuses everything until it is
// opened again; after another error of its disk nothing was done, and the next call is served.
type Witness struct {
	signer Signer
	logs   atomic.Pointer[map[string]verifier]
	now    func() time.Time
	db     *bolt.DB
	step   func(string, func() error) error

	mu     sync.Mutex // held from comparing to remembering; guards broken
	broken error
}

// OpenWitness keeps its state in dir. logs maps an origin to the vkey of its log.
func OpenWitness(dir string, signer Signer, logs map[string]string, now func() time.Time) (*Witness, error) {
	const op = "open witness"
	if now == nil {
		now = time.Now
	}
	w := &Witness{signer: signer, now: now, step: runStep}
	if len(signer.Public()) != ed25519.PublicKeySize {
		return nil, domicile.E(op, domicile.Invalid, "the signer is not Ed25519")
	}
	if err := w.SetLogs(logs); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := makeRoot(dir); err != nil {
		return nil, domicile.W(op, err)
	}
	if err := freshDB(filepath.Join(dir, "witness.db")); err != nil {
		return nil, domicile.W(op, err)
	}
	db, err := bolt.Open(filepath.Join(dir, "witness.db"), 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, domicile.E(op, domicile.Unavailable, "another process holds the witness open")
	}
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if err := settleDB(db); err != nil {
		return nil, domicile.W(op, err)
	}
	w.db = db
	err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucketIfNotExists(bucketSeen); return err })
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		db.Close()
		return nil, domicile.W(op, err)
	}
	return w, nil
}

// Close releases the file.
func (w *Witness) Close() error { return domicile.W("close witness", w.db.Close()) }

// SetLogs replaces the logs that it cosigns for, by origin, each with its vkey; what it has seen of each it remembers, also
// of one that comes back. A malformed key is Invalid, and the logs stay as they were.
func (w *Witness) SetLogs(logs map[string]string) error {
	known := make(map[string]verifier)
	for origin, vkey := range logs {
		v, err := parseVerifier(vkey, algNote)
		if err != nil || v.name != origin {
			return domicile.E("set the logs of a witness", domicile.Invalid, "the key of the log "+origin+" is malformed or has another name")
		}
		known[origin] = v
	}
	w.logs.Store(&known)
	return nil
}

// Origins lists the logs it cosigns for.
func (w *Witness) Origins() []string {
	return slices.Sorted(maps.Keys(*w.logs.Load()))
}

// AddCheckpoint is the witness's one call. body is the tlog-witness request: "old N", proof lines, an empty line, the checkpoint.
// It returns the cosignature line. A wrong old size is domicile.Conflict, with the size the witness knows in *ConflictSize.
//
// The other answers, with the status that C2SP tlog-witness gives them: an unknown log is NotExist (404); a bad signature of
// the log is Refused with BadSignature (403); a malformed request Invalid (400), a proof that does not verify too, with
// *BadProof in its chain (422); the same size with another root Conflict (409), with the size.
func (w *Witness) AddCheckpoint(ctx context.Context, body []byte) (line []byte, err error) {
	const op = "cosign checkpoint"
	if err := ctx.Err(); err != nil {
		return nil, &domicile.Error{Op: op, Kind: domicile.Unavailable, Err: err}
	}
	req, err := parseWitnessRequest(body)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	origin, _, _ := bytes.Cut(req.checkpoint, []byte("\n"))
	v, ok := (*w.logs.Load())[string(origin)]
	if !ok {
		return nil, domicile.E(op, domicile.NotExist, "this witness does not know the log")
	}
	head, _, err := openCheckpoint(req.checkpoint, v)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if req.old > head.Size {
		return nil, domicile.E(op, domicile.Invalid, "the old size is larger than the checkpoint's")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return nil, &domicile.Error{Op: op, Kind: domicile.Unavailable, Detail: "nothing is cosigned until the witness is opened again", Err: w.broken}
	}
	known, err := w.seen(head.Origin)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if err := req.extends(known, head); err != nil {
		return nil, domicile.W(op, err)
	}
	if known == nil || known.Size < head.Size {
		if err := w.remember(head, req.checkpoint); err != nil {
			return nil, &domicile.Error{Op: op, Kind: domicile.Unavailable, Err: err}
		}
	}
	sig, err := cosign(head.text(), w.now(), w.signer)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return []byte(sig.line()), nil
}

// seen returns the checkpoint last cosigned of a log, nil if none.
func (w *Witness) seen(origin string) (*Head, error) {
	var signed []byte
	err := w.db.View(func(tx *bolt.Tx) error {
		signed = bytes.Clone(tx.Bucket(bucketSeen).Get([]byte(origin)))
		return nil
	})
	if err != nil || signed == nil {
		return nil, err
	}
	text, _, err := splitNote(signed)
	if err != nil {
		return nil, err
	}
	h, err := parseHead(text)
	return &h, err
}

// remember makes a checkpoint the last one, on disk when it returns. If nobody can know whether it is, the witness is broken.
func (w *Witness) remember(head Head, signed []byte) error {
	doubt, err := tryUpdate(w.db, func(do func() error) error { return w.step("remember", do) },
		func(tx *bolt.Tx) error { return tx.Bucket(bucketSeen).Put([]byte(head.Origin), signed) })
	if doubt {
		w.broken = err
	}
	return err
}

// ConflictSize is in the chain of AddCheckpoint's Conflict.
type ConflictSize struct{ Size uint64 }

func (c *ConflictSize) Error() string {
	return fmt.Sprintf("the witness knows this log at size %d", c.Size)
}

// BadProof is in the chain of AddCheckpoint's answer to a proof that does not verify: a mistake, or a fork.
type BadProof struct{}

func (*BadProof) Error() string { return "the consistency proof does not verify" }

// witnessRequest is a parsed request (C2SP tlog-witness, "add-checkpoint").
type witnessRequest struct {
	old        uint64
	proof      tlog.TreeProof
	checkpoint []byte
}

// WitnessRequest writes the request for Witness.AddCheckpoint.
func WitnessRequest(old uint64, proof [][32]byte, checkpoint []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range proof {
		fmt.Fprintln(&b, tlog.Hash(h))
	}
	b.WriteByte('\n')
	b.Write(checkpoint)
	return b.Bytes()
}

func parseWitnessRequest(body []byte) (*witnessRequest, error) {
	bad := domicile.E("parse witness request", domicile.Invalid, "not an old size, at most 63 proof lines, an empty line and a checkpoint")
	head, checkpoint, ok := strings.Cut(string(body), "\n\n")
	lines := strings.Split(head, "\n")
	old, isOld := strings.CutPrefix(lines[0], "old ")
	if !ok || !isOld || len(body) > maxWitnessBody || len(lines) > 1+maxProof {
		return nil, bad
	}
	r := &witnessRequest{checkpoint: []byte(checkpoint)}
	var err error
	if r.old, err = strconv.ParseUint(old, 10, 64); err != nil || strconv.FormatUint(r.old, 10) != old {
		return nil, bad
	}
	for _, line := range lines[1:] {
		h, err := decode64(line)
		if err != nil || len(h) != tlog.HashSize {
			return nil, bad
		}
		r.proof = append(r.proof, tlog.Hash(h))
	}
	return r, nil
}

// extends checks that head continues what the witness knows.
func (r *witnessRequest) extends(known *Head, head Head) error {
	const op = "check consistency"
	var size uint64
	if known != nil {
		size = known.Size
	}
	conflict := &domicile.Error{Op: op, Kind: domicile.Conflict, Err: &ConflictSize{size}}
	badProof := &domicile.Error{Op: op, Kind: domicile.Invalid, Err: &BadProof{}}
	empty, err := tlog.TreeHash(0, nil)
	switch {
	case err != nil:
		return err
	case r.old != size:
		return conflict
	case head.Size == 0 && tlog.Hash(head.Root) != empty:
		return badProof
	case known != nil && head.Size == size && head.Root != known.Root:
		return conflict
	case size == 0 || head.Size == size:
		if len(r.proof) > 0 {
			return badProof
		}
		return nil
	}
	if err := tlog.CheckTree(r.proof, int64(head.Size), head.Root, int64(size), known.Root); err != nil {
		return badProof
	}
	return nil
}
