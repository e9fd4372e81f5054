package transcript

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
)

// inNagle runs a test with the two ends of a connection, of which the broker's side has just answered.
func inNagle(t *testing.T, run func(t *testing.T, client net.Conn, broker *simnet.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New()
		l, err := network.Listen("10.0.0.1:1883")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := Nagle(network.DialContext)(context.Background(), "tcp", "10.0.0.1:1883")
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		broker, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer broker.Close()
		say(t, client, "ask")
		hear(t, broker, "ask")
		say(t, broker, "answer")
		hear(t, client, "answer")
		run(t, client, broker.(*simnet.Conn))
	})
}

func say(t *testing.T, to net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads what is there at once.
func hear(t *testing.T, from net.Conn, want string) {
	t.Helper()
	synctest.Wait()
	p := make([]byte, 2*segment)
	_ = from.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, err := from.Read(p)
	if string(p[:n]) != want {
		t.Fatalf("read %d bytes, not %d: %v", n, len(want), err)
	}
	_ = from.SetReadDeadline(time.Time{})
}

// TestNagle: what follows something without an answer waits for its acknowledgement.
func TestNagle(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, client net.Conn, broker *simnet.Conn){
		"late": func(t *testing.T, _ net.Conn, broker *simnet.Conn) {
			time.Sleep(acknowledgeDelay - 2*time.Millisecond)
			hear(t, broker, "")
			time.Sleep(time.Millisecond)
			hear(t, broker, "second")
		},
		"with an answer": func(t *testing.T, client net.Conn, broker *simnet.Conn) {
			say(t, broker, "answer")
			hear(t, client, "answer")
			hear(t, broker, "second")
		},
		"with the end of the stream": func(t *testing.T, client net.Conn, broker *simnet.Conn) {
			_ = broker.CloseWrite()
			hear(t, client, "")
			hear(t, broker, "second")
		},
		"with a full segment": func(t *testing.T, client net.Conn, broker *simnet.Conn) {
			large := strings.Repeat("x", segment)
			say(t, client, large)
			hear(t, broker, "second"+large)
		},
		"as the client closes": func(t *testing.T, client net.Conn, broker *simnet.Conn) {
			_ = client.Close()
			hear(t, broker, "second")
		},
		"as the client resets": func(t *testing.T, client net.Conn, broker *simnet.Conn) {
			_ = client.(interface{ SetLinger(int) error }).SetLinger(0)
			_ = client.Close()
			if n, err := broker.Read(make([]byte, 8)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %d bytes, %v", n, err)
			}
		},
		"as the broker resets behind an answer": func(t *testing.T, client net.Conn, broker *simnet.Conn) {
			say(t, broker, "answer")
			_ = broker.SetLinger(0)
			_ = broker.Close()
			hear(t, client, "answer") // lets go what was held back, which meets the reset
			for _, want := range []error{syscall.ECONNRESET, io.EOF} {
				if n, err := client.Read(make([]byte, 8)); !errors.Is(err, want) {
					t.Errorf("read %d bytes, %v, not %v", n, err, want)
				}
			}
		},
	}
	for name, then := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inNagle(t, func(t *testing.T, client net.Conn, broker *simnet.Conn) {
				say(t, client, "first")
				hear(t, broker, "first")
				say(t, client, "second")
				then(t, client, broker)
			})
		})
	}
}

// TestNagleUnasked: what the broker sends of itself does not make it wait with acknowledgements.
func TestNagleUnasked(t *testing.T) {
	t.Parallel()
	inNagle(t, func(t *testing.T, client net.Conn, broker *simnet.Conn) {
		say(t, client, "one")
		time.Sleep(time.Second) // acknowledged late, for which the next one will be at once
		hear(t, broker, "one")
		say(t, broker, "unasked")
		hear(t, client, "unasked")
		say(t, client, "two")
		say(t, client, "three")
		hear(t, broker, "twothree")
	})
}
