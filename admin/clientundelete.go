package admin

import "context"

// Expunged lists messages that can be undeleted. Refused WrongRegion where the account's home is elsewhere; Unavailable while it moves.
func (c *Client) Expunged(ctx context.Context, in ListExpunged) (ExpungedMessages, error) {
	return call[ExpungedMessages](ctx, c, "account/expunged", in)
}

// Undelete puts expunged messages into a mailbox, all or none. NotExist if one of them is not there any more, TooLarge if the quota has no
// room. After Unavailable or Unknown the same call may be made again.
func (c *Client) Undelete(ctx context.Context, in Undelete) (Undeleted, error) {
	return call[Undeleted](ctx, c, "account/undelete", in)
}

// Purge removes for good what could be undeleted. It may be repeated.
func (c *Client) Purge(ctx context.Context, address string) (Undeleted, error) {
	return call[Undeleted](ctx, c, "account/purge", Target{address})
}
