package store

import (
	"slices"
	"strings"
	"testing"

	"domicile"
)

func TestMailboxName(t *testing.T) {
	for in, want := range map[string]string{
		"inbox": "INBOX", "InBox/x": "INBOX/x", "x/inbox": "x/inbox", "inboxes": "inboxes", "Cafe\u0301": "Café", "a b/ c": "a b/ c",
	} {
		if got, err := MailboxName(in); err != nil || got != want {
			t.Errorf("MailboxName(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "/", "a/", "/a", "a//b", "a\tb", "a\u2029b", "\xc3\x28", strings.Repeat("a", MaxMailboxName+1),
		strings.Repeat("a/", MaxMailboxDepth) + "a"} {
		if got, err := MailboxName(bad); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("MailboxName(%q) = %q, %v", bad, got, err)
		}
	}
}

// FuzzMailboxName holds that the one form is stable and within its limits.
func FuzzMailboxName(f *testing.F) {
	for _, s := range []string{"inbox/a", "Cafe\u0301", "a//b", "\u0344\u0344", "ıNBOX", "INBO\u212A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := MailboxName(s)
		if err != nil {
			return
		}
		if again, err := MailboxName(name); err != nil || again != name {
			t.Errorf("%q becomes %q and then %q, %v", s, name, again, err)
		}
		if len(name) > MaxMailboxName || strings.Count(name, "/") >= MaxMailboxDepth {
			t.Errorf("%q is over the limits", name)
		}
	})
}

func TestSpecialUse(t *testing.T) {
	for in, want := range map[string]string{"": "", "\\sent": "\\Sent", "\\ALL": "\\All"} {
		if got, err := SpecialUse(in); err != nil || got != want {
			t.Errorf("SpecialUse(%q) = %q, %v", in, got, err)
		}
	}
	if _, err := SpecialUse("Sent"); domicile.KindOf(err) != domicile.Invalid {
		t.Error("an attribute without backslash is taken:", err)
	}
}

func TestFlags(t *testing.T) {
	got, err := CanonicalFlags([]string{"zeta", "\\seen", "Alpha", "\\ANSWERED", "ALPHA", "\\Seen"})
	if want := []string{"\\Answered", "\\Seen", "Alpha", "zeta"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	have := []string{"\\Seen", "Key"}
	for _, c := range []struct {
		op    FlagOp
		flags []string
		want  []string
	}{
		{FlagsAdd, []string{"\\Draft", "KEY"}, []string{"\\Seen", "\\Draft", "Key"}},
		{FlagsRemove, []string{"key"}, []string{"\\Seen"}},
		{FlagsSet, []string{"KEY", "other"}, []string{"Key", "other"}},
		{FlagsSet, nil, nil},
	} {
		got, err := ApplyFlags(have, c.op, c.flags)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("op %d with %v: %v, %v, want %v", c.op, c.flags, got, err, c.want)
		}
	}
	if !slices.Equal(have, []string{"\\Seen", "Key"}) {
		t.Error("the flags given were altered")
	}
}
