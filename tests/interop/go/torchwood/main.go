// Torchwood reads a served log, and its proof files, with the client of torchwood, on
// which witnesses and tools of the Go world are built. It asks for what a policy in the
// format of C2SP tlog-policy asks for.
//
// Usage: torchwood read POLICY WHERE, where WHERE is a URL or a folder; it prints what it
// read as JSON.
//
// Or: torchwood verify POLICY, with proof files in JSON on standard input; the answer on
// standard output says what is wrong with each.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

const patience = 50 * time.Second

// log is a log that can be read: torchwood has one for URLs, and one for folders.
type log interface {
	torchwood.TileReader
	ReadEndpoint(ctx context.Context, path string) ([]byte, error)
}

func open(where string) (log, error) {
	if strings.HasPrefix(where, "http://") {
		return torchwood.NewTileFetcher(where)
	}
	return torchwood.NewTileFS(os.DirFS(where))
}

// found is what was read and proven.
type found struct {
	Origin  string `json:"origin"`
	Size    int64  `json:"size"`
	Entries int64  `json:"entries"`
	Digest  string `json:"digest"` // SHA-256 of all leaf hashes
	Proven  int    `json:"proven"`
}

func read(policy torchwood.Policy, where string) (*found, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	source, err := open(where)
	if err != nil {
		return nil, err
	}
	signed, err := source.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return nil, err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return nil, err
	}
	client, err := torchwood.NewClient(source)
	if err != nil {
		return nil, err
	}
	all := &found{Origin: checkpoint.Origin, Size: checkpoint.N}
	digest := sha256.New()
	for index, entry := range client.AllEntries(ctx, checkpoint.Tree, 0) {
		if index != all.Entries {
			return nil, fmt.Errorf("entry %d follows %d others", index, all.Entries)
		}
		hash := tlog.RecordHash(entry)
		digest.Write(hash[:])
		all.Entries++
	}
	if err := client.Err(); err != nil {
		return nil, err
	}
	all.Digest = hex.EncodeToString(digest.Sum(nil))
	// Single entries: the first and last of some bundles, and of the whole log.
	for _, index := range []int64{0, 1, 255, 256, 511, 512, checkpoint.N - 1} {
		if index >= checkpoint.N {
			continue
		}
		entry, proof, err := client.Entry(ctx, checkpoint.Tree, index)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		file := torchwood.FormatProof(index, proof, signed)
		err = torchwood.VerifyProof(policy, tlog.RecordHash(entry), file)
		if err != nil {
			return nil, fmt.Errorf("proof of %d: %w", index, err)
		}
		all.Proven++
	}
	return all, nil
}

// question is a list of proof files, and the leaves that they are of.
type question []struct {
	Leaf []byte `json:"leaf"`
	File []byte `json:"file"`
}

func verify(policy torchwood.Policy) ([]string, error) {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return nil, err
	}
	wrong := make([]string, len(asked))
	for i, one := range asked {
		err := torchwood.VerifyProof(policy, tlog.RecordHash(one.Leaf), one.File)
		if err != nil {
			wrong[i] = err.Error()
		}
	}
	return wrong, nil
}

func answer(arguments []string) (any, error) {
	usage := errors.New("usage: torchwood read POLICY WHERE, or torchwood verify POLICY")
	if len(arguments) < 2 {
		return nil, usage
	}
	text, err := os.ReadFile(arguments[1])
	if err != nil {
		return nil, err
	}
	policy, err := torchwood.ParsePolicy(text)
	if err != nil {
		return nil, err
	}
	switch {
	case arguments[0] == "read" && len(arguments) == 3:
		return read(policy, arguments[2])
	case arguments[0] == "verify" && len(arguments) == 2:
		return verify(policy)
	}
	return nil, usage
}

func main() {
	said, err := answer(os.Args[1:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(said)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
