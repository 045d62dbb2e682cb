package storetest

import (
	"bytes"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"domicile"
	"domicile/store"
)

const bigBody = 1 << 20

// damaged turns one bit amid the bytes of a large body, wherever the driver keeps them: that body is an error, and all else goes on.
func damaged(r *Rig) {
	ann := r.Person("ann")
	bodies := map[domicile.MessageID]string{}
	deliver := func(body string) domicile.MessageID {
		in, err := r.Incoming(ctx, ann, bigBody)
		r.no(err)
		_, err = io.WriteString(in, body)
		r.no(err)
		m, err := in.Commit(ctx, "", "INBOX", nil, r.At.Now())
		r.no(err)
		bodies[m.ID] = body
		return m.ID
	}
	deliver("before")
	before := r.files()
	bad := deliver(noise(bigBody)) // which nothing makes smaller
	deliver("after")
	r.no(r.Close())
	path, offset := r.changed(before)
	flip(r, path, offset)
	r.mustOpen()

	wrong := 0
	for _, m := range r.List(ann, "INBOX") {
		got, err := r.ReadBody(ann, m.ID)
		switch {
		case err == nil && got == bodies[m.ID]:
		case m.ID != bad || err == nil || domicile.KindOf(err) != domicile.Other || !strings.HasPrefix(bodies[bad], got):
			r.T.Fatalf("UID %d: %d bytes, %v", m.UID, len(got), err)
		default:
			wrong++
		}
	}
	r.same("damaged", wrong, 1)
	r.MustDeliver(ann, "INBOX", "it goes on")
	inbox := r.Box(ann, "INBOX").ID
	_, err := r.StoreFlags(ctx, "", ann, inbox, []store.UID{2}, store.FlagsAdd, []string{store.Deleted}, 0)
	r.no(err)
	_, _, _, err = r.Store.Copy(ctx, "", ann, inbox, []store.UID{2}, "Archive")
	r.no(err)
	gone, err := r.Expunge(ctx, "", ann, inbox, nil)
	r.no(err)
	r.same("expunged as any", gone, []store.UID{2})

	r.no(r.Close())
	flip(r, path, offset) // so that the check at the end finds nothing
	r.mustOpen()
	got, err := r.ReadBody(ann, bad)
	r.no(err)
	r.same("as it was", got == bodies[bad], true)
}

func noise(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// files returns what is in all files of the store.
func (r *Rig) files() map[string][]byte {
	all := map[string][]byte{}
	r.no(filepath.WalkDir(r.At.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all[path], err = os.ReadFile(path)
		}
		return err
	}))
	return all
}

// changed returns the middle of what the large body changed in a file, which may have had room for it before.
func (r *Rig) changed(before map[string][]byte) (path string, offset int64) {
	for path, now := range r.files() {
		var changed []int64
		for i := range now {
			if i >= len(before[path]) || now[i] != before[path][i] {
				changed = append(changed, int64(i))
			}
		}
		if len(changed) > bigBody*9/10 && !zero(now[changed[len(changed)/2]:]) {
			return path, changed[len(changed)/2]
		}
	}
	r.T.Fatal("no file has a body more: this test must learn where the driver keeps them")
	return "", 0
}

// zero says whether bytes begin like a file that was only made longer.
func zero(b []byte) bool { return bytes.Count(b[:min(len(b), 64)], []byte{0}) > 32 }

// flip turns one bit.
func flip(r *Rig, path string, offset int64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	r.no(err)
	defer f.Close()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, offset)
	r.no(err)
	b[0] ^= 1
	_, err = f.WriteAt(b, offset)
	r.no(err)
}

// sealed: nothing that says something of a person or a message can be read in the folder, while the store is open and after it was closed.
func sealed(r *Rig) {
	id := r.furnished()
	r.no(r.table("a table").Put("the key of a record", []byte("the value of a record")))
	in, err := r.Incoming(ctx, id, 100)
	r.no(err)
	defer in.Abort()
	_, err = io.WriteString(in, "not committed yet")
	r.no(err)
	for _, end := range []func(){func() {}, in.Abort, func() { r.no(r.Close()) }} {
		end()
		r.no(filepath.WalkDir(r.At.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			for _, word := range []string{"ann@example.com", "age1key", "$argon2id", "SCRAM-SHA", "token key", "Work/", "Not/Yet", "vendor/x/theme", "kEyWoRd", "$Label1", "body 5 body", "not committed",
				"a table", "the key of", "the value of"} {
				if bytes.Contains(content, []byte(word)) || strings.Contains(path[len(r.At.Dir):], word) {
					r.T.Errorf("%q can be read in %s", word, filepath.Base(path))
				}
			}
			return err
		}))
	}
	r.mustOpen()
}
