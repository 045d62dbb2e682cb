package keys

import (
	"errors"
	"path/filepath"

	"domicile"
)

// Rotate seals the secret of the data folder dir, which no process uses, under another root key: nothing else of the folder is
// sealed under it, so that no mail is rewritten. The keys of periods are sealed anew too. The new root key lies in the same
// folder as the old one, where the wrapping keys are. Once it returned nil the folder opens under the new root key alone; before
// that under the old one or the new one; the same call again finishes it.
//
// What the old root key opens it goes on opening: copies of region.secret of before. Destroy both.
func (r *Root) Rotate(to *Root, dir string) error {
	const op = "rotate the root key"
	from, err1 := filepath.EvalSymlinks(filepath.Dir(r.path))
	into, err2 := filepath.EvalSymlinks(filepath.Dir(to.path))
	if err := errors.Join(err1, err2); err != nil {
		return domicile.W(op, err)
	}
	if from != into {
		return domicile.E(op, domicile.Invalid, "the new root key must lie beside the old one, in "+from+", where the wrapping keys are")
	}
	if err := r.rotatePeriods(to); err != nil {
		return domicile.W(op, err)
	}
	s, err := r.Open(dir)
	if domicile.KindOf(err) == domicile.Invalid {
		if _, err := to.readSecret(filepath.Join(dir, SecretName)); err == nil {
			return syncDir(dir) // done before, and the answer was lost
		}
	}
	if err != nil {
		return domicile.W(op, err)
	}
	return domicile.W(op, to.putSecret(s.key, dir))
}

// rotatePeriods seals the keys of periods under another root key, those that are not yet.
func (r *Root) rotatePeriods(to *Root) error {
	names, err := r.periodNames()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := to.Period(name); err == nil {
			continue
		}
		p, err := r.Period(name)
		if err != nil {
			return err
		}
		data, err := to.sealPeriod(p)
		if err == nil {
			err = resealSecret("seal the key of a period", to.periodPath(name), data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
