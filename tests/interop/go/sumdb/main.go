// Sumdb reads a log with the packages that the go command itself trusts: sumdb/note
// opens its checkpoints, sumdb/tlog hashes its entries and proves from its tiles.
//
// Usage: sumdb PUBLIC VKEY CHECKPOINTS
//
// PUBLIC is the folder that a log serves, VKEY its key, CHECKPOINTS a folder with one
// note for each size that it ever published. What was checked is printed as JSON, as
// counts; what is wrong is told on standard error, and the status is then 1.
//
// It must build in GOPATH mode and with Go 1.19, which is what Debian 12 has.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// height is that of all C2SP tiles: 256 hashes.
const height = 8

// counts is what the program prints.
type counts struct {
	Origin      string `json:"origin"`
	Size        int64  `json:"size"`
	Checkpoints int    `json:"checkpoints"`
	Roots       int    `json:"roots"`
	Inclusion   int    `json:"inclusion"`
	Consistency int    `json:"consistency"`
	FullTiles   int    `json:"full_tiles"`
	Partials    int    `json:"partial_tiles"`
	Levels      int    `json:"levels"`
}

// folder is a served log on disk.
type folder string

// path gives the C2SP path of a tile. sumdb's own differs in two ways: it leads with
// the height, and its entries are called "data".
func path(t tlog.Tile) string {
	rest := strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", height))
	return "tile/" + strings.Replace(rest, "data/", "entries/", 1)
}

// read gives a tile's bytes. A partial tile may have gone once the full one stands,
// which is then cut (C2SP tlog-tiles); of entries, the caller reads only t.W.
func (f folder) read(t tlog.Tile) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(f), path(t)))
	if !errors.Is(err, fs.ErrNotExist) || t.W == 1<<height {
		return data, err
	}
	full := t
	full.W = 1 << height
	data, err = os.ReadFile(filepath.Join(string(f), path(full)))
	if err != nil || t.L < 0 {
		return data, err
	}
	if len(data) != full.W*tlog.HashSize {
		return nil, fmt.Errorf("%s has %d bytes", path(full), len(data))
	}
	return data[:t.W*tlog.HashSize], nil
}

// Height, ReadTiles and SaveTiles make a tlog.TileReader, which authenticates each
// tile against the root before it uses it.
func (f folder) Height() int { return height }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if data[i], err = f.read(t); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

// entries reads all entry bundles of a tree of that size.
func (f folder) entries(size int64) ([][]byte, error) {
	var all [][]byte
	for n := int64(0); n<<height < size; n++ {
		width := size - n<<height
		if width > 1<<height {
			width = 1 << height
		}
		t := tlog.Tile{H: height, L: -1, N: n, W: int(width)}
		data, err := f.read(t)
		if err != nil {
			return nil, err
		}
		for i := 0; i < t.W; i++ {
			if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
				return nil, fmt.Errorf("%s ends in entry %d", path(t), i)
			}
			end := 2 + int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:end])
			data = data[end:]
		}
		if len(data) != 0 {
			return nil, fmt.Errorf("%s has %d bytes too many", path(t), len(data))
		}
	}
	return all, nil
}

// open checks a checkpoint's signature and reads it. tlog.ParseTree is of no use here:
// it knows one origin alone, that of the Go project's log.
func open(data []byte, key note.Verifier) (tlog.Tree, error) {
	var tree tlog.Tree
	opened, err := note.Open(data, note.VerifierList(key))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != key.Name() || lines[3] != "" {
		return tree, fmt.Errorf("not a checkpoint of %s: %q", key.Name(), opened.Text)
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// history opens the newest checkpoint and all those in a folder; ascending by size.
func history(public folder, dir string, key note.Verifier) ([]tlog.Tree, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return nil, err
	}
	newest := filepath.Join(string(public), "checkpoint")
	var trees []tlog.Tree
	for _, name := range append(names, newest) {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		tree, err := open(data, key)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %s: %w", filepath.Base(name), err)
		}
		if name == newest && len(trees) > 0 {
			sort.Slice(trees, func(i, j int) bool { return trees[i].N < trees[j].N })
			if tree != trees[len(trees)-1] {
				return nil, fmt.Errorf("checkpoint of size %d is not the newest", tree.N)
			}
			return trees, nil
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// check goes over the whole log.
func check(public folder, vkey, dir string) (*counts, error) {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	trees, err := history(public, dir, key)
	if err != nil {
		return nil, err
	}
	last := trees[len(trees)-1]
	entries, err := public.entries(last.N)
	if err != nil {
		return nil, err
	}
	found := &counts{Origin: key.Name(), Size: last.N, Checkpoints: len(trees)}
	// Each way finds what is wrong by itself: a test sees that both of them can.
	for _, way := range []func(folder, []tlog.Tree, [][]byte, *counts) error{
		rebuild, include, extend,
	} {
		if wrong := way(public, trees, entries, found); wrong != nil {
			fmt.Fprintln(os.Stderr, wrong)
			err = errors.New("the log is wrong")
		}
	}
	return found, err
}

// rebuild hashes all entries anew: each checkpoint must have that root, and each tile
// that tlog has for these sizes must be there with the same bytes.
func rebuild(public folder, trees []tlog.Tree, entries [][]byte, found *counts) error {
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	for i, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, read)
		if err != nil {
			return err
		}
		stored = append(stored, hashes...)
	}
	last, before := trees[len(trees)-1].N, int64(0)
	for _, tree := range trees {
		root, err := tlog.TreeHash(tree.N, read)
		if err != nil {
			return err
		}
		if root != tree.Hash {
			return fmt.Errorf("root of size %d is %v, want %v", tree.N, tree.Hash, root)
		}
		found.Roots++
		for _, t := range newTiles(before, tree.N) {
			if err := compare(public, t, last, read, found); err != nil {
				return err
			}
		}
		before = tree.N
	}
	return nil
}

// newTiles lists the tiles that a log of one size has to publish, and before had not.
// tlog.NewTiles of older versions lists every narrower partial tile as well, of which
// C2SP asks only for those of published sizes.
func newTiles(before, size int64) []tlog.Tile {
	var needed []tlog.Tile
	for _, t := range tlog.NewTiles(height, before, size) {
		shift := uint(height * t.L)
		width := size>>shift - t.N<<height
		if t.W == 1<<height || (int64(t.W) == width && before>>shift != size>>shift) {
			needed = append(needed, t)
		}
	}
	return needed
}

// compare holds one tile against what its log should have written.
func compare(
	public folder, t tlog.Tile, last int64, read tlog.HashReader, found *counts,
) error {
	ours, err := public.read(t)
	if err != nil {
		return err
	}
	want, err := tlog.ReadTileData(t, read)
	if err != nil {
		return err
	}
	if !bytes.Equal(ours, want) {
		return fmt.Errorf("%s differs from what its entries give", path(t))
	}
	if t.W == 1<<height {
		found.FullTiles++
	} else {
		found.Partials++
	}
	if t.L >= found.Levels {
		found.Levels = t.L + 1
	}
	return nil
}

// include proves each leaf from the tiles, against the newest checkpoint alone.
func include(public folder, trees []tlog.Tree, entries [][]byte, found *counts) error {
	last := trees[len(trees)-1]
	reader := tlog.TileHashReader(last, public)
	for i, entry := range entries {
		proof, err := tlog.ProveRecord(last.N, int64(i), reader)
		if err != nil {
			return fmt.Errorf("inclusion of %d: %w", i, err)
		}
		hash := tlog.RecordHash(entry)
		if err := tlog.CheckRecord(proof, last.N, last.Hash, int64(i), hash); err != nil {
			return fmt.Errorf("inclusion of %d: %w", i, err)
		}
		found.Inclusion++
	}
	return nil
}

// extend proves from the tiles that each checkpoint extends each earlier one.
func extend(public folder, trees []tlog.Tree, _ [][]byte, found *counts) error {
	for i, newer := range trees {
		reader := tlog.TileHashReader(newer, public)
		for _, older := range trees[:i] {
			proof, err := tlog.ProveTree(newer.N, older.N, reader)
			if err == nil {
				err = tlog.CheckTree(proof, newer.N, newer.Hash, older.N, older.Hash)
			}
			if err != nil {
				return fmt.Errorf("consistency of %d and %d: %w", older.N, newer.N, err)
			}
			found.Consistency++
		}
	}
	return nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: sumdb PUBLIC VKEY CHECKPOINTS")
		os.Exit(2)
	}
	found, err := check(folder(os.Args[1]), os.Args[2], os.Args[3])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
