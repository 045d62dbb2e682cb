package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"domicile/importer"
	"domicile/store"
)

// Whatever mailboxes are called, each has a folder of its own, which can be made, and is read back under its name.
func TestMaildirFolders(t *testing.T) {
	long := strings.Repeat("ä&", 120) // 360 bytes, 480 as a folder would have them
	names := []string{"INBOX", "A", "A/B", "A&B", "x.y", ".hidden", "_.hidden", "cur", "_cur", "_cur_2", "A/cur/new", "dbox-x/y", "domicile-mailbox.json", "INBOX/domicile-mailbox.json",
		long, long + "z", long + "/" + long + "/child", strings.Repeat("&", 130), strings.Repeat("b", 255), strings.Repeat("b", 256), "日本/" + strings.Repeat("語", 100)}
	short, _ := folderName(long)
	names = append(names, short, short+"_2") // as somebody would call one who wants them mixed up
	var boxes []store.Mailbox
	for _, n := range names {
		if canonical, err := store.MailboxName(n); err != nil || canonical != n {
			t.Fatalf("%q: %v", n, err)
		}
		boxes = append(boxes, store.Mailbox{Name: n})
	}
	dir, folders, seen := t.TempDir(), maildirFolders(boxes), map[string]string{}
	for i, n := range names {
		if other, twice := seen[folders[n]]; twice {
			t.Errorf("%q and %q have one folder", n, other)
		}
		seen[folders[n]] = n
		path := filepath.Join(dir, "Restored", folders[n])
		if err := os.MkdirAll(filepath.Join(path, "cur"), 0o700); err != nil {
			t.Fatal(err)
		}
		side, err := json.Marshal(importer.Sidecar{Format: 1, Name: namedBeside(n, folders[n])})
		if err == nil {
			err = os.WriteFile(filepath.Join(path, importer.SidecarFile), side, 0o600)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(path, "cur", fmt.Sprintf("%d.m:2,", i)), []byte("Subject: x\r\n\r\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []string{"", "Restored"} { // the whole, or what is in it
		src, err := importer.OpenMaildir(filepath.Join(dir, from))
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		read, err := src.Mailboxes(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, b := range read {
			got = append(got, b.Name)
		}
		for _, n := range names {
			if from == "" {
				n = "Restored/" + n
			}
			want = append(want, n)
		}
		slices.Sort(want)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("read back are\n%q\nof\n%q", got, want)
		}
	}
	for name, folder := range map[string]string{"A/B": "A/B", "A&B": "A&-B", "_cur": "_cur", "INBOX": "INBOX"} {
		if folders[name] != folder {
			t.Errorf("%q is in %q, which could be %q", name, folders[name], folder)
		}
	}
}
