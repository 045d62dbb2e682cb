package region

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"domicile"
)

// outStream is one try to stream a body to one node.
type outStream struct {
	node   *Node
	op     string
	to     domicile.Region
	addr   string
	method string
	header []byte
	body   io.Reader
	permit *permit

	stop context.CancelFunc

	// Written by pump, read when it has ended.
	begun  bool        // something of body was read: no other node can be tried
	ended  bool        // the closing frame was handed over: the other side may have committed
	failed error       // of body or permit
	answer *time.Timer // stops the wait for the answer
}

// run sends and returns the outcome, when nothing reads body any more.
func (s *outStream) run(ctx context.Context, out any) error {
	caller := ctx
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	pr, pw := io.Pipe()
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		pw.CloseWithError(s.pump(pw))
	}()
	res, err := s.node.post(ctx, s.to, s.addr, s.method, pr)
	var answer envelope
	if err == nil {
		answer, err = readAnswer(s.op, res)
		res.Body.Close()
	}
	pr.CloseWithError(errors.New("the call has ended")) // an early answer ends the sending too
	<-pumped
	if s.answer != nil {
		s.answer.Stop()
	}
	if s.begun || caller.Err() == nil { // body is read only behind a connection to who it should be
		s.node.reached.note(s.addr, s.begun, time.Now())
	}
	switch {
	case err == nil:
		return decodeAnswer(s.op, answer, out)
	case s.failed != nil && !s.ended:
		return domicile.W(s.op, s.failed)
	case res != nil && res.StatusCode != http.StatusOK:
		return err
	case s.ended:
		return gone(s.op, domicile.Unknown, err)
	}
	return gone(s.op, domicile.Unavailable, err)
}

// pump writes header, body and closing frame into w, which the transport reads once it has a connection. What it returns
// ends the request: nil after the closing frame, an error before it, so that the other side sees a cut stream.
func (s *outStream) pump(w io.Writer) error {
	w = &progressWriter{w, s.stop, s.node.pace.idle}
	f := newFrameWriter(w)
	if err := f.header(s.header); err != nil {
		return err
	}
	s.begun = true
	ended := make(chan struct{})
	defer close(ended)
	go keepAlive(f, s.node.pace.keep, ended)
	buf := make([]byte, maxData)
	for {
		n, err := s.body.Read(buf)
		if n > 0 {
			if err := s.data(f, buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			s.failed = err
			return err
		}
	}
	s.answer = time.AfterFunc(s.node.pace.answer, s.stop)
	if err := f.end(); err != nil {
		return err
	}
	s.ended = true
	return nil
}

// data sends a part of the body under the permit.
func (s *outStream) data(f *frameWriter, b []byte) error {
	if err := s.permit.take(len(b)); err != nil {
		s.failed = err
		return err
	}
	n, err := f.Write(b)
	s.permit.took(b, n)
	return err
}

// keepAlive tells the other side now and then that a slow source is not a dead one.
func keepAlive(f *frameWriter, every time.Duration, ended <-chan struct{}) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
			if f.keep(every) != nil {
				return
			}
		}
	}
}

// progressWriter stops the call if one write takes too long: the other side takes nothing any more.
type progressWriter struct {
	w    io.Writer
	stop context.CancelFunc
	idle time.Duration
}

func (p *progressWriter) Write(b []byte) (int, error) {
	t := time.AfterFunc(p.idle, p.stop)
	defer t.Stop()
	return p.w.Write(b)
}
