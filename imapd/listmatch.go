package imapd

// matches reports whether a mailbox name fits a LIST pattern: "*" stands for anything, "%" for anything without "/"
// (RFC 9051 6.3.9). Time is at most len(name) times len(pattern).
func matches(name, pattern string) bool {
	// ok[j]: the pattern so far fits name[:j].
	ok := make([]bool, len(name)+1)
	ok[0] = true
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				ok[j] = ok[j] || ok[j-1] && (c == '*' || name[j-1] != '/')
			}
		default:
			for j := len(name); j > 0; j-- {
				ok[j] = ok[j-1] && name[j-1] == c
			}
			ok[0] = false
		}
	}
	return ok[len(name)]
}
