package store

import (
	"io"

	"domicile"
)

// Sealer is what a driver needs of package keys. Associated data binds a record to its place.
type Sealer interface {
	// CreateAccountKey is durable on return; a second call for the same id keeps the first key.
	CreateAccountKey(id domicile.AccountID) error
	// DestroyAccountKey makes everything sealed under it unreadable.
	// No error if there is no such key.
	DestroyAccountKey(id domicile.AccountID) error
	// SealTo and OpenFrom stream under an account's key (authenticated in segments, so a cut is detected).
	// The writer's Close ends the stream and leaves w open.
	SealTo(id domicile.AccountID, w io.Writer, associated []byte) (io.WriteCloser, error)
	OpenFrom(id domicile.AccountID, r io.Reader, associated []byte) (io.Reader, error)
	// SealRecord and OpenRecord are for index records of an account, or of the region if id is "".
	SealRecord(id domicile.AccountID, plaintext, associated []byte) ([]byte, error)
	OpenRecord(id domicile.AccountID, sealed, associated []byte) ([]byte, error)
	// Digest is a keyed hash under the region's index key: what an index uses instead of a name.
	Digest(purpose string, parts ...string) []byte
}
