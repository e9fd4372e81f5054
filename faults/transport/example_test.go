package transport_test

import (
	"crypto/tls"
	"fmt"
	"time"

	"mqtthil/faults/authority"
	"mqtthil/faults/transport"
)

// Faults read like what they do.
func ExampleFault() {
	for _, fault := range []transport.Fault{
		transport.ExpiredCertificate().Times(2),
		transport.UnknownCA().Nth(3),
		transport.OldVersion(tls.VersionTLS11),
		transport.AlertAfterHandshake(transport.AccessDenied).From(2).Times(1),
		transport.Stall(transport.Before(transport.Certificate), 20*time.Second),
		transport.Status(403).Times(1),
		transport.FragmentsWithPing(10),
		transport.CloseFrame(1012, 5),
	} {
		fmt.Println(fault)
	}
	// Output:
	// expired certificate, 2 times
	// certificate of an unknown CA, on the 3rd connection
	// nothing newer than TLS 1.1
	// alert 49 (access denied) after the handshake, from the 2nd connection on, once
	// stall before Certificate for 20s
	// HTTP status 403, once
	// messages in fragments of no more than 10 bytes, with PING between them
	// CLOSE 1012 after 5 frames
}

// A fault is armed before there is any connection, and tells later whether it struck.
func ExampleFront_Add() {
	ca, err := authority.New(authority.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	front, err := transport.NewFront(transport.Options{Authority: ca, Names: []string{"bench.local"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	armed, err := front.Add(transport.WrongName().Times(1))
	fmt.Printf("%s: fired %d times, %v\n", armed, armed.Fired(), err)
	_, err = front.Add(transport.Ping())
	fmt.Println(err)
	// Output:
	// certificate for another name, once: fired 0 times, <nil>
	// fault "PING before each frame" can never strike: it is one of WebSocket, which is off here
}
