package storetest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutant names, in the environment of a second process, the promise that the driver of these tests breaks there.
const mutant = "DOMICILE_MUTANT"

// TestPlain shows that the contract is enough to write a driver from.
func TestPlain(t *testing.T) {
	if os.Getenv(mutant) != "" {
		patience = 2 * time.Second
	}
	Run(t, openPlain)
}

// TestPromisesAreWritten: what a failing test sends its reader to is there.
func TestPromisesAreWritten(t *testing.T) {
	var text []byte
	for _, name := range []string{"doc.go", "store.go", "walk.go"} {
		b, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	for _, test := range suite {
		method, is := strings.CutPrefix(test.promise, "Store.")
		if test.promise == "the whole package" || is && bytes.Contains(text, []byte("\n\t"+method+"(")) {
			continue
		}
		if !bytes.Contains(text, []byte("\n// # "+test.promise+"\n")) && !bytes.Contains(text, []byte("\ntype "+test.promise+" ")) && !bytes.Contains(text, []byte("\nfunc "+test.promise+"(")) {
			t.Errorf("%s: package store has no %q", test.name, test.promise)
		}
	}
}

// TestMutants breaks one promise of a sound driver after the other: each of the named tests of the suite must fail.
func TestMutants(t *testing.T) {
	if os.Getenv(mutant) != "" {
		t.Skip("this is one")
	}
	for bug, tests := range map[string][]string{
		"is not durable":                        {"Deliver", "Model"},
		"is durable when closed":                {"Killed"},
		"calls a damaged body empty":            {"Damaged"},
		"hints before the change":               {"HintAfterChange", "Follow"},
		"loses hints":                           {"HintAfterChange", "Follow"},
		"names other mailboxes in hints":        {"Watch", "Follow"},
		"forgets tokens":                        {"Tokens", "TokensOfAll", "TokensAtOnce", "BadLine/Deliver", "BadLine/Copy", "BadLine/Expunge", "BadLine/DeleteMailbox", "BadLine/RenameInbox", "BadLine/Unless", "Linear", "Model"},
		"keeps tokens in memory":                {"Tokens", "Model"},
		"takes a token for any act":             {"Tokens"},
		"swaps without comparing":               {"Tables", "TablesAtOnce"},
		"loses updates":                         {"UpdateAccount"},
		"keeps the key":                         {"DeleteAccount"},
		"keeps the bytes":                       {"Expunge"},
		"counts no quota":                       {"Quota", "AnnotationsOverLimits"},
		"uses a UIDVALIDITY twice":              {"Rename", "DeleteMailbox", "Model"},
		"uses UIDs again":                       {"Linear", "Model"},
		"gives copies an id of their own":       {"Copy", "Model"},
		"reads two snapshots":                   {"Torn", "Follow", "Linear"},
		"reads what was":                        {"Deliver", "Linear", "Model"},
		"moves in two acts":                     {"Torn", "Linear"},
		"keeps no tombstones":                   {"Since", "Pages", "PagesBesideWriters", "Forgotten", "Linear", "Model"},
		"pages by ModSeq alone":                 {"Pages", "PagesBesideWriters"},
		"changes without a ModSeq":              {"Flags", "Linear", "Model"},
		"stores unless changed all the same":    {"Unless"},
		"reads when closed":                     {"Closed"},
		"shows what comes in":                   {"Move"},
		"ends a subscription with its mailbox":  {"Subscriptions", "Model"},
		"loses annotations with a rename":       {"Annotations", "Model"},
		"commits one by one":                    {"CommitRefused", "CommitQuota", "CommitTorn", "CommitTokens", "Linear", "Model"},
		"replaces in two acts":                  {"CommitTorn", "CommitInstead", "Linear"},
		"makes them in another order":           {"Commit", "Linear", "Model"},
		"asks for the quota first":              {"CommitQuota"},
		"replaces what is not there":            {"CommitInstead", "Linear", "Model"},
		"names INBOX alone in hints":            {"Watch"},
		"leaves all in the clear":               {"Sealed"},
		"passes over a neighbour between parts": {"Pages"},
		"forgets tokens a second early":         {"TokensPrune"},
		"knows a group by its first letter":     {"CommitLetters", "Model"},

		"gives the ModSeq after an act for that before": {"Flags", "Unless", "Linear"},
	} {
		for _, test := range tests {
			t.Run(bug+"/"+test, func(t *testing.T) {
				t.Parallel()
				out, failed := runMutant(t, bug, test)
				t.Log(out[:min(len(out), 1000)])
				if !failed {
					t.Errorf("the suite passes a driver that %s", bug)
				}
			})
		}
	}
}

// runMutant runs one test of the suite in a process of its own, several times if it passes, since some depend on what meets when.
func runMutant(t *testing.T, bug, test string) (out string, failed bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	run := "^TestPlain$/^" + strings.ReplaceAll(test, "/", "$/^") + "$"
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run="+run, "-test.count=10", "-test.failfast", "-rapid.nofailfile", "-rapid.shrinktime=1ms")
	cmd.Env = append(os.Environ(), mutant+"="+bug, "DOMICILE_LONG=")
	raw, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatal("it does not end")
	}
	return string(raw), err != nil && strings.Contains(string(raw), "--- FAIL: TestPlain/"+test)
}
