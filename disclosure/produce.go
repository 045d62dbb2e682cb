package disclosure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"filippo.io/age"

	"domicile"
	"domicile/audit"
	"domicile/region"
)

// Production describes a collected archive; Manifest holds digests and counts, no content.
type Production struct {
	Case     string          `json:"case"`
	State    string          `json:"state"`
	Archive  string          `json:"archive"` // file name
	SHA256   string          `json:"sha256"`
	Bytes    int64           `json:"bytes"`
	Manifest json.RawMessage `json:"manifest"`
	To       string          `json:"to"`                // the client's folder, as given to Produce
	Receipt  []byte          `json:"receipt,omitempty"` // once released
}

// archiveInfo is what a case remembers of its archive.
type archiveInfo struct {
	SHA256   string `json:"sha256"` // of the age file
	Bytes    int64  `json:"bytes"`
	Manifest string `json:"manifest_sha256"`
}

const archiveFile = "production.tar.age"

// Produce collects, seals to the authority's age key and keeps the archive at the node. to is only kept for the client, the
// last one given.
// The token is spent, with its leaf, before the first message is read; a crash after that is finished by the next call
// or the next Open under the same spending. Idempotent: once sealed, it returns what there is. A call while another one
// collects waits for that.
func (e *Engine) Produce(ctx context.Context, who region.Peer, id, to string) (Production, error) {
	by, err := e.officer(who)
	if err != nil {
		return Production{}, err
	}
	if len(to) > 4096 {
		return Production{}, domicile.E("produce", domicile.Invalid, "the folder's name is over 4096 bytes")
	}
	if err := e.cfg.Clock(ctx); err != nil {
		return Production{}, err
	}
	return e.produce(ctx, by, id, to)
}

func (e *Engine) produce(ctx context.Context, by, id, to string) (Production, error) {
	c, o, wait, err := e.begin(ctx, by, id, to)
	for wait != nil && err == nil {
		select {
		case <-wait:
			c, o, wait, err = e.begin(ctx, by, id, to)
		case <-ctx.Done():
			return Production{}, domicile.E("produce", domicile.Unavailable, "the case is being collected; ask again")
		}
	}
	if err != nil {
		return Production{}, err
	}
	if c.Archive != nil {
		return e.production(c)
	}
	defer e.end(id)
	info, err := e.collect(ctx, c, o)
	if err != nil {
		return Production{}, err
	}
	return e.sealed(ctx, by, id, info)
}

// begin spends the token and puts the case into collecting, and marks it busy. A case with an archive comes back as it
// is. wait is not nil if somebody else is collecting: it is closed when that ends.
func (e *Engine) begin(ctx context.Context, by, id, to string) (c *caseRecord, o *order, wait <-chan struct{}, err error) {
	const op = "produce"
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, err = e.take(ctx, id); err != nil {
		return nil, nil, nil, err
	}
	if e.busy[id] != nil {
		return nil, nil, e.busy[id], nil
	}
	if to != "" {
		c.To = to
	}
	switch c.Info.State {
	case stateDecided, stateCollecting:
	case stateSealed, stateQuorum, stateReleased, stateDelivered:
		return c, nil, nil, e.putCase(c)
	case stateStayed, stateWithdrawn:
		return nil, nil, nil, domicile.Refuse(op, domicile.Stayed, ruleCourt, "the case is "+c.Info.State)
	default:
		return nil, nil, nil, wrongState(op, c, "one that is decided to be executed")
	}
	o, f, err := e.reopen(c)
	if err != nil {
		return nil, nil, nil, err
	}
	if f == nil {
		f = e.checker().inForce()
	}
	if f != nil {
		return nil, nil, nil, domicile.Refuse(op, f.Code, f.Rule, f.Detail)
	}
	if !o.kind.discloses() {
		return nil, nil, nil, domicile.Refuse(op, domicile.OrderStateWrong, ruleState, "an order of this type discloses nothing: the account is preserved")
	}
	if err := e.spend(ctx, c, o, by); err != nil {
		return nil, nil, nil, err
	}
	e.busy[id] = make(chan struct{})
	return c, o, nil, nil
}

// spend consumes one use of the token, once for each case. Call under e.mu.
func (e *Engine) spend(ctx context.Context, c *caseRecord, o *order, by string) error {
	if c.Info.State == stateCollecting {
		return nil
	}
	err := e.step(ctx, c, act{state: stateCollecting, by: by,
		public:  map[string]string{"rule": c.Info.Rule, "bundle": c.Record.BundleHash},
		private: map[string]string{"facts": c.Record.FactsHash},
		spend:   &audit.Spend{Issuer: o.claims.Issuer, JTI: o.claims.JTI, Max: o.claims.executions()}})
	if domicile.ReasonOf(err) != domicile.Replayed {
		return err
	}
	f := found(domicile.Replayed, ruleReplay, "the token was used up by another case meanwhile")
	return errors.Join(domicile.Refuse("produce", f.Code, f.Rule, f.Detail), e.refuse(ctx, c, f, by))
}

func (e *Engine) end(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.busy[id])
	delete(e.busy, id)
}

// sealed records the archive.
func (e *Engine) sealed(ctx context.Context, by, id string, info *archiveInfo) (Production, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.take(ctx, id)
	if err != nil {
		return Production{}, err
	}
	if c.Info.State != stateCollecting { // a stay came between
		return Production{}, domicile.Refuse("produce", domicile.Stayed, ruleCourt, "the case is "+c.Info.State)
	}
	c.Archive = info
	err = e.step(ctx, c, act{state: stateSealed, by: by, public: map[string]string{"archive_sha256": info.SHA256,
		"manifest_sha256": info.Manifest, "bytes": strconv.FormatInt(info.Bytes, 10)}})
	if err != nil {
		return Production{}, err
	}
	return e.production(c)
}

// finishCollections goes on, at Open, with what a crash cut.
func (e *Engine) finishCollections(ctx context.Context) {
	list, err := e.allCases()
	if err != nil {
		e.log.Warn("cases could not be read", "kind", domicile.KindOf(err).String())
		return
	}
	for _, c := range list {
		if c.Info.State != stateCollecting || ctx.Err() != nil {
			continue
		}
		if _, err := e.produce(ctx, engineName, c.Info.Case, ""); err != nil {
			e.log.Warn("a collection that was cut could not go on; produce tries again", "case", c.Info.Case, "reason", string(domicile.ReasonOf(err)))
		}
	}
}

// statusNow asks the status lists as of now.
func (e *Engine) statusNow(o *order) error {
	if f := e.checker().status(o); f != nil {
		return domicile.Refuse("act on a case", f.Code, f.Rule, f.Detail)
	}
	return nil
}

// recipient is the key that a production is sealed to. A treaty production goes to this state's own central authority,
// whatever a bundle said: direct delivery to the foreign agency is impossible here.
func (e *Engine) recipient(o *order) (age.Recipient, error) {
	const op = "seal a production"
	m := e.reg.recipientOwner(o.claims.DeliveryTo)
	if m == nil || !m.validOn(e.cfg.Now()) {
		return nil, domicile.Refuse(op, domicile.UnknownAuthority, ruleAuthority, "delivery_to is the key of no authority that is registered today")
	}
	if o.kind.Regime == "mlat" && (m.Role != "central" || m.Country != e.checker().country()) {
		return nil, domicile.Refuse(op, domicile.ScopeExceedsBasis, "mlat/delivery", "a treaty production goes to this state's own central authority only")
	}
	return m.recipient, nil
}

// collect writes the archive: tar into age into a temporary file, which gets its name when it is whole and on disk. The
// same tar bytes go through CheckProduction on their way: what it refuses is thrown away. Plaintext touches no disk.
func (e *Engine) collect(ctx context.Context, c *caseRecord, o *order) (*archiveInfo, error) {
	const op = "collect a production"
	to, err := e.recipient(o)
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(e.dir(c.Info.Case), "new-*")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	defer os.Remove(tmp.Name())
	sum := &counting{w: tmp, sum: sha256.New()}
	m, err := e.writeArchive(ctx, c, o, sum, to)
	if err != nil {
		tmp.Close()
		return nil, err
	}
	if err := keep(tmp, filepath.Join(e.dir(c.Info.Case), archiveFile)); err != nil {
		return nil, domicile.W(op, err)
	}
	text, err := canonical(m)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	info := &archiveInfo{SHA256: hex.EncodeToString(sum.sum.Sum(nil)), Bytes: sum.n, Manifest: digestOf(text)}
	return info, e.saveManifest(c.Info.Case, text)
}

// writeArchive runs collector and checker on the same bytes.
func (e *Engine) writeArchive(ctx context.Context, c *caseRecord, o *order, w io.Writer, to age.Recipient) (*Manifest, error) {
	const op = "collect a production"
	enc, err := age.Encrypt(w, to)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	pr, pw := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		_, err := CheckProduction(pr, o.claims.Scope)
		if err == nil {
			_, err = io.Copy(io.Discard, pr) // the archive's padding
		}
		pr.CloseWithError(err)
		checked <- err
	}()
	m, err := newCollector(e, c, o, io.MultiWriter(enc, pw)).run(ctx)
	pw.CloseWithError(err) // nil closes it as at the end of a file
	if wrong := <-checked; err == nil && wrong != nil {
		return nil, domicile.Refuse(op, domicile.ScopeExceedsBasis, ruleScope, "the archive does not pass its check: "+wrong.Error())
	}
	if err != nil {
		return nil, err
	}
	return m, domicile.W(op, enc.Close())
}

// counting counts and hashes what goes through.
type counting struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.sum.Write(b[:n])
	c.n += int64(n)
	return n, err
}

// saveManifest keeps the manifest beside the archive, sealed in parts that fit the box.
func (e *Engine) saveManifest(id string, text []byte) error {
	for n := 0; ; n++ {
		part := text[:min(len(text), maxPart)]
		text = text[len(part):]
		if err := e.saveFile(id, manifestPart(n), part); err != nil || len(text) == 0 {
			return err
		}
	}
}

// maxPart is what one sealed file holds at most.
const maxPart = 8 << 20

func manifestPart(n int) string { return fmt.Sprintf("manifest-%03d", n) }

// readManifest reads the parts back, and holds them against the digest that the log has.
func (e *Engine) readManifest(c *caseRecord) ([]byte, error) {
	var text []byte
	for n := 0; digestOf(text) != c.Archive.Manifest; n++ {
		part, err := e.readFile(c.Info.Case, manifestPart(n))
		if err != nil {
			return nil, err
		}
		if part == nil {
			return nil, domicile.E("read a manifest", domicile.Other, "it is not the one that was recorded")
		}
		text = append(text, part...)
	}
	return text, nil
}

// production describes a case's archive.
func (e *Engine) production(c *caseRecord) (Production, error) {
	text, err := e.readManifest(c)
	if err != nil {
		return Production{}, err
	}
	p := Production{Case: c.Info.Case, State: c.Info.State, Archive: c.Info.Case + ".tar.age", SHA256: c.Archive.SHA256,
		Bytes: c.Archive.Bytes, Manifest: text, To: c.To}
	if c.Info.State == stateReleased || c.Info.State == stateDelivered {
		leaf, _ := c.releaseLeaf()
		p.Receipt, err = e.parts.log.Receipt(leaf, false)
	}
	return p, domicile.W("make the receipt of a release", err)
}
