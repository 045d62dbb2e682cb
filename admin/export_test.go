package admin

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

func TestExport(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	made, err := c.CreateAccount(t.Context(), anna())
	if err != nil {
		t.Fatal(err)
	}
	k.store.deliver(made.Account, "INBOX", "Subject: one\r\n\r\nhello\r\n", "\\Seen", "\\Flagged")
	k.store.deliver(made.Account, "INBOX", "two")
	k.store.deliver(made.Account, "../../etc/passwd", "three")
	var out bytes.Buffer
	if err := c.ExportAccount(t.Context(), ExportAccount{Address: "anna@example.com", Consent: "by letter"}, &out); err != nil {
		t.Fatal(err)
	}
	files, m := untar(t, &out)
	if len(m.Messages) != 3 || len(files) != 3 {
		t.Fatalf("%d messages, %d files", len(m.Messages), len(files))
	}
	for _, item := range m.Messages {
		if body, ok := files[item.File]; !ok || int64(len(body)) != item.Bytes {
			t.Errorf("%s is not as the manifest says", item.File)
		}
	}
	if first := m.Messages[0]; files[first.File] != "Subject: one\r\n\r\nhello\r\n" || !strings.HasSuffix(first.File, ":2,FS") || !strings.HasPrefix(first.File, "INBOX/cur/") {
		t.Errorf("first: %+v", first)
	}
	if hostile := m.Messages[2].File; !strings.HasPrefix(hostile, "%2E%2E.%2E%2E.etc.passwd/cur/") {
		t.Errorf("hostile name: %s", hostile)
	}
	if len(k.leaves("account.exported")) != 1 {
		t.Error("the export has no leaf")
	}
	if n := len(k.leaves("crossing.allowed")); n < 2 { // the connection's and the export's
		t.Errorf("%d crossings", n)
	}
}

func untar(t *testing.T, r io.Reader) (map[string]string, ExportManifest) {
	t.Helper()
	files, m := map[string]string{}, ExportManifest{}
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return files, m
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != "manifest.json" {
			files[h.Name] = string(raw)
		} else if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExportRefused(t *testing.T) {
	k := newKit(t)
	operator, legal := k.client("eu-ireland", "operator"), k.client("eu-ireland", "legal")
	if _, err := operator.CreateAccount(t.Context(), anna()); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		c    *Client
		in   ExportAccount
		want domicile.Reason
	}{
		{"no consent", operator, ExportAccount{Address: "anna@example.com"}, domicile.ConsentMissing},
		{"blank consent", operator, ExportAccount{Address: "anna@example.com", Consent: " \n"}, domicile.ConsentMissing},
		{"not at home", operator, ExportAccount{Address: "us1@example.com"}, domicile.NoToken},
		{"not at home, with consent", operator, ExportAccount{Address: "us1@example.com", Consent: "by letter"}, domicile.NoToken},
		{"order, not at home", legal, ExportAccount{Address: "us1@example.com", Order: "c1"}, domicile.ContentStoredAbroad},
		{"order by an operator", operator, ExportAccount{Address: "anna@example.com", Order: "c1"}, domicile.WrongRole},
		{"consent by a lawyer", legal, ExportAccount{Address: "anna@example.com", Consent: "by letter"}, domicile.WrongRole},
	} {
		var out bytes.Buffer
		err := tc.c.ExportAccount(t.Context(), tc.in, &out)
		k.wantRefusal(err, tc.want)
		if out.Len() > 0 {
			t.Errorf("%s: bytes left", tc.name)
		}
	}
	if err := legal.ExportAccount(t.Context(), ExportAccount{Address: "anna@example.com", Order: "c1"}, io.Discard); err == nil {
		t.Error("a case that is not there was enough")
	}
}

// Whether there is such an address elsewhere does not show in the answer.
func TestExportIsNoOracle(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	k.names.owner["us1@example.com"] = "elsewhere"
	known := failure(c.ExportAccount(t.Context(), ExportAccount{Address: "us1@example.com"}, io.Discard))
	unknown := failure(c.ExportAccount(t.Context(), ExportAccount{Address: "us2@example.com"}, io.Discard))
	known.Receipt, unknown.Receipt = nil, nil
	a, _ := json.Marshal(known)
	b, _ := json.Marshal(unknown)
	if !bytes.Equal(a, b) {
		t.Errorf("%s\n%s", a, b)
	}
}

// An index that promises more than there is cuts the export, and the client notices.
func TestExportCutShort(t *testing.T) {
	k := newKit(t)
	c := k.client("eu-ireland", "operator")
	made, err := c.CreateAccount(t.Context(), anna())
	if err != nil {
		t.Fatal(err)
	}
	k.store.deliver(made.Account, "INBOX", strings.Repeat("x", 100000))
	k.store.messages["box INBOX"][0].Size++
	if err := c.ExportAccount(t.Context(), ExportAccount{Address: "anna@example.com", Consent: "by letter"}, io.Discard); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("got %v", err)
	}
}

// An answer may take longer than a request may take to arrive.
func TestExportOutlivesTheRequestsDeadline(t *testing.T) {
	k := newKit(t, func(s *Server) { s.http.ReadTimeout = 300 * time.Millisecond })
	c := k.client("eu-ireland", "operator")
	made, err := c.CreateAccount(t.Context(), anna())
	if err != nil {
		t.Fatal(err)
	}
	k.store.deliver(made.Account, "INBOX", "one")
	k.store.deliver(made.Account, "INBOX", "two")
	k.store.slow = 400 * time.Millisecond
	if err := c.ExportAccount(t.Context(), ExportAccount{Address: "anna@example.com", Consent: "by letter"}, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestFolderNamesStayInside(t *testing.T) {
	for in, want := range map[string]string{"INBOX": "INBOX", "A/B": "A.B", "A.B": "A%2EB", "..": "%2E%2E", "a\\b": "a%5Cb", "Entwürfe": "Entwürfe", "50%": "50%25", "c:x": "c%3Ax"} {
		got := folderName(in)
		if got != want || !filepath.IsLocal(got) || strings.Contains(got, "/") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := fileName(store.Message{ID: "m1", UID: 7, Flags: []string{"\\Seen", "\\Draft", "$Junk"}}); got != "7.m1:2,DS" {
		t.Errorf("got %q", got)
	}
}
