package placement

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"domicile"
)

// Expected bytes were computed outside Go, from the description in the package comment.
func TestOwnershipMessageIsFixed(t *testing.T) {
	c := newCluster(t)
	o := c.record("anna@example.com", "a1", 3, ie)
	const want = "646f6d6963696c652f6f776e6572736869702f76310a" + // domicile/ownership/v1\n
		"00000020" + "cac7d6e6ff484f9f6b7779023fe1abf4dcc9965a7c9a4c5ee409deda9a4ac831" +
		"0000000b" + "6578616d706c652e636f6d" + "00000002" + "6131" + "0000000a" + "65752d6972656c616e64" +
		"0000000000000003" + "00000000695735a5" + "0000000000000006"
	if got := hex.EncodeToString(o.Message()); got != want {
		t.Errorf("message is\n%s, want\n%s", got, want)
	}
}

// No two different records may have one message: each field is changed, and bytes are pushed over each border.
func TestOwnershipMessageIsUnambiguous(t *testing.T) {
	base := Ownership{Domain: "ab", Account: "cd", Home: "ef", Epoch: 1, Issued: time.Unix(1, 0)}
	seen := map[string]string{string(base.Message()): "base"}
	for what, change := range map[string]func(*Ownership){
		"name":      func(o *Ownership) { o.Name[31] = 1 },
		"domain":    func(o *Ownership) { o.Domain = "ax" },
		"account":   func(o *Ownership) { o.Account = "cx" },
		"home":      func(o *Ownership) { o.Home = "ex" },
		"epoch":     func(o *Ownership) { o.Epoch = 2 },
		"second":    func(o *Ownership) { o.Issued = time.Unix(2, 0) },
		"nanos":     func(o *Ownership) { o.Issued = time.Unix(1, 1) },
		"shift 1":   func(o *Ownership) { o.Domain, o.Account = "abc", "d" },
		"shift 2":   func(o *Ownership) { o.Account, o.Home = "c", "def" },
		"all in 1":  func(o *Ownership) { o.Domain, o.Account, o.Home = "abcdef", "", "" },
		"all in 2":  func(o *Ownership) { o.Domain, o.Account, o.Home = "", "abcdef", "" },
		"zero byte": func(o *Ownership) { o.Domain, o.Account = "ab\x00", "cd" },
	} {
		o := base
		change(&o)
		if other, dup := seen[string(o.Message())]; dup {
			t.Errorf("%s has the message of %s", what, other)
		}
		seen[string(o.Message())] = what
	}
}

func TestOwnershipSurvivesJSON(t *testing.T) {
	c := newCluster(t)
	o := c.record("anna@example.com", "a1", 1, ie, ie)
	raw, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var back Ownership
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(o, back) {
		t.Errorf("%v\n%+v\n%+v", err, o, back)
	}
	if err := back.Verify(c, nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{`"00"`, `"` + "ZZ" + o.Name.String()[2:] + `"`, `1`} {
		var n NameDigest
		if json.Unmarshal([]byte(bad), &n) == nil {
			t.Errorf("%s is a name digest", bad)
		}
	}
}

func TestOwnershipVerify(t *testing.T) {
	c := newCluster(t)
	const a = domicile.Address("anna@example.com")
	first := c.record(a, "a1", 1, ie, ie)
	second := c.record(a, "a1", 2, us, us, ie)
	altered := first
	altered.Account = "a2"
	stolen := first
	stolen.Home = us
	noisy := c.record(a, "a1", 1, ie, ie)
	noisy.Signatures = append(noisy.Signatures, OwnershipSignature{Region: us, Signature: []byte("x")})
	many := c.record(a, "a1", 1, ie, ie, ie, ie, ie, ie)
	twice := c.record(a, "a1", 2, ie, ie, ie)
	for _, x := range []struct {
		name   string
		o      Ownership
		before *Ownership
		good   bool
	}{
		{"first epoch, signed by its home", first, nil, true},
		{"the same again", first, &first, true},
		{"issued anew", c.record(a, "a1", 1, ie, ie), &first, true},
		{"handed over", second, &first, true},
		{"handed over, nothing known before", second, nil, true},
		{"not signed", c.record(a, "a1", 1, ie), nil, false},
		{"signed by another region", c.record(a, "a1", 1, ie, us), nil, false},
		{"signed by a region that is in no catalog", func() Ownership {
			o := c.record(a, "a1", 1, ie, ie)
			o.Signatures[0].Region = "mars"
			return o
		}(), nil, false},
		{"account altered", altered, nil, false},
		{"home altered", stolen, nil, false},
		{"one bad signature beside a good one", noisy, nil, false},
		{"too many signatures", many, nil, false},
		{"epoch 0", c.record(a, "a1", 0, ie, ie), nil, false},
		{"epoch 2 by one region alone", c.record(a, "a1", 2, us, us), nil, false},
		{"epoch 2 by one region twice", twice, nil, false},
		{"taken without the home before", c.record(a, "a1", 2, us, us), &first, false},
		{"taken with another region's help", c.record(a, "a1", 2, us, us, de), &first, false},
		{"another home in the same epoch", c.record(a, "a1", 1, us, us), &first, false},
		{"back to an earlier epoch", first, &second, false},
		{"given to another account", c.record(a, "a2", 1, ie, ie), &first, false},
		{"two epochs on, signed by two", c.record(a, "a1", 3, de, de, us), &first, true},
		{"two epochs on, signed by one", c.record(a, "a1", 3, de, de), &first, false},
		{"an address for an account", c.record(a, "anna@example.com", 1, ie, ie), nil, false},
		{"no account", c.record(a, "", 1, ie, ie), nil, false},
		{"no domain", c.record("anna", "a1", 1, ie, ie), nil, false},
	} {
		err := x.o.Verify(c, x.before)
		if (err == nil) != x.good || err != nil && domicile.ReasonOf(err) != domicile.OwnershipUnverified {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

func TestDigester(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := NewDigester(make([]byte, n)); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("a key of %d bytes: %v", n, err)
		}
	}
	c := newCluster(t)
	other, _ := NewDigester(append(make([]byte, 31), 1))
	a := c.names.Digest("anna@example.com")
	if a != c.names.Digest("anna@example.com") || a == c.names.Digest("anna@example.org") || a == other.Digest("anna@example.com") {
		t.Error("digests must depend on address and key, and on nothing else")
	}
}
