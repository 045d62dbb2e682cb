package disclosure

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/mail"
	"slices"
	"strings"
	"time"

	"domicile"
)

// recheck is after how many messages the status lists are read again while collecting.
const recheck = 100

// maxMessage bounds one message in memory; the doors accept less.
const maxMessage = 256 << 20

// collector writes one production into a tar archive.
type collector struct {
	e       *Engine
	c       *caseRecord
	o       *order
	tw      *tar.Writer
	m       Manifest
	skipped map[[2]string]int64 // what and reason, counted
	seen    map[domicile.MessageID]bool
	traffic []trafficLine
	items   int64 // messages taken
	bytes   int64 // of all items but the certificate
	looked  int64
}

// trafficLine is one object of records/traffic.json.
type trafficLine struct {
	Mailbox   string `json:"mailbox"`
	UID       uint32 `json:"uid"`
	Internal  string `json:"internal"`
	Size      int64  `json:"size"`
	From      string `json:"from,omitempty"`
	To        string `json:"to,omitempty"`
	Cc        string `json:"cc,omitempty"`
	Date      string `json:"date,omitempty"`
	MessageID string `json:"message_id,omitempty"`
}

func newCollector(e *Engine, c *caseRecord, o *order, w io.Writer) *collector {
	k := &collector{e: e, c: c, o: o, tw: tar.NewWriter(w), skipped: map[[2]string]int64{}, seen: map[domicile.MessageID]bool{}}
	k.m = Manifest{V: 1, Case: c.Info.Case, Region: string(e.cfg.Region), OrderType: c.Info.OrderType, Issuer: c.Info.Issuer,
		Court: o.claims.Case.Court, Docket: o.claims.Case.Docket, JTI: o.claims.JTI, Token: o.digest, Rule: c.Info.Rule,
		BundleHash: c.Record.BundleHash, FactsHash: c.Record.FactsHash, PreservedAt: c.Snapshot.At.Format(time.RFC3339),
		PreparedAt: e.cfg.Now().UTC().Format(time.RFC3339), Scope: o.claims.Scope, Items: []Item{}, NotProduced: []NotProduced{}}
	k.m.Scope.Targets = []string{c.Info.Target} // one case is one target, however many the order names
	return k
}

// run writes the whole archive and returns its manifest.
func (k *collector) run(ctx context.Context) (*Manifest, error) {
	if k.wants(Subscriber) {
		if err := k.subscriber(ctx); err != nil {
			return nil, err
		}
	}
	if k.wants(Content) || k.wants(Traffic) {
		if err := k.e.eachPreserved(k.c, func(it snapItem) error { return k.message(ctx, it) }); err != nil {
			return nil, err
		}
	}
	if k.wants(Traffic) {
		if err := k.trafficRecords(); err != nil {
			return nil, err
		}
	}
	return k.finish()
}

func (k *collector) wants(category string) bool {
	return slices.Contains(k.o.claims.Scope.Categories, category)
}

func (k *collector) skip(what, reason string) { k.skipped[[2]string{what, reason}]++ }

// subscriber writes what the region knows of the customer. Never the password's hash.
func (k *collector) subscriber(ctx context.Context) error {
	a, err := k.e.cfg.Store.Account(ctx, k.c.Account)
	if err != nil {
		return domicile.W("read the target's account", err)
	}
	text, err := canonical(map[string]any{"address": a.Address, "account": a.ID, "residence": a.Residence, "class": a.Class,
		"state": a.State, "created": a.Created.UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	return k.add(Item{Name: subscriberName, Category: Subscriber}, text, k.e.cfg.Now())
}

// message takes one preserved message, if the order reaches it.
func (k *collector) message(ctx context.Context, it snapItem) error {
	scope := k.o.claims.Scope
	if it.Internal < scope.Window.From || it.Internal > scope.Window.To ||
		len(scope.Folders) > 0 && !slices.Contains(scope.Folders, it.Mailbox) || k.seen[it.ID] {
		return nil
	}
	k.seen[it.ID] = true // a copy in another mailbox is the same message
	if err := k.gate(ctx); err != nil {
		return err
	}
	if k.items >= scope.MaxItems {
		k.skip("messages", "over the order's max_items")
		return nil
	}
	body, err := k.body(ctx, it)
	if domicile.KindOf(err) == domicile.NotExist {
		k.skip("messages", "removed by the account's owner after preservation")
		return nil
	}
	if err != nil {
		return err
	}
	head := headersOf(body)
	if !takesPart(head, scope.Participants) {
		return nil
	}
	if k.bytes+int64(len(body)) > scope.MaxBytes {
		k.skip("messages", "over the order's max_bytes")
		return nil
	}
	k.items++
	k.note(it, head, int64(len(body)))
	if !k.wants(Content) {
		return nil
	}
	item := Item{Name: fmt.Sprintf("messages/%06d.eml", k.items), Category: Content, Mailbox: it.Mailbox, UID: uint32(it.UID),
		Internal: it.Internal, Sealed: k.class() == "e2e"}
	return k.add(item, body, time.Unix(it.Internal, 0))
}

// gate stops collection at a stay, and at what status lists say by now.
func (k *collector) gate(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return domicile.E("collect", domicile.Unavailable, "the caller went away; produce again goes on")
	}
	if err := k.e.halted(k.c.Info.Case); err != nil {
		return err
	}
	if k.looked++; k.looked%recheck != 1 {
		return nil
	}
	return k.e.statusNow(k.o)
}

func (k *collector) body(ctx context.Context, it snapItem) ([]byte, error) {
	r, err := k.e.cfg.Store.Body(ctx, k.c.Account, it.ID)
	if err != nil {
		return nil, domicile.W("read a message", err)
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err != nil {
		return nil, domicile.W("read a message", err)
	}
	if len(body) > maxMessage {
		return nil, domicile.E("read a message", domicile.TooLarge, "a message is over 256 MiB")
	}
	return body, nil
}

func (k *collector) class() string {
	var f Facts
	if json.Unmarshal(k.c.Record.Facts, &f) != nil {
		return ""
	}
	return f.AccountClass
}

func (k *collector) note(it snapItem, h mail.Header, size int64) {
	get := func(name string) string { v := h.Get(name); return v[:min(len(v), 4096)] }
	k.traffic = append(k.traffic, trafficLine{Mailbox: it.Mailbox, UID: uint32(it.UID), Internal: time.Unix(it.Internal, 0).UTC().Format(time.RFC3339),
		Size: size, From: get("From"), To: get("To"), Cc: get("Cc"), Date: get("Date"), MessageID: get("Message-Id")})
}

func (k *collector) trafficRecords() error {
	text, err := json.Marshal(k.traffic)
	if err != nil {
		return err
	}
	if k.traffic == nil {
		text = []byte("[]")
	}
	if k.bytes+int64(len(text)) > k.o.claims.Scope.MaxBytes {
		k.skip(trafficName, "over the order's max_bytes")
		return nil
	}
	return k.add(Item{Name: trafficName, Category: Traffic}, text, k.e.cfg.Now())
}

// add writes one file.
func (k *collector) add(it Item, content []byte, at time.Time) error {
	it.SHA256, it.Bytes = digestOf(content), int64(len(content))
	if it.Category != "" {
		k.bytes += it.Bytes
	}
	k.m.Items = append(k.m.Items, it)
	return k.file(it.Name, content, at)
}

func (k *collector) file(name string, content []byte, at time.Time) error {
	h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(content)), ModTime: at.UTC().Truncate(time.Second), Format: tar.FormatPAX}
	if err := k.tw.WriteHeader(h); err != nil {
		return domicile.W("write the archive", err)
	}
	_, err := k.tw.Write(content)
	return domicile.W("write the archive", err)
}

// finish writes certificate and manifest. The executed scope is asserted here, and once more by CheckProduction.
func (k *collector) finish() (*Manifest, error) {
	if err := k.add(Item{Name: certificateName}, []byte(k.certificate()), k.e.cfg.Now()); err != nil {
		return nil, err
	}
	for key, n := range k.skipped {
		k.m.NotProduced = append(k.m.NotProduced, NotProduced{What: key[0], Reason: key[1], Count: n})
	}
	if k.wants(Traffic) {
		k.m.NotProduced = append(k.m.NotProduced, NotProduced{What: "session records", Reason: "not part of a stored account; the region's journal needs an order of its own"})
	}
	if k.class() == "e2e" {
		k.m.NotProduced = append(k.m.NotProduced, NotProduced{What: "plaintext of sealed messages", Reason: "not possessed: the account is end to end and this region has no key to it"})
	}
	slices.SortFunc(k.m.NotProduced, func(a, b NotProduced) int { return strings.Compare(a.What+a.Reason, b.What+b.Reason) })
	k.m.Scope.MaxItems, k.m.Scope.MaxBytes = k.items, k.bytes
	if err := k.m.Scope.within(k.o.claims.Scope); err != nil {
		return nil, domicile.Refuse("collect", domicile.ScopeExceedsBasis, ruleScope, err.Error())
	}
	text, err := canonical(k.m)
	if err != nil {
		return nil, err
	}
	if err := k.file(manifestName, text, k.e.cfg.Now()); err != nil {
		return nil, err
	}
	return &k.m, domicile.W("write the archive", k.tw.Close())
}

// certificate is the custodian's statement. It says what a program can know, and who asserts it.
func (k *collector) certificate() string {
	return fmt.Sprintf(`CERTIFICATE OF THE CUSTODIAN OF RECORDS

The operator of the region %s certifies that the files listed in manifest.json were kept in the ordinary course of
running a mail service, and that each message in messages/ is, byte for byte, what the region's store holds.

Case %s, order %s, docket %s, executed at %s.
Messages produced: %d. What could not be produced, and why, is in manifest.json.

Where servers stand is asserted by the operator. Where an account is end to end, its messages are given as they rest,
sealed to a key that the operator never had.
`, k.m.Region, k.m.Case, k.m.OrderType, k.m.Docket, k.m.PreparedAt, k.items)
}

// headersOf parses a message's header leniently: what cannot be read is empty.
func headersOf(body []byte) mail.Header {
	const most = 256 << 10
	head := body[:min(len(body), most)]
	if i := bytes.Index(head, []byte("\r\n\r\n")); i >= 0 {
		head = head[:i+4]
	}
	m, err := mail.ReadMessage(bytes.NewReader(head))
	if err != nil {
		return mail.Header{}
	}
	return m.Header
}

// takesPart reports whether one of the participants is in From, To or Cc. A header that cannot be read matches nobody.
func takesPart(h mail.Header, participants []string) bool {
	if len(participants) == 0 {
		return true
	}
	for _, field := range []string{"From", "To", "Cc"} {
		list, err := h.AddressList(field)
		if err != nil {
			continue
		}
		for _, a := range list {
			if slices.ContainsFunc(participants, func(p string) bool { return strings.EqualFold(p, a.Address) }) {
				return true
			}
		}
	}
	return false
}
