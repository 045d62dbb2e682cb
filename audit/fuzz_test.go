package audit

import (
	"bytes"
	"testing"
)

// FuzzReceipt: what parses is written back byte for byte, and what verifies does not when a bit of it is flipped.
func FuzzReceipt(f *testing.F) {
	l := receiptLog(f)
	plain := receipt(f, l, 3, true)
	cosignWith(f, l, "witness-1")
	for _, good := range [][]byte{plain, receipt(f, l, 7, false), receipt(f, l, 39, true)} {
		f.Add(good, uint(1000))
	}
	f.Add([]byte(proofHeader+"\nextra e30=\nindex 0\n\n"), uint(0))
	pins := testPins()
	f.Fuzz(func(t *testing.T, data []byte, bit uint) {
		p, err := parseProof(data)
		if err != nil {
			return
		}
		if again, err := p.encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("written back as %q, %v", again, err)
		}
		if _, err := VerifyReceipt(data, pins); err != nil {
			return
		}
		data[bit/8%uint(len(data))] ^= 1 << (bit % 8)
		if _, err := VerifyReceipt(data, pins); err == nil {
			t.Errorf("verifies with bit %d flipped: %q", bit, data)
		}
	})
}

// FuzzLeaf: what parses is canonical.
func FuzzLeaf(f *testing.F) {
	r, _, err := newRecord(testOrigin, entry(1), &Spend{"i", "j", 1})
	if err != nil {
		f.Fatal(err)
	}
	r.Seq, r.Time = 7, testTime.Format(leafTime)
	raw, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"kind":"a","origin":"` + testOrigin + `","seq":7,"time":"2026-03-01T12:00:00.000Z","v":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseLeaf(data, testOrigin, 7)
		if err != nil {
			return
		}
		if again, err := r.encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("written back as %q, %v", again, err)
		}
		if r.when().IsZero() {
			t.Error("no time")
		}
	})
}

// FuzzWitnessRequest: what parses is written back byte for byte, and only the log's own checkpoint is cosigned.
func FuzzWitnessRequest(f *testing.F) {
	l := receiptLog(f)
	cp, _ := l.Checkpoint()
	proof, err := l.ConsistencyProof(12, 40)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(WitnessRequest(12, proof, cp))
	f.Add(WitnessRequest(0, nil, cp))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseWitnessRequest(data)
		if err != nil {
			return
		}
		var path [][32]byte
		for _, h := range r.proof {
			path = append(path, h)
		}
		if again := WitnessRequest(r.old, path, r.checkpoint); !bytes.Equal(again, data) {
			t.Errorf("written back as %q", again)
		}
		if h, _, err := openCheckpoint(r.checkpoint, l.key); err == nil && (h.Size != 40 || r.extends(&Head{Size: 39}, h) == nil) {
			t.Errorf("accepted: %q", data)
		}
	})
}

// FuzzCheckpoint: what parses is written back byte for byte.
func FuzzCheckpoint(f *testing.F) {
	l := receiptLog(f)
	cp, _ := l.Checkpoint()
	f.Add(cp)
	f.Add([]byte("o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— o AAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, sigs, err := splitNote(data)
		if err != nil {
			return
		}
		again := text + "\n"
		for _, s := range sigs {
			again += s.line()
		}
		if again != string(data) {
			t.Errorf("note written back as %q", again)
		}
		if h, err := parseHead(text); err == nil && h.text() != text {
			t.Errorf("head written back as %q", h.text())
		}
	})
}
