package region

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"domicile"
	"domicile/audit"
)

const methodCosign = "cosign"

const (
	cosignTimeout  = 4 * time.Second  // for one cosigner
	cosignPoll     = time.Second      // how soon a change of the log is seen; changes within it go together
	cosignInterval = 30 * time.Second // how soon cosigners that were out of reach are asked again
)

// cosignCall carries a request of C2SP tlog-witness; cosignAnswer its line, or the size that the witness knows.
type cosignCall struct {
	Body []byte `json:"body"`
}

type cosignAnswer struct {
	Line     []byte `json:"line,omitempty"`
	Conflict bool   `json:"conflict,omitempty"`
	Size     uint64 `json:"size,omitempty"`
	Fork     bool   `json:"fork,omitempty"` // no proof leads from what it knows to this
}

// ServeCosigner registers the witness's answer, before Start.
func (n *Node) ServeCosigner(w *audit.Witness) {
	n.Handle(methodCosign, domicile.Checkpoint, maxSmall, func(ctx context.Context, c *Call) (any, error) {
		var in cosignCall
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		line, err := w.AddCheckpoint(ctx, in.Body)
		var size *audit.ConflictSize
		if errors.As(err, &size) {
			return cosignAnswer{Conflict: true, Size: size.Size}, nil
		}
		var fork *audit.BadProof
		if errors.As(err, &fork) {
			return cosignAnswer{Fork: true}, nil
		}
		return cosignAnswer{Line: line}, err
	})
}

// cosigned remembers the size that each cosigner last signed: a hint, which the cosigner corrects.
type cosigned struct {
	mu   sync.Mutex
	size map[domicile.Region]uint64    // guarded by mu
	when map[domicile.Region]time.Time // guarded by mu
}

func (c *cosigned) get(who domicile.Region) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size[who]
}

func (c *cosigned) set(who domicile.Region, size uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size == nil {
		c.size, c.when = map[domicile.Region]uint64{}, map[domicile.Region]time.Time{}
	}
	c.size[who], c.when[who] = size, time.Now()
}

// cosigners returns the vkeys of all witnesses and of the other regions.
func (n *Node) cosigners() map[domicile.Region]string {
	cat, out := n.cfg.Catalog(), map[domicile.Region]string{}
	for _, w := range cat.Witnesses {
		out[domicile.Region(witnessPrefix+w.Name)] = w.Key
	}
	for _, r := range cat.Regions {
		if r.Name != n.cfg.Region {
			out[r.Name] = r.Cosign
		}
	}
	return out
}

// CosignNow asks all witnesses and other regions at once to cosign log's newest checkpoint, and returns how many did.
// The error says what kept the others; with some cosignatures it may be of no matter.
func (n *Node) CosignNow(ctx context.Context, log *audit.Log) (int, error) {
	checkpoint, err := log.Checkpoint()
	if err != nil {
		return 0, domicile.W("cosign", err)
	}
	n.beforeCosign()
	all := n.cosigners()
	results := make(chan error, len(all))
	for who, vkey := range all {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, cosignTimeout)
			defer cancel()
			results <- n.cosignBy(ctx, log, checkpoint, who, vkey)
		}()
	}
	did, errs := 0, []error(nil)
	for range all {
		if err := <-results; err == nil {
			did++
		} else {
			errs = append(errs, err)
		}
	}
	return did, domicile.W("cosign", errors.Join(errs...))
}

func (n *Node) beforeCosign() {
	if n.cfg.BeforeCosign != nil {
		n.cfg.BeforeCosign()
	}
}

// CosignBy has one other region cosign log as it is: from then on that region misses what is in it (see Confirm). Unavailable if it cannot be
// reached now; Conflict if it knows a log that this one is not the continuation of.
func (n *Node) CosignBy(ctx context.Context, log *audit.Log, who domicile.Region) error {
	op := "have the log cosigned by " + string(who)
	vkey, ok := n.cosigners()[who]
	if !ok {
		return domicile.E(op, domicile.Unavailable, "the catalog has no such other region")
	}
	checkpoint, err := log.Checkpoint()
	if err != nil {
		return domicile.W(op, err)
	}
	n.beforeCosign()
	ctx, cancel := context.WithTimeout(ctx, cosignTimeout)
	defer cancel()
	return domicile.W(op, n.cosignBy(ctx, log, checkpoint, who, vkey))
}

// Confirm asks every witness and every other region whether log, as it is, is the newest that they know of: each must cosign its
// checkpoint. It is for a log that was restored, before anything is added to it. One that knows a newer log, or another, refuses
// it (LogRolledBack); as long as one does not answer it is Unavailable, which names it, and may be asked again.
func (n *Node) Confirm(ctx context.Context, log *audit.Log) error {
	const op = "confirm the restored log"
	checkpoint, err := log.Checkpoint()
	if err != nil {
		return domicile.W(op, err)
	}
	all := n.cosigners()
	type answer struct {
		who domicile.Region
		err error
	}
	answers := make(chan answer, len(all))
	for who, vkey := range all {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, cosignTimeout)
			defer cancel()
			answers <- answer{who, n.cosignBy(ctx, log, checkpoint, who, vkey)}
		}()
	}
	var waiting []string
	for range all {
		switch a := <-answers; domicile.KindOf(a.err) {
		case domicile.Conflict: // a newer size, another root, or no proof from one to the other
			err = domicile.Refuse(op, domicile.LogRolledBack, "house/restored-log", string(a.who)+" has cosigned a log that this one is not the continuation of: "+a.err.Error())
		default:
			if a.err != nil {
				waiting = append(waiting, string(a.who))
			}
		}
	}
	if err == nil && len(waiting) > 0 {
		slices.Sort(waiting)
		err = domicile.E(op, domicile.Unavailable, "no answer yet of "+strings.Join(waiting, ", "))
	}
	return err
}

// cosignBy asks one cosigner. It asks again, twice at most, if that one knows another size than was thought: an older one
// than was remembered, or a newer one, because another call had the log cosigned meanwhile.
func (n *Node) cosignBy(ctx context.Context, log *audit.Log, checkpoint []byte, who domicile.Region, vkey string) error {
	size, err := checkpointSize(checkpoint)
	if err != nil {
		return err
	}
	old := min(n.cosigned.get(who), size)
	for range 3 {
		body, err := cosignBody(log, checkpoint, old, size)
		if err != nil {
			return err
		}
		var a cosignAnswer
		if err := n.Ask(ctx, domicile.Checkpoint, who, methodCosign, cosignCall{body}, &a); err != nil {
			return err
		}
		if a.Fork {
			return domicile.E("cosign", domicile.Conflict, string(who)+" knows another log: this one does not continue it")
		}
		if !a.Conflict {
			if err := log.AddCosignature(checkpoint, a.Line, vkey); err != nil {
				return domicile.W("cosignature of "+string(who), err)
			}
			if at, err := audit.CosignedAt(a.Line); err == nil {
				n.clock.read(who, at)
			}
			n.cosigned.set(who, size)
			return nil
		}
		if old = a.Size; old > size {
			if checkpoint, size, err = newerCheckpoint(log, old); err != nil {
				return domicile.W("cosignature of "+string(who), err)
			}
		}
	}
	return domicile.E("cosign", domicile.Conflict, string(who)+" does not say which size it knows")
}

// newerCheckpoint returns the newest checkpoint, which must be of least size at least.
func newerCheckpoint(log *audit.Log, least uint64) (checkpoint []byte, size uint64, err error) {
	if checkpoint, err = log.Checkpoint(); err != nil {
		return nil, 0, err
	}
	if size, err = checkpointSize(checkpoint); err == nil && size < least {
		err = domicile.E("cosign", domicile.Conflict, fmt.Sprintf("it has seen this log at size %d, and it is at %d now: the log was rolled back", least, size))
	}
	return checkpoint, size, err
}

// cosignBody is a request of C2SP tlog-witness.
func cosignBody(log *audit.Log, checkpoint []byte, old, size uint64) (body []byte, err error) {
	var proof [][32]byte
	if old > 0 && old < size {
		if proof, err = log.ConsistencyProof(old, size); err != nil {
			return nil, domicile.W("cosign", err)
		}
	}
	return audit.WitnessRequest(old, proof, checkpoint), nil
}

// checkpointSize reads the second line of a checkpoint (C2SP tlog-checkpoint).
func checkpointSize(checkpoint []byte) (uint64, error) {
	lines := strings.SplitN(string(checkpoint), "\n", 4)
	if len(lines) < 4 {
		return 0, domicile.E("read a checkpoint", domicile.Invalid, "it has fewer than three lines")
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	return size, domicile.W("read a checkpoint", err)
}

// KeepCosigned asks witnesses and other regions, after every change of log and at an interval while some are missing, to
// cosign log's checkpoint, until ctx ends or the node is closed.
func (n *Node) KeepCosigned(ctx context.Context, log *audit.Log) {
	var done string  // the checkpoint that all have cosigned
	var tried string // the one asked for last
	var last time.Time
	tick := time.NewTicker(cosignPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.done:
			return
		case <-tick.C:
		}
		c, err := log.Checkpoint()
		if err != nil || string(c) == done || string(c) == tried && time.Since(last) < cosignInterval {
			continue
		}
		tried, last = string(c), time.Now()
		did, err := n.CosignNow(ctx, log)
		if did == len(n.cosigners()) {
			done = tried
		} else if n.ended(ctx) {
			return
		} else {
			n.log.Debug("not all have cosigned yet", "did", did, "err", err)
		}
	}
}
