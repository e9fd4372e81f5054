package faults

import (
	"fmt"

	"mqtthil/faults/internal/form"
	"mqtthil/harness/timeline"
)

// Direction is the way that a packet goes through the proxy.
type Direction byte

// The two directions.
const (
	DeviceToBroker Direction = iota + 1
	BrokerToDevice
)

// String says it from the device's point of view, as the texts of rules do.
func (d Direction) String() string {
	switch d {
	case DeviceToBroker:
		return "from the device"
	case BrokerToDevice:
		return "to the device"
	}
	return "both ways"
}

// MarshalText writes where packets of the direction go: device or broker.
func (d Direction) MarshalText() ([]byte, error) {
	if d == DeviceToBroker {
		return []byte("broker"), nil
	}
	return []byte("device"), nil
}

// UnmarshalText reads what MarshalText writes.
func (d *Direction) UnmarshalText(text []byte) error {
	switch string(text) {
	case "broker":
		*d = DeviceToBroker
	case "device":
		*d = BrokerToDevice
	default:
		return fmt.Errorf("%q is neither device nor broker", text)
	}
	return nil
}

// UnmarshalYAML reads it from a rule file.
func (d *Direction) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, d)
}

// entry is where traffic of the direction comes in.
func (d Direction) entry() timeline.Point {
	if d == DeviceToBroker {
		return timeline.LeftDevice
	}
	return timeline.LeftBroker
}

// exit is where traffic of the direction goes out.
func (d Direction) exit() timeline.Point {
	if d == DeviceToBroker {
		return timeline.ReachedBroker
	}
	return timeline.ReachedDevice
}

// atDevice is the one of the two points that is on the device's side.
func (d Direction) atDevice() timeline.Point {
	if d == DeviceToBroker {
		return timeline.LeftDevice
	}
	return timeline.ReachedDevice
}
