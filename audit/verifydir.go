package audit

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"domicile"

	"golang.org/x/mod/sumdb/tlog"
)

// progressEvery is how many leaves lie between two lines of progress.
const progressEvery = 1 << 16

// VerifyDir checks a copied log folder: every tile, leaf and checkpoint, all computed anew from the entries. It reports
// progress to w, a line each. It needs checkpoint and tile/, not log.db, and changes nothing.
//
// It finds what was edited or dropped. A whole folder that was rolled back, or forked, by whoever holds the log's key shows
// only beside an older checkpoint: see VerifyDirSince.
func VerifyDir(dir string, pins Pins, w io.Writer) error { return VerifyDirSince(dir, pins, nil, w) }

// VerifyDirSince is VerifyDir, and checks also that the folder continues an older checkpoint of the same log, with or without
// cosignatures: the last one that an auditor or a cosigner kept. Nil older checks nothing more.
func VerifyDirSince(dir string, pins Pins, older []byte, w io.Writer) error {
	return verifyDir(dir, pins, older, w, nil)
}

// ReadDir is VerifyDir, and gives each leaf to visit as it is read. What visit was given is sound only if ReadDir returns nil. An
// error of visit ends it.
func ReadDir(dir string, pins Pins, visit func(index uint64, e Entry) error) error {
	return verifyDir(dir, pins, nil, io.Discard, visit)
}

func verifyDir(dir string, pins Pins, older []byte, w io.Writer, visit func(uint64, Entry) error) error {
	const op = "verify log folder"
	logs, _, err := pins.verifiers()
	if err != nil {
		return domicile.W(op, err)
	}
	signed, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		return domicile.W(op, err)
	}
	origin, _, _ := bytes.Cut(signed, []byte("\n"))
	for _, log := range logs {
		if log.name != string(origin) {
			continue
		}
		c := dirCheck{tiles: tiles{disk: newDisk(dir, runStep)}, progress: w, visit: visit}
		if c.head, _, err = openCheckpoint(signed, log.verifier); err != nil {
			return domicile.W(op, err)
		}
		if older != nil {
			if c.older, _, err = openCheckpoint(older, log.verifier); err != nil {
				return domicile.W(op+": older checkpoint", err)
			}
		}
		return domicile.W(op, c.run())
	}
	return domicile.E(op, domicile.Invalid, "its log is not in the pins")
}

// dirCheck computes a log anew from its entries.
type dirCheck struct {
	tiles    tiles
	head     Head
	older    Head
	progress io.Writer
	visit    func(uint64, Entry) error // nil for none

	size   uint64
	levels [][]byte    // the tile being filled at each level
	done   []int64     // the tiles completed at each level
	peaks  []tlog.Hash // roots of the complete subtrees, largest first, one for each bit of size
}

func (c *dirCheck) run() error {
	if c.older.Size > c.head.Size {
		return c.wrong("rollback: the older checkpoint has size %d, this folder %d", c.older.Size, c.head.Size)
	}
	for n := int64(0); c.size < c.head.Size; n++ {
		if err := c.bundle(n); err != nil {
			return err
		}
		if c.size%progressEvery == 0 {
			fmt.Fprintf(c.progress, "%d of %d leaves\n", c.size, c.head.Size)
		}
	}
	for level, data := range c.levels {
		if err := c.compare(level, c.done[level], data); err != nil {
			return err
		}
	}
	root, err := c.root()
	if err != nil {
		return err
	}
	if root != c.head.Root {
		return c.wrong("the entries do not hash to the root of the checkpoint")
	}
	fmt.Fprintf(c.progress, "%s: %d leaves hash to the signed checkpoint\n", c.head.Origin, c.size)
	return nil
}

// bundle checks one entry bundle and what stands in it.
func (c *dirCheck) bundle(n int64) error {
	tile := tileOf(entriesLevel, n, c.head.Size)
	data, err := c.tiles.file(tile)
	if err != nil {
		return err
	}
	leaves, err := splitBundle(data, tile.W)
	if err != nil {
		return domicile.W(tilePath(tile), err)
	}
	var exact []byte
	ends := make([]int, 1, tileWidth+1)
	for _, raw := range leaves {
		if _, err := parseLeaf(raw, c.head.Origin, c.size); err != nil {
			return domicile.W(fmt.Sprintf("leaf %d", c.size), err)
		}
		if c.visit != nil {
			_, e, err := DecodeLeaf(raw)
			if err == nil {
				err = c.visit(c.size, e)
			}
			if err != nil {
				return err
			}
		}
		exact = appendEntry(exact, raw)
		ends = append(ends, len(exact))
		if err := c.add(raw); err != nil {
			return err
		}
	}
	return c.sameFiles(tile, exact, ends)
}

// add takes one leaf into all levels.
func (c *dirCheck) add(raw []byte) error {
	h := tlog.RecordHash(raw)
	if err := c.addToTile(0, h); err != nil {
		return err
	}
	for bit := c.size; bit&1 == 1; bit >>= 1 {
		h = tlog.NodeHash(c.peaks[len(c.peaks)-1], h)
		c.peaks = c.peaks[:len(c.peaks)-1]
	}
	c.peaks = append(c.peaks, h)
	c.size++
	if c.size == c.older.Size {
		if root, err := c.root(); err != nil || root != c.older.Root {
			return c.wrong("fork: the first %d leaves are not those of the older checkpoint", c.size)
		}
	}
	return nil
}

// addToTile takes the hash of a leaf, or of a full tile below, and completes the tile if it is the last.
func (c *dirCheck) addToTile(level int, h tlog.Hash) error {
	if level == len(c.levels) {
		c.levels, c.done = append(c.levels, nil), append(c.done, 0)
	}
	data := append(c.levels[level], h[:]...)
	c.levels[level] = data
	if len(data) < tileWidth*tlog.HashSize {
		return nil
	}
	if err := c.compare(level, c.done[level], data); err != nil {
		return err
	}
	c.levels[level] = nil
	c.done[level]++
	return c.addToTile(level+1, fullTileRoot(data))
}

// fullTileRoot is the root of the subtree over a full tile.
func fullTileRoot(data []byte) tlog.Hash {
	var row []tlog.Hash
	for i := 0; i < len(data); i += tlog.HashSize {
		row = append(row, tlog.Hash(data[i:i+tlog.HashSize]))
	}
	for len(row) > 1 {
		for i := 0; i < len(row); i += 2 {
			row[i/2] = tlog.NodeHash(row[i], row[i+1])
		}
		row = row[:len(row)/2]
	}
	return row[0]
}

// root is the root of the leaves so far.
func (c *dirCheck) root() (tlog.Hash, error) {
	if len(c.peaks) == 0 {
		return tlog.TreeHash(0, nil)
	}
	h := c.peaks[len(c.peaks)-1]
	for i := len(c.peaks) - 2; i >= 0; i-- {
		h = tlog.NodeHash(c.peaks[i], h)
	}
	return h, nil
}

// compare holds a tile on disk against the one computed.
func (c *dirCheck) compare(level int, n int64, data []byte) error {
	if len(data) == 0 {
		return nil // C2SP tlog-tiles: empty tiles do not exist
	}
	ends := make([]int, len(data)/tlog.HashSize+1)
	for i := range ends {
		ends[i] = i * tlog.HashSize
	}
	return c.sameFiles(tlog.Tile{H: tileHeight, L: level, N: n, W: len(ends) - 1}, data, ends)
}

// sameFiles checks the file of a tile or bundle, and every partial one that still lies beside it. ends[i] is the length of
// the first i elements of want.
func (c *dirCheck) sameFiles(tile tlog.Tile, want []byte, ends []int) error {
	have, err := c.tiles.file(tile)
	if err != nil {
		return err
	}
	// A log that was copied while it ran may hold a fuller tile than the checkpoint needs.
	if !bytes.HasPrefix(have, want) || tile.W == tileWidth && len(have) != len(want) {
		return c.wrong("%s differs from what the entries hash to", tilePath(tile))
	}
	full := tile
	full.W = tileWidth
	dir := tilePath(full) + ".p"
	names, err := os.ReadDir(filepath.Join(c.tiles.disk.dir, dir))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, name := range names {
		width, err := strconv.Atoi(name.Name())
		if err != nil || width < 1 || width >= tileWidth {
			return c.wrong("%s/%s is not a partial tile", dir, name.Name())
		}
		if width > tile.W {
			continue // beyond the checkpoint: nothing is known of it
		}
		part, err := c.tiles.disk.read(dir + "/" + name.Name())
		if err != nil {
			return err
		}
		if !bytes.Equal(part, want[:ends[width]]) {
			return c.wrong("%s/%s differs from what the entries hash to", dir, name.Name())
		}
	}
	return nil
}

func (c *dirCheck) wrong(format string, args ...any) error {
	return domicile.E("compare", domicile.Invalid, fmt.Sprintf(format, args...))
}
