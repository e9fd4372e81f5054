package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"mqtthil/faults"
	"mqtthil/harness/timeline"
)

// Rules read like the fault that they are.
func ExampleRule() {
	acknowledgements := faults.ToDevice(faults.PUBACK)
	telemetry := faults.FromDevice(faults.PUBLISH).WithTopic("bench/up").WithQoS(1)
	for _, rule := range []faults.Rule{
		faults.Drop(acknowledgements),
		faults.Drop(acknowledgements).Times(2),
		faults.Drop(acknowledgements.From(3)).Times(2),
		faults.Drop(faults.ToDevice(faults.PUBACK, faults.PUBREC, faults.PUBCOMP).OnConnection(2)),
		faults.Delay(telemetry.Nth(2), 1500*time.Millisecond),
		faults.Duplicate(telemetry.WithDUP(true)),
		faults.Cut(telemetry, faults.Before, faults.FIN),
		faults.Cut(telemetry, faults.After, faults.RST).Times(3),
		faults.Cut(faults.FromDevice(faults.CONNECT).Nth(2), faults.AtByte(5), faults.RST),
		faults.Drop(faults.FromDevice()),
	} {
		fmt.Println(rule)
	}
	// Output:
	// drop every PUBACK to the device
	// drop 1st-2nd PUBACK to the device
	// drop 3rd-4th PUBACK to the device
	// drop every PUBACK, PUBREC or PUBCOMP to the device on connection 2
	// delay 2nd PUBLISH bench/up QoS 1 from the device by 1.5s
	// duplicate every PUBLISH bench/up QoS 1 with DUP from the device
	// cut with FIN before 1st PUBLISH bench/up QoS 1 from the device
	// cut with RST after 1st-3rd PUBLISH bench/up QoS 1 from the device
	// cut with RST at byte 5 of 2nd CONNECT from the device
	// drop every packet from the device
}

func ExampleMatch() {
	fmt.Println(faults.ToDevice(faults.PUBACK).Nth(2))
	fmt.Println(faults.FromDevice(faults.PUBLISH).WithTopic("bench/up").WithQoS(1))
	fmt.Println(faults.FromDevice(faults.SUBSCRIBE, faults.UNSUBSCRIBE).WithID(7).From(3))
	// Output:
	// 2nd PUBACK to the device
	// PUBLISH bench/up QoS 1 from the device
	// 3rd and later SUBSCRIBE or UNSUBSCRIBE id 7 from the device
}

// A rule can be armed before there is any connection, and tells later whether it did anything.
func ExampleProxy_Add() {
	dial := func(context.Context) (net.Conn, error) { return nil, errors.New("no broker in an example") }
	proxy := faults.New(timeline.NewRecorder(nil), dial)
	defer proxy.Close()

	armed := proxy.Add(faults.Drop(faults.ToDevice(faults.PINGRESP)).Times(1))
	fmt.Printf("%s: fired %d times\n", armed, armed.Fired())
	// Output: drop 1st PINGRESP to the device: fired 0 times
}
