package tests

import (
	"net"
	"os/exec"
	"strings"
	"testing"

	"domicile/tests/harness"
)

// TestCurl has a client of another make send mail at the wrong region and read it at home over IMAPS, believing nothing but
// Ireland's authority; under the US authority it must not connect.
func TestCurl(t *testing.T) {
	t.Parallel()
	curl := harness.Need(t, "curl", "apt-get install curl")
	c := harness.Shared(t)
	password := c.Account(t, ireland, "orla@example.com", "IE")
	run := func(in string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), curl, append([]string{"--silent", "--show-error", "--max-time", "20"}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	sent := letter("by curl", "carried by curl")
	if out, err := run(string(sent), "smtp://"+c.Node(usNode).SMTP, "--mail-from", "a@sender.example", "--mail-rcpt", "orla@example.com", "--upload-file", "-"); err != nil {
		t.Fatalf("smtp: %v: %s", err, out)
	}
	_, port, err := net.SplitHostPort(c.Home(ireland).IMAPS)
	if err != nil {
		t.Fatal(err)
	}
	read := func(ca, password string) (string, error) {
		return run("", "imaps://localhost:"+port+"/INBOX;MAILINDEX=1", "--resolve", "localhost:"+port+":127.0.0.1",
			"--cacert", ca, "--user", "orla@example.com:"+password)
	}
	out, err := read(c.Path(c.CA[string(ireland)]), password)
	if err != nil || !strings.HasSuffix(out, string(sent)) {
		t.Errorf("imaps: %v: %q", err, out)
	}
	if out, err := read(c.Path(c.CA[string(usEast)]), password); err == nil || strings.Contains(out, "carried") {
		t.Errorf("under the US authority: %q", out)
	}
	if out, err := read(c.Path(c.CA[string(ireland)]), "wrong"); err == nil || strings.Contains(out, "carried") {
		t.Errorf("with a wrong password: %q", out)
	}
}
