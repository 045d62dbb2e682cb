package metrics

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func scrape(t *testing.T, s *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	s := New()
	count := s.Counter("domicile_logins_total", "Logins.", "front", "result")
	count("imap", "ok")
	count("imap", "ok")
	count("imaps", "wrong")
	s.Gauge("domicile_members", "Nodes.", func(is Sample) { is(3, "alive"); is(1, "dead") }, "state")
	s.Total("domicile_taken_total", "Connections.", func(is Sample) { is(7) })
	text := scrape(t, s)
	for _, want := range []string{`domicile_logins_total{front="imap",result="ok"} 2`, `domicile_logins_total{front="imaps",result="wrong"} 1`,
		`domicile_members{state="alive"} 3`, "domicile_taken_total 7", "# TYPE domicile_taken_total counter", "# TYPE domicile_members gauge",
		"go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// Whatever is made of a label, a scrape holds words only, and few of them.
func TestLabelsNameNobody(t *testing.T) {
	s := New()
	count := s.Counter("domicile_a_total", "A.", "x", "y")
	hostile := []string{"anna@example.com", "Anna", "192.0.2.1:25", "2001:db8::1", "", "a b", "a\nb", `a"b`, "straße", strings.Repeat("a", maxLabel+1)}
	s.Gauge("domicile_b", "B.", func(is Sample) {
		for _, v := range hostile {
			is(1, v)
		}
		for i := range 1000 {
			is(1, fmt.Sprintf("v%d", i))
		}
	}, "x")
	for _, v := range hostile {
		count(v, "ok")
	}
	var work sync.WaitGroup
	for i := range 1000 {
		work.Go(func() { count(fmt.Sprintf("v%d", i), "ok") })
	}
	work.Wait()
	text := scrape(t, s)
	for _, v := range hostile[:3] {
		if strings.Contains(text, v) {
			t.Errorf("a scrape holds %q", v)
		}
	}
	a, b := strings.Count(text, "domicile_a_total{"), strings.Count(text, "domicile_b{")
	if a > maxSeries || b > maxSeries || a < 100 || b < 100 {
		t.Errorf("%d and %d series", a, b)
	}
	if want := fmt.Sprintf(`domicile_a_total{x="other",y="ok"} %d`, len(hostile)); !strings.Contains(text, want) {
		t.Errorf("no %s", want)
	}
	if !strings.Contains(text, `domicile_a_total{x="other",y="other"} `) {
		t.Error("what came after the last series was dropped")
	}
}
