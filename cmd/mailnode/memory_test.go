package main

import (
	"log/slog"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestMemoryLimit(t *testing.T) {
	for _, c := range []struct{ wanted, given, want int64 }{
		{0, 0, 0},             // nothing is known: no limit
		{0, 4 << 30, 3 << 30}, // three quarters
		{1 << 30, 4 << 30, 1 << 30},
		{8 << 30, 4 << 30, 4 << 30}, // never more than there is
		{1 << 30, 0, 1 << 30},
	} {
		if got := memoryLimit(c.wanted, c.given); got != c.want {
			t.Errorf("%d wanted of %d: %d, want %d", c.wanted, c.given, got, c.want)
		}
	}
}

// The least bound of a control group, of either version, and of those around it is what a node is given.
func TestGivenMemory(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no control groups":  {nil, 1000},
		"no bound":           {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 1000},
		"its own":            {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "300\n", "sys/fs/cgroup/a/memory.max": "500\n"}, 300},
		"one around it":      {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "300\n", "sys/fs/cgroup/a/memory.high": "200\n"}, 200},
		"a container's":      {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "400\n"}, 400},
		"more than there is": {map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "9223372036854771712\n"}, 1000},
		"version 1":          {map[string]string{"proc/self/cgroup": "5:memory:/a\n4:cpu,cpuacct:/a\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "600\n"}, 600},
		"nonsense":           {map[string]string{"proc/self/cgroup": "x\n::\n0::/../../..\n", "sys/fs/cgroup/memory.max": "-7\n"}, 1000},
	} {
		root := t.TempDir()
		for file, text := range c.files {
			file = filepath.Join(root, file)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := givenMemory(root, 1000); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// What the environment says stands.
func TestMemoryLimitOfTheEnvironment(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	log := slog.New(slog.DiscardHandler)
	t.Setenv("GOMEMLIMIT", "1GiB")
	limitMemory(64<<20, log)
	if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
		t.Errorf("GOMEMLIMIT was overruled: %d", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	limitMemory(64<<20, log)
	if got := debug.SetMemoryLimit(-1); got != 64<<20 {
		t.Errorf("the limit is %d", got)
	}
	answer := httptest.NewRecorder()
	newCounts().set.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(answer.Body.String(), "go_gc_gomemlimit_bytes 6.7108864e+07\n") {
		t.Error("no metric tells the limit")
	}
}
