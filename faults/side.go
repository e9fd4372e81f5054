package faults

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"mqtthil/harness/timeline"
)

// stream is a connection that knows TCP's two ways of ending, as *net.TCPConn does.
type stream interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// side is the proxy's end of one of the two TCP connections of a link.
type side struct {
	conn   stream
	from   timeline.Point // where traffic from the peer comes in
	toward timeline.Point // where traffic to the peer goes out

	writing chan struct{} // holds a token while Write runs; not a mutex, so that time in a synctest bubble can go on
	wasRST  bool          // Write was told of an RST; guarded by writing

	// How the connection stands, guarded by the link.
	finSeen bool // the peer has sent FIN
	finSent bool // the proxy has
	endLost bool // a condition has lost the end that the peer should have been told
	gone    bool // no more bytes go either way: RST came or was sent, or another failure
}

func newSide(conn net.Conn, from, toward timeline.Point) (*side, error) {
	s, ok := conn.(stream)
	if !ok {
		return nil, fmt.Errorf("a %T has no CloseWrite and SetLinger, so that it cannot tell FIN from RST", conn)
	}
	return &side{conn: s, from: from, toward: toward, writing: make(chan struct{}, 1)}, nil
}

func (s *side) write(b []byte) error {
	return s.writeBy(func() error {
		_, err := s.conn.Write(b)
		return err
	})
}

// writeBy is write by other means.
func (s *side) writeBy(write func() error) error {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	err := write()
	if errors.Is(err, syscall.ECONNRESET) {
		s.wasRST = true
	}
	return err
}

// learning is how long a Write may take to return when it has been told of an RST.
const learning = 100 * time.Millisecond

// metRST says whether a Write was told of an RST. The kernel tells it once: when Write has learned it, a Read after
// that meets what looks like FIN. So a Read that met FIN asks here, and waits for a Write that may be learning it; one that
// goes on waits for room, which after an RST it would not.
func (s *side) metRST() bool {
	late := time.NewTimer(learning)
	defer late.Stop()
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
		return s.wasRST
	case <-late.C:
		return false
	}
}

// over says that both ends of the connection know that nothing more will come.
func (s *side) over() bool {
	return s.gone || s.finSeen && s.finSent
}

// reset sends RST. Its calls fail where the connection is gone.
func (s *side) reset() {
	s.gone = true
	s.conn.SetLinger(0)
	s.conn.Close()
}

// cause says how a connection ended, given the error that Read or Write met, in the words of the record.
func cause(err error) string {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return string(RST)
	}
	return err.Error()
}
