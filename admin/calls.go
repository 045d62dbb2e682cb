package admin

import (
	"context"
	"io"

	"domicile/disclosure"
	"domicile/move"
	"domicile/residence"
)

// CreateAccount makes an account. Refused UnknownCountry, ResidenceNotServed, WrongRegion (the detail names the home), NameTaken, DomainNotServed.
func (c *Client) CreateAccount(ctx context.Context, in CreateAccount) (Account, error) {
	return call[Account](ctx, c, "account/create", in)
}

// Accounts lists the accounts of the node's region.
func (c *Client) Accounts(ctx context.Context) ([]Account, error) {
	return call[[]Account](ctx, c, "account/ls", struct{}{})
}

// Account shows one, with how much it holds.
func (c *Client) Account(ctx context.Context, address string) (Account, error) {
	return call[Account](ctx, c, "account/show", Target{address})
}

// RemoveAccount, said by an operator, asks for an account's removal and ends its logins: State "removing". Said then by a legal
// officer, another person, it destroys key and mail and gives the name up: "removed". Refused DualApprovalMissing, SelfApproval,
// and to legal officers ResidenceFrozen.
func (c *Client) RemoveAccount(ctx context.Context, address string) (Account, error) {
	return call[Account](ctx, c, "account/rm", Target{address})
}

// SetPassword replaces an account's password.
func (c *Client) SetPassword(ctx context.Context, in SetPassword) (Account, error) {
	return call[Account](ctx, c, "account/passwd", in)
}

// SuspendAccount ends logins; mail is still accepted.
func (c *Client) SuspendAccount(ctx context.Context, address string) (Account, error) {
	return call[Account](ctx, c, "account/suspend", Target{address})
}

// ResumeAccount allows logins again, and takes a request to remove the account back.
func (c *Client) ResumeAccount(ctx context.Context, address string) (Account, error) {
	return call[Account](ctx, c, "account/resume", Target{address})
}

// Quota shows an account's quota and, if in.Quota is set, changes it first.
func (c *Client) Quota(ctx context.Context, in SetQuota) (Account, error) {
	return call[Account](ctx, c, "account/quota", in)
}

// SetAbroad says what happens where somebody logs in to an account at a front of another region.
func (c *Client) SetAbroad(ctx context.Context, in SetAbroad) (Account, error) {
	return call[Account](ctx, c, "account/abroad", in)
}

// Where says where an address lives, and why.
func (c *Client) Where(ctx context.Context, address string) (Where, error) {
	return call[Where](ctx, c, "account/where", Target{address})
}

// ExportAccount copies the tar of an account's mail to w or, with an order, the sealed archive of its case. Refused NoToken with a receipt where the account is not at
// home, ConsentMissing at home without consent or order.
func (c *Client) ExportAccount(ctx context.Context, in ExportAccount, w io.Writer) error {
	return c.stream(ctx, "account/export", in, w)
}

// DeclareResidence asks for a change of residence.
func (c *Client) DeclareResidence(ctx context.Context, in DeclareResidence) (residence.Change, error) {
	return call[residence.Change](ctx, c, "residence/declare", in)
}

// Changes lists the changes of residence ever asked for in the region.
func (c *Client) Changes(ctx context.Context) ([]residence.Change, error) {
	return call[[]residence.Change](ctx, c, "residence/ls", struct{}{})
}

// Residence shows an account's residence and its history.
func (c *Client) Residence(ctx context.Context, in ShowResidence) (ResidenceView, error) {
	return call[ResidenceView](ctx, c, "residence/show", in)
}

// ApproveChange, RejectChange and ContestChange end or stop a change of residence.
func (c *Client) ApproveChange(ctx context.Context, id string) (residence.Change, error) {
	return call[residence.Change](ctx, c, "residence/approve", ID{id})
}

// RejectChange closes a change.
func (c *Client) RejectChange(ctx context.Context, id string) (residence.Change, error) {
	return call[residence.Change](ctx, c, "residence/reject", ID{id})
}

// ContestChange marks a change as disputed.
func (c *Client) ContestChange(ctx context.Context, id string) (residence.Change, error) {
	return call[residence.Change](ctx, c, "residence/contest", ID{id})
}

// Moves lists the moves out of and into the region.
func (c *Client) Moves(ctx context.Context) ([]move.Info, error) {
	return call[[]move.Info](ctx, c, "move/ls", struct{}{})
}

// Move shows one move.
func (c *Client) Move(ctx context.Context, id string) (move.Info, error) {
	return call[move.Info](ctx, c, "move/show", ID{id})
}

// CancelMove ends a move out of the region before its handover. Refused MovePastHandover afterwards.
func (c *Client) CancelMove(ctx context.Context, id string) (move.Info, error) {
	return call[move.Info](ctx, c, "move/cancel", ID{id})
}

// SubmitOrder opens a case. A refusal is an answer with Decision "refuse", not an error.
func (c *Client) SubmitOrder(ctx context.Context, in SubmitOrder) (disclosure.Answer, error) {
	return call[disclosure.Answer](ctx, c, "order/submit", in)
}

// ExplainOrder asks what would be answered; nothing changes.
func (c *Client) ExplainOrder(ctx context.Context, in ExplainOrder) (disclosure.Explanation, error) {
	return call[disclosure.Explanation](ctx, c, "order/explain", in)
}

// Cases lists the region's cases.
func (c *Client) Cases(ctx context.Context) ([]disclosure.CaseInfo, error) {
	return call[[]disclosure.CaseInfo](ctx, c, "order/ls", struct{}{})
}

// Case shows one case and its history.
func (c *Client) Case(ctx context.Context, id string) (disclosure.CaseInfo, error) {
	return call[disclosure.CaseInfo](ctx, c, "order/show", ID{id})
}

// JudgeOrder records a person's judgement on a referred case.
func (c *Client) JudgeOrder(ctx context.Context, in JudgeOrder) (disclosure.Answer, error) {
	return call[disclosure.Answer](ctx, c, "order/judge", in)
}

// ProduceOrder collects and seals at the node.
func (c *Client) ProduceOrder(ctx context.Context, in ProduceOrder) (disclosure.Production, error) {
	return call[disclosure.Production](ctx, c, "order/produce", in)
}

// ReleaseOrder asks the quorum. QuorumNotReached (Kind Unavailable) means: try again later.
func (c *Client) ReleaseOrder(ctx context.Context, id string) (disclosure.Production, error) {
	return call[disclosure.Production](ctx, c, "order/release", ID{id})
}

// DeliverOrder copies a released archive to w.
func (c *Client) DeliverOrder(ctx context.Context, id string, w io.Writer) error {
	return c.stream(ctx, "order/deliver", ID{id}, w)
}

// StayOrder enters a court's stay.
func (c *Client) StayOrder(ctx context.Context, in CourtAct) (disclosure.Answer, error) {
	return call[disclosure.Answer](ctx, c, "order/stay", in)
}

// LiftOrder ends a stay.
func (c *Client) LiftOrder(ctx context.Context, in CourtAct) (disclosure.Answer, error) {
	return call[disclosure.Answer](ctx, c, "order/lift", in)
}

// WithdrawOrder ends a case by the court's own act.
func (c *Client) WithdrawOrder(ctx context.Context, in CourtAct) (disclosure.Answer, error) {
	return call[disclosure.Answer](ctx, c, "order/withdraw", in)
}

// Bundles lists the policy bundles that exist.
func (c *Client) Bundles(ctx context.Context) ([]disclosure.BundleInfo, error) {
	return call[[]disclosure.BundleInfo](ctx, c, "bundle/ls", struct{}{})
}

// Authorities lists whom the region believes.
func (c *Client) Authorities(ctx context.Context) ([]disclosure.Authority, error) {
	return call[[]disclosure.Authority](ctx, c, "authority/ls", struct{}{})
}

// TailLog returns the newest leaves of the region's log.
func (c *Client) TailLog(ctx context.Context, count int) ([]LoggedLeaf, error) {
	return call[[]LoggedLeaf](ctx, c, "audit/tail", TailLog{count})
}

// ProveLeaf returns the receipt of a leaf.
func (c *Client) ProveLeaf(ctx context.Context, in ProveLeaf) (Proof, error) {
	return call[Proof](ctx, c, "audit/prove", in)
}

// Checkpoint returns the log's newest signed checkpoint.
func (c *Client) Checkpoint(ctx context.Context) (string, error) {
	return call[string](ctx, c, "audit/checkpoint", struct{}{})
}

// CopyLog copies a tar of the public part of the region's log to w, which audit.VerifyDir checks.
func (c *Client) CopyLog(ctx context.Context, w io.Writer) error {
	return c.stream(ctx, "audit/copy", struct{}{}, w)
}

// Queue lists the outbound queue, the oldest messages first, at most 10000.
func (c *Client) Queue(ctx context.Context) ([]QueueEntry, error) {
	return call[[]QueueEntry](ctx, c, "queue/ls", struct{}{})
}

// QueuedMessage shows one message of the outbound queue.
func (c *Client) QueuedMessage(ctx context.Context, id string) (QueuedMessage, error) {
	return call[QueuedMessage](ctx, c, "queue/show", ID{id})
}

// RetryQueued has a message tried at once, and ends a hold.
func (c *Client) RetryQueued(ctx context.Context, id string) (QueuedMessage, error) {
	return call[QueuedMessage](ctx, c, "queue/retry", ID{id})
}

// HoldQueued keeps a message from being tried, and from expiring.
func (c *Client) HoldQueued(ctx context.Context, id string) (QueuedMessage, error) {
	return call[QueuedMessage](ctx, c, "queue/hold", ID{id})
}

// DropQueued takes a message out of the queue; its sender is told.
func (c *Client) DropQueued(ctx context.Context, id string) (QueuedMessage, error) {
	return call[QueuedMessage](ctx, c, "queue/drop", ID{id})
}

// Catalog returns the catalog in force, and its pins.
func (c *Client) Catalog(ctx context.Context) (CatalogView, error) {
	return call[CatalogView](ctx, c, "catalog/show", struct{}{})
}

// Regions lists the regions of the catalog.
func (c *Client) Regions(ctx context.Context) ([]RegionView, error) {
	return call[[]RegionView](ctx, c, "region/ls", struct{}{})
}

// Nodes lists the nodes that gossip knows.
func (c *Client) Nodes(ctx context.Context) ([]NodeView, error) {
	return call[[]NodeView](ctx, c, "node/ls", struct{}{})
}
