// Mpt builds index tries, and checks proofs from them, with torchwood's package mpt,
// whose bytes our trie says it has.
//
// Usage: mpt build|check, with a question in JSON on standard input, and the
// answer on standard output.
//
//   - build: what a trie's root is, and its proofs, after each of several steps
//   - check: whether claims are proven; the answer says what is wrong with each
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"pcrlog.example/interop/mpt/mpt"
)

type pair struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

// step sets some keys, and then asks for proofs.
type step struct {
	Set []pair   `json:"set"`
	Ask [][]byte `json:"ask"`
}

type proof struct {
	Present bool   `json:"present"`
	Value   []byte `json:"value"`
	Proof   []byte `json:"proof"`
}

type state struct {
	Root   []byte  `json:"root"`
	Proofs []proof `json:"proofs"`
}

func build(steps []step) ([]state, error) {
	tree := mpt.NewMemTree()
	found := []state{}
	for _, s := range steps {
		for _, p := range s.Set {
			if err := tree.Set(p.Key, p.Value); err != nil {
				return nil, err
			}
		}
		snap, err := tree.Snap(-1)
		if err != nil {
			return nil, err
		}
		now := state{snap.Hash[:], []proof{}}
		for _, key := range s.Ask {
			path, err := tree.Path(key)
			if err != nil {
				return nil, err
			}
			value, present, proven, err := mpt.ProveLookup(key, path)
			if err != nil {
				return nil, err
			}
			now.Proofs = append(now.Proofs, proof{present, value, proven})
		}
		found = append(found, now)
	}
	return found, nil
}

// claim says that a root has a key with this value, or has it not.
type claim struct {
	Root    []byte `json:"root"`
	Key     []byte `json:"key"`
	Value   []byte `json:"value"`
	Present bool   `json:"present"`
	Proof   []byte `json:"proof"`
}

func check(claims []claim) ([]string, error) {
	found := make([]string, len(claims))
	for i, c := range claims {
		snap := mpt.Snapshot{Hash: mpt.Hash(c.Root)}
		err := mpt.VerifyLookup(snap, c.Key, c.Value, c.Present, c.Proof)
		if err != nil {
			found[i] = err.Error()
		}
	}
	return found, nil
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
	err := fmt.Errorf("usage: mpt build|check")
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "build":
			err = answer(build)
		case "check":
			err = answer(check)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
