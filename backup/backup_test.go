package backup

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/region"
)

func aNode(t *testing.T, r domicile.Region, name domicile.Node) Node {
	t.Helper()
	dir := t.TempDir()
	n := Node{Data: filepath.Join(dir, "data"), Region: r, Name: name}
	if err := keys.CreateRoot(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.Root, err = keys.LoadRoot(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	if n.Signer, err = keys.CreateSigner(filepath.Join(dir, "signing.key"), "example.com/domicile/"+string(r)); err != nil {
		t.Fatal(err)
	}
	return n
}

// used makes a data folder with a log, and files and folders of every kind that a node leaves.
func used(t *testing.T, n Node) {
	t.Helper()
	if err := region.Stamp(n.Data, n.Region, n.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := n.record(audit.Entry{Kind: "test.one"}); err != nil {
		t.Fatal(err)
	}
	ring := openRing(t, n)
	if err := ring.CreateAccountKey("a1"); err != nil {
		t.Fatal(err)
	}
	ring.Close()
	for name, text := range map[string]string{"store/bodies/ab/a1.m1": strings.Repeat("mail with a marker ", 5000), "store/staging/m2": "half a message",
		"keys/.new-account.keys": "half a book", "journal/00000000000000000000.journal": "", ".tmp-3": "x"} {
		path := filepath.Join(n.Data, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func openRing(t *testing.T, n Node) *keys.Ring {
	t.Helper()
	secret, err := n.Root.Open(n.Data)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.OpenRing(secret, filepath.Join(n.Data, ringDir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ring.Close() })
	return ring
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return out
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func create(t *testing.T, n Node) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Create(n, &b, time.Now); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func wantReason(t *testing.T, err error, want domicile.Reason) {
	t.Helper()
	if domicile.ReasonOf(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func wantKind(t *testing.T, err error, want domicile.Kind) {
	t.Helper()
	if domicile.KindOf(err) != want {
		t.Errorf("got %v, want kind %s", err, want)
	}
}

// TestThereAndBack: what was copied is what is restored, without what was unfinished, marked, and only then stamped.
func TestThereAndBack(t *testing.T) {
	n := aNode(t, "eu-ireland", "eu-ireland-1")
	used(t, n)
	place := []byte("a place")
	record, err := openRing(t, n).SealRecord("a1", []byte("a subject"), place)
	if err != nil {
		t.Fatal(err)
	}
	raw := create(t, n)
	if bytes.Contains(raw, []byte("marker")) {
		t.Fatal("the backup is readable")
	}
	info, _, err := Read(bytes.NewReader(raw))
	if err != nil || info.Region != "eu-ireland" || info.Node != "eu-ireland-1" || !strings.HasPrefix(info.Checkpoint, "example.com/domicile/eu-ireland\n2\n") {
		t.Errorf("%+v, %v", info, err)
	}
	want := contents(t, n.Data)
	for _, name := range []string{"store/staging/m2", ".tmp-3", region.LockFile, "keys/account.keys", keys.SecretName} {
		if _, ok := want[name]; !ok {
			t.Fatalf("the folder never had %s", name)
		}
		delete(want, name)
	}
	back := n
	back.Data = filepath.Join(t.TempDir(), "data")
	if _, err := Restore(back, bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	got := contents(t, back.Data)
	if !strings.Contains(got[markName], `"format":1`) {
		t.Errorf("the mark: %q", got[markName])
	}
	delete(got, markName)
	for _, name := range []string{"keys/account.keys", keys.SecretName} { // sealed anew
		if got[name] == "" {
			t.Errorf("no %s", name)
		}
		delete(got, name)
	}
	if open, err := openRing(t, back).OpenRecord("a1", record, place); err != nil || string(open) != "a subject" {
		t.Errorf("%q, %v", open, err)
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: %d bytes, was %d", name, len(got[name]), len(text))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, was %d", len(got), len(want))
	}
	if err := region.CheckStamp(back.Data, back.Region, back.Name); err != nil {
		t.Error(err)
	}
	if m, err := ReadMark(back.Data); err != nil || m == nil || !m.Made.Equal(info.Made) {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = Create(back, &bytes.Buffer{}, time.Now)
	wantKind(t, err, domicile.Conflict) // nobody knows yet whether it may be served
	if err := Settle(back.Data); err != nil {
		t.Fatal(err)
	}
	if m, err := ReadMark(back.Data); err != nil || m != nil {
		t.Errorf("%+v, %v", m, err)
	}
	// Its own leaf is in it.
	log, err := back.openLog()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	found := false
	if err := log.Leaves(1, func(_ uint64, raw []byte) error {
		found = found || bytes.Contains(raw, []byte(`"backup.created"`))
		return nil
	}); err != nil || !found {
		t.Errorf("found %v, %v", found, err)
	}
}

// TestRestoreElsewhere: in another region it is refused, on the record of the node where it was tried; headquarters' root key does
// not open it whatever its configuration says.
func TestRestoreElsewhere(t *testing.T) {
	irish := aNode(t, "eu-ireland", "eu-ireland-1")
	used(t, irish)
	raw := create(t, irish)
	us := aNode(t, "us-east", "us-east-1")
	used(t, us)
	before := contents(t, us.Data)
	info, err := Restore(us, bytes.NewReader(raw))
	wantReason(t, err, domicile.WrongRegion)
	if len(contents(t, us.Data)) != len(before) {
		t.Error("something was written")
	}
	receipt, err := RecordRefusal(us, info, err)
	if err != nil {
		t.Fatal(err)
	}
	pins := audit.Pins{Quorum: 1, Logs: []audit.Pin{{VKey: us.Signer.VKey(), Region: "us-east", CompellableBy: []string{"US"}}}}
	if v, err := audit.VerifyReceipt(receipt, pins); err != nil || !bytes.Contains(v.Leaf, []byte(`"kind":"backup.refused"`)) || !bytes.Contains(v.Leaf, []byte(`"reason":"wrong_region"`)) || !bytes.Contains(v.Leaf, []byte(`"of_region":"eu-ireland"`)) {
		t.Errorf("%+v, %v", v, err)
	}
	fresh := aNode(t, "us-east", "us-east-2")
	if receipt, err := RecordRefusal(fresh, info, err); receipt != nil || err != nil {
		t.Errorf("a node without a log: %s, %v", receipt, err)
	}

	liar := aNode(t, "eu-ireland", "eu-ireland-1") // says that it is Ireland, with a root key of its own
	_, err = Restore(liar, bytes.NewReader(raw))
	wantKind(t, err, domicile.NotExist) // the key of the period is not there
	if err := os.CopyFS(filepath.Join(filepath.Dir(liar.Data), "wraps"), os.DirFS(filepath.Join(filepath.Dir(irish.Data), "wraps"))); err != nil {
		t.Fatal(err)
	}
	_, err = Restore(liar, bytes.NewReader(raw))
	wantKind(t, err, domicile.Invalid) // and with a copy of it, the root key is another
	if got := contents(t, liar.Data); len(got) != 0 {
		t.Errorf("left behind: %d files", len(got))
	}
	other := irish
	other.Data, other.Name = filepath.Join(t.TempDir(), "data"), "eu-ireland-2"
	_, err = Restore(other, bytes.NewReader(raw))
	wantReason(t, err, domicile.WrongRegion)
	relabelled := bytes.Replace(raw, []byte(`"region":"eu-ireland"`), []byte(`"region":"us-east"`), 1)
	us.Data, us.Name, us.Root = filepath.Join(t.TempDir(), "data"), "eu-ireland-1", irish.Root
	_, err = Restore(us, bytes.NewReader(relabelled))
	wantKind(t, err, domicile.Invalid) // even with the Irish key: what it says in the clear is bound to what is sealed
}

// TestDamagedBackups: each byte counts, and a cut file does not restore; the folder is empty again.
func TestDamagedBackups(t *testing.T) {
	n := aNode(t, "eu-ireland", "eu-ireland-1")
	used(t, n)
	raw := create(t, n)
	n.Data = filepath.Join(t.TempDir(), "data")
	try := func(what string, bad []byte) {
		t.Helper()
		_, err := Restore(n, bytes.NewReader(bad))
		if err == nil || !slices.Contains([]domicile.Kind{domicile.Invalid, domicile.Refused}, domicile.KindOf(err)) {
			t.Fatalf("%s: %v", what, err)
		}
		if got := contents(t, n.Data); len(got) != 0 {
			t.Fatalf("%s: %d files are left", what, len(got))
		}
	}
	for at := 0; at < len(raw); at += 1 + len(raw)/97 {
		bad := bytes.Clone(raw)
		bad[at] ^= 1
		try("altered", bad)
		try("cut", raw[:at])
	}
	try("cut by a byte", raw[:len(raw)-1])
	try("with more behind it", append(bytes.Clone(raw), 'x'))
	if _, err := Restore(n, bytes.NewReader(raw)); err != nil {
		t.Fatalf("the whole one: %v", err)
	}
	_, err := Restore(n, bytes.NewReader(raw))
	wantKind(t, err, domicile.Exist)
}

func TestCreateRefused(t *testing.T) {
	n := aNode(t, "eu-ireland", "eu-ireland-1")
	_, err := Create(n, &bytes.Buffer{}, time.Now)
	wantKind(t, err, domicile.NotExist) // nothing there yet
	used(t, n)
	foreign := n
	foreign.Region = "us-east"
	_, err = Create(foreign, &bytes.Buffer{}, time.Now)
	wantReason(t, err, domicile.WrongRegion)
	release, err := region.Lock(n.Data)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(n, &bytes.Buffer{}, time.Now)
	wantKind(t, err, domicile.Unavailable) // its node runs
	release()
	if err := os.Symlink("/etc/passwd", filepath.Join(n.Data, "link")); err != nil {
		t.Fatal(err)
	}
	_, err = Create(n, &bytes.Buffer{}, time.Now)
	wantKind(t, err, domicile.Invalid)
}

// A power cut in the middle of a restore leaves a folder that no node opens.
func TestHalfRestored(t *testing.T) {
	n := aNode(t, "eu-ireland", "eu-ireland-1")
	if err := os.MkdirAll(filepath.Join(n.Data, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantReason(t, region.CheckStamp(n.Data, n.Region, n.Name), domicile.WrongRegion)
	if err := os.WriteFile(filepath.Join(n.Data, markName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadMark(n.Data)
	wantKind(t, err, domicile.Invalid)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(magic + `{"format":1,"region":"eu-ireland","node":"eu-ireland-1"}` + "\n"))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		info, head, err := Read(bytes.NewReader(raw))
		if err == nil && (!bytes.HasPrefix(raw, head) || len(head) > len(magic)+maxInfo || strings.Contains(string(info.Region), "@")) {
			t.Errorf("%+v", info)
		}
	})
}

// TestFirstRelease: a backup that a first release made is restored, and its account keys move to where they rest now.
func TestFirstRelease(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root.key", "signing.key"} {
		raw, err := os.ReadFile(filepath.Join("testdata", "v1", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := Node{Data: filepath.Join(dir, "data"), Region: "eu-ireland", Name: "eu-ireland-1"}
	var err error
	if n.Root, err = keys.LoadRoot(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	if n.Signer, err = keys.LoadSigner(filepath.Join(dir, "signing.key")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join("testdata", "v1", "v1.backup"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := Restore(n, f); err != nil || info.Format != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	record, err := os.ReadFile(filepath.Join(n.Data, "record"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if open, err := openRing(t, n).OpenRecord("a1", record, []byte("a place")); err != nil || string(open) != "a subject" {
			t.Errorf("%q, %v", open, err)
		}
	}
	log, err := n.openLog()
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if err := Settle(n.Data); err != nil {
		t.Fatal(err)
	}
	if got := create(t, n); !bytes.HasPrefix(got, []byte(magic)) {
		t.Errorf("a new one begins %.20q", got)
	}
}
