package audit

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"domicile"
)

// receiptLog has 40 leaves: refusals, and at 7 a disclosure.
func receiptLog(t testing.TB) *Log {
	t.Helper()
	l := openTest(t, t.TempDir())
	for n := range 40 {
		e := entry(n)
		if n == 7 {
			e = Entry{Kind: "disclosure.released", Case: "c7", Private: map[string]string{"target": "anna@example.com", "facts": `{"a":"<b>"}`}}
		}
		if _, err := l.Append(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func receipt(t testing.TB, l *Log, index uint64, reveal bool) []byte {
	t.Helper()
	r, err := l.Receipt(index, reveal)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReceipt(t *testing.T) {
	t.Parallel()
	l := receiptLog(t)
	r := receipt(t, l, 12, false)
	v, err := VerifyReceipt(r, testPins())
	if err != nil || v.Index != 12 || v.Origin != testOrigin || len(v.Cosigners) != 0 || len(v.Revealed) != 0 {
		t.Errorf("plain: %+v, %v", v, err)
	}
	v, err = VerifyReceipt(receipt(t, l, 12, true), testPins())
	if err != nil || !maps.Equal(v.Revealed, entry(12).Private) {
		t.Errorf("revealed: %+v, %v", v, err)
	}
	if _, err := VerifyReceipt(receipt(t, l, 7, false), testPins()); domicile.ReasonOf(err) != domicile.QuorumNotReached {
		t.Errorf("disclosure without cosigners: %v", err)
	}
	cosignWith(t, l, "witness-1", "us-east")
	if _, err := l.Append(context.Background(), entry(40)); err != nil {
		t.Fatal(err)
	}
	v, err = VerifyReceipt(receipt(t, l, 7, true), testPins())
	if err != nil || !slices.Equal(slices.Sorted(maps.Keys(v.Cosigners)), []string{"us-east", "witness-1"}) || !v.Cosigners["us-east"].Equal(testTime) {
		t.Errorf("disclosure: %+v, %v", v, err)
	}
	by, err := l.Cosigners(7)
	if err != nil || !maps.Equal(by, v.Cosigners) {
		t.Errorf("cosigners %v, %v", by, err)
	}
	if by, err := l.Cosigners(40); err != nil || len(by) != 0 {
		t.Errorf("cosigners of the newest leaf: %v, %v", by, err)
	}
	if _, err := VerifyReceipt(receipt(t, l, 40, false), testPins()); err != nil {
		t.Errorf("leaf behind the cosigned checkpoint: %v", err)
	}
	if _, err := l.Receipt(41, false); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("no such leaf: %v", err)
	}
	l.Close()
	l = openTest(t, l.cfg.Dir)
	if again := receipt(t, l, 7, true); !bytes.Contains(again, []byte("witness-1")) {
		t.Error("cosignatures are lost when the log is opened again")
	}
}

// TestFlipEveryBit alters real receipts, without cosignatures and with, in each bit; and drops and doubles bytes and lines.
func TestFlipEveryBit(t *testing.T) {
	t.Parallel()
	l, pins := receiptLog(t), testPins()
	plain := receipt(t, l, 0, true)
	cosignWith(t, l, "witness-1", "us-east", testOrigin)
	for i, r := range [][]byte{plain, receipt(t, l, 39, false), receipt(t, l, 7, true)} {
		if _, err := VerifyReceipt(r, pins); err != nil {
			t.Fatalf("receipt %d: %v", i, err)
		}
		try := func(what string, altered []byte) {
			if _, err := VerifyReceipt(altered, pins); err == nil {
				t.Fatalf("receipt %d passes with %s:\n%s", i, what, altered)
			}
		}
		for at := range r {
			for bit := range 8 {
				altered := bytes.Clone(r)
				altered[at] ^= 1 << bit
				try(fmt.Sprintf("bit %d of byte %d flipped", bit, at), altered)
			}
			if at%3 == i {
				try(fmt.Sprintf("byte %d dropped", at), slices.Delete(bytes.Clone(r), at, at+1))
				try(fmt.Sprintf("byte %d doubled", at), slices.Insert(bytes.Clone(r), at, r[at]))
			}
		}
		lines := bytes.SplitAfter(r, []byte("\n"))
		for n := range lines {
			try("a line doubled", bytes.Join(slices.Insert(slices.Clone(lines), n, lines[n], []byte("\n")), nil))
		}
		try("a byte more", append(bytes.Clone(r), '\n'))
		try("nothing in it", nil)
	}
}

// TestForgedReceipts alters a receipt as someone would who knows the format.
func TestForgedReceipts(t *testing.T) {
	t.Parallel()
	l := receiptLog(t)
	cosignWith(t, l, "witness-1", "us-east")
	good := receipt(t, l, 7, true)
	other, err := parseProof(receipt(t, l, 8, true))
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(*proof){
		"index":              func(p *proof) { p.index++ },
		"leaf of another":    func(p *proof) { p.extra.Leaf = other.extra.Leaf },
		"leaf not canonical": func(p *proof) { p.extra.Leaf += " " },
		"proof of another":   func(p *proof) { p.path = other.path },
		"proof longer":       func(p *proof) { p.path = append(p.path, p.path[0]) },
		"proof shorter":      func(p *proof) { p.path = p.path[1:] },
		"value":              func(p *proof) { reveal(p, "target", "bob@example.com") },
		"field not in leaf":  func(p *proof) { reveal(p, "more", "x") },
		"cosigner twice":     func(p *proof) { p.checkpoint += p.checkpoint[strings.LastIndex(p.checkpoint, sigPrefix):] },
		"cosigners swapped":  func(p *proof) { swapLast(p) },
		"log signature last": func(p *proof) { moveFirst(p) },
		"no cosignatures":    func(p *proof) { p.checkpoint = p.checkpoint[:strings.Index(p.checkpoint, sigPrefix+"us-east")] },
		"signed by a stranger": func(p *proof) {
			sig, _ := cosign(l.Head().text(), testTime, newTestSigner("zzz"))
			p.checkpoint += sig.line()
		},
		"stranger under a known name": func(p *proof) {
			s := newTestSigner("zzz")
			s.name = "witness-1"
			sig, _ := cosign(l.Head().text(), testTime, s)
			p.checkpoint += sig.line()
		},
		"cosigner signs as if a log": func(p *proof) {
			s := newTestSigner("witness-1")
			sig, _ := s.Sign([]byte(l.Head().text()))
			v := newVerifier(s.name, algNote, s.Public())
			p.checkpoint += signature{v.name, v.id, sig}.line()
		},
		"fork": func(p *proof) {
			h := l.Head()
			h.Root[0]++
			cp, _ := signCheckpoint(h, newTestSigner(testOrigin))
			p.checkpoint = string(cp)
		},
		"log unknown": func(p *proof) {
			h := l.Head()
			h.Origin = "example.com/other"
			cp, _ := signCheckpoint(h, newTestSigner(h.Origin))
			p.checkpoint = string(cp)
		},
	} {
		p, err := parseProof(good)
		if err != nil {
			t.Fatal(err)
		}
		alter(p)
		forged, err := p.encode()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(forged, good) {
			t.Errorf("%s: nothing was altered", name)
		}
		if _, err := VerifyReceipt(forged, testPins()); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

func reveal(p *proof, name, value string) {
	o := p.extra.Reveal["target"]
	o.Value = value
	p.extra.Reveal[name] = o
}

func swapLast(p *proof) {
	lines := strings.SplitAfter(p.checkpoint, "\n")
	n := len(lines) - 1 // the last is empty
	lines[n-1], lines[n-2] = lines[n-2], lines[n-1]
	p.checkpoint = strings.Join(lines, "")
}

func moveFirst(p *proof) {
	lines := strings.SplitAfter(p.checkpoint, "\n")
	lines = append(lines[:4], append(lines[5:len(lines)-1], lines[4])...)
	p.checkpoint = strings.Join(lines, "")
}

// TestQuorum is the table of who must have cosigned a disclosure.
func TestQuorum(t *testing.T) {
	pin := func(name, region string, by ...string) Pin {
		return Pin{VKey: newTestSigner(name).vkey(4), Region: region, CompellableBy: by}
	}
	unsaid := func(p Pin) Pin { p.CompellableBy = nil; return p }
	none := func(p Pin) Pin { p.CompellableBy = []string{}; return p }
	own := pin(testOrigin, "eu-ireland", "IE", "US")
	us, fr, witness := pin("us-east", "us-east", "US"), pin("fr", "fr", "FR", "US"), pin("witness-1", "", "CH")
	all := []string{testOrigin, "us-east", "fr", "witness-1"}
	for name, c := range map[string]struct {
		signed    []string
		cosigners []Pin
		quorum    int
		ok        bool
	}{
		"nobody":                       {nil, []Pin{own, us, fr, witness}, 1, false},
		"itself only":                  {all[:1], []Pin{own, us, fr, witness}, 1, false},
		"itself by another key":        {all[1:2], []Pin{own, pin("us-east", "eu-ireland"), fr, witness}, 1, false},
		"all of one parent":            {all[:3], []Pin{own, us, fr, witness}, 1, false},
		"witness":                      {all[3:], []Pin{own, us, fr, witness}, 1, true},
		"witness and parent":           {all, []Pin{own, us, fr, witness}, 3, true},
		"too few":                      {all[3:], []Pin{own, us, fr, witness}, 2, false},
		"itself does not count":        {[]string{testOrigin, "witness-1"}, []Pin{own, us, fr, witness}, 2, false},
		"witness of the same state":    {all, []Pin{own, us, fr, pin("witness-1", "", "CH", "US")}, 3, false},
		"witness of whom none is said": {all, []Pin{own, us, fr, unsaid(witness)}, 3, false},
		"witness that none compels":    {all, []Pin{own, us, fr, none(witness)}, 3, true},
	} {
		l := openTest(t, t.TempDir())
		if _, err := l.Append(context.Background(), Entry{Kind: "disclosure.released"}); err != nil {
			t.Fatal(err)
		}
		cosignWith(t, l, c.signed...)
		pins := testPins()
		pins.Cosigners, pins.Quorum = c.cosigners, c.quorum
		_, err := VerifyReceipt(receipt(t, l, 0, false), pins)
		if (err == nil) != c.ok || err != nil && domicile.ReasonOf(err) != domicile.QuorumNotReached {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReceiptChoosesCheckpoint shows that a receipt keeps its quorum while the log grows and only some cosign later.
func TestReceiptChoosesCheckpoint(t *testing.T) {
	l := openTest(t, t.TempDir())
	grow := func(names ...string) {
		t.Helper()
		if _, err := l.Append(context.Background(), entry(0)); err != nil {
			t.Fatal(err)
		}
		cosignWith(t, l, names...)
	}
	names := func(index uint64) string {
		t.Helper()
		by, err := l.Cosigners(index)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyReceipt(receipt(t, l, index, false), testPins()); err != nil {
			t.Error(err)
		}
		return strings.Join(slices.Sorted(maps.Keys(by)), " ")
	}
	grow("us-east", "witness-1")
	grow("us-east")
	grow()
	if got := names(0) + "|" + names(1) + "|" + names(2); got != "us-east witness-1|us-east|" {
		t.Errorf("cosigners: %s", got)
	}
	grow("witness-1", "us-east")
	if got := names(0) + "|" + names(3); got != "us-east witness-1|us-east witness-1" {
		t.Errorf("cosigners: %s", got)
	}
	p, err := parseProof(receipt(t, l, 0, false))
	if err != nil {
		t.Fatal(err)
	}
	if h, _ := parseHead(p.checkpoint[:strings.Index(p.checkpoint, "\n\n")+1]); h.Size != 4 {
		t.Errorf("the receipt is under size %d, not the newer 4 with the same cosigners", h.Size)
	}
}

func TestAddCosignatureRefuses(t *testing.T) {
	l := receiptLog(t)
	cp, _ := l.Checkpoint()
	w := newTestSigner("witness-1")
	sig, _ := cosign(l.Head().text(), testTime, w)
	good, vkey := []byte(sig.line()), w.vkey(4)
	fork := l.Head()
	fork.Root[0]++
	forkCP, _ := signCheckpoint(fork, newTestSigner(testOrigin))
	forkSig, _ := cosign(fork.text(), testTime, w)
	for name, c := range map[string]struct {
		cp, line []byte
		vkey     string
	}{
		"of another text":    {forkCP, good, vkey},
		"of a fork":          {forkCP, []byte(forkSig.line()), vkey},
		"by another key":     {cp, good, newTestSigner("us-east").vkey(4)},
		"key of a log":       {cp, good, w.vkey(1)},
		"no newline":         {cp, bytes.TrimSuffix(good, []byte("\n")), vkey},
		"altered checkpoint": {bytes.Replace(cp, []byte("40"), []byte("41"), 1), good, vkey},
	} {
		if err := l.AddCosignature(c.cp, c.line, c.vkey); err == nil {
			t.Errorf("%s: kept", name)
		}
	}
	if by, _ := l.Cosigners(0); len(by) != 0 {
		t.Errorf("cosigners %v", by)
	}
}
