package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// copyLeaves copies the leaves of the log that are not copied yet.
func (m *Mirror) copyLeaves() error {
	if m.cfg.Log.Head().Size == m.leaves {
		return nil
	}
	var b bytes.Buffer
	next := m.leaves
	flush := func() error {
		if b.Len() == 0 {
			return nil
		}
		if m.logFile == "" || m.logSize > logMost {
			m.logFile, m.logSize = fmt.Sprintf("log/%016x", m.leaves), 0
		}
		n := int64(b.Len())
		if err := m.vault.extend(m.logFile, &b); err != nil {
			return err
		}
		m.leaves, m.logSize = next, m.logSize+n
		b.Reset()
		return nil
	}
	err := m.cfg.Log.Copy(m.leaves, func(_ uint64, raw, private []byte) error {
		for _, part := range [][]byte{raw, private} {
			b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
			b.Write(part)
		}
		if next++; b.Len() < pieceSize {
			return nil
		}
		return flush()
	})
	return errors.Join(err, flush())
}

// pending is how much of segments is not copied yet.
func (m *Mirror) pending(segments []Segment) (n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range segments {
		if have, err := m.have(s.Number); err == nil { // else the round that follows says so
			n += max(0, s.Size-have)
		}
	}
	return n
}

// have is how much of a segment is copied.
func (m *Mirror) have(number uint32) (int64, error) {
	if have, ok := m.copied[number]; ok {
		return have, nil
	}
	e, err := m.vault.end(segmentName(number))
	return e.plain, err
}

// copySegment copies what is new of a segment.
func (m *Mirror) copySegment(s Segment) error {
	name := segmentName(s.Number)
	have, err := m.have(s.Number)
	if err != nil {
		return err
	}
	if have < s.Size {
		f, err := os.Open(s.Path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := m.vault.extend(name, io.NewSectionReader(f, have, s.Size-have)); err != nil {
			delete(m.copied, s.Number)
			return err
		}
	}
	m.copied[s.Number] = max(have, s.Size)
	return nil
}

func segmentName(number uint32) string { return fmt.Sprintf("store/segments/%08x.seg", number) }
