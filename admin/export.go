package admin

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/disclosure"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// ExportAccount asks for the mail of an account. With the owner's consent, in the words in which it was given and are
// recorded, that is all of it. With an order it is what the order may have: the sealed production of the case, once released.
type ExportAccount struct {
	Address string `json:"address"`
	Consent string `json:"consent,omitempty"`
	Order   string `json:"order,omitempty"`
}

// ExportManifest is the last entry of an export, manifest.json.
type ExportManifest struct {
	Version  int              `json:"v"` // 1
	Address  domicile.Address `json:"address"`
	Region   domicile.Region  `json:"region"`
	Time     time.Time        `json:"time"`
	Messages []ExportedItem   `json:"messages"`
	Leaf     uint64           `json:"leaf"` // the record of the export
}

// ExportedItem is one message of an export.
type ExportedItem struct {
	File    string             `json:"file"`
	Mailbox string             `json:"mailbox"`
	UID     store.UID          `json:"uid"`
	ID      domicile.MessageID `json:"id"`
	Flags   []string           `json:"flags"`
	Time    time.Time          `json:"internal_date"`
	Bytes   int64              `json:"bytes"`
	SHA256  string             `json:"sha256"`
}

// exportCeiling bounds one export, in bytes.
const exportCeiling = int64(1) << 40

func (s *Server) exportAccount(w http.ResponseWriter, r *http.Request, who caller) error {
	var in ExportAccount
	if err := decode(w, r, &in); err != nil {
		return err
	}
	a, err := s.mayExport(r.Context(), who, in)
	if err != nil {
		return err
	}
	if in.Order != "" {
		return s.sendProduction(w, r, who, in.Order)
	}
	leaf, err := s.record(r.Context(), who, "account.exported", a.Address, map[string]string{"account": string(a.ID), "consent": in.Consent})
	if err != nil {
		return err
	}
	permit, err := s.cfg.Guard.Permit(r.Context(), region.Request{Crossing: placement.Crossing{Class: domicile.Operator, Kind: placement.Stream,
		From: s.cfg.Region, Party: placement.ToOperator, To: who.Region, Account: a.ID, Home: s.cfg.Region, Ceiling: exportCeiling}})
	if err != nil {
		return err
	}
	defer permit.Close()
	out, err := s.cfg.Guard.Writer(permit, &lazyBody{w: w, kind: "application/x-tar"})
	if err != nil {
		return err
	}
	if err = errors.Join(s.writeExport(r.Context(), out, a, leaf.Index), out.Close()); err != nil {
		s.cfg.Log.Warn("admin: an export was cut short", "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// mayExport finds the account, or refuses. In a region that is not the account's home the answer is the same whether or
// not there is such an address anywhere.
func (s *Server) mayExport(ctx context.Context, who caller, in ExportAccount) (store.Account, error) {
	addr, err := placement.ParseAddress(in.Address)
	if err != nil {
		return store.Account{}, err
	}
	if err := s.access(ctx, who, addr); err != nil {
		return store.Account{}, err
	}
	a, err := s.cfg.Store.AccountByAddress(ctx, addr)
	switch {
	case err == nil && !s.handedOver(a.ID):
		if a.State == store.Moving {
			return store.Account{}, domicile.E(who.call, domicile.Unavailable, "the account is on its way to another region; ask there when it has arrived")
		}
		return a, s.mayExportHere(ctx, who, a, in)
	case err != nil && domicile.KindOf(err) != domicile.NotExist:
		return store.Account{}, err
	case in.Order != "":
		return store.Account{}, domicile.Refuse(who.call, domicile.ContentStoredAbroad, "house/home-exports", "nothing of such an account rests in this region")
	}
	answer, err := s.cfg.Orders.RefuseExport(ctx, who.Peer, string(addr))
	if err != nil {
		return store.Account{}, err
	}
	return store.Account{}, refusal(who.call, answer)
}

func (s *Server) mayExportHere(ctx context.Context, who caller, a store.Account, in ExportAccount) error {
	switch {
	case in.Order != "":
		return s.orderCovers(ctx, who, a, in.Order)
	case !who.HasRole("operator"):
		return domicile.Refuse(who.call, domicile.WrongRole, "house/operator-roles", "without an order this needs the role operator")
	case len(in.Consent) > 4096:
		return domicile.E(who.call, domicile.TooLarge, "the words of the consent have at most 4096 bytes")
	case strings.TrimSpace(in.Consent) == "":
		return domicile.Refuse(who.call, domicile.ConsentMissing, "house/owner-consents",
			"the owner's mail goes out with the owner's consent or an order; give --consent TEXT, saying when and how it was given, or --order ID")
	}
	return nil
}

// orderCovers wants a case about this account whose disclosure the quorum has released.
func (s *Server) orderCovers(ctx context.Context, who caller, a store.Account, id string) error {
	if !who.HasRole("legal") {
		return domicile.Refuse(who.call, domicile.WrongRole, "house/operator-roles", "an export under an order needs the role legal")
	}
	c, err := s.cfg.Orders.Case(ctx, who.Peer, id)
	if err != nil {
		return err
	}
	if target, err := placement.ParseAddress(c.Target); err != nil || target != a.Address {
		return domicile.Refuse(who.call, domicile.ScopeExceedsBasis, "house/order-covers", "the case is about another target")
	}
	if !slices.Contains(releasedStates, c.State) {
		return domicile.Refuse(who.call, domicile.OrderStateWrong, "house/order-released", "the case is "+c.State+"; an export follows its release")
	}
	return nil
}

// releasedStates are those behind the release.
var releasedStates = []string{"released", "delivered", "acknowledged", "closed"}

// refusal makes an error of an engine's refusing answer.
func refusal(op string, a disclosure.Answer) error {
	return &withReceipt{err: domicile.Refuse(op, a.Code, a.Rule, a.Detail), receipt: a.Receipt}
}

// writeExport writes the tar: folders as in Maildir++, one file a message, the manifest last.
func (s *Server) writeExport(ctx context.Context, w io.Writer, a store.Account, leaf uint64) error {
	out := tar.NewWriter(w)
	m := ExportManifest{Version: 1, Address: a.Address, Region: s.cfg.Region, Time: s.cfg.Now().UTC(), Messages: []ExportedItem{}, Leaf: leaf}
	for msg, err := range store.WholeAccount(ctx, s.cfg.Store, a.ID) {
		if err != nil {
			return err
		}
		item, err := s.writeMessage(ctx, out, a, msg)
		if err != nil {
			return err
		}
		m.Messages = append(m.Messages, item)
	}
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: "manifest.json", Mode: 0o600, Size: int64(len(raw)), ModTime: m.Time}); err != nil {
		return err
	}
	_, err = out.Write(raw)
	return errors.Join(err, out.Close())
}

func (s *Server) writeMessage(ctx context.Context, out *tar.Writer, a store.Account, msg store.Filed) (ExportedItem, error) {
	item := ExportedItem{File: folderName(msg.Mailbox.Name) + "/cur/" + fileName(msg.Message), Mailbox: msg.Mailbox.Name, UID: msg.UID, ID: msg.ID, Flags: msg.Flags,
		Time: msg.Internal, Bytes: msg.Size}
	body, err := s.cfg.Store.Body(ctx, a.ID, msg.ID)
	if err != nil {
		return item, err
	}
	defer body.Close()
	if err := out.WriteHeader(&tar.Header{Name: item.File, Mode: 0o600, Size: msg.Size, ModTime: msg.Internal, Format: tar.FormatPAX}); err != nil {
		return item, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), body)
	if err == nil && n != msg.Size {
		err = domicile.E("export", domicile.Other, "a message is not as long as the index says; run fsck")
	}
	item.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return item, err
}

// folderName flattens a mailbox name to one folder, levels parted by ".": no level can be "..", for dots within a level
// are written %2E, as is every byte that some file system dislikes.
func folderName(mailbox string) string {
	var b strings.Builder
	for i := range len(mailbox) {
		switch c := mailbox[i]; {
		case c == '/':
			b.WriteByte('.')
		case c == '.' || c == '%' || c == '\\' || c == ':' || c < ' ' || c == 0x7f || strings.IndexByte(`*?"<>|`, c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// fileName is that of Maildir: a unique name, then the flags.
func fileName(m store.Message) string {
	flags := ""
	for _, f := range []struct{ letter, flag string }{{"D", "\\Draft"}, {"F", "\\Flagged"}, {"R", "\\Answered"}, {"S", "\\Seen"}, {"T", "\\Deleted"}} {
		if slices.Contains(m.Flags, f.flag) {
			flags += f.letter
		}
	}
	return fmt.Sprintf("%d.%s:2,%s", m.UID, m.ID, flags)
}
