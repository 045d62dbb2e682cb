package audit

// Err says why the log records nothing more, nil while it does. Reading goes on in either case.
func (l *Log) Err() error { return l.usable() }
