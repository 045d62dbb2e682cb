package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"domicile"

	bolt "go.etcd.io/bbolt"
)

func openTestWitness(t testing.TB, dir string) *Witness {
	t.Helper()
	w, err := OpenWitness(dir, newTestSigner("witness-1"), map[string]string{testOrigin: newTestSigner(testOrigin).vkey(1)},
		func() time.Time { return testTime })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// request asks for a cosignature of the log's newest checkpoint.
func witnessBody(t testing.TB, l *Log, old uint64) []byte {
	t.Helper()
	proof, err := l.ConsistencyProof(old, l.Head().Size)
	if err != nil {
		t.Fatal(err)
	}
	cp, _ := l.Checkpoint()
	return WitnessRequest(old, proof, cp)
}

// TestWitness follows a log through many sizes, over restarts, and hands each cosignature back to it.
func TestWitness(t *testing.T) {
	t.Parallel()
	l, dir := openTest(t, t.TempDir()), t.TempDir()
	w := openTestWitness(t, dir)
	old := uint64(0)
	for n := range 20 {
		line, err := w.AddCheckpoint(context.Background(), witnessBody(t, l, old))
		if err != nil {
			t.Fatalf("size %d after %d: %v", l.Head().Size, old, err)
		}
		cp, _ := l.Checkpoint()
		if err := l.AddCosignature(cp, line, newTestSigner("witness-1").vkey(4)); err != nil {
			t.Fatal(err)
		}
		old = l.Head().Size
		if n%5 == 4 {
			w.Close()
			w = openTestWitness(t, dir)
		} else {
			for range n + 1 {
				if _, err := l.Append(context.Background(), entry(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	by, err := l.Cosigners(0)
	if err != nil || !by["witness-1"].Equal(testTime) {
		t.Errorf("cosigners %v, %v", by, err)
	}
	if got := w.Origins(); len(got) != 1 || got[0] != testOrigin {
		t.Errorf("origins %v", got)
	}
}

// TestWitnessRefuses is the table of C2SP tlog-witness, and of what a log that lies would send.
func TestWitnessRefuses(t *testing.T) {
	l := receiptLog(t)
	w := openTestWitness(t, t.TempDir())
	small, _ := l.Checkpoint()
	if _, err := w.AddCheckpoint(context.Background(), witnessBody(t, l, 0)); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if _, err := l.Append(context.Background(), entry(n)); err != nil {
			t.Fatal(err)
		}
	}
	cp, _ := l.Checkpoint()
	proof, _ := l.ConsistencyProof(40, 45)
	signed := func(h Head) []byte {
		cp, err := signCheckpoint(h, newTestSigner(h.Origin))
		if err != nil {
			t.Fatal(err)
		}
		return cp
	}
	fork, same := l.Head(), l.Head()
	fork.Root[0]++
	same.Size, same.Root[0] = 40, same.Root[0]+1
	other := l.Head()
	other.Origin = "example.com/other"
	for name, c := range map[string]struct {
		body   []byte
		kind   domicile.Kind
		reason domicile.Reason
	}{
		"empty":                 {nil, domicile.Invalid, ""},
		"no checkpoint":         {[]byte("old 40\n\n"), domicile.NotExist, ""},
		"old with zero":         {bytes.Replace(WitnessRequest(40, proof, cp), []byte("old 4"), []byte("old 04"), 1), domicile.Invalid, ""},
		"too many lines":        {WitnessRequest(40, make([][32]byte, 64), cp), domicile.Invalid, ""},
		"old over size":         {WitnessRequest(46, nil, cp), domicile.Invalid, ""},
		"unknown log":           {WitnessRequest(40, proof, signed(other)), domicile.NotExist, ""},
		"unsigned by the log":   {bytes.Replace(WitnessRequest(40, proof, cp), []byte("\n45\n"), []byte("\n44\n"), 1), domicile.Refused, domicile.BadSignature},
		"wrong old":             {WitnessRequest(0, nil, cp), domicile.Conflict, ""},
		"rollback":              {WitnessRequest(12, nil, small), domicile.Conflict, ""},
		"same size, other root": {WitnessRequest(40, nil, signed(same)), domicile.Conflict, ""},
		"fork":                  {WitnessRequest(40, proof, signed(fork)), domicile.Invalid, ""},
		"no proof":              {WitnessRequest(40, nil, cp), domicile.Invalid, ""},
		"extension line":        {WitnessRequest(40, proof, bytes.Replace(cp, []byte("\n\n"), []byte("\nmore\n\n"), 1)), domicile.Invalid, ""},
	} {
		line, err := w.AddCheckpoint(context.Background(), c.body)
		if err == nil || domicile.KindOf(err) != c.kind || domicile.ReasonOf(err) != c.reason {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		var size *ConflictSize
		if c.kind == domicile.Conflict && (!errors.As(err, &size) || size.Size != 40) {
			t.Errorf("%s: conflict without the size known: %v", name, err)
		}
		var proof *BadProof
		if (name == "fork" || name == "no proof") && !errors.As(err, &proof) {
			t.Errorf("%s: not a bad proof: %v", name, err)
		}
	}
	if _, err := w.AddCheckpoint(context.Background(), WitnessRequest(40, proof, cp)); err != nil {
		t.Errorf("the honest log, after all these: %v", err)
	}
}

// TestWitnessRemembersFirst fails the witness's disk: without a durable memory there is no signature. Where nothing was done the next
// call is served; after "done but the answer lost" the size is remembered though nothing was signed, and all is refused
// until the witness is opened again.
func TestWitnessRemembersFirst(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		l, dir := receiptLog(t), t.TempDir()
		w := openTestWitness(t, dir)
		w.step = (&failAt{after: after}).step
		if line, err := w.AddCheckpoint(context.Background(), witnessBody(t, l, 0)); domicile.KindOf(err) != domicile.Unavailable {
			t.Errorf("after=%v: %q, %v", after, line, err)
		}
		line, err := w.AddCheckpoint(context.Background(), witnessBody(t, l, 0))
		if refused := domicile.KindOf(err) == domicile.Unavailable; refused != after || !after && err != nil {
			t.Errorf("after=%v, again: %q, %v", after, line, err)
		}
		if !after { // it is remembered now, and nothing is in doubt
			w.Close()
			continue
		}
		w.Close()
		w = openTestWitness(t, dir)
		if _, err := w.AddCheckpoint(context.Background(), witnessBody(t, l, 0)); domicile.KindOf(err) != domicile.Conflict {
			t.Errorf("opened again: %v", err)
		}
		w.Close()
	}
	// The memory is read from the file, not from the one that signed.
	dir := t.TempDir()
	w := openTestWitness(t, dir)
	if _, err := w.AddCheckpoint(context.Background(), witnessBody(t, receiptLog(t), 0)); err != nil {
		t.Fatal(err)
	}
	if err := w.db.View(func(tx *bolt.Tx) error {
		if v := string(tx.Bucket(bucketSeen).Get([]byte(testOrigin))); !strings.Contains(v, fmt.Sprintf("\n%d\n", 40)) {
			return errors.New("not remembered: " + v)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestWitnessFollowsItsList: a log that comes to the list is cosigned without a restart, one that leaves it no more, and one
// that comes back is held to what was seen of it.
func TestWitnessFollowsItsList(t *testing.T) {
	w := openTestWitness(t, t.TempDir())
	l := openTest(t, t.TempDir())
	for i := range 3 {
		if _, err := l.Append(t.Context(), Entry{Kind: "test", Public: map[string]string{"n": fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.SetLogs(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddCheckpoint(t.Context(), witnessBody(t, l, 0)); domicile.KindOf(err) != domicile.NotExist {
		t.Errorf("a log that is not on the list: %v", err)
	}
	list := map[string]string{testOrigin: newTestSigner(testOrigin).vkey(1)}
	if err := w.SetLogs(list); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddCheckpoint(t.Context(), witnessBody(t, l, 0)); err != nil {
		t.Fatal(err)
	}
	if err := w.SetLogs(map[string]string{testOrigin: "x"}); domicile.KindOf(err) != domicile.Invalid || len(w.Origins()) != 1 {
		t.Errorf("a malformed key: %v, then %v", err, w.Origins())
	}
	if err := w.SetLogs(map[string]string{}); err != nil {
		t.Fatal(err)
	}
	if err := w.SetLogs(list); err != nil {
		t.Fatal(err)
	}
	var size *ConflictSize
	if _, err := w.AddCheckpoint(t.Context(), witnessBody(t, l, 0)); !errors.As(err, &size) || size.Size != 3 {
		t.Errorf("what was seen of it was forgotten: %v", err)
	}
}
