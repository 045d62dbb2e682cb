package bolt

import "time"

// pace tells how far one long work is; of 0 is a work whose end is not known.
type pace struct {
	s     *Store
	work  string
	of    int64
	next  time.Time
	every time.Duration
}

func (s *Store) pace(work string, of int64) *pace {
	p := &pace{s: s, work: work, of: of, every: 5 * time.Second}
	if s.cfg.Progress != nil {
		p.every = time.Second / 5
	}
	p.next = time.Now().Add(p.every)
	return p
}

func (p *pace) at(done int64) {
	if now := time.Now(); now.Before(p.next) {
		return
	} else {
		p.next = now.Add(p.every)
	}
	if p.s.cfg.Progress != nil {
		p.s.cfg.Progress(p.work, done, p.of)
		return
	}
	p.s.cfg.Log.Info("store: "+p.work, "done", done, "of", p.of)
}
