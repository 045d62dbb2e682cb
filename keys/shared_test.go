package keys

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"domicile"
)

func TestNamesKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "names.key")
	if err := CreateNames(path); err != nil {
		t.Fatal(err)
	}
	key, err := LoadNames(path)
	text, _ := os.ReadFile(path)
	if err != nil || hex.EncodeToString(key)+"\n" != string(text) {
		t.Errorf("%x, %v", key, err)
	}
	if err := CreateNames(path); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("overwritten: %v", err)
	}
	for _, bad := range []string{"", "abab", strings.Repeat("xy", 32), strings.Repeat("ab", 33)} {
		if _, err := LoadNames(secret(t, bad)); domicile.KindOf(err) != domicile.Invalid || strings.Contains(err.Error(), "abab") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func secret(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestGossipRotation: in each of the three rounds every ring still opens what every other encrypts.
func TestGossipRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gossip.key")
	if err := NewGossip().Create(path); err != nil {
		t.Fatal(err)
	}
	load := func() Gossip {
		t.Helper()
		g, err := LoadGossip(path)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	understand := func(round string, before, after Gossip) {
		t.Helper()
		has := func(g Gossip, key []byte) bool {
			return slices.ContainsFunc(g, func(k []byte) bool { return bytes.Equal(k, key) })
		}
		if !has(before, after[0]) || !has(after, before[0]) {
			t.Errorf("%s: a node before it and one after it do not understand each other", round)
		}
	}
	old, next := load(), NewGossip()
	added, err := old.Add(next)
	if err != nil || len(added) != 2 || !bytes.Equal(added[0], old[0]) {
		t.Fatalf("%v, %v", added, err)
	}
	understand("add", old, added)
	if again, err := added.Add(next); err != nil || len(again) != 2 {
		t.Errorf("added twice: %v, %v", again, err)
	}
	id := next.IDs()[0]
	if _, err := added.Remove(old.IDs()[0]); domicile.KindOf(err) != domicile.Conflict {
		t.Errorf("the key in use was removed: %v", err)
	}
	used, err := added.Use(id)
	if err != nil || used.IDs()[0] != id {
		t.Fatal(err)
	}
	understand("use", added, used)
	if err := used.Replace(path); err != nil {
		t.Fatal(err)
	}
	removed, err := load().Remove(old.IDs()[0])
	if err != nil || len(removed) != 1 || !bytes.Equal(removed[0], next[0]) {
		t.Fatalf("%v, %v", removed, err)
	}
	understand("remove", used, removed)
	for _, err := range []error{second(removed.Use("00")), second(removed.Remove("00"))} {
		if domicile.KindOf(err) != domicile.NotExist {
			t.Error(err)
		}
	}
	if strings.Contains(string(next.Text()), id) {
		t.Error("the id tells of the key")
	}
	if _, err := LoadGossip(secret(t, strings.Repeat(string(next.Text()), 17))); err == nil {
		t.Error("17 keys are taken")
	}
	for _, bad := range []string{"", "AAAA\n", "!\n", string(next.Text()) + "x\n"} {
		if _, err := LoadGossip(secret(t, bad)); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A tool that root runs does not take a node's file away from the node.
func TestReplaceKeepsTheOwner(t *testing.T) {
	path := secret(t, "old")
	uid, gid := os.Geteuid(), os.Getegid()
	if os.Chown(path, 4711, 4712) == nil { // root may give files away
		uid, gid = 4711, 4712
	}
	if err := ReplaceSecret(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if was := info.Sys().(*syscall.Stat_t); int(was.Uid) != uid || int(was.Gid) != gid || info.Mode().Perm() != 0o600 {
		t.Errorf("owner %d:%d, mode %v", was.Uid, was.Gid, info.Mode())
	}
	if got, _ := os.ReadFile(path); string(got) != "new" {
		t.Errorf("holds %q", got)
	}
	if err := ReplaceSecret(filepath.Join(t.TempDir(), "first"), []byte("x")); err != nil {
		t.Error(err)
	}
}
