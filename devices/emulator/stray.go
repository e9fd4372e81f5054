package emulator

import (
	"net"
	"time"
)

// stray is a connection of an earlier life. The board knows nothing of it, so that it answers with RST what comes on it.
type stray struct {
	conn    net.Conn
	touched bool // something came when nothing could answer
	refused bool
}

// leaveBehind makes strays of the connections of a life that is over. To be called by who holds switching.
func (b *Board) leaveBehind(p *power) {
	kept := b.unheard[:0]
	for _, s := range b.unheard {
		if !s.refused {
			kept = append(kept, s)
		}
	}
	b.unheard = kept
	for c := range p.conns {
		b.unheard = append(b.unheard, &stray{conn: c.conn, touched: len(c.held) > 0 || c.failed != nil})
	}
}

// refuseUnheard begins to answer on the connections of earlier lives.
func (p *power) refuseUnheard() {
	for _, s := range p.board.unheard {
		p.tasks.Go(func() { s.refuse(p) })
	}
}

// refuse waits until the other side sends something, be it the end of the connection, and resets the connection.
func (s *stray) refuse(p *power) {
	for !s.touched {
		if p.dead() {
			return
		}
		_ = s.conn.SetReadDeadline(time.Time{})
		if p.dead() { // it went before the deadline that this has taken back, or sets one after it
			s.endWait()
		}
		n, err := s.conn.Read(make([]byte, 1))
		s.touched = n > 0 || !isTimeout(err)
	}
	select {
	case <-p.off:
	case <-p.board.air():
		if tcp, ok := s.conn.(interface{ SetLinger(int) error }); ok {
			_ = tcp.SetLinger(0)
		}
		_ = s.conn.Close()
		s.refused = true
	}
}

// endWait ends a wait on the connection, when the power has gone.
func (s *stray) endWait() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) }

func isTimeout(err error) bool {
	failure, ok := err.(net.Error)
	return ok && failure.Timeout()
}
