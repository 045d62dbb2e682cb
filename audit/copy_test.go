package audit

import (
	"bytes"
	"testing"

	"domicile"
)

// TestRebuild: a log that is made anew of its copied leaves is the same tree, knows its spent tokens and its private fields, and goes on.
func TestRebuild(t *testing.T) {
	cfg := testConfig(t.TempDir())
	l := openTest(t, cfg.Dir)
	spend := Spend{Issuer: "i", JTI: "j", Max: 1}
	if _, err := l.Spend(t.Context(), spend, Entry{Kind: "order.executed"}); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if _, err := l.Append(t.Context(), Entry{Kind: "test.leaf", Private: map[string]string{"who": "ann"}}); err != nil {
			t.Fatal(err)
		}
	}
	type leaf struct{ raw, private []byte }
	var all []leaf
	if err := l.Copy(0, func(index uint64, raw, private []byte) error {
		if index != uint64(len(all)) {
			t.Errorf("leaf %d at %d", index, len(all))
		}
		all = append(all, leaf{bytes.Clone(raw), private})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := l.Head()
	l.Close()
	rebuild := func(cfg Config, all []leaf) error {
		return Rebuild(cfg, func() (raw, private []byte, err error) {
			if len(all) == 0 {
				return nil, nil, nil
			}
			raw, private, all = all[0].raw, all[0].private, all[1:]
			return raw, private, nil
		})
	}
	cfg.Dir = t.TempDir() + "/anew"
	if err := rebuild(cfg, all); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, cfg.Dir)
	if got := again.Head(); got != want {
		t.Errorf("head %+v, was %+v", got, want)
	}
	if _, err := again.Spend(t.Context(), spend, Entry{Kind: "order.executed"}); domicile.ReasonOf(err) != domicile.Replayed {
		t.Errorf("the token is not spent: %v", err)
	}
	if opened, err := again.private(300); err != nil || opened["who"].Value != "ann" {
		t.Errorf("private fields: %v, %v", opened, err)
	}
	if _, err := again.Append(t.Context(), Entry{Kind: "test.leaf"}); err != nil {
		t.Error(err)
	}
	again.Close()
	if err := rebuild(cfg, all); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("over another log: %v", err)
	}
	cfg.Dir = t.TempDir() + "/gap"
	if err := rebuild(cfg, append(all[:5:5], all[6:]...)); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("with a leaf missing: %v", err)
	}
}
