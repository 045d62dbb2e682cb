package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile"
)

const (
	periodHeader = "domicile-period-key-v1\n"
	periodPrefix = "period-"
)

// Period is the key of the backups of some weeks, with a stated end. It lies beside the root key, sealed under it, and in no backup: once
// it is destroyed nothing of the backups that were sealed under it can be read, neither of accounts that were erased
// since nor of any other. Safe for concurrent use.
type Period struct {
	Name string    `json:"name"` // such as "2026-11-0f36d763", its month when it began, or "b-0f36d763", see RepositoryPeriod
	Made time.Time `json:"made"`
	Ends time.Time `json:"ends"` // destroyed from then on
	key  []byte
}

// Period opens the key of that name, ended or not. NotExist if it was destroyed, or is on another machine.
func (r *Root) Period(name string) (*Period, error) {
	const op = "open the key of a period"
	if !validPeriod(name) {
		return nil, domicile.E(op, domicile.Invalid, "no name of a period, such as 2026-11-0f36d763")
	}
	data, err := readSecret(op, r.periodPath(name))
	if domicile.KindOf(err) == domicile.NotExist {
		return nil, domicile.E(op, domicile.NotExist, r.periodPath(name)+" is not there: the period has ended and its backups cannot be read any more; or its file is on another machine, or was kept elsewhere")
	} else if err != nil {
		return nil, err
	}
	head, sealed, p, ok := parsePeriod(data)
	if !ok || p.Name != name {
		return nil, domicile.E(op, domicile.Invalid, r.periodPath(name)+" is damaged, or of a newer release")
	}
	if p.key, err = r.box("period").Open(sealed, head); err != nil || len(p.key) != keySize {
		return nil, domicile.E(op, domicile.Invalid, r.periodPath(name)+" does not open under this root key, or is damaged")
	}
	return &p, nil
}

// parsePeriod parts a period's file into what is in the clear, to which the key is bound, and the key as it is sealed.
func parsePeriod(data []byte) (head, sealed []byte, p Period, ok bool) {
	text, ok := bytes.CutPrefix(data, []byte(periodHeader))
	line, sealed, found := bytes.Cut(text, []byte("\n"))
	if !ok || !found || json.Unmarshal(line, &p) != nil {
		return nil, nil, Period{}, false
	}
	return data[:len(periodHeader)+len(line)+1], sealed, p, true
}

// validPeriod lets pass what PeriodFor names: a name becomes part of a file's.
func validPeriod(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, "0123456789abcdef-") == ""
}

func (r *Root) periodPath(name string) string { return filepath.Join(r.wraps(), periodPrefix+name) }

// Periods opens the keys of all periods, the oldest first.
func (r *Root) Periods() (list []*Period, err error) {
	names, err := r.periodNames()
	for _, name := range names {
		p, err := r.Period(name)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Period) int { return a.Made.Compare(b.Made) })
	return list, err
}

func (r *Root) periodNames() (list []string, err error) {
	files, err := os.ReadDir(r.wraps())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, f := range files {
		if name, ok := strings.CutPrefix(f.Name(), periodPrefix); ok && validPeriod(name) {
			list = append(list, name)
		}
	}
	return list, domicile.W("list periods", err)
}

// PeriodFor destroys the keys of periods that have ended, but for that of a repository, and returns that of this month, making it where there is none:
// it ends keep after the month does. Who makes a backup asks for it.
func (r *Root) PeriodFor(now time.Time, keep time.Duration) (*Period, error) {
	list, err := r.Periods()
	if err != nil {
		return nil, err
	}
	now = now.UTC().Truncate(time.Second)
	month := now.Format("2006-01-")
	var current *Period
	for _, p := range list {
		switch {
		case strings.HasPrefix(p.Name, repositoryPrefix): // goes when another takes its place
		case !now.Before(p.Ends):
			if err := r.DestroyPeriod(p.Name); err != nil {
				return nil, err
			}
		case strings.HasPrefix(p.Name, month):
			current = p
		}
	}
	if current != nil {
		return current, nil
	}
	random := make([]byte, 4)
	rand.Read(random)
	return r.makePeriod(month+hex.EncodeToString(random), now, keep)
}

// makePeriod makes the key of a period that ends keep after this month does.
func (r *Root) makePeriod(name string, now time.Time, keep time.Duration) (*Period, error) {
	now = now.UTC().Truncate(time.Second)
	next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	p := &Period{Name: name, Made: now, Ends: next.Add(keep), key: make([]byte, keySize)}
	rand.Read(p.key)
	data, err := r.sealPeriod(p)
	if err != nil {
		return nil, err
	}
	return p, createSecretFor("make the key of a period", r.periodPath(p.Name), data, r.path)
}

func (r *Root) sealPeriod(p *Period) ([]byte, error) {
	line, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	head := append(append([]byte(periodHeader), line...), '\n')
	sealed, err := r.box("period").Seal(p.key, head)
	return append(head, sealed...), err
}

// DestroyPeriod overwrites and removes the key of that name, on disk when it returns: no backup that was sealed under it can be
// read. No error if there is none. What a rotation that was cut short left of it goes too.
func (r *Root) DestroyPeriod(name string) error {
	const op = "destroy the key of a period"
	if !validPeriod(name) {
		return domicile.E(op, domicile.Invalid, "no name of a period, such as 2026-11-0f36d763")
	}
	return domicile.W(op, errors.Join(destroyFile(r.periodPath(name)), removeTemps(r.wraps(), destroyFile)))
}

// SealTo seals a stream, as Ring.SealTo does, for one purpose ("backup").
func (p *Period) SealTo(purpose string, w io.Writer, associated []byte) (io.WriteCloser, error) {
	return newAccountKey(derive(p.key, "stream/"+purpose)).sealTo(w, associated, nil)
}

// OpenFrom is the inverse of SealTo.
func (p *Period) OpenFrom(purpose string, rd io.Reader, associated []byte) (io.Reader, error) {
	return newAccountKey(derive(p.key, "stream/"+purpose)).openFrom(rd, associated, nil)
}
