package emulator

import (
	"fmt"
	"slices"
)

// Quirk is something that Espressif's conformance application does to itself. Those of its MQTT client are in package
// espmqtt. The emulated application does it only where it is asked to, because nothing can be tested behind it.
type Quirk string

// UserPropertiesFreedTwice: the application frees the user properties of an event when it has printed them, and the client
// frees them again when the event has been handled. The heap notices, and the board panics.
const UserPropertiesFreedTwice Quirk = "user-properties-freed-twice"

// Quirks returns all quirks in the order of their names.
func Quirks() []Quirk { return []Quirk{UserPropertiesFreedTwice} }

// ParseQuirk returns the quirk of that name.
func ParseQuirk(name string) (Quirk, error) {
	if q := Quirk(name); slices.Contains(Quirks(), q) {
		return q, nil
	}
	return "", fmt.Errorf("unknown quirk %q of the application; there are %v", name, Quirks())
}
