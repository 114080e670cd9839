// Formats reads and writes proof files, checkpoints and cosignatures with the packages
// of transparency-dev (formats, merkle), which witnesses and monitors are built on.
//
// Usage: formats verify|prove|write, with a question in JSON on standard input, and the
// answer on standard output.
//
//   - verify: proof files (C2SP tlog-proof) of a log, with cosignatures
//   - prove: inclusion and consistency proofs between roots
//   - write: a proof file, and its checkpoint, signed and cosigned with new keys
//
// An answer says of each thing what is wrong with it, or nothing: a caller can ask of
// many spoiled ones at once.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"

	"github.com/transparency-dev/formats/log"
	cosigned "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// file is one proof file, and the leaf that it is of.
type file struct {
	Leaf []byte `json:"leaf"`
	File []byte `json:"file"`
}

// read is what a proof file holds; Wrong is empty if all of it holds.
type read struct {
	Wrong  string           `json:"wrong"`
	Index  uint64           `json:"index"`
	Size   uint64           `json:"size"`
	Root   []byte           `json:"root"`
	Times  map[string]int64 `json:"times"`
	Alike  bool             `json:"alike"` // they write the same bytes
	hashes [][]byte
}

type verifyQuestion struct {
	VKey      string   `json:"vkey"`
	Cosigners []string `json:"cosigners"`
	Files     []file   `json:"files"`
}

func verify(q verifyQuestion) ([]read, error) {
	key, err := note.NewVerifier(q.VKey)
	if err != nil {
		return nil, err
	}
	var cosigners []note.Verifier
	for _, vkey := range q.Cosigners {
		cosigner, err := cosigned.NewVerifierForCosignatureV1(vkey)
		if err != nil {
			return nil, err
		}
		cosigners = append(cosigners, cosigner)
	}
	found := make([]read, len(q.Files))
	for i, f := range q.Files {
		found[i].Times = map[string]int64{}
		if err := found[i].verify(f, key, cosigners); err != nil {
			found[i].Wrong = err.Error()
		}
	}
	return found, nil
}

func (r *read) verify(f file, key note.Verifier, cosigners []note.Verifier) error {
	var p proof.TLogProof
	if err := p.Unmarshal(f.File); err != nil {
		return err
	}
	r.Index, r.Alike = p.Index, bytes.Equal(p.Marshal(), f.File)
	checkpoint, rest, opened, err := log.ParseCheckpoint(
		p.Checkpoint, key.Name(), key, cosigners...)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("checkpoint has extension lines: %q", rest)
	}
	r.Size, r.Root = checkpoint.Size, checkpoint.Hash
	for _, signature := range opened.Sigs {
		if signature.Hash == key.KeyHash() && signature.Name == key.Name() {
			continue
		}
		at, err := cosigned.CoSigV1Timestamp(signature)
		if err != nil {
			return err
		}
		r.Times[signature.Name] = at.Unix()
	}
	for _, hash := range p.Hashes {
		r.hashes = append(r.hashes, hash[:])
	}
	return merkle.VerifyInclusion(rfc6962.DefaultHasher, p.Index, checkpoint.Size,
		rfc6962.DefaultHasher.HashLeaf(f.Leaf), r.hashes, checkpoint.Hash)
}

type proveQuestion struct {
	Inclusion []struct {
		Index uint64   `json:"index"`
		Size  uint64   `json:"size"`
		Leaf  []byte   `json:"leaf"` // its hash
		Proof [][]byte `json:"proof"`
		Root  []byte   `json:"root"`
	} `json:"inclusion"`
	Consistency []struct {
		Old     uint64   `json:"old"`
		New     uint64   `json:"new"`
		Proof   [][]byte `json:"proof"`
		OldRoot []byte   `json:"old_root"`
		NewRoot []byte   `json:"new_root"`
	} `json:"consistency"`
}

type proveAnswer struct {
	Inclusion   []string `json:"inclusion"`
	Consistency []string `json:"consistency"`
}

func prove(q proveQuestion) (proveAnswer, error) {
	found := proveAnswer{[]string{}, []string{}}
	for _, p := range q.Inclusion {
		err := merkle.VerifyInclusion(
			rfc6962.DefaultHasher, p.Index, p.Size, p.Leaf, p.Proof, p.Root)
		found.Inclusion = append(found.Inclusion, wrong(err))
	}
	for _, p := range q.Consistency {
		err := merkle.VerifyConsistency(
			rfc6962.DefaultHasher, p.Old, p.New, p.Proof, p.OldRoot, p.NewRoot)
		found.Consistency = append(found.Consistency, wrong(err))
	}
	return found, nil
}

func wrong(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

type writeQuestion struct {
	Origin   string   `json:"origin"`
	Cosigner string   `json:"cosigner"`
	Index    uint64   `json:"index"`
	Size     uint64   `json:"size"`
	Root     []byte   `json:"root"`
	Hashes   [][]byte `json:"hashes"`
}

type writeAnswer struct {
	VKey     string `json:"vkey"`
	SKey     string `json:"skey"`
	Cosigner string `json:"cosigner"`
	File     []byte `json:"file"`
}

func write(q writeQuestion) (*writeAnswer, error) {
	var a writeAnswer
	var err error
	if a.SKey, a.VKey, err = note.GenerateKey(rand.Reader, q.Origin); err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(a.SKey)
	if err != nil {
		return nil, err
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, q.Cosigner)
	if err != nil {
		return nil, err
	}
	// From one key two vkeys: as a witness's, of another type, it has another hash.
	if a.Cosigner, err = cosigned.VKeyToCosignatureV1(vkey); err != nil {
		return nil, err
	}
	cosigner, err := cosigned.NewSignerForCosignatureV1(skey)
	if err != nil {
		return nil, err
	}
	checkpoint := log.Checkpoint{Origin: q.Origin, Size: q.Size, Hash: q.Root}
	text := string(checkpoint.Marshal())
	signed, err := note.Sign(&note.Note{Text: text}, signer, cosigner)
	if err != nil {
		return nil, err
	}
	p := proof.TLogProof{Index: q.Index, Checkpoint: signed}
	for _, hash := range q.Hashes {
		p.Hashes = append(p.Hashes, [sha256.Size]byte(hash))
	}
	a.File = p.Marshal()
	return &a, nil
}

// answer reads a question, asks, and prints the answer.
func answer[Question, Answer any](ask func(Question) (Answer, error)) error {
	var question Question
	if err := json.NewDecoder(os.Stdin).Decode(&question); err != nil {
		return err
	}
	found, err := ask(question)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func main() {
	err := fmt.Errorf("usage: formats verify|prove|write")
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "verify":
			err = answer(verify)
		case "prove":
			err = answer(prove)
		case "write":
			err = answer(write)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
