package backup

import (
	"cmp"
	"time"
)

// State is how a mirror fares.
type State struct {
	Repository string    `json:"repository"`
	Copied     time.Time `json:"copied,omitzero"`  // all of before is copied
	Failed     string    `json:"failed,omitempty"` // why it was not since
	Failures   uint64    `json:"failures"`         // rounds that failed since the node started
	Bytes      int64     `json:"bytes"`            // of the repository
	Sets       []Set     `json:"sets"`
	Points     []Span    `json:"points"` // times of which the mail can be restored
	Making     *Progress `json:"making,omitempty"`
}

// Progress is how far a set is that is being made, in bytes of what it copies.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// State tells how the mirror fares, and lists points and sets, unless the repository is out of reach. It does not wait for what goes on.
func (m *Mirror) State() State {
	s := m.Health()
	var err error
	if s.Sets, err = Sets(m.cfg.Dir); err == nil {
		s.Points, err = Points(m.cfg.Dir)
	}
	if err != nil {
		s.Failed = cmp.Or(s.Failed, err.Error())
	}
	if n := len(s.Points); n > 0 && s.Points[n-1].Line == m.line && s.Points[n-1].Until.IsZero() {
		s.Points[n-1].Until = s.Copied
	}
	return s
}

// Health is State without a look at the disk.
func (m *Mirror) Health() State {
	m.status.Lock()
	defer m.status.Unlock()
	s := State{Repository: m.cfg.Dir, Copied: m.last, Failures: m.failures, Bytes: m.size.Load() + m.count.sealed.Load()}
	if m.failed != nil {
		s.Failed = m.failed.Error()
	}
	if m.making {
		total := m.total.Load()
		s.Making = &Progress{min(m.count.plain.Load()-m.from, total), total}
	}
	return s
}

// Newest is when the newest set of this line was made, the zero time if there is none, or if one is needed since the copy has a gap.
func (m *Mirror) Newest() time.Time {
	m.status.Lock()
	defer m.status.Unlock()
	if m.gap {
		return time.Time{}
	}
	return m.newest.Made
}

// tell changes what State shows.
func (m *Mirror) tell(change func()) {
	m.status.Lock()
	defer m.status.Unlock()
	change()
}

// begun says whether a set is being made.
func (m *Mirror) begun(is bool) {
	m.tell(func() {
		m.making, m.from = is, m.count.plain.Load()
		m.total.Store(0)
	})
}
