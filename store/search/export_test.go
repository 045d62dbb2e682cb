package search

// ClassOf returns a character's class as docs/FORMATS.md calls it, "" for a letter.
func ClassOf(r rune) string {
	c, _ := classAt([]byte(string(r)))
	return map[class]string{space: "spaces", letter: "", gram: "grams", mark: "marks"}[c]
}
