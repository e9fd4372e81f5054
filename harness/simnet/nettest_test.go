package simnet

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// TestConn runs the tests that every net.Conn is held to, on connections seen from either end.
func TestConn(t *testing.T) {
	t.Parallel()
	makePipe := func() (dialed, accepted net.Conn, stop func(), err error) {
		n := New()
		l, err := n.Listen("broker:1883")
		if err != nil {
			return nil, nil, nil, err
		}
		if dialed, err = n.DialContext(t.Context(), "tcp", "broker:1883"); err != nil {
			return nil, nil, nil, err
		}
		if accepted, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return dialed, accepted, func() { dialed.Close(); accepted.Close(); l.Close() }, nil
	}
	t.Run("dialed", func(t *testing.T) {
		t.Parallel()
		nettest.TestConn(t, makePipe)
	})
	t.Run("accepted", func(t *testing.T) {
		t.Parallel()
		nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
			dialed, accepted, stop, err := makePipe()
			return accepted, dialed, stop, err
		})
	})
}
