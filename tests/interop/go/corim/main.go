// Corim reads a CoRIM with Veraison's packages, and says what is in it.
//
// Usage: corim, with the file on standard input in hex; the answer is JSON on standard
// output: the CoRIM's id and its end, and its CoMIDs as that library writes them.
//
// The release of the library is older than the draft in one point: it has each CoMID in
// a byte string that begins with the tag 506, where the draft has the tag around the
// byte string, and it does not take off the tag 501. Both are done here.
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/veraison/corim/comid"
	"github.com/veraison/corim/corim"
)

var corimTag = []byte{0xd9, 0x01, 0xf5} // 501()

type answer struct {
	ID       string            `json:"id"`
	NotAfter int64             `json:"not_after"`
	Comids   []json.RawMessage `json:"comids"`
}

func read(data []byte) (*answer, error) {
	inner, found := bytes.CutPrefix(data, corimTag)
	if !found {
		return nil, fmt.Errorf("no tag 501")
	}
	var unsigned corim.UnsignedCorim
	if err := unsigned.FromCBOR(inner); err != nil {
		return nil, err
	}
	if err := unsigned.Valid(); err != nil {
		return nil, err
	}
	made := answer{ID: unsigned.GetID(), NotAfter: unsigned.RimValidity.NotAfter.Unix()}
	for _, tag := range unsigned.Tags {
		var one comid.Comid
		if err := one.FromCBOR(bytes.TrimPrefix(tag, corim.ComidTag)); err != nil {
			return nil, err
		}
		if err := one.Valid(); err != nil {
			return nil, err
		}
		text, err := one.ToJSON()
		if err != nil {
			return nil, err
		}
		made.Comids = append(made.Comids, text)
	}
	return &made, nil
}

func run() error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	data, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		return err
	}
	found, err := read(data)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
