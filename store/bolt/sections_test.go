package bolt

import "testing"

// What was read before all was forgotten, as when its account was erased, is not kept afterwards.
func TestSectionsForgotten(t *testing.T) {
	var c sections
	age := c.age()
	c.put(age, person, "before", []byte("text"))
	c.clear()
	c.put(age, person, "read before", []byte("text"))
	c.put(c.age(), person, "read after", []byte("text"))
	for owner, want := range map[string]bool{"before": false, "read before": false, "read after": true} {
		if _, ok := c.get(person, owner); ok != want {
			t.Errorf("%s: kept %v", owner, ok)
		}
	}
}
