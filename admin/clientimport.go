package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"

	"domicile"
)

// BeginImport begins to bring mail into an account, or goes on with what was cut off. Refused WrongRegion where the account's home is
// elsewhere; Unavailable while it moves.
func (c *Client) BeginImport(ctx context.Context, in BeginImport) (Import, error) {
	return call[Import](ctx, c, "import/begin", in)
}

// MakeMailbox makes a mailbox of an import, unless the account has it, and subscribes to it.
func (c *Client) MakeMailbox(ctx context.Context, in MakeMailbox) (ImportMailbox, error) {
	return call[ImportMailbox](ctx, c, "import/mailbox", in)
}

// ImportAccount adds to the account what belongs to no mailbox. The same call again does nothing more.
func (c *Client) ImportAccount(ctx context.Context, in ImportAccount) (ImportedAccount, error) {
	return call[ImportedAccount](ctx, c, "import/account", in)
}

// KnownImports returns a page of the keys of messages that the account has from a source, or once had.
func (c *Client) KnownImports(ctx context.Context, in KnownImports) (KnownKeys, error) {
	return call[KnownKeys](ctx, c, "import/known", in)
}

// EndImport ends an import. Conflict if it was ended, or another run has begun since.
func (c *Client) EndImport(ctx context.Context, in EndImport) (EndedImport, error) {
	return call[EndedImport](ctx, c, "import/end", in)
}

// stall is how long a call may send nothing.
const stall = 2 * time.Minute

// PutImported stores messages, whose bytes pass through slow (nil = none) on their way. After Unavailable or Unknown some may be
// stored; the same call again stores the others, and its answer is about all.
func (c *Client) PutImported(ctx context.Context, in PutImported, messages []ImportedMessage, slow func(io.Reader) io.Reader) ([]PutResult, error) {
	const path = "import/put"
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in.Messages = len(messages)
	parts := []io.Reader{jsonLine(in)}
	for _, m := range messages {
		m.Size = int64(len(m.Data))
		parts = append(parts, jsonLine(m), bytes.NewReader(m.Data))
	}
	body := io.MultiReader(parts...)
	if slow != nil {
		body = slow(body)
	}
	watch := time.AfterFunc(stall, cancel)
	defer watch.Stop()
	got, err := c.send(ctx, path, "application/octet-stream", io.NopCloser(&watched{body, watch}))
	if err != nil {
		return nil, err
	}
	defer got.Close()
	var out []PutResult
	if err := json.NewDecoder(io.LimitReader(got, maxAnswer)).Decode(&out); err != nil || len(out) != len(messages) {
		return nil, &domicile.Error{Op: path, Kind: domicile.Unknown, Detail: "the answer was cut short; the same call again tells", Err: err}
	}
	return out, nil
}

// jsonLine is a value on a line of its own.
func jsonLine(v any) io.Reader {
	raw, _ := json.Marshal(v) // of strings and numbers: cannot fail
	return bytes.NewReader(append(raw, '\n'))
}

// watched puts an alarm off with each read: the connection takes what is read.
type watched struct {
	io.Reader
	alarm *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	w.alarm.Reset(stall + callTime) // the answer comes some time after the last
	return w.Reader.Read(p)
}
