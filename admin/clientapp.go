package admin

import "context"

// AddAppPassword makes a password of one device or program. The answer's list holds it alone, with the password: it is told once. Conflict if the
// account has 32.
func (c *Client) AddAppPassword(ctx context.Context, in AddAppPassword) (AppPasswords, error) {
	return call[AppPasswords](ctx, c, "account/app-password-add", in)
}

// AppPasswords lists those of an account.
func (c *Client) AppPasswords(ctx context.Context, address string) (AppPasswords, error) {
	return call[AppPasswords](ctx, c, "account/app-password-ls", Target{address})
}

// RemoveAppPassword takes one away: nobody logs in with it any more. It answers with those that are left. NotExist if there is none of that id.
func (c *Client) RemoveAppPassword(ctx context.Context, in RemoveAppPassword) (AppPasswords, error) {
	return call[AppPasswords](ctx, c, "account/app-password-rm", in)
}
