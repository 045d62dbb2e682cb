package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// table is a set of rows, with what was measured of each server in each round.
type table struct {
	title   string
	servers []*server
	rows    []row
	got     map[string]map[*server][]float64 // by the row's name
}

func newTable(title string, servers []*server) *table {
	return &table{title: title, servers: servers, got: map[string]map[*server][]float64{}}
}

func (t *table) add(r row, s *server, value float64) {
	if t.got[r.name] == nil {
		t.rows = append(t.rows, r)
		t.got[r.name] = map[*server][]float64{}
	}
	t.got[r.name][s] = append(t.got[r.name][s], value)
}

// print writes the medians as a Markdown table. The last columns are how many times better than the best peer ours is, and the aim.
func (t *table) print(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n\n| row | unit |", t.title)
	for _, s := range t.servers {
		fmt.Fprintf(w, " %s |", s.name)
	}
	fmt.Fprintf(w, " against the best | aim |\n| --- | --- |%s ---: | --- |\n", strings.Repeat(" ---: |", len(t.servers)))
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s | %s |", r.name, strings.TrimSpace(r.unit))
		for _, s := range t.servers {
			fmt.Fprintf(w, " %s |", t.cell(r, s))
		}
		fmt.Fprintf(w, " %s | %s |\n", t.ratio(r), r.aim)
	}
}

func (t *table) cell(r row, s *server) string {
	if v := t.got[r.name][s]; len(v) > 0 {
		return figure(median(v))
	}
	return ""
}

// ratio is how many times better the first server is than the best of the others.
func (t *table) ratio(r row) string {
	ours, best := t.got[r.name][t.servers[0]], math.NaN()
	for _, s := range t.servers[1:] {
		if v := t.got[r.name][s]; len(v) > 0 && !(r.lower && median(v) >= best) && !(!r.lower && median(v) <= best) {
			best = median(v)
		}
	}
	if len(ours) == 0 || r.apart || math.IsNaN(best) {
		return ""
	}
	x := median(ours) / best
	if r.lower {
		x = 1 / x
	}
	return fmt.Sprintf("%.2f x", x)
}

// figure prints three digits that count.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
