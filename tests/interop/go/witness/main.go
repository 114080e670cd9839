// Witness is a witness of transparency-dev, as it stands in the witness network, for one
// log: C2SP tlog-witness on loopback, with a new key and a memory of its own.
//
// Usage: witness NAME VKEY
//
// It prints its address and its key as JSON, and ends when standard input does, or after
// a minute.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	cosigned "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/witness/persistence/inmemory"
	"github.com/transparency-dev/witness/witness"
	"golang.org/x/mod/sumdb/note"
)

const patience = time.Minute

func serve(name, vkey string) error {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	skey, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return err
	}
	signer, err := cosigned.NewSignerForCosignatureV1(skey)
	if err != nil {
		return err
	}
	if public, err = cosigned.VKeyToCosignatureV1(public); err != nil {
		return err
	}
	one, err := witness.New(context.Background(), witness.Opts{
		Persistence: inmemory.New(),
		Signers:     []note.Signer{signer},
		VerifierForLog: func(_ context.Context, origin string) (note.Verifier, bool, error) {
			return key, origin == key.Name(), nil
		},
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /add-checkpoint", witness.NewHTTPHandler(one).AddCheckpoint)
	go http.Serve(listener, routes)
	said := map[string]string{"address": listener.Addr().String(), "vkey": public}
	return json.NewEncoder(os.Stdout).Encode(said)
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: witness NAME VKEY")
		os.Exit(2)
	}
	time.AfterFunc(patience, func() { os.Exit(3) })
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(io.Discard, os.Stdin)
}
