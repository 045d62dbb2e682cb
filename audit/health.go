package audit

// Err says why the log records nothing more, nil while it does. It tries to mend what can be mended. Reading goes on in either
// case.
func (l *Log) Err() error {
	l.turn <- struct{}{} // rounds are short
	defer func() { <-l.turn }()
	return l.mend()
}
