package audit

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"domicile"
)

func TestPins(t *testing.T) {
	want := testPins()
	want.Cosigners[2].CompellableBy = []string{}
	text, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePins(text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nread back as %+v", err, got)
	}
	again, _ := got.Marshal()
	if !bytes.Equal(again, text) {
		t.Errorf("written again as\n%s", again)
	}
	good := string(text)
	for name, bad := range map[string]string{
		"empty":           "",
		"unknown key":     good + "more = 1\n",
		"not TOML":        good + "=",
		"quorum 0":        strings.Replace(good, "quorum = 1", "quorum = 0", 1),
		"no logs":         "quorum = 1\nlogs = []\n",
		"unsaid states":   strings.Replace(good, "compellable_by = []", "", 1),
		"cosigner as log": strings.Replace(good, newTestSigner(testOrigin).vkey(1), newTestSigner(testOrigin).vkey(4), 1),
		"log as cosigner": strings.Replace(good, newTestSigner("witness-1").vkey(4), newTestSigner("witness-1").vkey(1), 1),
		"cosigner twice":  strings.Replace(good, newTestSigner("witness-1").vkey(4), newTestSigner("us-east").vkey(4), 1),
		"hash":            strings.Replace(good, "witness-1+", "witness-2+", 1),
	} {
		if bad == good {
			t.Errorf("%s: nothing was altered in\n%s", name, good)
		}
		if _, err := ParsePins([]byte(bad)); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := VerifyReceipt(nil, Pins{}); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("no pins: %v", err)
	}
	// One key under two names would count twice, because a cosignature does not name its signer.
	alias := newTestSigner("witness-1")
	alias.name = "witness-2"
	twice := testPins()
	twice.Cosigners = append(twice.Cosigners, Pin{VKey: alias.vkey(4), CompellableBy: []string{"SE"}})
	if _, err := twice.Marshal(); err == nil {
		t.Error("one key under two names is accepted")
	}
}
