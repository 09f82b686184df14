// Checks tlog-proofs of an archive's entries with Go's own packages for checksum databases; nothing here is of archiver.
//
//	go run verify-proof.go VKEY PROOF ENTRY [PROOF ENTRY ...]
//
// VKEY holds the line that `archiver evidence init` printed. On Debian: apt-get install golang-go golang-golang-x-mod-dev,
// then GO111MODULE=off GOPATH=/usr/share/gocode go run verify-proof.go ... Elsewhere: go mod init x; go get
// golang.org/x/mod/sumdb/tlog.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) < 4 || len(os.Args)%2 != 0 {
		fmt.Fprintln(os.Stderr, "usage: verify-proof VKEY PROOF ENTRY [PROOF ENTRY ...]")
		os.Exit(2)
	}
	key, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		fail(err)
	}
	for i := 2; i < len(os.Args); i += 2 {
		index, size, err := check(os.Args[i], os.Args[i+1], verifier)
		if err != nil {
			fail(fmt.Errorf("%s: %w", os.Args[i], err))
		}
		fmt.Printf("%s: entry %d is in the ledger of %d entries\n", os.Args[i], index, size)
	}
}

func check(proofFile, entryFile string, verifier note.Verifier) (index, size int64, err error) {
	proof, err := os.ReadFile(proofFile)
	if err != nil {
		return 0, 0, err
	}
	entry, err := os.ReadFile(entryFile)
	if err != nil {
		return 0, 0, err
	}
	head, checkpoint, ok := bytes.Cut(proof, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return 0, 0, errors.New("no tlog-proof")
	}
	if index, err = strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64); err != nil {
		return 0, 0, err
	}
	path := make(tlog.RecordProof, 0, len(lines)-2)
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, 0, err
		}
		path = append(path, hash)
	}
	opened, err := note.Open(checkpoint, note.VerifierList(verifier))
	if err != nil {
		return 0, 0, err
	}
	tree := strings.Split(opened.Text, "\n")
	if len(tree) != 4 || tree[0] != verifier.Name() {
		return 0, 0, errors.New("the checkpoint is another ledger's")
	}
	if size, err = strconv.ParseInt(tree[1], 10, 64); err != nil {
		return 0, 0, err
	}
	root, err := tlog.ParseHash(tree[2])
	if err != nil {
		return 0, 0, err
	}
	return index, size, tlog.CheckRecord(path, size, root, index, tlog.RecordHash(entry))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "refused:", err)
	os.Exit(1)
}
