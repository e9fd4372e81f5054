package emulator

import (
	"bytes"
	"net"
	"syscall"
	"testing"
)

// TestNoKeepAlive: a connection has no keep-alive probes of TCP that its program has not asked for.
func TestNoKeepAlive(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := New(new(bytes.Buffer), Options{})
	conn, err := b.options.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	control, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = control.Control(func(descriptor uintptr) {
		on, err := syscall.GetsockoptInt(int(descriptor), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		if err != nil || on != 0 {
			t.Errorf("SO_KEEPALIVE is %d, %v", on, err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
