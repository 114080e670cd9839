// Tessera reads a served log with Tessera's client library, as its users would.
//
// Usage: tessera URL VKEY CHECKPOINTS
//
// URL is where the log is served, or a file:// folder; VKEY is its key; CHECKPOINTS is a
// folder with one note for each size that it ever published. Each of these is followed
// to the newest checkpoint, each entry is fetched and proven to be in it. What was
// checked is printed as JSON, as counts; what is wrong ends the program with status 1.
//
// Tessera's own fsck is built beside it (the tool line in go.mod). It hashes the whole
// log anew, and says on standard error alone whether that is right.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// patience bounds the whole run.
const patience = 50 * time.Second

// counts is what the program prints.
type counts struct {
	Origin      string `json:"origin"`
	Size        uint64 `json:"size"`
	Consistency int    `json:"consistency"`
	Bundles     int    `json:"bundles"`
	Inclusion   int    `json:"inclusion"`
}

// open gives a reader of the files below an address.
func open(address string) (fsck.Fetcher, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if at.Scheme == "file" {
		return client.FileFetcher{Root: at.Path}, nil
	}
	return client.NewHTTPFetcher(at, nil)
}

// follow tracks the log from each checkpoint that it published to the newest one.
func follow(
	ctx context.Context, files fsck.Fetcher, key note.Verifier, dir string, found *counts,
) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	newest := client.UnilateralConsensus(files.ReadCheckpoint)
	for _, name := range names {
		old, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tracker, err := client.NewLogStateTracker(
			ctx, files.ReadTile, old, key, key.Name(), newest)
		if err != nil {
			return err
		}
		if _, _, _, err := tracker.Update(ctx); err != nil {
			return fmt.Errorf("from %s on: %w", filepath.Base(name), err)
		}
		found.Consistency++
		found.Size = max(found.Size, tracker.Latest().Size)
	}
	return nil
}

// include fetches every entry and proves that it is in the newest checkpoint.
func include(
	ctx context.Context, files fsck.Fetcher, key note.Verifier, found *counts,
) error {
	newest, _, _, err := client.FetchCheckpoint(
		ctx, files.ReadCheckpoint, key, key.Name())
	if err != nil {
		return err
	}
	builder, err := client.NewProofBuilder(ctx, newest.Size, files.ReadTile)
	if err != nil {
		return err
	}
	for n := uint64(0); n*layout.EntryBundleWidth < newest.Size; n++ {
		bundle, err := client.GetEntryBundle(ctx, files.ReadEntryBundle, n, newest.Size)
		if err != nil {
			return err
		}
		found.Bundles++
		for i, entry := range bundle.Entries {
			index := n*layout.EntryBundleWidth + uint64(i)
			path, err := builder.InclusionProof(ctx, index)
			if err == nil {
				hash := rfc6962.DefaultHasher.HashLeaf(entry)
				err = proof.VerifyInclusion(rfc6962.DefaultHasher,
					index, newest.Size, hash, path, newest.Hash)
			}
			if err != nil {
				return fmt.Errorf("inclusion of %d: %w", index, err)
			}
			found.Inclusion++
		}
	}
	return nil
}

func check(address, vkey, dir string) (*counts, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	files, err := open(address)
	if err != nil {
		return nil, err
	}
	found := &counts{Origin: key.Name()}
	if err := follow(ctx, files, key, dir, found); err != nil {
		return nil, err
	}
	return found, include(ctx, files, key, found)
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: tessera URL VKEY CHECKPOINTS")
		os.Exit(2)
	}
	found, err := check(os.Args[1], os.Args[2], os.Args[3])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
