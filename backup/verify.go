package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"domicile"
	"domicile/keys"
)

// Verification says what is looked through, and how.
type Verification struct {
	Dir string
	// Segment and Base are the store's part (bolt.VerifySegment, bolt.VerifyBase).
	Segment  func(r io.Reader) (first, next uint64, err error)
	Base     func(next func() (io.Reader, error)) error
	Progress func(done, total int64) // bytes that were read, now and then; may be nil
}

// Verified is what was found.
type Verified struct {
	Sets     int      `json:"sets"`
	Points   []Span   `json:"points"`
	Accounts int      `json:"accounts"` // of which the keys are there
	Leaves   uint64   `json:"leaves"`   // of the log
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"`
	Problems []string `json:"problems"` // some 100 at most
}

// Verify reads all of a repository and restores nothing: every seal opens, every checksum of the store's log holds, each set has its base whole and the log behind it without a
// gap, and the leaves of all lines are those of one log. Its node may run: what it removes meanwhile is not missed. Only what cannot be looked at
// is an error; what is wrong is in Problems.
func Verify(ctx context.Context, n Node, what Verification) (Verified, error) {
	const op = "verify a backup repository"
	about, err := ReadRepository(what.Dir)
	if err == nil {
		err = n.mine(about)
	}
	if err != nil {
		return Verified{}, domicile.W(op, err)
	}
	v := &verifier{ctx: ctx, n: n, what: what, ranges: map[string][2]uint64{}, out: Verified{Problems: []string{}}}
	return v.out, domicile.W(op, errors.Join(v.all(), ctx.Err()))
}

// verifier is one verification.
type verifier struct {
	ctx         context.Context
	n           Node
	what        Verification
	secret      *keys.Secret
	out         Verified
	ranges      map[string][2]uint64 // of the frames of each segment, by its path; absent if it is damaged
	leaves      [][32]byte           // of the newest line
	done, total int64
}

const problemsMost = 100

// wrong notes a problem, unless what it is about was removed meanwhile.
func (v *verifier) wrong(path string, err error) {
	if _, serr := os.Stat(path); errors.Is(serr, os.ErrNotExist) || err == nil || len(v.out.Problems) >= problemsMost {
		return
	}
	name, rerr := filepath.Rel(v.what.Dir, path)
	if rerr != nil {
		name = path
	}
	v.out.Problems = append(v.out.Problems, filepath.ToSlash(name)+": "+err.Error())
}

func (v *verifier) all() (err error) {
	if v.total, err = weight(v.what.Dir); err != nil {
		return err
	}
	if err := v.keys(); err != nil {
		return err
	}
	lines, err := lineNames(v.what.Dir)
	for _, line := range slices.Backward(lines) { // the newest log is the longest
		if err = v.line(newVault(v.what.Dir, line, v.n, v.secret.Box(purpose))); err != nil {
			return err
		}
	}
	if v.out.Points, err = Points(v.what.Dir); err != nil {
		return err
	}
	for _, span := range v.out.Points {
		vault := newVault(v.what.Dir, span.Line, v.n, v.secret.Box(purpose))
		for _, set := range span.sets {
			v.out.Sets++
			v.wrong(vault.path(setDir+"/"+set.Name), v.set(vault, set, span.ends))
		}
	}
	if len(v.out.Points) == 0 {
		v.wrong(v.what.Dir, domicile.E("verify", domicile.NotExist, "there is no set: nothing can be restored"))
	}
	return err
}

// keys opens the copy of the account keys. Without it nothing else can be opened.
func (v *verifier) keys() error {
	in, err := openKeys(v.n.Root, v.what.Dir)
	if err != nil {
		return err
	}
	defer in.Close()
	if v.secret, v.out.Accounts, err = v.n.Root.ReadCopy(in); err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return err
}

// line reads the files of a line, each once.
func (v *verifier) line(vault *vault) error {
	names, err := vault.list("")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		if strings.HasPrefix(name, "log/") {
			continue
		}
		v.wrong(vault.path(name), v.file(vault, name))
		v.read(vault.sizeOf(name))
	}
	v.wrong(vault.path("log"), v.log(vault))
	return nil
}

func (v *verifier) read(n int64) {
	v.out.Files++
	v.out.Bytes += n
	if v.done += n; v.what.Progress != nil {
		v.what.Progress(min(v.done, v.total), v.total)
	}
}

// file opens all of a file; a segment is walked.
func (v *verifier) file(vault *vault, name string) error {
	in, err := vault.open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, ok := segmentNumber(name); !ok {
		_, err := io.Copy(io.Discard, in)
		return err
	}
	first, next, err := v.what.Segment(in)
	if err == nil {
		v.ranges[vault.path(name)] = [2]uint64{first, next}
	}
	return err
}

// log reads the leaves of a line, and compares them with those of the newest.
func (v *verifier) log(vault *vault) error {
	names, err := vault.list("log")
	if err != nil {
		return err
	}
	in := &leafFiles{v: vault, names: names, most: ^uint64(0), opened: v.read}
	defer in.close()
	first := v.leaves == nil
	for {
		raw, _, err := in.next()
		if err != nil || raw == nil {
			v.out.Leaves = max(v.out.Leaves, in.n)
			return err
		}
		sum := sha256.Sum256(raw)
		switch i := in.n - 1; {
		case first:
			v.leaves = append(v.leaves, sum)
		case i < uint64(len(v.leaves)) && v.leaves[i] != sum:
			return domicile.E("verify", domicile.Invalid, fmt.Sprintf("leaf %d is another than in the newest line", i))
		}
	}
}

// set looks whether a set is whole: base, segments, and the log from the base on.
func (v *verifier) set(vault *vault, set Set, ends string) error {
	t, err := tailOf(vault, set, ends, false)
	if err != nil {
		return err
	}
	if t.man.Leaves > v.out.Leaves {
		return domicile.E("verify", domicile.Invalid, fmt.Sprintf("%d of its %d leaves of the log are there", v.out.Leaves, t.man.Leaves))
	}
	if err := v.base(t); err != nil {
		return fmt.Errorf("its base: %w", err)
	}
	base, err := t.base()
	if err != nil {
		return err
	}
	next := base + 1
	for _, name := range t.names {
		at, ok := v.ranges[vault.path(name)]
		switch {
		case !ok:
			return domicile.E("verify", domicile.Invalid, "its "+name+" is damaged")
		case at[1] <= base+1 && at[1] <= next:
			continue // all of it is in the base
		case at[0] > next:
			return domicile.E("verify", domicile.Invalid, fmt.Sprintf("the frames from %d to %d of the log are missing", next, at[0]-1))
		}
		next = at[1]
	}
	return nil
}

// base reads the files of a set's base, which must be as long as the set says.
func (v *verifier) base(t tail) error {
	var names []string
	for name := range t.man.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	var in *reader
	defer func() {
		if in != nil {
			in.Close()
		}
	}()
	return v.what.Base(func() (io.Reader, error) {
		if in != nil {
			in.Close()
			in = nil
		}
		if len(names) == 0 {
			return nil, nil
		}
		var err error
		if in, err = t.v.open(names[0]); err != nil {
			return nil, err
		}
		names = names[1:]
		return in, nil
	})
}
