package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"mqtthil/faults"
)

// Rules read like the fault that they are.
func ExampleRule() {
	acknowledgements := faults.ToDevice(faults.PUBACK)
	telemetry := faults.FromDevice(faults.PUBLISH).WithTopic("bench/up").WithQoS(1)
	for _, rule := range []faults.Rule{
		faults.On(acknowledgements, faults.Drop()),
		faults.On(acknowledgements, faults.Drop()).Times(2),
		faults.On(acknowledgements.From(3), faults.Drop()).Times(2),
		faults.On(faults.ToDevice(faults.PUBACK, faults.PUBREC, faults.PUBCOMP).OnConnection(2), faults.Drop()),
		faults.On(telemetry.Nth(2), faults.Delay(1500*time.Millisecond)),
		faults.On(telemetry.WithDUP(true), faults.Duplicate()),
		faults.On(telemetry, faults.Cut(faults.Before, faults.FIN)).Times(1),
		faults.On(telemetry, faults.Cut(faults.After, faults.RST)).Times(3),
		faults.On(faults.FromDevice(faults.CONNECT).Nth(2), faults.Cut(faults.AtByte(5), faults.RST)).Times(1),
		faults.On(faults.FromDevice(), faults.Drop()),
	} {
		fmt.Println(rule)
	}
	// Output:
	// on every PUBACK to the device: drop
	// on 1st-2nd PUBACK to the device: drop
	// on 3rd-4th PUBACK to the device: drop
	// on every PUBACK, PUBREC or PUBCOMP to the device on connection 2: drop
	// on 2nd PUBLISH bench/up QoS 1 from the device: delay 1.5s
	// on every PUBLISH bench/up QoS 1 with DUP from the device: duplicate
	// on 1st PUBLISH bench/up QoS 1 from the device: cut with FIN before it
	// on 1st-3rd PUBLISH bench/up QoS 1 from the device: cut with RST after it
	// on 2nd CONNECT from the device: cut with RST at byte 5
	// on every packet from the device: drop
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
	proxy := faults.New(faults.Options{Dial: dial})
	defer proxy.Close()

	armed := proxy.Add(faults.On(faults.ToDevice(faults.PINGRESP), faults.Drop()).Times(1))
	fmt.Printf("%s: fired %d times\n", armed, armed.Fired())
	// Output: on 1st PINGRESP to the device: drop: fired 0 times
}

// A rule file says the same without a program; testdata/rules.yaml shows everything that it can say.
func ExampleParseFile() {
	file, err := faults.ParseFile([]byte(`
link:
  - preset: gprs
rules:
  - on: {to: device, type: PUBACK}
    do: drop
    times: 2
  - on: {to: broker, type: PUBLISH, topic: bench/+, nth: 3}
    do: [delay: 2s, cut: {at: 5, with: rst}]
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, condition := range file.Link {
		fmt.Println(condition)
	}
	for _, rule := range file.Rules {
		fmt.Println(rule)
	}
	_, err = faults.ParseFile([]byte("rules:\n  - on: {to: device, type: PUBACK}\n    do: [delay: soon]\n"))
	fmt.Println(err)
	// Output:
	// latency 500ms ± 100ms normal
	// bandwidth 6250 bytes/s
	// loss 0.02
	// on 1st-2nd PUBACK to the device: drop
	// on 3rd PUBLISH bench/+ from the device: delay 2s, cut with RST at byte 5
	// [3:17] "soon" is no time; one is 1.5s
	//    1 | rules:
	//    2 |   - on: {to: device, type: PUBACK}
	// >  3 |     do: [delay: soon]
	//                        ^
}
