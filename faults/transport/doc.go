// Package transport terminates the transports of MQTT for the fault proxy: TCP, TLS, mutual TLS, WebSocket, and WebSocket
// over TLS, towards the device as a server and towards the broker as a client, in any combination. Behind it the proxy
// sees nothing but the stream of MQTT bytes. In front of it, transports go wrong where faults say so:
//
//	ca, err := authority.New(authority.Options{})
//	front, err := transport.NewFront(transport.Options{
//		Authority: ca, Names: []string{"bench.local"}, WebSocket: true, Record: recorder,
//	})
//	front.Add(transport.ExpiredCertificate().Times(1))
//	front.Add(transport.Status(403).Nth(2))
//	stream, err := front.Accept(ctx, conn)
//
//	broker := transport.Back{Dial: dialTCP, TLS: &tls.Config{RootCAs: pool, ServerName: "broker"}}
//	conn, err := broker.Connect(ctx)
//
// Every connection ends in TCP's two ways, whatever is above TCP. CloseWrite says goodbye in the words of each layer
// (CLOSE frame, close_notify) and then sends FIN; Close after SetLinger(0) sends RST and says nothing. To Read, a goodbye
// is io.EOF just as FIN is, and RST is ECONNRESET.
//
// Saying goodbye needs room in the buffers of TCP. Where the other side has not made any for 5 seconds, the end comes
// without it.
//
// Everything but PSK works over the network in memory of package simnet too, in a testing/synctest bubble.
//
// A new fault is a new file, with a constructor and a kind that has its text and what it changes in the plan of a connection
// or in its frames; and a line in form.go, with its name in rule files.
package transport
