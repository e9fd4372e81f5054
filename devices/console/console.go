// Package console holds the languages that devices speak on their consoles: the dialects of package devices.
package console

import (
	"fmt"
	"slices"
	"strings"

	"mqtthil/devices"
)

// dialects are all of them, by name. The first is the one of a device of which nothing is said.
var dialects = []struct {
	name    string
	dialect devices.Dialect
}{
	{"espressif", Espressif{}},
	{"stub", Stub{}},
}

// Names are the names of the dialects. The first is the one of a device of which nothing is said.
func Names() []string {
	var names []string
	for _, d := range dialects {
		names = append(names, d.name)
	}
	return names
}

// Named finds a dialect by its name.
func Named(name string) (devices.Dialect, error) {
	i := slices.Index(Names(), name)
	if i < 0 {
		return nil, fmt.Errorf("unknown console %q; it is one of %s", name, strings.Join(Names(), ", "))
	}
	return dialects[i].dialect, nil
}
