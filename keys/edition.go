package keys

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"
)

// Edition is what the account keys of a folder are now: the number of their wrapping key, which changes with every erasure, and how many
// slots the book has, which changes with every new key. Whoever keeps a copy of the keys (CopyTo) makes it anew when either differs.
type Edition struct {
	Wrap  uint64 `json:"wrap"`
	Slots int64  `json:"slots"`
}

// Edition returns the present one.
func (r *Ring) Edition() Edition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Edition{r.book.number, r.book.slots}
}

// repositoryPrefix begins the names of periods of a repository, which no month begins.
const repositoryPrefix = "b-"

// RepositoryPeriod makes a key for the copy of the account keys in a backup repository, durably. It is no key of the month's backups
// (PeriodFor), and is replaced with each erasure; its end is that of a month's.
func (r *Root) RepositoryPeriod(now time.Time, keep time.Duration) (*Period, error) {
	random := make([]byte, 4)
	rand.Read(random)
	return r.makePeriod(repositoryPrefix+hex.EncodeToString(random), now, keep)
}

// DestroyRepositoryPeriods destroys all keys of RepositoryPeriod but one.
func (r *Root) DestroyRepositoryPeriods(but string) error {
	names, err := r.periodNames()
	for _, name := range names {
		if err == nil && name != but && strings.HasPrefix(name, repositoryPrefix) {
			err = r.DestroyPeriod(name)
		}
	}
	return err
}
