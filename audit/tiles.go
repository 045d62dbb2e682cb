package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"domicile"

	"golang.org/x/mod/sumdb/tlog"
)

// The layout of C2SP tlog-tiles. Package tlog counts the same tiles with other names.
const (
	tileHeight   = 8
	tileWidth    = 1 << tileHeight
	entriesLevel = -1 // package tlog's level of entry bundles
	maxTiles     = 512
)

// tilePath is where a tile, or an entry bundle, lies.
func tilePath(t tlog.Tile) string {
	p := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	return "tile/" + strings.Replace(p, "data/", "entries/", 1)
}

// tileOf returns the tile n of a level in a tree of a size, as wide as it is there.
func tileOf(level int, n int64, size uint64) tlog.Tile {
	have := int64(size>>(tileHeight*max(level, 0))) - n*tileWidth
	return tlog.Tile{H: tileHeight, L: level, N: n, W: int(max(0, min(have, tileWidth)))}
}

// tiles reads tiles of one log from disk. It is a tlog.TileReader; what package tlog takes from it, it checks against a
// root. Safe for concurrent use.
type tiles struct {
	disk   *disk
	mu     sync.Mutex
	cached map[tlog.Tile][]byte // of levels 0 and up, at most maxTiles; guarded by mu
}

func (t *tiles) Height() int                     { return tileHeight }
func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, tile := range want {
		data, err := t.read(tile)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// read returns one tile of hashes.
func (t *tiles) read(tile tlog.Tile) ([]byte, error) {
	t.mu.Lock()
	data, ok := t.cached[tile]
	t.mu.Unlock()
	if ok {
		return data, nil
	}
	data, err := t.file(tile)
	if err != nil {
		return nil, err
	}
	if len(data) < tile.W*tlog.HashSize {
		return nil, domicile.E("read tile", domicile.Invalid, tilePath(tile)+" is shorter than its width")
	}
	data = data[:tile.W*tlog.HashSize]
	t.keep(tile, data)
	return data, nil
}

// keep puts a tile into the cache.
func (t *tiles) keep(tile tlog.Tile, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cached == nil || len(t.cached) >= maxTiles {
		t.cached = make(map[tlog.Tile][]byte) // start anew: rare, and a miss is one small read
	}
	t.cached[tile] = data
}

// file reads a tile or bundle. A partial one may have been replaced by the full one, which begins with it.
func (t *tiles) file(tile tlog.Tile) ([]byte, error) {
	data, err := t.disk.read(tilePath(tile))
	if errors.Is(err, fs.ErrNotExist) && tile.W < tileWidth {
		tile.W = tileWidth
		data, err = t.disk.read(tilePath(tile))
	}
	if err != nil {
		return nil, domicile.W("read tile", err)
	}
	return data, nil
}

// hashes returns a reader of a tree's hashes that has checked each against the root.
func (t *tiles) hashes(h Head) tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(h.Size), Hash: h.Root}, t)
}

// bundle returns the leaves of entry bundle n in the tree h, checked against its root.
func (t *tiles) bundle(n int64, h Head) ([][]byte, error) {
	tile := tileOf(entriesLevel, n, h.Size)
	if tile.W == 0 {
		return nil, nil
	}
	data, err := t.file(tile)
	if err != nil {
		return nil, err
	}
	leaves, err := splitBundle(data, tile.W)
	if err != nil {
		return nil, domicile.W(tilePath(tile), err)
	}
	indexes := make([]int64, len(leaves))
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, n*tileWidth+int64(i))
	}
	want, err := t.hashes(h).ReadHashes(indexes)
	if err != nil {
		return nil, domicile.W("read log", err)
	}
	for i, raw := range leaves {
		if tlog.RecordHash(raw) != want[i] {
			return nil, domicile.E("read log", domicile.Invalid, fmt.Sprintf("leaf %d on disk is not the one in the tree; restore the folder from a copy", n*tileWidth+int64(i)))
		}
	}
	return leaves, nil
}

// splitBundle parts the first count entries of a bundle: each a big-endian uint16 length and that many bytes.
func splitBundle(data []byte, count int) ([][]byte, error) {
	leaves := make([][]byte, 0, count)
	for range count {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, domicile.E("parse entry bundle", domicile.Invalid, "it ends early")
		}
		n := int(binary.BigEndian.Uint16(data))
		leaves = append(leaves, data[2:2+n:2+n])
		data = data[2+n:]
	}
	return leaves, nil
}

// appendEntry adds a leaf to a bundle.
func appendEntry(bundle, raw []byte) []byte {
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(raw))), raw...)
}

// prune removes the partial tiles that a full one has replaced. They are of no use any more (C2SP tlog-tiles, "Partial
// Tiles"), so an error is of no consequence.
func (t *tiles) prune(full tlog.Tile) {
	dir := tilePath(full) + ".p"
	os.RemoveAll(filepath.Join(t.disk.dir, dir))
	delete(t.disk.known, dir)
}
