package audit_test

// A stranger's verifier: it knows the C2SP documents and the public keys, and uses nothing but the standard library and
// golang.org/x/mod/sumdb. It imports nothing of domicile, so that a mistake of ours cannot hide in shared code.

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// strangerKeys are what the stranger was given.
type strangerKeys struct {
	log       string   // vkey, type 1
	cosigners []string // vkeys, type 4
}

// strangerCosigner is a note.Verifier of cosignature/v1, which package note does not know.
type strangerCosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func parseCosigner(vkey string) (*strangerCosigner, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("vkey %q", vkey)
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(key) != 33 || key[0] != 4 {
		return nil, fmt.Errorf("vkey %q is not of type 4", vkey)
	}
	sum := sha256.Sum256([]byte(parts[0] + "\n" + string(key)))
	if fmt.Sprintf("%x", sum[:4]) != parts[1] {
		return nil, fmt.Errorf("vkey %q has another hash", vkey)
	}
	return &strangerCosigner{parts[0], binary.BigEndian.Uint32(sum[:4]), key[1:]}, nil
}

func (c *strangerCosigner) Name() string    { return c.name }
func (c *strangerCosigner) KeyHash() uint32 { return c.hash }
func (c *strangerCosigner) Verify(text, sig []byte) bool {
	if len(sig) != 72 {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	return ed25519.Verify(c.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text), sig[8:])
}

// openCheckpoint verifies a checkpoint and returns the tree and the names of those who signed.
func (k strangerKeys) openCheckpoint(signed []byte) (tree tlog.Tree, signers []string, err error) {
	v, err := note.NewVerifier(k.log)
	if err != nil {
		return tree, nil, err
	}
	known := []note.Verifier{v}
	for _, vkey := range k.cosigners {
		c, err := parseCosigner(vkey)
		if err != nil {
			return tree, nil, err
		}
		known = append(known, c)
	}
	n, err := note.Open(signed, note.VerifierList(known...))
	if err != nil {
		return tree, nil, err
	}
	for _, s := range n.Sigs {
		signers = append(signers, s.Name)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != v.Name() || n.Sigs[0].Name != v.Name() {
		return tree, nil, fmt.Errorf("not a checkpoint of the log: %q", n.Text)
	}
	tree.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tree, nil, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, signers, err
}

// strangerFolder reads tiles of a copied folder.
type strangerFolder string

func (f strangerFolder) Height() int                     { return 8 }
func (f strangerFolder) SaveTiles([]tlog.Tile, [][]byte) {}
func (f strangerFolder) ReadTiles(t []tlog.Tile) (out [][]byte, err error) {
	for _, tile := range t {
		data, err := os.ReadFile(filepath.Join(string(f), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// verifyFolder reads every entry of a log and holds it against the tree.
func (k strangerKeys) verifyFolder(dir string) (leaves int, err error) {
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return 0, err
	}
	tree, _, err := k.openCheckpoint(signed)
	if err != nil {
		return 0, err
	}
	hashes := tlog.TileHashReader(tree, strangerFolder(dir))
	for n := int64(0); n < tree.N; n += 256 {
		width := min(256, tree.N-n)
		path := fmt.Sprintf("tile/entries/%03d", n/256) // under 1000 bundles
		if width < 256 {
			path += fmt.Sprintf(".p/%d", width)
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return leaves, err
		}
		for i := range width {
			size := int(binary.BigEndian.Uint16(data))
			want, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n+i)})
			if err != nil {
				return leaves, err
			}
			if tlog.RecordHash(data[2:2+size]) != want[0] {
				return leaves, fmt.Errorf("leaf %d differs", n+i)
			}
			data = data[2+size:]
			leaves++
		}
		if len(data) != 0 {
			return leaves, fmt.Errorf("%s is too long", path)
		}
	}
	return leaves, nil
}

// verifyReceipt reads a tlog-proof and returns its leaf, what it reveals, and who signed.
func (k strangerKeys) verifyReceipt(receipt []byte) (leaf map[string]any, revealed map[string]string, signers []string, err error) {
	head, checkpoint, _ := bytes.Cut(receipt, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, nil, nil, fmt.Errorf("not a tlog-proof")
	}
	x, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return nil, nil, nil, err
	}
	var extra struct {
		Leaf   string
		Reveal map[string]struct {
			Salt  []byte
			Value string
		}
	}
	if err := json.Unmarshal(x, &extra); err != nil {
		return nil, nil, nil, err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return nil, nil, nil, err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return nil, nil, nil, err
		}
		proof = append(proof, h)
	}
	tree, signers, err := k.openCheckpoint(checkpoint)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash([]byte(extra.Leaf))); err != nil {
		return nil, nil, nil, err
	}
	if err := json.Unmarshal([]byte(extra.Leaf), &leaf); err != nil {
		return nil, nil, nil, err
	}
	revealed = make(map[string]string)
	for name, o := range extra.Reveal {
		mac := hmac.New(sha256.New, o.Salt)
		mac.Write([]byte(o.Value))
		private, _ := leaf["private"].(map[string]any)
		if private[name] != base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			return nil, nil, nil, fmt.Errorf("field %s is not the one committed", name)
		}
		revealed[name] = o.Value
	}
	return leaf, revealed, signers, nil
}

// TestStrangerVerifiesFolder and the next show that what this package writes is what the C2SP documents say.
func TestStrangerVerifiesFolder(t *testing.T) {
	t.Parallel()
	dir, _, keys := strangersLog(t)
	if n, err := keys.verifyFolder(dir); err != nil || n != strangersLeaves {
		t.Fatalf("%d leaves, %v", n, err)
	}
	path := filepath.Join(dir, "tile/entries/000")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[100] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.verifyFolder(dir); err == nil {
		t.Error("an edited leaf passes")
	}
}

func TestStrangerVerifiesReceipt(t *testing.T) {
	t.Parallel()
	_, receipt, keys := strangersLog(t)
	leaf, revealed, signers, err := keys.verifyReceipt(receipt)
	if err != nil {
		t.Fatal(err)
	}
	if leaf["kind"] != "disclosure.released" || leaf["v"] != 1.0 || leaf["reason"] != nil {
		t.Errorf("leaf %v", leaf)
	}
	if revealed["target"] != "anna@example.com" {
		t.Errorf("revealed %v", revealed)
	}
	if len(signers) != 2 || signers[1] != "witness.example/w1" {
		t.Errorf("signers %v", signers)
	}
	if _, _, _, err := keys.verifyReceipt(bytes.Replace(receipt, []byte("\nindex 9\n"), []byte("\nindex 8\n"), 1)); err == nil {
		t.Error("an altered index passes")
	}
}
