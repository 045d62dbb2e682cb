package disclosure

import (
	"context"
	"strings"
	"testing"
	"time"

	"domicile"
)

type ctxType = context.Context

func registryText(t testing.TB) string {
	w := newWorld(t)
	var list []Authority
	for _, a := range w.list {
		list = append(list, a.Authority)
	}
	text, err := MarshalRegistry(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRegistryIsStrict(t *testing.T) {
	good := registryText(t)
	list, err := ParseRegistry([]byte(good))
	if err != nil || len(list) != 5 || list[0].ID != "us-sdny" || list[0].StatusAge != "720h" {
		t.Fatalf("%v %v", list, err)
	}
	sub := func(old, new string) string {
		out := strings.Replace(good, old, new, 1)
		if out == good {
			t.Fatalf("%q is not in the file", old)
		}
		return out
	}
	for name, text := range map[string]string{
		"unknown key":        sub("name = ", "colour = 'blue'\nname = "),
		"unknown table":      good + "\n[[court]]\n",
		"not TOML":           "[[authority",
		"role":               sub("'issuing'", "'king'"),
		"country":            sub("'US'", "'XX'"),
		"country, lower":     sub("'US'", "'us'"),
		"order type":         sub("us.sca.warrant", "us.sca.magic"),
		"category":           sub("'content'", "'everything'"),
		"id empty":           sub("'us-sdny'", "''"),
		"id twice":           sub("'us-oia'", "'us-sdny'"),
		"status address":     sub("file:status/us-sdny.jwt", "http://x"),
		"status age":         sub("720h", "soon"),
		"status age too old": sub("720h", "99999h"),
		"no certificate":     sub("BEGIN CERTIFICATE", "BEGIN NOTHING"),
		"recipient":          sub("age1", "age2"),
		"too large":          strings.Repeat("#", maxRegistry+1),
	} {
		_, err := ParseRegistry([]byte(text))
		if k := domicile.KindOf(err); k != domicile.Invalid && k != domicile.TooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseRegistry([]byte(sub("name = ", "colour = 'blue'\nname = "))); !strings.Contains(err.Error(), "colour") || !strings.Contains(err.Error(), "line") {
		t.Errorf("an unknown key is not named: %v", err)
	}
}

func TestRegistrationEnds(t *testing.T) {
	w := newWorld(t)
	w.court.NotAfter = today.AddDate(0, 0, -1)
	token := w.sign(w.warrant("mail-ie", "eu-ireland", irish), w.court.as("issuing"))
	if f := w.checker(t).all(token, irish); f == nil || f.Code != domicile.UnknownAuthority {
		t.Fatalf("%+v", f)
	}
}

func FuzzRegistry(f *testing.F) {
	f.Add([]byte(registryText(f)))
	f.Add([]byte("frozen = true"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ParseRegistry(text)
		if err != nil {
			return
		}
		if _, err := MarshalRegistry(list); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}

func TestStatusList(t *testing.T) {
	w := newWorld(t)
	s := w.court.as("")
	list, err := SignStatusList(nil, s, map[string]string{"jti-00000001": "suspended", "12": "invalid"}, issued)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = SignStatusList(list, s, map[string]string{"jti-00000001": "valid", "13": "suspended"}, today); err != nil {
		t.Fatal(err)
	}
	key, _ := s.public()
	l, err := parseStatusList(list, w.court.thumb(), key)
	if err != nil {
		t.Fatal(err)
	}
	for index, want := range map[int64]byte{12: statusInvalid, 13: statusSuspended, 14: statusValid, StatusIndex("jti-00000001"): statusValid, statusSlots - 1: statusValid} {
		if got, ok := l.at(index); !ok || got != want {
			t.Errorf("%d: %d %v, want %d", index, got, ok, want)
		}
	}
	if _, ok := l.at(statusSlots); ok {
		t.Error("a place behind the end")
	}
	if !l.fresh(today.Add(time.Hour), time.Hour) || l.fresh(today.Add(time.Hour+time.Second), time.Hour) || l.fresh(today.Add(-time.Hour), 2*time.Hour) {
		t.Error("age")
	}
	for name, set := range map[string]map[string]string{"state": {"12": "maybe"}, "index": {"9999999": "valid"}} {
		if _, err := SignStatusList(nil, s, set, today); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := SignStatusList(list, w.oia.as(""), nil, today); domicile.KindOf(err) != domicile.Invalid {
		t.Error("another signer's list was taken over")
	}
}

func FuzzStatusList(f *testing.F) {
	w := newWorld(f)
	good, err := SignStatusList(nil, w.court.as(""), nil, issued)
	if err != nil {
		f.Fatal(err)
	}
	key, err := w.court.as("").public()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte(`{"iat":1,"status_list":{"bits":2,"lst":"eNpjYAAAAAIAAQ"}}`))
	f.Fuzz(func(t *testing.T, text, payload []byte) {
		if l, err := parseStatusList(text, w.court.thumb(), key); err == nil && l.claims.IssuedAt != issued.Unix() {
			t.Fatal("an altered list passed")
		}
		_, _ = unpack(payload)
	})
}
