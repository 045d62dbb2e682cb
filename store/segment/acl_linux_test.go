package segment

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What an ACL grants shows in the bits of the group, and is taken from it as from them.
func TestMakeDirClosesACL(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	no(t, os.Mkdir(dir, 0o700))
	setACL(t, dir, "system.posix_acl_access", 5)
	step := func(_ string, do func() error) error { return do() }
	no(t, MakeDir(dir, step))
	setACL(t, dir, "system.posix_acl_access", 7)
	no(t, MakeDir(dir, step))
	acl := make([]byte, 4+5*8)
	n, err := syscall.Getxattr(dir, "system.posix_acl_access", acl)
	no(t, err)
	for at := 4; at < n; at += 8 {
		if tag, rights := binary.LittleEndian.Uint16(acl[at:]), binary.LittleEndian.Uint16(acl[at+2:]); tag == 16 && rights&2 != 0 { // the mask
			t.Errorf("the mask of the ACL is %o", rights)
		}
	}
}

// A default ACL, which whatever is made in a folder takes over, gives nobody what our modes do not.
func TestDefaultACL(t *testing.T) {
	above := t.TempDir()
	setACL(t, above, "system.posix_acl_default", 7)
	dir := filepath.Join(above, "log")
	l := open(t, Config{Dir: dir})
	group(t, l, 1)
	no(t, l.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range append(files, dir) {
		info, err := os.Stat(path)
		no(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		if n, err := syscall.Getxattr(path, "system.posix_acl_access", nil); err != nil || n == 0 {
			t.Errorf("%s has taken no ACL over, so that this shows nothing: %v", path, err)
		}
	}
}

// setACL gives user 12345 rights in a folder, and its owner all.
func setACL(t *testing.T, dir, name string, rights uint16) {
	t.Helper()
	acl := binary.LittleEndian.AppendUint32(nil, 2) // the form's version
	for _, e := range []struct {
		tag, rights uint16
		id          uint32
	}{{1, 7, 1<<32 - 1}, {2, rights, 12345}, {4, 0, 1<<32 - 1}, {16, rights, 1<<32 - 1}, {32, 0, 1<<32 - 1}} { // owner, user, group, mask, others
		acl = binary.LittleEndian.AppendUint16(acl, e.tag)
		acl = binary.LittleEndian.AppendUint16(acl, e.rights)
		acl = binary.LittleEndian.AppendUint32(acl, e.id)
	}
	err := syscall.Setxattr(dir, name, acl, 0)
	if errors.Is(err, syscall.ENOTSUP) && os.Getenv("DOMICILE_REQUIRE") != "all" {
		t.Skip("this file system has no ACLs")
	}
	no(t, err)
}
